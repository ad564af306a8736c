"""Where motion can be believed: the forward-backward check."""

import torch
from torch import Tensor

from crossfade.motion.warp import inside_frame, warp

RELATIVE = 0.01
ABSOLUTE = 0.5
"""Tolerance of Sundaram, Brox, Keutzer, "Dense point trajectories by GPU-accelerated large displacement optical flow"
(ECCV 2010), eq. 5, as in UnFlow (Meister et al., AAAI 2018)."""


def forward_backward_validity(
    forward: Tensor, backward: Tensor, relative: float = RELATIVE, absolute: float = ABSOLUTE
) -> Tensor:
    """Whether following the motion i→j and then j→i leads back to where one began.

    A pixel p of frame i is valid where ``|f(p) + b(p + f(p))|² < relative · (|f(p)|² + |b(p + f(p))|²) + absolute``
    and p + f(p) lies inside frame j. A surface hidden in frame j is found behind the one that hides it, whose way back
    leads elsewhere, so the ghost is dropped; the surface in front leads back to itself and stays.

    Args:
        forward: (B, 2, H, W), motion i→j, pixels.
        backward: (B, 2, H, W), motion j→i, pixels.
        relative: the squared error allowed, as a share of the squared motion.
        absolute: the squared error always allowed, px².

    Returns:
        (B, 1, H, W) bool, on frame i's grid.
    """
    back, _ = warp(backward, forward)
    error = (forward + back).square().sum(1, keepdim=True)
    length = forward.square().sum(1, keepdim=True) + back.square().sum(1, keepdim=True)
    return torch.logical_and(error < relative * length + absolute, inside_frame(forward))
