"""What key frames cost and what they save: accuracy and speed of one trained network at several intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from crossfade.data.loading import Domain
from crossfade.errors import UserError
from crossfade.evaluation import Options, evaluate
from crossfade.temporal.schedule import KeyFrames
from crossfade.temporal.video_network import VideoNetwork

INTERVALS = (1, 2, 5, 10)


@dataclass(frozen=True)
class Point:
    """One point of the curve.

    Attributes:
        interval: frames from one key frame to the next, or fewer with a threshold; 1 is the per-frame network alone.
        miou: in [0, 1], None without labels.
        consistency: temporal consistency in [0, 1], None without motion.
        rate: frames a second, the network alone.
    """

    interval: int
    miou: float | None
    consistency: float | None
    rate: float


def key_frames_of(network: VideoNetwork) -> KeyFrames:
    """The network's schedule.

    Raises:
        UserError: it has no key frames.
    """
    schedule = network.temporal.schedule
    if not isinstance(schedule, KeyFrames):
        raise UserError("the network has no key frames: give a model whose temporal module is davss")
    return schedule


def curve(
    network: VideoNetwork,
    domain: Domain,
    intervals: Sequence[int] = INTERVALS,
    device: torch.device | str = "cpu",
) -> list[Point]:
    """Stream the evaluation videos once for every interval; the network's own schedule is put back afterwards.

    Raises:
        UserError: the network has no key frames.
    """
    temporal, schedule = network.temporal, key_frames_of(network)
    points = []
    try:
        for interval in intervals:
            temporal.schedule = KeyFrames(interval, schedule.reach, schedule.threshold)
            options = Options(strips=0, clip_frames=0)
            metrics = evaluate(network, domain, checkpoint={}, device=device, options=options).metrics
            consistency = metrics["temporal_consistency"]["value"]
            points.append(Point(interval, metrics["miou"], consistency, metrics["frames_per_second"]["network"]))
    finally:
        temporal.schedule = schedule
    return points
