"""Networks: a training step, and a streamed frame against encoding all frames that are read again."""

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.measure import compared, cost
from crossfade.motion.field import Motion
from crossfade.networks import NetworkParameters
from crossfade.temporal import ModelParameters, build_video_network

SIZE = (192, 256)
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
TEMPORAL = {
    "fusion": "two-frame fusion",
    "tmanet": "TMANet, two frames of memory",
    "dtern": "DTERN, three frames of memory",
}

Work = Callable[[], object]


def rows() -> list[dict[str, Any]]:
    """Forward and backward in both memory formats; streaming against unrolling."""
    last, contiguous = cost(_training, "channels_last"), cost(_training, "contiguous")
    what = "lite0 forward + backward, batch 4, 256x192, channels_last"
    found = [compared(what, last, "the same, contiguous", contiguous)]
    for temporal, name in TEMPORAL.items():
        streamed, unrolled = cost(_streamed, temporal, times=15), cost(_unrolled, temporal, times=15)
        what = f"{name}, one streamed frame, 256x192"
        found.append(compared(what, streamed, "encoding every frame again", unrolled, "ms", 1000))
    return found


def _training(layout: str) -> Work:
    network = _network("none").train().to(memory_format=LAYOUTS[layout])
    images = torch.rand(4, 3, *SIZE)
    return lambda: network.frame(images).logits.mean().backward()


def _streamed(temporal: str) -> Work:
    """The next frame of a video under way."""
    network = _network(temporal).eval()
    still = _still()
    stream = network.stream()

    @torch.inference_mode()
    def work() -> None:
        stream.step(torch.rand(1, 3, *SIZE), still)

    for _ in range(network.past):
        work()
    return work


def _unrolled(temporal: str) -> Work:
    """The same frame and those before it that are read, as a clip."""
    network = _network(temporal).eval()
    frames = torch.rand(1, network.past + 1, 3, *SIZE)
    motion = {(t, t - 1): _still() for t in range(1, network.past + 1)}

    @torch.inference_mode()
    def work() -> None:
        network.unroll(frames, motion)

    return work


def _still() -> Motion:
    return Motion(torch.zeros(1, 2, *SIZE), torch.ones(1, 1, *SIZE, dtype=torch.bool))


def _network(temporal: str) -> Any:
    parameters = NetworkParameters(kind="deeplab", pretrained=False)
    return build_video_network(ModelParameters(network=parameters, temporal=temporal), 11)
