"""Optimiser and learning-rate schedule."""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from crossfade.temporal.video_network import VideoNetwork


class OptimiserParameters(BaseModel):
    """How weights are updated.

    Attributes:
        name: "adamw", or "sgd" with momentum 0.9 (the published setting).
        lr: peak learning rate of the encoder.
        head_multiplier: the heads and the temporal module learn this many times faster.
        weight_decay: decoupled for adamw.
        warmup: steps of linear warm-up.
        power: of the polynomial decay to zero over all steps.
        clip_norm: gradients are scaled down to this norm; 0 = not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["adamw", "sgd"] = "adamw"
    lr: PositiveFloat = 5e-4
    head_multiplier: PositiveFloat = 4.0
    weight_decay: NonNegativeFloat = 0.01
    warmup: NonNegativeInt = 20
    power: float = Field(default=0.9, ge=0.0)
    clip_norm: NonNegativeFloat = 0.0


def build_optimiser(network: VideoNetwork, parameters: OptimiserParameters) -> torch.optim.Optimizer:
    """An optimiser over two groups: the encoder, and everything new (head and temporal module)."""
    groups = network.frame.parameter_groups()
    new = [*groups["head"], *network.temporal.parameters()]
    learned = [
        {"params": [p for p in group if p.requires_grad], "multiplier": multiplier}
        for group, multiplier in ((groups["encoder"], 1.0), (new, parameters.head_multiplier))
    ]
    if parameters.name == "sgd":
        return torch.optim.SGD(learned, lr=parameters.lr, momentum=0.9, weight_decay=parameters.weight_decay)
    return torch.optim.AdamW(learned, lr=parameters.lr, weight_decay=parameters.weight_decay)


def set_learning_rate(
    optimiser: torch.optim.Optimizer, parameters: OptimiserParameters, step: int, total: int
) -> float:
    """Set every group's learning rate for `step` of `total`: warm-up times polynomial decay; returns the base."""
    warm = min(1.0, (step + 1) / parameters.warmup) if parameters.warmup else 1.0
    lr = parameters.lr * warm * (1.0 - step / total) ** parameters.power
    for group in optimiser.param_groups:
        group["lr"] = lr * group["multiplier"]
    return lr
