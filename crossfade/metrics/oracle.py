"""Diagnosis only: how far pseudo labels could carry if one knew which of them are wrong.

The upper bound of UnifiedVideoDA's study (arXiv 2402.00868) on the refinement of pseudo labels. It reads the truth of
the target, so nothing that trains may import it, `crossfade.diagnosis` alone; that imports point the other way, and a
test, see to it.
"""

import math
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


def best_of(own: Tensor, warped: Tensor, truth: Tensor) -> Tensor:
    """The better of two labels at each pixel, as only the truth could choose: a true one where either is, else `own`.

    Args:
        own: (..., H, W) int64 class ids.
        warped: the same shape, 255 where there is no second label.
        truth: the same shape; where it is 255 nothing is known, and `own` stands.
    """
    return torch.where(only_true(warped, truth) != IGNORE, warped, own)


@dataclass(frozen=True)
class Refinement:
    """What a way of refining keeps, counted over pixels whose truth is known; adds up over batches.

    Attributes:
        pixels: how many there are.
        labels: how many of them keep a label.
        right: how many of these labels are true.
        before: how many pixels the oracle would keep: their label was true before refinement.
        still: how many of those are kept with their true label.
    """

    pixels: int = 0
    labels: int = 0
    right: int = 0
    before: int = 0
    still: int = 0

    def __add__(self, other: "Refinement") -> "Refinement":
        return Refinement(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def kept(self) -> float:
        """Share of the pixels that keep a label; nan without any pixel."""
        return _share(self.labels, self.pixels)

    @property
    def true(self) -> float:
        """Share of these labels that are true; nan likewise."""
        return _share(self.right, self.labels)

    @property
    def bound(self) -> float:
        """Share of the pixels that the oracle would keep; nan likewise."""
        return _share(self.before, self.pixels)

    @property
    def found(self) -> float:
        """Share of those that are kept with their true label; nan likewise."""
        return _share(self.still, self.before)


def refinement(before: Tensor, after: Tensor, truth: Tensor) -> Refinement:
    """Compare refined pseudo labels with the oracle's.

    Args:
        before, after: (..., H, W) int64 pseudo labels before and after refinement, 255 = ignore.
        truth: the same shape, 255 = unknown.
    """
    known = truth != IGNORE
    could, does = only_true(before, truth) != IGNORE, only_true(after, truth) != IGNORE
    counted = (known, (after != IGNORE) & known, does, could, could & does)
    return Refinement(*(int(mask.sum()) for mask in counted))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
