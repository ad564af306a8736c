"""Cross-entropy with pixel weights and ignored pixels."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from crossfade.data.clip import IGNORE

Denominator = Literal["valid", "all"]


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    denominator: Denominator = "valid",
    align_corners: bool = False,
) -> Tensor:
    """Mean cross-entropy; 0 (with a gradient of 0) where every pixel is ignored.

    Args:
        logits: (B, K, h, w). A grid smaller than the labels' is upsampled bilinearly first.
        labels: (B, H, W) int64 class ids, 255 = ignore.
        weights: (B, H, W) or (B, 1, 1), factors of the pixels' losses; they do not enter the denominator.
        denominator: divide by the number of pixels that are not ignored, or by all of them (DACS, and mmseg 0.x:
            DTERN, TMANet).
        align_corners: how logits are upsampled.
    """
    if logits.shape[-2:] != labels.shape[-2:]:
        logits = F.interpolate(logits, labels.shape[-2:], mode="bilinear", align_corners=align_corners)
    losses = F.cross_entropy(logits.float(), labels, ignore_index=IGNORE, reduction="none")
    if weights is not None:
        losses = losses * weights
    count = (labels != IGNORE).sum().clamp_min(1) if denominator == "valid" else labels.numel()
    return losses.sum() / count


def balanced_weights(pixels: Sequence[int], power: float) -> Tensor:
    """(K,) weights proportional to (class frequency) ** -power, scaled so that the average pixel weighs 1.

    Args:
        pixels: how many pixels of each class the labelled source has; frequencies are floored at 1e-4.
        power: 0 = all the same; 0.5 = inverse square root; 1 = every class counts the same.
    """
    frequency = torch.tensor(pixels, dtype=torch.float64)
    frequency = (frequency / frequency.sum().clamp_min(1)).clamp_min(1e-4)
    weights = frequency**-power
    return (weights / (weights * frequency).sum() * frequency.sum()).float()
