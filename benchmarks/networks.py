"""Networks: a training step, and a streamed frame against encoding all frames that are read again."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from crossfade.motion.field import Motion
from crossfade.networks import NetworkParameters
from crossfade.temporal import ModelParameters, build_video_network

SIZE = (192, 256)


def rows() -> list[dict[str, Any]]:
    """Forward and backward in both memory formats; streaming against unrolling."""
    return [
        *_training(),
        _streaming("fusion", "two-frame fusion"),
        _streaming("tmanet", "TMANet, two frames of memory"),
        _streaming("dtern", "DTERN, three frames of memory"),
    ]


def _training() -> list[dict[str, Any]]:
    seconds = {}
    for name, layout in (("contiguous", torch.contiguous_format), ("channels_last", torch.channels_last)):
        network = _network("none").train().to(memory_format=layout)  # type: ignore[call-overload]
        images = torch.rand(4, 3, *SIZE)

        def step(network: Any = network, images: torch.Tensor = images) -> None:
            network.frame(images).logits.mean().backward()

        seconds[name] = median(step, 5)
    ratio = seconds["contiguous"] / seconds["channels_last"]
    return [
        {
            "what": "lite0 forward + backward, batch 4, 256x192, channels_last",
            "value": seconds["channels_last"],
            "unit": "s",
            "against": "the same, contiguous",
            "ratio": ratio,
        }
    ]


def _streaming(temporal: str, name: str) -> dict[str, Any]:
    network = _network(temporal).eval()
    past = network.past
    frames = torch.rand(1, past + 1, 3, *SIZE)
    still = Motion(torch.zeros(1, 2, *SIZE), torch.ones(1, 1, *SIZE, dtype=torch.bool))
    motion = {(t, t - 1): still for t in range(1, past + 1)}
    stream = network.stream()
    with torch.inference_mode():
        for t in range(past):
            stream.step(frames[:, t], motion.get((t, t - 1)))
        streamed = median(lambda: stream.step(frames[:, past], still), 15)
        unrolled = median(lambda: network.unroll(frames, motion), 15)
    return {
        "what": f"{name}, one streamed frame, 256x192",
        "value": streamed * 1000,
        "unit": "ms",
        "against": "encoding every frame again",
        "ratio": unrolled / streamed,
    }


def _network(temporal: str) -> Any:
    parameters = NetworkParameters(kind="deeplab", pretrained=False)
    return build_video_network(ModelParameters(network=parameters, temporal=temporal), 11)


def median(work: Callable[[], object], times: int) -> float:
    """Median seconds of so many calls, after one that warms up."""
    work()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
