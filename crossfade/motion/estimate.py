"""Find the motion of a data set: one archive a video, videos side by side, finished videos kept.

Stands above `crossfade.data`, unlike the rest of this package, which data reads.
"""

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from crossfade.data.manifest import Manifest, Video, split_ref
from crossfade.errors import UserError
from crossfade.files import read_json, sha256, write_json
from crossfade.motion.estimators import Estimator, build_estimator
from crossfade.motion.parameters import MotionParameters
from crossfade.motion.published import Published, check_published
from crossfade.motion.store import MotionArchive, MotionWriter, check_fits
from crossfade.motion.validity import forward_backward_validity

__all__ = ["MotionParameters", "estimate_data_set", "neighbours", "read_index"]

ROUNDING = 1e-6
"""Seconds by which a gap may exceed the largest one allowed (time stamps are sums of floats)."""


@dataclass(frozen=True)
class _Job:
    """One video's motion: everything a worker process needs."""

    manifest: Manifest
    video: Video
    parameters: MotionParameters
    path: Path
    device: str

    @property
    def root(self) -> Path:
        """What the video's refs are relative to."""
        return self.manifest.root

    @property
    def published(self) -> Published:
        """Its motion in the files of others."""
        return Published(self.manifest, self.video, self.parameters)


def estimate_data_set(
    manifest: Manifest, parameters: MotionParameters, folder: Path, workers: int = 1, device: str = "cpu"
) -> Path:
    """Write `folder`/<split>/<video>.motion for every video, and `folder`/index.json.

    Archives that are there already are kept when they were made from the same frames with the same parameters, so an
    interrupted call goes on where it stopped.

    Args:
        manifest: the data set.
        parameters: the estimator, spans and tolerances.
        folder: where the motion goes.
        workers: processes; 1 works in this one. Changes no result.
        device: where an estimator that is a network works; a GPU is not shared by several of its processes.

    Returns:
        The index: {data_set, estimator, parameters, spans, videos: {"split/video": {file, sha256, pairs}}}.

    Raises:
        UserError: a frame cannot be read or has another size than its video; exact motion is asked for and the data
            set has none; a motion is too large to store; there are no weights for the estimator.
    """
    bare = replace(manifest, videos=(), files=None)  # what a worker needs of it
    jobs = [
        _Job(bare, video, parameters, folder / video.split / f"{video.name}.motion", device)
        for video in manifest.videos
    ]
    if parameters.estimator == "raft" and device != "cpu":
        workers = 1
    if parameters.estimator == "archive":
        check_published([(job.published, _pairs(job)) for job in jobs])
    elif parameters.estimator != "exact" and jobs:
        build_estimator(parameters, device)  # no weights: say so before any work
    videos: dict[str, dict[str, Any]] = {}
    for job, entry in _progress(_run(jobs, workers), len(jobs), f"motion of {manifest.data_set}"):
        videos[f"{job.video.split}/{job.video.name}"] = {"file": str(job.path.relative_to(folder)), **entry}
    for stray in set(folder.glob("*/*.motion")) - {job.path for job in jobs}:
        stray.unlink()  # of a video the data set no longer has
    index = folder / "index.json"
    write_json(
        index,
        {
            "data_set": manifest.data_set,
            "estimator": parameters.estimator,
            "parameters": _shown(parameters),
            "spans": list(parameters.spans),
            "videos": dict(sorted(videos.items())),
        },
    )
    return index


def neighbours(times: Sequence[float], spans: Sequence[int], max_gap: float) -> list[tuple[int, int]]:
    """The pairs (i, i - s), i rising, of frames near enough in time; motion is found both ways for each.

    Args:
        times: seconds, one a frame.
        spans: how many frames lie between.
        max_gap: seconds.
    """
    return [
        (i, i - span)
        for i in range(len(times))
        for span in sorted(spans)
        if i >= span and abs(times[i] - times[i - span]) <= max_gap + ROUNDING
    ]


