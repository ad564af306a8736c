"""Whether motion is what it claims to be: does another motion explain the two frames clearly better?"""

from collections.abc import Callable

import numpy as np
import torch

from crossfade.motion.field import Motion
from crossfade.motion.warp import warp

BETTER = 0.85
"""Another motion than the stored one is suspected when it leaves less than this share of its error."""

SUSPECTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "no motion at all": torch.zeros_like,
    "the opposite direction": lambda flow: -flow,
    "x and y exchanged": lambda flow: flow.flip(1),
    "twice the length": lambda flow: 2 * flow,
    "half the length": lambda flow: flow / 2,
}
"""What published motion has been known to be instead of what it should be."""


def suspicion(now: np.ndarray, before: np.ndarray, motion: Motion) -> str | None:
    """Which other motion explains the pair of frames clearly better than the stored one, if any.

    Args:
        now, before: (H, W, 3) uint8.
        motion: now → before, on the frames' grid.
    """
    valid = motion.valid
    if not bool(valid.any()):
        return "no valid motion is stored, and none"
    own = _error(now, before, motion.flow, valid)
    left = {name: _error(now, before, change(motion.flow), valid) for name, change in SUSPECTS.items()}
    best = min(left, key=lambda name: left[name])
    return best if left[best] < BETTER * own else None


def _error(now: np.ndarray, before: np.ndarray, flow: torch.Tensor, valid: torch.Tensor) -> float:
    """Mean absolute difference of the warped neighbour where the stored motion is valid, grey levels."""
    brought, seen = warp(_tensor(before), flow)
    counted = (valid & seen)[0, 0]
    if not bool(counted.any()):
        return float("inf")
    return float((brought - _tensor(now)).abs().mean(1)[0][counted].mean())


def _tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
