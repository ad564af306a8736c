"""ETC's temporal loss (Liu et al., ECCV 2020): what is said of a surface should not change from frame to frame."""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from crossfade.motion.field import Motion
from crossfade.motion.warp import warp

DEVIATION: Final = (0.229, 0.224, 0.225)
"""Of red, green and blue in ImageNet: what images in [0, 1] are divided by before they are compared."""


def likeness(now: Tensor, neighbour: Tensor, flow: Tensor) -> Tensor:
    """V = exp(−|Σ_c (I_t − W(I_{t+k}))_c|) on normalised images: (B, 1, H, W) in (0, 1].

    Args:
        now, neighbour: (B, 3, H, W) RGB in [0, 1].
        flow: (B, 2, H, W), now → neighbour, pixels.
    """
    difference = (now - warp(neighbour, flow)[0]) / now.new_tensor(DEVIATION).view(1, 3, 1, 1)
    return torch.exp(-difference.sum(1, keepdim=True).abs())


def temporal_loss(
    now: Tensor,
    neighbour: Tensor,
    images: tuple[Tensor, Tensor],
    motion: Motion,
    compat: bool = False,
    align_corners: bool = False,
) -> Tensor:
    """MSE(V·z_t, V·W(z_{t+k})), with gradients to both frames.

    Args:
        now, neighbour: (B, K, h, w) logits z, not probabilities; brought to the images' grid first.
        images: of the two, (B, 3, H, W) RGB in [0, 1].
        motion: now → neighbour, on the images' grid.
        compat: as published, over all pixels, occluded ones too; otherwise over those whose motion is valid.
        align_corners: how logits are enlarged.

    Returns:
        A scalar; 0 where no motion is valid.
    """
    size = images[0].shape[-2:]
    both = (now, neighbour)
    here, there = (F.interpolate(z, size, mode="bilinear", align_corners=align_corners) for z in both)
    warped, inside = warp(there, motion.flow)
    gap = (likeness(*images, motion.flow) * (here - warped)).float().pow(2).mean(1, keepdim=True)
    if compat:
        return gap.mean()
    valid = motion.valid & inside
    return (gap * valid).sum() / valid.sum().clamp_min(1)
