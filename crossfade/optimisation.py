"""Optimiser and learning-rate schedule."""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import nn

from crossfade.temporal.video_network import VideoNetwork

Schedule = Literal["poly", "step", "constant"]


class OptimiserParameters(BaseModel):
    """How weights are updated.

    Attributes:
        name: "adamw", "adam", or "sgd" with momentum 0.9 (the published setting).
        lr: peak learning rate of the encoder.
        head_multiplier: the heads and the temporal module learn this many times faster.
        weight_decay: decoupled for adamw.
        norm_decay: whether the encoder's normalisation layers decay, too (published for transformers: not).
        warmup: steps of linear warm-up.
        warmup_start: the factor of its first step; None: 1 / warmup, so that the last one has the full rate.
        schedule: "poly", see `power`; "step": a tenth from the middle of `horizon` on (DAVSS); or "constant".
        head_schedule: of the heads and the temporal module; None: the same (ADVENT, TPS and STCL: constant).
        power: of the polynomial decay: end + (lr - end) · (1 - step / horizon) ** power.
        horizon: steps after which it would end; None: the training's own (ADVENT, TPS and STCL: 250,000 of which
            40,000 are run).
        end: learning rate there, of the encoder.
        clip_norm: gradients are scaled down to this norm; 0 = not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: PositiveFloat = 5e-4
    head_multiplier: PositiveFloat = 4.0
    weight_decay: NonNegativeFloat = 0.01
    norm_decay: bool = True
    warmup: NonNegativeInt = 20
    warmup_start: float | None = Field(default=None, ge=0.0, le=1.0)
    schedule: Schedule = "poly"
    head_schedule: Schedule | None = None
    power: float = Field(default=0.9, ge=0.0)
    horizon: PositiveInt | None = None
    end: NonNegativeFloat = 0.0
    clip_norm: NonNegativeFloat = 0.0


def build_optimiser(network: VideoNetwork, parameters: OptimiserParameters) -> torch.optim.Optimizer:
    """An optimiser over two groups: the encoder, and everything new (head and temporal module).

    Without `norm_decay` the encoder's normalisation layers are a group of their own.
    """
    p, groups = parameters, network.frame.parameter_groups()
    spared = set() if p.norm_decay else _normalisation(network.frame)
    old = {"multiplier": 1.0, "schedule": p.schedule}
    new = {"multiplier": p.head_multiplier, "schedule": p.head_schedule or p.schedule}
    parts = [
        ([x for x in groups["encoder"] if id(x) not in spared], old),
        ([x for x in groups["encoder"] if id(x) in spared], {**old, "weight_decay": 0.0}),
        ([*groups["head"], *network.temporal.parameters()], new),
    ]
    learned = [{"params": [x for x in group if x.requires_grad], **options} for group, options in parts if group]
    if p.name == "sgd":
        return torch.optim.SGD(learned, lr=p.lr, momentum=0.9, weight_decay=p.weight_decay)
    kind = torch.optim.Adam if p.name == "adam" else torch.optim.AdamW
    return kind(learned, lr=p.lr, weight_decay=p.weight_decay)


def set_learning_rate(
    optimiser: torch.optim.Optimizer, parameters: OptimiserParameters, step: int, total: int
) -> float:
    """Set every group's learning rate for `step` of `total`: warm-up times its decay; returns the encoder's."""
    for group in optimiser.param_groups:
        group["lr"] = _rate(group["schedule"], parameters, step, total) * group["multiplier"]
    return _rate(parameters.schedule, parameters, step, total)


def _rate(schedule: Schedule, p: OptimiserParameters, step: int, total: int) -> float:
    """The learning rate before any multiplier."""
    warm, start, until = 1.0, p.warmup_start, p.horizon or total
    if step < p.warmup:
        warm = (step + 1) / p.warmup if start is None else start + (1.0 - start) * step / p.warmup
    if schedule == "constant":
        return p.lr * warm
    if schedule == "step":
        return p.lr * warm * (1.0 if 2 * step < until else 0.1)
    decay: float = max(0.0, 1.0 - step / until) ** p.power
    return p.lr * warm * decay + p.end * warm * (1.0 - decay)


def _normalisation(module: nn.Module) -> set[int]:
    """The ids of the parameters of normalisation layers."""
    kinds = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)
    return {id(p) for m in module.modules() if isinstance(m, kinds) for p in m.parameters(recurse=False)}