def _run(jobs: list[_Job], workers: int) -> Iterator[tuple[_Job, dict[str, Any]]]:
    """Do the jobs; the first failure ends it. Processes come from a fork server, so no thread or lock is copied."""
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield job, _estimate_video(job)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_one_thread) as pool:
        futures: dict[Future[dict[str, Any]], _Job] = {pool.submit(_estimate_video, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    """Each worker process keeps to one core."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _progress(
    done: Iterator[tuple[_Job, dict[str, Any]]], total: int, title: str
) -> Iterator[tuple[_Job, dict[str, Any]]]:
    """Show a bar, one step a video, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("videos"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        for item in done:
            yield item
            bar.advance(task)


def _estimate_video(job: _Job) -> dict[str, Any]:
    """Make one archive, or keep the one that is there; its entry in the index."""
    origin = {"parameters": _identity(job.parameters), "inputs": _inputs(job)}
    pairs = _pairs(job)
    if not _is_done(job, origin, _both(job, pairs)):
        size, frames = job.video.size, len(job.video.frames)
        with MotionWriter(job.path, size, job.video.name, frames, origin) as writer:
            FILL.get(job.parameters.estimator, _look_at_frames)(job, pairs, writer)
    return {"sha256": sha256(job.path), "pairs": len(_both(job, pairs))}


def _pairs(job: _Job) -> list[tuple[int, int]]:
    return neighbours([frame.time for frame in job.video.frames], job.parameters.spans, job.parameters.max_gap)


def _both(job: _Job, pairs: list[tuple[int, int]]) -> set[tuple[int, int]]:
    """The pairs and their reverses; of published motion only those there are files for."""
    if job.parameters.estimator != "archive":
        return {*pairs, *((j, i) for i, j in pairs)}
    return {*pairs, *((j, i) for i, j in pairs if job.published.path(j, i) is not None)}


def _shown(parameters: MotionParameters) -> dict[str, Any]:
    """The parameters for the index: without folders, which decide nothing, and keys of archives where there is none."""
    without = {"root", "ahead"} | {key for key in ("kind", "names") if vars(parameters)[key] is None}
    return parameters.model_dump(mode="json", exclude=without)


def _identity(parameters: MotionParameters) -> dict[str, Any]:
    """What decides a result: the parameters as JSON, with the content of a weights file in place of its path."""
    known = {key: value for key, value in _shown(parameters).items() if key != "weights"}
    known["preset"] = parameters.chosen_preset
    known["weights"] = None if parameters.weights is None else sha256(Path(parameters.weights))
    return known


def _inputs(job: _Job) -> str:
    """A digest of all that is read: references, times and the content of the files behind them."""
    video = job.video
    refs = [video.truth] if job.parameters.estimator == "exact" else [frame.image for frame in video.frames]
    names = {str(job.manifest.kept(name)): name for ref in refs if ref is not None for name in [split_ref(ref)[0]]}
    files = [job.root / names[kept] for kept in sorted(names, key=Path)]  # in one order, wherever they lie
    if job.parameters.estimator == "archive":  # the frames do not count, only their names
        files = sorted({path for i, j in _both(job, _pairs(job)) if (path := job.published.path(i, j)) is not None})
    for file in files:
        if not file.is_file():
            raise UserError(f"{file} of video {video.split}/{video.name} is missing: run the download stage again")
    known = [
        [job.manifest.kept(ref) for ref in refs],
        [frame.time for frame in video.frames],
        list(video.size),
        [sha256(file) for file in files],
    ]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def _is_done(job: _Job, origin: dict[str, Any], pairs: set[tuple[int, int]]) -> bool:
    if not job.path.is_file():
        return False
    try:
        with MotionArchive(job.path) as archive:
            check_fits(archive, job.video)
            return archive.origin == origin and archive.pairs == pairs
    except UserError:  # truncated, or of another video: made again
        return False


def _copy_truth(job: _Job, pairs: list[tuple[int, int]], writer: MotionWriter) -> None:
    if job.video.truth is None:
        raise UserError(
            f"video {job.video.split}/{job.video.name} has no exact motion: choose the estimator 'dis' for it"
        )
    with MotionArchive(job.root / job.video.truth) as truth:
        check_fits(truth, job.video)
        lacking = [j - i for i, j in pairs if (i, j) not in truth.pairs or (j, i) not in truth.pairs]
        if lacking:
            raise UserError(
                f"the exact motion of video {job.video.split}/{job.video.name} has no span {abs(lacking[0])}: name it "
                "in the data set's `spans` too, or leave it out of the motion's"
            )
        for i, j in pairs:
            writer.add(i, j, *truth.read(i, j))
            writer.add(j, i, *truth.read(j, i))


def _look_at_frames(job: _Job, pairs: list[tuple[int, int]], writer: MotionWriter) -> None:
    parameters = job.parameters
    estimator = build_estimator(parameters, job.device)
    frame = _recent_frames(job, max(parameters.spans))
    for i, j in pairs:
        forward, backward = _both_ways(estimator, frame(i), frame(j))
        tolerance = (parameters.relative_tolerance, parameters.absolute_tolerance)
        valid = forward_backward_validity(forward, backward, *tolerance)
        valid_back = forward_backward_validity(backward, forward, *tolerance)
        writer.add(i, j, forward[0].numpy(), valid[0, 0].numpy())
        writer.add(j, i, backward[0].numpy(), valid_back[0, 0].numpy())


def _both_ways(
    estimator: Estimator, first: NDArray[np.uint8], second: NDArray[np.uint8]
) -> tuple[torch.Tensor, torch.Tensor]:
    forward, backward = estimator.estimate(first, second), estimator.estimate(second, first)
    return torch.from_numpy(forward)[None], torch.from_numpy(backward)[None]


def _recent_frames(job: _Job, span: int) -> Callable[[int], NDArray[np.uint8]]:
    """A reader that keeps the last `span` + 1 frames; frames are asked for in rising order."""
    kept: dict[int, NDArray[np.uint8]] = {}

    def frame(index: int) -> NDArray[np.uint8]:
        if index not in kept:
            ref = job.video.frames[index].image
            image = job.manifest.image(ref)
            if image.shape[:2] != tuple(job.video.size):
                raise UserError(
                    f"{job.root / ref} is {image.shape[1]}x{image.shape[0]}, but the frames of its video "
                    f"{job.video.split}/{job.video.name} are {job.video.size[1]}x{job.video.size[0]}: bring all frames "
                    "of a video to one size"
                )
            kept[index] = image
            for old in [known for known in kept if known < index - span]:
                del kept[old]
        return kept[index]

    return frame


FILL: dict[str, Callable[[_Job, list[tuple[int, int]], MotionWriter], None]] = {
    "exact": _copy_truth,
    "archive": lambda job, pairs, writer: job.published.take(pairs, writer),
}
"""How the estimators that look at no frame fill an archive."""


def read_index(folder: Path) -> dict[str, Any]:
    """The index that `estimate_data_set` wrote.

    Raises:
        UserError: it is missing or is not JSON.
    """
    index: dict[str, Any] = read_json(folder / "index.json")
    return index
