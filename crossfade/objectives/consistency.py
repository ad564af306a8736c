"""Temporal consistency: what is said of a surface now should be what was said of it a frame ago."""

from typing import Literal

import torch
from torch import Tensor

from crossfade.motion.field import Motion
from crossfade.motion.warp import warp


def temporal_consistency(
    now: Tensor,
    past: Tensor,
    motion: Motion,
    distance: Literal["squared", "kl"] = "squared",
    weights: Tensor | None = None,
) -> Tensor:
    """Mean distance of the probabilities now from those a neighbour's surface had, over pixels whose motion is valid.

    squared: Σ_k (q_t − ŵ(q_{t−1}))² (ETC, Liu et al., ECCV 2020, up to its occlusion weight, which is `motion.valid`);
    kl: Σ_k ŵ(q_{t−1}) (log ŵ(q_{t−1}) − log q_t). The neighbour's side carries no gradient.

    Args:
        now: (B, K, h, w) logits.
        past: (B, K, h, w) logits of the neighbour, on the same grid.
        motion: now → neighbour, on any grid.
        distance: which.
        weights: (B, h, w) further weights.

    Returns:
        A scalar; 0 where no motion is valid.
    """
    motion = motion.resized((now.shape[-2], now.shape[-1]))
    warped, inside = warp(past.detach().float().softmax(1), motion.flow)
    valid = (motion.valid & inside)[:, 0].float()
    if weights is not None:
        valid = valid * weights
    log_q = now.float().log_softmax(1)
    if distance == "squared":
        gap = (log_q.exp() - warped).pow(2).sum(1)
    else:
        gap = (warped * (torch.log(warped.clamp_min(1e-8)) - log_q)).sum(1)
    return (gap * valid).sum() / valid.sum().clamp_min(1)


def surer_consistency(now: Tensor, propagated: Tensor) -> Tensor:
    """DA-VSN's regularisation: |q_t − q̃| where the propagated prediction is the surer one (Guan et al., ICCV 2021).

    mean over samples, classes and pixels of w · |q_t − q̃|, w = (Σ_k q̃_k) · [H(q̃) < H(q_t)], with H the entropy. Only
    q_t carries a gradient.

    Args:
        now: (B, K, h, w) logits.
        propagated: (B, K, h, w) probabilities of the frame before, brought here; all 0 where nothing is known.

    Returns:
        A scalar; 0 where nothing is known.
    """
    propagated = propagated.detach().float()
    probabilities = now.float().softmax(1)
    own, other = (-torch.xlogy(q, q).sum(1, keepdim=True) for q in (probabilities.detach(), propagated))
    weight = propagated.sum(1, keepdim=True) * (other < own)
    return (weight * (probabilities - propagated).abs()).mean()
