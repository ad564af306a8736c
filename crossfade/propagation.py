"""How far a key frame carries: mIoU of a video network by the distance from where it began (DAVSS)."""

from collections.abc import Sequence

import torch

from crossfade.data.loading import Domain, frames_in_order
from crossfade.data.manifest import Video
from crossfade.errors import UserError
from crossfade.inference import frame_logits, labels_at
from crossfade.metrics.propagation import DISTANCES, PropagationDistance
from crossfade.temporal.schedule import KeyFrames
from crossfade.temporal.video_network import Stream, VideoNetwork


def propagation_curve(
    network: VideoNetwork, domain: Domain, distances: Sequence[int] = DISTANCES, device: torch.device | str = "cpu"
) -> PropagationDistance:
    """Score every labelled frame once at each distance d, as the last of a run that begins d frames before it.

    A fresh stream's first frame is a key frame, and its d-th after is d from it as long as d is below the schedule's
    interval (a threshold, which would make a key frame sooner, is put aside); a network without key frames gives the
    curve of how much its memory helps. All runs walk along each video together, so at most max(distances) + 1 streams
    are held, and only those that lead to a label are run.

    Args:
        network: in eval mode, on `device`.
        domain: one side of a pair, its splits those to score.
        distances: which.
        device: where the network lives.

    Raises:
        UserError: a distance that the network's key frames never reach.
    """
    temporal, schedule = network.temporal, network.temporal.schedule
    metric = PropagationDistance(len(domain.label_space.classes), distances)
    try:
        if isinstance(schedule, KeyFrames):
            if max(distances) >= schedule.interval:
                raise UserError(
                    f"a key frame every {schedule.interval} frames is never {max(distances)} frames away: "
                    f"give distances below {schedule.interval}"
                )
            temporal.schedule = KeyFrames(schedule.interval, schedule.reach)
        for video in domain.videos:
            _walk(network, domain, video, metric, device)
    finally:
        temporal.schedule = schedule
    return metric


def _walk(
    network: VideoNetwork, domain: Domain, video: Video, metric: PropagationDistance, device: torch.device | str
) -> None:
    """One video; `runs` holds (first frame, stream)."""
    labelled = {k for k, frame in enumerate(video.frames) if frame.label is not None}

    def leads(first: int, now: int) -> bool:
        """Whether a run from `first` has a labelled frame to be scored at, `now` or later."""
        return any(first + d >= now and first + d in labelled for d in metric.distances)

    runs: list[tuple[int, Stream]] = []
    for k, seen in enumerate(frames_in_order(domain, video)):
        runs = [(first, stream) for first, stream in runs if leads(first, k)]
        if leads(k, k):
            runs.append((k, network.stream()))
        for first, stream in runs:
            logits = frame_logits(stream, seen.frame, None if first == k else seen.motion, device)
            if seen.label is not None and k - first in metric.distances:
                native = (seen.label.shape[-2], seen.label.shape[-1])
                said = labels_at(logits, native, network.align_corners).cpu()
                metric.update(said, seen.label.view(1, *native), k - first)
