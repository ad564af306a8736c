"""Diagnosis only: how far pseudo labels could carry if one knew which of them are wrong.

The upper bound of UnifiedVideoDA's study (arXiv 2402.00868) on the refinement of pseudo labels. It reads the truth of
the target, so nothing that trains may import it; that imports point the other way, and a test, see to it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from crossfade.data.clip import IGNORE


def only_true(labels: Tensor, truth: Tensor) -> Tensor:
    """Keep the pseudo labels that are true; the rest becomes 255.

    Args:
        labels: (..., H, W) int64 pseudo labels, 255 = ignore.
        truth: the same shape; where it is 255 nothing is known and nothing kept.
    """
    return torch.where((labels == truth) & (truth != IGNORE), labels, IGNORE)


@dataclass(frozen=True)
class Refinement:
    """What a way of refining keeps, over pixels whose truth is known.

    Attributes:
        kept: share of the pixels that keep a label.
        true: share of these labels that are true.
        bound: share of the pixels that the oracle would keep: true labels before refinement.
        found: share of those that are kept with their true label.
    """

    kept: float
    true: float
    bound: float
    found: float


def refinement(before: Tensor, after: Tensor, truth: Tensor) -> Refinement:
    """Compare refined pseudo labels with the oracle's.

    Args:
        before, after: (..., H, W) int64 pseudo labels before and after refinement, 255 = ignore.
        truth: the same shape, 255 = unknown.
    """
    known = (truth != IGNORE).sum().clamp_min(1)
    could, does = only_true(before, truth) != IGNORE, only_true(after, truth) != IGNORE
    kept = ((after != IGNORE) & (truth != IGNORE)).sum()
    return Refinement(
        kept=float(kept / known),
        true=float(does.sum() / kept.clamp_min(1)),
        bound=float(could.sum() / known),
        found=float((could & does).sum() / could.sum().clamp_min(1)),
    )
