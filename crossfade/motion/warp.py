"""Backward warping: bring a neighbouring frame, its probabilities or its labels onto this frame's grid."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from crossfade.motion.field import Motion

INSIDE_TOLERANCE = 1e-3
"""Pixels by which a sampling point may leave the frame and still count as inside (rounding of resized motion)."""


def sampling_points(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Where each pixel of this grid looks in the other frame.

    Args:
        flow: (B, 2, H, W), pixels.

    Returns:
        x and y, each (B, H, W) float32, in pixels of the other frame (0 = centre of its first pixel).
    """
    height, width = flow.shape[-2:]
    flow = flow.float()
    x = torch.arange(width, dtype=torch.float32, device=flow.device) + flow[:, 0]
    y = torch.arange(height, dtype=torch.float32, device=flow.device)[:, None] + flow[:, 1]
    return x, y


def inside_frame(flow: Tensor) -> Tensor:
    """Whether the point a motion (B, 2, H, W) leads to lies in the other frame; (B, 1, H, W) bool, False where NaN."""
    height, width = flow.shape[-2:]
    x, y = sampling_points(flow)
    low = -INSIDE_TOLERANCE
    return ((x >= low) & (x <= width - 1 - low) & (y >= low) & (y <= height - 1 - low))[:, None]


def warp(image: Tensor, flow: Tensor, mode: Literal["bilinear", "nearest"] = "bilinear") -> tuple[Tensor, Tensor]:
    """Reconstruct frame i from frame j: ``warped(x, y) = image(x + u, y + v)`` with the motion i→j.

    Points outside the image take the nearest border pixel. The same numbers as FlowNet2's resample layer
    (Ilg et al. 2017, bilinear, kernel size 1), with gradients to both the image and the flow.

    Args:
        image: (B, C, H, W) floating point: frame j, or features or probabilities on its grid.
        flow: (B, 2, H, W), motion i→j in pixels of the same grid.
        mode: "bilinear" for images and probabilities, "nearest" for labels and masks.

    Returns:
        The warped image, (B, C, H, W) in the image's dtype, and `inside`, (B, 1, H, W) bool: False where the point
        looked up lies outside the image.

    Raises:
        ValueError: image and flow are not on the same grid (resize the motion with `Motion.resized` first).
    """
    if image.shape[-2:] != flow.shape[-2:] or image.shape[0] != flow.shape[0] or flow.shape[1] != 2:
        raise ValueError(f"image {tuple(image.shape)} and flow {tuple(flow.shape)} are not on the same grid")
    height, width = image.shape[-2:]
    x, y = sampling_points(flow)
    grid = torch.stack([x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1], dim=-1)
    sampled = F.grid_sample(image.float(), grid, mode=mode, padding_mode="border", align_corners=True)
    return sampled.to(image.dtype), inside_frame(flow)


def warp_labels(labels: Tensor, motion: Motion, ignore: int = 255) -> Tensor:
    """Bring a neighbour's labels onto this frame's grid, by nearest neighbour.

    Args:
        labels: (B, H, W) int64, class ids of frame j.
        motion: the motion i→j, on the same grid.
        ignore: the id written where the motion is not valid or leaves the frame.

    Returns:
        (B, H, W) int64, class ids seen from frame i.
    """
    warped, inside = warp(labels[:, None].float(), motion.flow, mode="nearest")
    return torch.where(inside & motion.valid, warped.to(labels.dtype), ignore)[:, 0]
