"""What DAVSS trains its motion, distortion and correction networks on (Zhuang et al., TCSVT 2021)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from crossfade.data.clip import IGNORE
from crossfade.motion.field import Motion
from crossfade.objectives.cross_entropy import cross_entropy

SURE = 1e-6
"""What is added before a logarithm is taken: a distortion of exactly 0 or 1 keeps a gradient."""


def distortion_loss(distortion: Tensor, propagated: Tensor, seen: Tensor) -> Tensor:
    """Binary cross-entropy of the distortion against "propagation and the per-frame network name different classes".

    Args:
        distortion: (B, 1, H, W) in [0, 1].
        propagated: (B, K, H, W) logits warped from the key frame.
        seen: (B, K, H, W) logits of the per-frame network on this frame.
    """
    wrong = propagated.argmax(1) != seen.argmax(1)
    d = distortion[:, 0].float()
    return -torch.where(wrong, d, 1 - d).add(SURE).log().mean()


def semantic_loss(propagated: Tensor, blended: Tensor, labels: Tensor) -> Tensor:
    """½·[CE(propagated) + CE(blended)], both (B, K, H, W) logits at the labels' size (B, H, W)."""
    return (cross_entropy(propagated, labels) + cross_entropy(blended, labels)) / 2


def correction_loss(correction: Tensor, distortion: Tensor, labels: Tensor) -> Tensor:
    """Mean over all pixels of D·ce(CF): what the correction network says counts where its word does.

    Args:
        correction: (B, K, H, W) its logits.
        distortion: (B, 1, H, W) in [0, 1].
        labels: (B, H, W) int64, 255 = ignore.
    """
    losses = F.cross_entropy(correction.float(), labels, ignore_index=IGNORE, reduction="none")
    return (distortion[:, 0] * losses).mean()


def motion_loss(pyramid: Sequence[Tensor], truth: Motion) -> Tensor:
    """Mean end-point error over the levels of a FlowNetS, each over the pixels whose motion is known; pixels.

    Args:
        pyramid: (B, 2, h, w) each, in units of 20 pixels of the frames.
        truth: on the frames' grid.
    """
    losses = []
    for flow in pyramid:
        size = (flow.shape[-2], flow.shape[-1])
        known = F.interpolate(truth.valid.float(), size, mode="nearest-exact")[:, 0]
        wanted = F.interpolate(truth.flow, size, mode="bilinear", align_corners=False)
        error = (20 * flow.float() - wanted).pow(2).sum(1).add(1e-6).sqrt()
        losses.append((error * known).sum() / known.sum().clamp_min(1))
    return torch.stack(losses).mean()
