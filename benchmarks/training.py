"""Training steps of the methods on the same clips, against the cheapest that adapts (self-training)."""

import statistics
import time
from typing import Any

import torch

from crossfade.data.clip import Clip
from crossfade.methods import build_method
from crossfade.methods.base import ClipNeeds, Method
from crossfade.motion.field import Motion
from crossfade.networks import NetworkParameters
from crossfade.temporal import ModelParameters, build_video_network

SIZE = (192, 256)
CLASSES = tuple("abcdefghijk")


def rows() -> list[dict[str, Any]]:
    """Seconds a step with batch 4 + 4, optimiser not included."""
    methods = {"supervised": "none", "self_training": "none", "stcl": "fusion"}
    seconds = {name: _step(name, temporal) for name, temporal in methods.items()}
    return [
        {
            "what": f"{name} ({temporal}), batch 4 + 4, 256x192",
            "value": seconds[name],
            "unit": "s/step",
            "against": "self_training, per frame",
            "ratio": seconds["self_training"] / seconds[name],
        }
        for name, temporal in methods.items()
    ]


def _step(name: str, temporal: str) -> float:
    torch.manual_seed(0)
    parameters = NetworkParameters(kind="deeplab", pretrained=False)
    network = build_video_network(ModelParameters(network=parameters, temporal=temporal), len(CLASSES))
    method: Method = build_method(name, {}, network, CLASSES)
    source, target = _clip(method.source_needs), _clip(method.target_needs)
    taken = []
    for step in range(6):
        start = time.perf_counter()
        output = method.step(step + 5, 10, source, target)
        torch.stack(list(output.terms.values())).sum().backward()
        method.after_step(step)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def _clip(needs: ClipNeeds | None, batch: int = 4) -> Clip | None:
    if needs is None:
        return None
    length = len(needs.offsets)
    labels = torch.randint(0, len(CLASSES), (batch, length, 6, 8)).repeat_interleave(32, 2).repeat_interleave(32, 3)
    motion = {
        pair: Motion(torch.randn(batch, 2, *SIZE), torch.ones(batch, 1, *SIZE, dtype=torch.bool))
        for pair in needs.motion
    }
    frames = torch.rand(batch, length, 3, *SIZE)
    return Clip(frames, labels if needs.labels else None, motion, tuple(map(str, range(batch))))
