"""Training steps of the methods on the same clips; STCL's against the published form, which keeps five graphs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measure import compared, cost
from crossfade.data.clip import Clip
from crossfade.data.labels import load_label_space
from crossfade.methods import build_method
from crossfade.methods.base import ClipNeeds, Method
from crossfade.motion.field import Motion
from crossfade.networks import NetworkParameters
from crossfade.networks.base import FrameOutput, upsample
from crossfade.temporal import ModelParameters, build_video_network

SIZE = (192, 256)
CLASSES = load_label_space("camvid11").classes
METHODS = {
    "supervised": "none",
    "self_training": "none",
    "mic": "none",
    "etc": "none",
    "tps": "fusion",
    "da_vsn": "fusion",
    "stcl": "fusion",
}
"""And the temporal module of each."""

Step = Callable[[], object]


def rows() -> list[dict[str, Any]]:
    """Seconds and peak memory of a step with batch 4 + 4, optimiser not included."""
    costs = {name: cost(_step, name, temporal) for name, temporal in METHODS.items()}
    base, naive = costs["self_training"], cost(_published_stcl)
    named = {name: f"{name} ({METHODS[name]}), batch 4 + 4, 256x192" for name in METHODS}
    return [
        *(compared(named[name], costs[name], "self_training, per frame", base, "s/step") for name in METHODS),
        compared(named["stcl"], costs["stcl"], "five graphs, unused maps enlarged", naive, "s/step"),
    ]


def _step(name: str, temporal: str) -> Step:
    """A training step of a method, as the training loop takes it."""
    method = _method(name, temporal, {})
    source, target = _clip(method.source_needs), _clip(method.target_needs)

    def work() -> None:
        _backward(method, method.step(5, 10, source, target).terms)

    return work


def _published_stcl() -> Step:
    """STCL as its published code computes it.

    Besides the source, S~ and T~ it forwards the pure target twice, over one span and over two, and keeps all five
    graphs for one backward; of S~ and T~ it enlarges the head's features to the frame's size, which nothing reads.
    """
    method = _method("stcl", "fusion", {"self_training": 1.0})
    network = method.network
    source, target = _clip(method.source_needs), _clip(method.target_needs)
    assert target is not None
    kept: list[Tensor] = []
    forwards = 0

    def enlarge(module: nn.Module, given: Any, output: FrameOutput) -> None:
        nonlocal forwards
        if output.logits.requires_grad:
            forwards += 1
            if forwards in (2, 3):  # the first is the source
                kept.append(upsample(output.embedding, SIZE))

    network.frame.register_forward_hook(enlarge)

    def work() -> None:
        nonlocal forwards
        forwards = 0
        terms = method.step(5, 10, source, target).terms
        wide = network.unroll(target.frames, target.motion, offsets=[-2])
        _backward(method, {**terms, "wide": 0.01 * wide.logits.mean()})
        assert len(kept) == 2
        kept.clear()

    return work


def _method(name: str, temporal: str, parameters: dict[str, Any]) -> Method:
    torch.manual_seed(0)
    frame = NetworkParameters(kind="deeplab", pretrained=False)
    network = build_video_network(ModelParameters(network=frame, temporal=temporal), len(CLASSES))
    if name == "mic":
        parameters = {"feature_distance": {"to": "start"}, **parameters}  # the same cost as the published encoder's
    return build_method(name, parameters, network, CLASSES)


def _backward(method: Method, terms: dict[str, Tensor]) -> None:
    torch.stack(list(terms.values())).sum().backward()
    method.after_step(5)
    method.network.zero_grad()


def _clip(needs: ClipNeeds | None, batch: int = 4) -> Clip | None:
    if needs is None:
        return None
    torch.manual_seed(0)
    length = len(needs.offsets)
    blocks = torch.randint(0, len(CLASSES), (batch, length, SIZE[0] // 32, SIZE[1] // 32))
    labels = blocks.repeat_interleave(32, 2).repeat_interleave(32, 3)
    motion = {
        pair: Motion(torch.randn(batch, 2, *SIZE), torch.ones(batch, 1, *SIZE, dtype=torch.bool))
        for pair in needs.motion
    }
    frames = torch.rand(batch, length, 3, *SIZE)
    return Clip(frames, labels if needs.labels else None, motion, tuple(map(str, range(batch))))
