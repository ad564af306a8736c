"""How fast a live video would go: beside the network, what reading a frame and finding its motion cost."""

import logging
import time
from dataclasses import dataclass
from typing import Any

from crossfade.data.loading import Domain, frame_to_tensor
from crossfade.data.manifest import Video
from crossfade.errors import UserError
from crossfade.files import read_json
from crossfade.gallery import spread_evenly
from crossfade.inference import estimated_motion
from crossfade.motion.estimators import ESTIMATORS
from crossfade.motion.parameters import MotionParameters
from crossfade.temporal.video_network import VideoNetwork

DECODED = 20
"""Frames whose decoding is timed."""
PAIRS = 6
"""Pairs of frames whose motion is timed, after one that warms up …"""
PATIENCE = 5.0
"""… or fewer, once that took as many seconds: a large estimator without a GPU is slow."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Speed:
    """Seconds that a frame takes, one at a time, its parts timed apart.

    Attributes:
        network: the network alone, its motion being there already.
        decoding: reading it and bringing it to the network's size.
        motion: estimating its motion to the frame before; 0 for a network that needs none from outside, None where
            that cannot be told.
    """

    network: float
    decoding: float
    motion: float | None

    def rates(self) -> dict[str, float | None]:
        """Frames per second: network, with_decoding, with_motion and with_both; None where motion is unknown.

        Parts are added up: nothing runs beside anything else.
        """
        moving = None if self.motion is None else self.network + self.motion
        return {
            "network": _rate(self.network),
            "with_decoding": _rate(self.network + self.decoding),
            "with_motion": _rate(moving),
            "with_both": _rate(None if moving is None else moving + self.decoding),
        }


def seconds_to_decode(domain: Domain) -> float:
    """Mean seconds to read one frame and bring it to the network's size, over a few frames (labels not counted).

    It is read as everywhere else (a large JPEG is decoded at a fraction of its size), but never out of shards: a live
    video has none.
    """
    bare = domain.without_shards()
    frames = [(video, k) for video in domain.videos for k in range(len(video.frames))]
    chosen = frames[:: max(1, len(frames) // DECODED)][:DECODED]
    start = time.perf_counter()
    for video, k in chosen:
        frame_to_tensor(bare.image(video, k), domain.size)
    return (time.perf_counter() - start) / len(chosen)


def seconds_of_motion(network: VideoNetwork, domain: Domain) -> float | None:
    """Mean seconds to estimate the motion of one frame to the one before, as `crossfade predict` does for a new video.

    By the estimator that the domain's motion came from, both ways, at the network's size, over a few of its pairs.

    Returns:
        0 where the network takes no motion from outside; None where it does and what it takes cannot be estimated:
        exact motion, published files, none at all, or an estimator whose weights are not here (which is said).
    """
    if not network.uses_motion:
        return 0.0
    parameters = _estimator_of(domain)
    pairs = [] if parameters is None else _pairs(domain)
    if parameters is None or not pairs:
        return None
    try:
        between = estimated_motion(parameters, next(network.parameters()).device)
        seconds: list[float] = []
        for video, k in (pairs[0], *pairs):
            now, previous = domain.image(video, k), domain.image(video, k - 1)
            start = time.perf_counter()
            between(now, previous)
            seconds.append(time.perf_counter() - start)
            if sum(seconds) > PATIENCE and len(seconds) > 1:
                break
    except UserError as error:
        _log.warning("how fast it is with motion is left out: %s", error)
        return None
    return sum(seconds[1:]) / len(seconds[1:])


def _estimator_of(domain: Domain) -> MotionParameters | None:
    """What the domain's motion was estimated with, or None if it was not."""
    if domain.motion is None:
        return None
    index: dict[str, Any] = read_json(domain.motion / "index.json")
    if index["estimator"] not in ESTIMATORS:
        return None
    return MotionParameters.model_validate({"estimator": index["estimator"], **index.get("parameters", {})})


def _pairs(domain: Domain) -> list[tuple[Video, int]]:
    """A few frames with known motion to the frame before, spread evenly."""
    known = []
    for video in domain.videos:
        archive = domain.archive(video)
        if archive is not None:
            with archive:
                known += [(video, k) for k in range(1, len(video.frames)) if (k, k - 1) in archive.pairs]
    return [known[place] for place in sorted(spread_evenly(range(len(known)), PAIRS))]


def _rate(seconds: float | None) -> float | None:
    return None if seconds is None else round(1 / max(seconds, 1e-9), 2)
