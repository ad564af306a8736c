"""Giving source frames the colours of target frames."""

from typing import Literal

import torch
from torch import Tensor

LEVELS = 256


def matching_table(source: Tensor, template: Tensor) -> Tensor:
    """The classic histogram matching of one value table to another.

    The levels that occur in the source are mapped by their quantile, interpolated linearly over the quantiles of the
    levels that occur in the template.

    Args:
        source, template: (N, 256) counts.

    Returns:
        (N, 256) float64: the new value of each level.
    """
    quantile = source.double().cumsum(1) / source.sum(1, keepdim=True)
    known = template.double().cumsum(1) / template.sum(1, keepdim=True)
    occurs = template > 0
    level = torch.arange(LEVELS, device=source.device, dtype=torch.float64).expand_as(known)
    # a level that does not occur has its predecessor's quantile: the first level at a quantile is the one that occurs
    right = torch.searchsorted(known.contiguous(), (quantile - 1e-12).contiguous()).clamp(max=LEVELS - 1)
    before = torch.where(occurs, level, -1.0).cummax(1).values
    left = torch.where(right > 0, before.gather(1, (right - 1).clamp_min(0)), -1.0)
    first = left < 0
    left = torch.where(first, right.double(), left).long()
    low, high = known.gather(1, left), known.gather(1, right)
    share = torch.where(high > low, (quantile - low) / (high - low).clamp_min(1e-12), 1.0).clamp(0, 1)
    return left.double() + share * (right - left)


def match_histograms(frames: Tensor, template: Tensor) -> Tensor:
    """Histogram matching per channel; one table for all frames of a clip, so that it stays steady over time.

    Args:
        frames: (B, T, 3, H, W) in [0, 1], read at 256 levels.
        template: (B, 3, h, w) in [0, 1].

    Returns:
        Like `frames`; without gradient.
    """
    batch = frames.shape[0]
    levels = _levels(frames).movedim(2, 1).reshape(batch * 3, -1)
    target = _levels(template).reshape(batch * 3, -1)
    # A few hundred numbers; on the CPU because a sum along a GPU's row is not deterministic.
    table = matching_table(_counts(levels).cpu(), _counts(target).cpu()) / (LEVELS - 1)
    changed = table.to(frames.device, frames.dtype).gather(1, levels)
    return changed.view(batch, 3, *frames.shape[1:2], *frames.shape[3:]).movedim(1, 2).contiguous()


def match_mean_and_spread(frames: Tensor, template: Tensor) -> Tensor:
    """Give each channel the template's mean and standard deviation, then clamp; shapes as in `match_histograms`."""
    spread, mean = torch.std_mean(frames, dim=(1, 3, 4), keepdim=True)
    to_spread, to_mean = (v[:, None] for v in torch.std_mean(template, dim=(2, 3), keepdim=True))
    return ((frames - mean) / spread.clamp_min(1e-4) * to_spread + to_mean).clamp(0, 1)


def transfer_colour(
    frames: Tensor, template: Tensor, kind: Literal["histogram", "mean_spread", "off"], probability: float = 1.0
) -> Tensor:
    """Give each clip of a batch its template's colours, with a probability.

    Args:
        frames: (B, T, 3, H, W) in [0, 1].
        template: (B, 3, h, w) in [0, 1].
        kind: what is matched.
        probability: of a clip being changed at all (drawn from the global generator).
    """
    if kind == "off":
        return frames
    changed = match_histograms(frames, template) if kind == "histogram" else match_mean_and_spread(frames, template)
    if probability >= 1:
        return changed
    happens = (torch.rand(len(frames)) < probability).to(frames.device)
    return torch.where(happens.view(-1, 1, 1, 1, 1), changed, frames)


def _levels(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) * (LEVELS - 1)).round().long()


def _counts(levels: Tensor) -> Tensor:
    counts = torch.zeros(len(levels), LEVELS, dtype=torch.long, device=levels.device)
    return counts.scatter_add_(1, levels, torch.ones_like(levels))
