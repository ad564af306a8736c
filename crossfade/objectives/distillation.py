"""What ETC distils from a teacher (Liu et al., ECCV 2020): classes, affinities between places, affinities over time."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Memory = Callable[[Sequence[Tensor]], tuple[Tensor, Tensor]]
"""Images (B, 1, h, w), oldest first → hidden state and cell after the last: a ConvLSTM."""


def class_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher ‖ student) of two maps of logits (B, K, h, w), averaged over pixels *and* classes, as published."""
    log_p, log_q = student.float().log_softmax(1), teacher.float().log_softmax(1)
    return (log_q.exp() * (log_q - log_p)).mean()


def affinity(first: Tensor, second: Tensor, compat: bool = False) -> Tensor:
    """Cosine of every place of one map with every place of another: (B, C, h, w) twice → (B, h·w, h·w).

    Args:
        first, second: features.
        compat: as published: entry (i, j) is divided by |y_i||x_j|, not by |x_i||y_j| (the matrix of norms stands
            transposed), which only makes a difference where the two maps differ.
    """
    x, y = first.float().flatten(2), second.float().flatten(2)
    product = x.transpose(1, 2) @ y
    a, b = x.norm(dim=1), y.norm(dim=1)
    if compat:
        a, b = b, a
    return product / (a[:, :, None] * b[:, None, :]).clamp_min(1e-8)


def pair_distillation(
    student: Sequence[Tensor], teacher: Sequence[Tensor], pool: int = 1, compat: bool = False
) -> Tensor:
    """MSE between the student's and the teacher's affinity of one frame with another.

    Args:
        student, teacher: of each the features of two frames, (B, C, h, w); C may differ between the two.
        pool: maps are averaged over squares of this side first; 1 as published.
        compat: see `affinity`.
    """
    (now, neighbour), (taught, taught_neighbour) = ([pooled(f, pool) for f in frames] for frames in (student, teacher))
    return F.mse_loss(affinity(now, neighbour, compat), affinity(taught, taught_neighbour, compat))


def self_distillation(
    student: Sequence[Tensor], teacher: Sequence[Tensor], weights: Sequence[float] = (1.0, 0.4, 0.4), pool: int = 2
) -> Tensor:
    """Σ wᵢ·MSE between the affinities of each frame with itself; arguments as in `pair_distillation`, any frames."""
    losses = [
        weight * F.mse_loss(affinity(s, s), affinity(t, t))
        for weight, s, t in zip(
            weights, (pooled(f, pool) for f in student), (pooled(f, pool) for f in teacher), strict=True
        )
    ]
    return torch.stack(losses).sum()


def sequence_distillation(
    student: Sequence[Tensor], teacher: Sequence[Tensor], memory: Memory, pool: int = 16
) -> Tensor:
    """MSE between what a ConvLSTM makes of the student's and of the teacher's affinities over time.

    Args:
        student, teacher: features (B, C, h, w) of consecutive frames, oldest first.
        memory: reads the affinity of each frame with itself, an image of one channel, and gives its last state.
        pool: side of the squares that features are averaged over first; halved until a map leaves 2x2 of them.
    """
    states = []
    for frames in (student, teacher):
        side = pool
        while side > 1 and min(frames[0].shape[-2:]) < 2 * side:
            side //= 2
        small = [pooled(f, side) for f in frames]
        states.append(memory([affinity(f, f)[:, None] for f in small]))
    (hidden, cell), (wanted_hidden, wanted_cell) = states
    return F.mse_loss(hidden, wanted_hidden) + F.mse_loss(cell, wanted_cell)


def pooled(features: Tensor, side: int) -> Tensor:
    """Averaged over squares; what is left over at the borders is dropped unless nothing else is there."""
    if side == 1:
        return features
    return F.avg_pool2d(features, (min(side, features.shape[-2]), min(side, features.shape[-1])))
