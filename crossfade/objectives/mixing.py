"""Mixed frames: patches chosen by class, pasted into every frame of a clip, with labels, motion and validity.

ClassMix (Olsson et al., WACV 2021) is one patch; the fused domains of STCL (arXiv 2311.13254) are several, with one
set of classes over all frames of the clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from crossfade.motion.field import Motion
from crossfade.motion.warp import warp


def present_classes(labels: Tensor, num_classes: int) -> Tensor:
    """(B, K) bool: the classes each sample shows. `labels`: (B, ...) int64, 255 = ignore."""
    flat = labels.flatten(1)
    found = torch.zeros(len(flat), 256, dtype=torch.bool, device=labels.device)
    return found.scatter_(1, flat.clamp(0, 255), True)[:, :num_classes]


def pick_classes(candidates: Tensor, count: int | str) -> Tensor:
    """Pick classes at random, without replacement.

    Args:
        candidates: (B, K) bool.
        count: how many a sample (fewer if there are fewer), or "half" of the candidates, rounded up.

    Returns:
        (B, K) bool, a subset of the candidates.
    """
    wanted = (candidates.sum(1) + 1) // 2 if count == "half" else torch.full((len(candidates),), int(count))
    chance = torch.rand(candidates.shape).to(candidates.device).masked_fill(~candidates, -1.0)
    rank = chance.argsort(1, descending=True).argsort(1)
    return candidates & (rank < wanted.to(rank.device)[:, None])


def class_mask(labels: Tensor, classes: Tensor) -> Tensor:
    """Where a label is one of its sample's classes.

    Args:
        labels: (B, ...) int64, 255 = ignore (never in the mask).
        classes: (B, K) bool.
    """
    table = torch.zeros(len(classes), 256, dtype=torch.bool, device=classes.device)
    table[:, : classes.shape[1]] = classes
    return table.gather(1, labels.flatten(1)).view(labels.shape)


def box_mask(batch: int, size: tuple[int, int], area: float) -> Tensor:
    """(B, H, W) bool: one random box a sample, of a given share of the frame and a random shape (CutMix, ICCV 2019).

    The height is drawn so that box and frame fit each other: log-uniformly between `area` and 1 of the frame's.
    """
    height, width = size
    tall = area ** torch.rand(batch)
    high, wide = (tall * height).round(), (area / tall * width).round()
    top, left = (torch.rand(batch) * (height - high + 1)).floor(), (torch.rand(batch) * (width - wide + 1)).floor()
    y, x = torch.arange(height)[None, :, None], torch.arange(width)[None, None, :]
    top, left, high, wide = (value[:, None, None] for value in (top, left, high, wide))
    return (y >= top) & (y < top + high) & (x >= left) & (x < left + wide)


@dataclass(frozen=True)
class Layer:
    """What is pasted over a clip.

    Attributes:
        frames: (B, T, 3, H, W).
        labels: (B, T, H, W) int64.
        mask: (B, T, H, W) bool, where it is pasted.
        motion: its motion; None for a still patch: the motion below stays and is invalid there, so that nothing is
            propagated inside the patch.
        weight: (B, T, H, W) weights of its pixels in a loss.
    """

    frames: Tensor
    labels: Tensor
    mask: Tensor
    motion: dict[tuple[int, int], Motion] | None
    weight: Tensor | None = None


@dataclass(frozen=True)
class Mixed:
    """A clip with patches.

    Attributes:
        frames: (B, T, 3, H, W).
        labels: (B, T, H, W) int64, 255 = ignore.
        motion: mixed motion; valid only where it leads from a patch to the same patch (or from base to base).
        origin: (B, T, H, W) uint8, 0 = base, i = the i-th layer.
        weight: (B, T, H, W) weights of the pixels.
    """

    frames: Tensor
    labels: Tensor
    motion: dict[tuple[int, int], Motion]
    origin: Tensor
    weight: Tensor


def compose(
    base: Layer, layers: Sequence[Layer], mix_motion: bool = True, motion_mask: str = "now", check_origin: bool = True
) -> Mixed:
    """Paste layers over a base, in order: x ← m·layer + (1 − m)·x on frames, labels, weights and motion.

    Args:
        base: the lowest layer (its mask is not used); it needs motion.
        layers: bottom to top.
        mix_motion: False keeps the base's motion as it is under patches that move, and does not check its origin.
        motion_mask: "now": motion i→j, which lives on frame i's grid, is mixed by frame i's masks; "previous": by frame
            j's, as in the published code.
        check_origin: motion that leads from one layer into another (the patch's edge covers what it points at) becomes
            invalid.
    """
    frames, labels = base.frames, base.labels
    weight = _weight_of(base)
    origin = torch.zeros_like(labels, dtype=torch.uint8)
    for index, layer in enumerate(layers, start=1):
        frames = torch.where(layer.mask[:, :, None], layer.frames, frames)
        labels = torch.where(layer.mask, layer.labels, labels)
        weight = torch.where(layer.mask, _weight_of(layer), weight)
        origin = origin.masked_fill(layer.mask, index)
    assert base.motion is not None
    motion = {}
    for (here, there), below in base.motion.items():
        mixed = _mixed_motion((here, there), below, layers, mix_motion, motion_mask)
        checked = mix_motion and check_origin
        motion[here, there] = within_origin(mixed, origin[:, here], origin[:, there]) if checked else mixed
    return Mixed(frames, labels, motion, origin, weight)


def _weight_of(layer: Layer) -> Tensor:
    return torch.ones_like(layer.labels, dtype=layer.frames.dtype) if layer.weight is None else layer.weight


def _mixed_motion(
    pair: tuple[int, int], base: Motion, layers: Sequence[Layer], mix_motion: bool, motion_mask: str
) -> Motion:
    flow, valid = base.flow, base.valid
    grid = pair[0] if motion_mask == "now" else pair[1]
    for layer in layers:
        mask = layer.mask[:, grid, None]
        if layer.motion is None:
            valid = valid & ~mask
        elif mix_motion:
            flow = torch.where(mask, layer.motion[pair].flow, flow)
            valid = torch.where(mask, layer.motion[pair].valid, valid)
    return Motion(flow, valid)


def within_origin(motion: Motion, here: Tensor, there: Tensor) -> Motion:
    """Motion that is valid only where it leads from a layer to the same layer.

    Args:
        motion: i→j, at the frames' size.
        here, there: (B, H, W), the layer of each pixel of frames i and j.
    """
    reached, inside = warp(there[:, None].float(), motion.flow, "nearest")
    return Motion(motion.flow, motion.valid & inside & (reached.round() == here[:, None]))
