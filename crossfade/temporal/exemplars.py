"""Exemplars: a frame in a few vectors, each a weighted mean over its pixels (DTERN's local and global modules)."""

import math
from collections.abc import Sequence
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossfade.networks.layers import conv_bn_relu


@final
class Context(nn.Module):
    """What surrounds a pixel: large kernels around it, gated by the means of its row and column (DTERN, step 1)."""

    def __init__(self, channels: int, kernels: Sequence[int]) -> None:
        super().__init__()
        self.plain = nn.Conv2d(channels, channels, 1)
        self.smooth = nn.Sequential(
            nn.Conv2d(channels, channels, 1), nn.GELU(), nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        )
        self.around = nn.ModuleList(
            [nn.Conv2d(channels, channels, k, padding=k // 2, groups=channels) for k in kernels]
        )
        self.local = _conv_bn_gelu(channels)
        self.across = _conv_bn(channels, (1, 3))
        self.down = _conv_bn(channels, (3, 1))
        self.strip = nn.Sequential(
            nn.Conv2d(channels, channels, (1, 11), padding=(0, 5), groups=channels),
            nn.GELU(),
            nn.Conv2d(channels, channels, (11, 1), padding=(5, 0), groups=channels),
        )
        self.out = _conv_bn_gelu(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        plain, smooth = F.gelu(self.plain(x)), self.smooth(x)
        local = self.local(torch.stack([plain, *(conv(plain) for conv in self.around)]).sum(0))
        # (B, C, 1, W) + (B, C, H, 1): one row and one column, repeated to the whole map.
        crossing = self.across(smooth.mean(2, keepdim=True)) + self.down(smooth.mean(3, keepdim=True))
        result: Tensor = self.out(local * self.strip(crossing).sigmoid() + local)
        return result


@final
class Gate(nn.Module):
    """Mᵀ(a · clamp(cos(a, p), 0, 1)) at each pixel: how far an assignment resembles a learnt prompt (step 3)."""

    def __init__(self, exemplars: int) -> None:
        super().__init__()
        self.prompt = nn.Parameter(torch.randn(exemplars))
        self.transform = nn.Parameter(torch.eye(exemplars))

    def forward(self, assignment: Tensor) -> Tensor:
        """(B, K, N) → (B, K, N)."""
        likeness = F.cosine_similarity(assignment, self.prompt[None, :, None], dim=1).clamp(0, 1)
        return self.transform.T @ (assignment * likeness[:, None])


@final
class LocalExemplarLayer(nn.Module):
    """Pixels of now attend over exemplars of now and of the frames before (DTERN, one of two stacked layers).

    `assign` and `gather` look at a single frame: of a past frame they give all that the present ever needs. One layer
    norm serves three places, as published.
    """

    def __init__(self, channels: int, exemplars: int, heads: int, kernels: Sequence[int], fuses: bool) -> None:
        """Build it.

        Args:
            channels: C.
            exemplars: K.
            heads: of the attention.
            kernels: of the context.
            fuses: whether the assignment of the layer below is taken up.
        """
        super().__init__()
        self.heads = heads
        self.context = Context(channels, kernels)
        self.assignment = nn.Conv2d(channels, exemplars, 1, bias=False)
        self.below = Gate(exemplars) if fuses else None
        self.own = Gate(exemplars) if fuses else None
        self.slope, self.offset = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))
        self.norm = nn.LayerNorm(channels)
        self.query, self.key = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.value, self.project = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.widen = nn.Conv2d(channels, 4 * channels, 1)
        self.mix = nn.Conv2d(4 * channels, 4 * channels, 3, padding=1, groups=4 * channels)
        self.narrow = nn.Conv2d(4 * channels, channels, 1)

    def assign(self, x: Tensor, below: Tensor | None = None) -> Tensor:
        """How much each pixel belongs to each exemplar: (B, C, H, W) → (B, K, H·W) before the softmax.

        Args:
            x: one frame.
            below: the assignment of the layer below.
        """
        own = self.assignment(self.context(x)).flatten(2)
        if self.below is None or self.own is None or below is None:
            return own
        fused: Tensor = (self.below(below) + self.own(own)) / 2
        return fused

    def forward(self, x: Tensor, own: Tensor, past: Sequence[Tensor]) -> Tensor:
        """Steps 5 to 7.

        Args:
            x: (B, C, H, W), now.
            own: (B, K, C), its exemplars.
            past: those of the frames before, each (B, K, C).
        """
        merged = own
        for other in past:
            likeness = F.cosine_similarity(own, other, dim=-1)
            merged = merged + torch.sigmoid(self.offset + self.slope * likeness)[..., None] * other
        exemplars = self.norm(merged)
        tokens = x.flatten(2).transpose(1, 2)
        query, key, value = self.query(tokens), self.key(exemplars), self.value(exemplars)
        attended = F.scaled_dot_product_attention(self._split(query), self._split(key), self._split(value))
        attended = self.project(attended.transpose(1, 2).flatten(2))
        x = x + _map(self.norm(attended), x)
        wide = self.narrow(F.gelu(self.mix(self.widen(x))))
        return x + self.norm(wide.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def _split(self, tokens: Tensor) -> Tensor:
        """(B, N, C) → (B, heads, N, C / heads)."""
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)


def gather(x: Tensor, assignment: Tensor) -> Tensor:
    """Exemplars: softmax over the frame's pixels, (B, C, H, W) and (B, K, H·W) → (B, K, C) (step 4)."""
    return assignment.softmax(2) @ x.flatten(2).transpose(1, 2)


@final
class GlobalExemplarModule(nn.Module):
    """Pixels attend over the whole frame's class context: keys and values a class, learnt over the data set."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.class_keys = nn.Parameter(torch.empty(num_classes, channels))
        self.class_values = nn.Parameter(torch.empty(num_classes, channels))
        nn.init.trunc_normal_(self.class_keys, std=0.02)
        nn.init.trunc_normal_(self.class_values, std=0.02)
        self.query, self.key = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.pixel_query, self.pixel_key = conv_bn_relu(channels, channels), conv_bn_relu(channels, channels)
        self.pixel_value, self.out = conv_bn_relu(channels, channels), conv_bn_relu(channels, channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) → the same with context, and (B, num_classes, H, W) logits of the class keys."""
        tokens = x.flatten(2).transpose(1, 2)
        scores = self.query(tokens) @ self.key(self.class_keys).T / math.sqrt(x.shape[1])
        context = _map(scores.softmax(2) @ self.class_values, x)
        query, key, value = (
            part.flatten(2).transpose(1, 2)[:, None]
            for part in (self.pixel_query(x), self.pixel_key(context), self.pixel_value(context))
        )
        attended = F.scaled_dot_product_attention(query, key, value)
        return x + self.out(_map(attended[:, 0], x)), _map(scores, x)


def _map(tokens: Tensor, like: Tensor) -> Tensor:
    """(B, H·W, C) → (B, C, H, W)."""
    return tokens.transpose(1, 2).unflatten(2, like.shape[-2:])


def _conv_bn(channels: int, size: tuple[int, int]) -> nn.Sequential:
    padding = (size[0] // 2, size[1] // 2)
    return nn.Sequential(nn.Conv2d(channels, channels, size, padding=padding, bias=False), nn.BatchNorm2d(channels))


def _conv_bn_gelu(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels), nn.GELU())
