"""Pictures of what a method trains on."""

import colorsys

import numpy as np
import torch
from torch import Tensor


def class_colours(num_classes: int) -> np.ndarray:
    """(256, 3) uint8: distinct hues by class id; ignored pixels black."""
    table = np.zeros((256, 3), np.uint8)
    for k in range(num_classes):
        table[k] = np.round(255 * np.array(colorsys.hsv_to_rgb((k * 0.618) % 1.0, 0.75, 0.6 + 0.4 * (k % 2))))
    return table


def mixed_figure(batches: dict[str, tuple[Tensor, Tensor]], num_classes: int, samples: int = 2) -> np.ndarray:
    """Frames beside their labels.

    Args:
        batches: by name, frames (B, T, 3, H, W) in [0, 1] and labels (B, T, H, W); one row a name and sample, the
            frames oldest first, each followed by its labels.
        num_classes: K.
        samples: rows a name.

    Returns:
        (rows·H, 2·T·W, 3) uint8.
    """
    colours = class_colours(num_classes)
    rows = []
    for frames, labels in batches.values():
        for frame, label in zip(frames[:samples].detach().cpu(), labels[:samples].cpu(), strict=True):
            pictures = (frame.float().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
            pairs = zip(pictures, colours[label.numpy()], strict=True)
            rows.append(np.concatenate([part for pair in pairs for part in pair], axis=1))
    return np.concatenate(rows, axis=0)
