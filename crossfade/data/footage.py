"""A user's own footage: videos or folders of frames, mostly without labels, turned into clips worth learning from.

Every video is looked through once, small and grey: shots are cut, stretches in which nothing moves are left out, and
what remains is divided into clips. Some of them, spread evenly over everything, are then read once more and kept, a zip
of JPEGs each. Memory does not grow with the length of the footage.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from crossfade.data.excerpts import jpeg, png, write_archive
from crossfade.data.footage_labels import (
    FEWEST,
    FootageLabels,
    LabelledClip,
    Table,
    labelled_frames,
    plan_clips,
    read_clips,
    read_labels,
    read_table,
)
from crossfade.data.manifest import UNLABELLED, Frame, Manifest, Video
from crossfade.data.video import VIDEO_SUFFIXES, FrameSource, open_frames
from crossfade.errors import UserError

THUMBNAIL = (64, 36)
"""Width and height at which movement is judged, pixels."""

CUT_FLOOR = 15.0
"""A cut changes a thumbnail by at least this many grey levels on average."""


class FootageParameters(BaseModel):
    """What is kept of the footage.

    Attributes:
        videos: a pattern ("drives/*.mp4"), one video, a folder of videos or of frames, or a list of these; what a
            pattern or a folder names is read in order of name.
        found: what `listing` said of videos and labels when they were named; only so that DVC looks again.
        rate: frames per second within a clip (of a folder of frames: the rate it was recorded at).
        clip_frames: frames of a clip; shorter rests of a shot are left out.
        clips: how many clips are kept at most, evenly spread over all there are.
        height: frames higher than this are shrunk to it, pixels.
        cut: a new shot begins where the picture changes this many times as much as around it (a cut found where there
            is none costs a clip, one that is missed gives motion between strangers).
        still: a stretch whose picture changes by less than this, grey levels of 255 from frame to frame, is left out
            (a parked car, frames that were stored twice).
        validation: share of the clips, the last ones, that no training sees: split "val".
        labels: of some frames, see FootageLabels: clips around them are kept besides, for evaluation, and no other clip
            reaches into one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["footage"] = "footage"
    videos: str | tuple[str, ...]
    found: str = ""
    rate: float = Field(default=12.0, gt=0, le=120)
    clip_frames: int = Field(default=12, ge=3)
    clips: int = Field(default=60, ge=2)
    height: int = Field(default=480, ge=32)
    cut: float = Field(default=2.5, gt=1)
    still: float = Field(default=1.0, ge=0)
    validation: float = Field(default=0.2, gt=0, lt=1)
    labels: FootageLabels | None = None


@dataclass(frozen=True)
class Survey:
    """What the first look at one video found.

    Attributes:
        times: (n,) seconds of the sampled frames.
        change: (n,) mean absolute difference of each thumbnail from the one before, grey levels; the
            first frame has the second's.
    """

    times: np.ndarray
    change: np.ndarray


@dataclass(frozen=True)
class Stretch:
    """A clip to be: `count` sampled frames of survey `video`, from `first` on."""

    video: int
    first: int
    count: int


@dataclass(frozen=True)
class Labelled:
    """A kept clip around labelled frames, and the position of the video it is from."""

    source: int
    video: Video

    def meets(self, stretch: Stretch, surveys: Sequence[Survey]) -> bool:
        """Whether a stretch has a moment in common with it."""
        if stretch.video != self.source:
            return False
        times = surveys[stretch.video].times[stretch.first : stretch.first + stretch.count]
        return bool(times[0] <= self.video.frames[-1].time + 1e-6 and times[-1] >= self.video.frames[0].time - 1e-6)


def prepare(parameters: FootageParameters, folder: Path, workers: int = 1) -> Manifest:
    """Choose the clips and write them; `folder`/manifest.parquet comes last.

    Raises:
        UserError: there is no footage, a file cannot be read, or too little of it moves.
    """
    given = (parameters.videos,) if isinstance(parameters.videos, str) else parameters.videos
    paths = named(given)
    sources = [open_frames(path) for path in paths]
    with _progress(f"looking through {folder.name}", sum(_seconds(s, parameters.rate) for s in sources)) as seen:
        surveys = [survey(source, parameters.rate, seen) for source in sources]
    labelled: list[Labelled] = []
    ids = UNLABELLED
    if parameters.labels is not None:
        table = read_table(folder.name, parameters.labels.table)
        labelled = _keep_labelled(folder, parameters, parameters.labels, table, paths, sources, surveys)
        ids = table.labels
    found = [stretch for v, s in enumerate(surveys) for stretch in stretches(v, s, parameters)]
    found = [stretch for stretch in found if not any(one.meets(stretch, surveys) for one in labelled)]
    least = 1 if labelled else 2
    if len(found) < least:
        raise UserError(
            f"data set '{folder.name}': {', '.join(given)} holds {len(found)} clips of {parameters.clip_frames} "
            f"frames in which something moves{' and nothing is labelled' if labelled else ''}, and {least} are needed: "
            "give more footage, or lower clip_frames or still"
        )
    chosen = [found[int(k)] for k in np.linspace(0, len(found) - 1, min(parameters.clips, len(found))).round()]
    held_out = min(max(least - 1, round(parameters.validation * len(chosen))), len(chosen) - 1)
    splits = ["train"] * (len(chosen) - held_out) + ["val"] * held_out
    with _progress(f"keeping clips of {folder.name}", len(chosen)) as written:
        kept = [one.video for one in labelled]
        for v, source in enumerate(sources):
            wanted = [(s, split) for s, split in zip(chosen, splits, strict=True) if s.video == v]
            for video in _read(source, surveys[v], wanted, parameters, folder):
                kept.append(video)
                written(1)
    manifest = Manifest(folder.name, ids, folder, tuple(kept))
    manifest.save(folder)
    known = sum(frame.label is not None for one in labelled for frame in one.video.frames)
    moving, sampled = sum(s.count for s in found), sum(len(s.times) for s in surveys)
    print(
        f"{folder.name}: {len(sources)} videos, {sampled} frames looked at, {moving} in {len(found)} clips that move, "
        f"{len(chosen)} clips kept ({held_out} for validation)"
        + (f", {known} labelled frames in {len(labelled)} clips more" if labelled else "")
    )
    return Manifest.load(folder)


def survey(source: FrameSource, rate: float, seen: Callable[[float], None] = lambda _: None) -> Survey:
    """Look through a video: when each sampled frame is, and how much it differs from the one before.

    Args:
        source: the video.
        rate: frames per second to look at.
        seen: called with the seconds passed.
    """
    times: list[float] = []
    change: list[float] = []
    before: np.ndarray | None = None
    for seconds, frame in source.sampled(rate):
        small = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), THUMBNAIL, interpolation=cv2.INTER_AREA)
        now = small.astype(np.float32)
        change.append(0.0 if before is None else float(np.abs(now - before).mean()))
        seen(seconds - times[-1] if times else 0.0)
        times.append(seconds)
        before = now
    if len(change) > 1:
        change[0] = change[1]  # nothing is known of the first frame: as its neighbour
    return Survey(np.array(times), np.array(change))


def stretches(video: int, seen: Survey, parameters: FootageParameters) -> list[Stretch]:
    """Clips of one video: within a shot, while something moves, `clip_frames` each, one after another."""
    moving = _median(seen.change, round(parameters.rate) | 1) >= parameters.still  # one doubled frame ends no drive
    cut = shot_starts(seen, parameters)
    found: list[Stretch] = []
    first = 0
    for k in range(1, len(seen.times) + 1):
        if k == len(seen.times) or cut[k] or moving[k] != moving[first]:
            if moving[first]:
                starts = range(first, k - parameters.clip_frames + 1, parameters.clip_frames)
                found += [Stretch(video, start, parameters.clip_frames) for start in starts]
            first = k
    return found


def shot_starts(seen: Survey, parameters: FootageParameters) -> np.ndarray:
    """(n,) bool: a new shot begins here: a sudden change, or a gap in time of more than two frames."""
    around = _median(seen.change, 2 * round(parameters.rate) | 1)
    sudden = seen.change > np.maximum(CUT_FLOOR, parameters.cut * around)
    steps = np.diff(seen.times, prepend=seen.times[:1])
    usual = max(1.0 / parameters.rate, float(np.median(steps[1:])) if len(steps) > 1 else 0.0)
    gap = steps > 2.0 * usual + 1e-6
    return np.asarray(sudden | gap)


def _median(values: np.ndarray, width: int) -> np.ndarray:
    """(n,) running median over `width` (odd) values."""
    half = width // 2
    padded = np.pad(values, half, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    return np.asarray(np.median(windows, axis=1))


def named(patterns: Sequence[str]) -> list[Path]:
    """The videos and folders of frames that patterns name, in order, each once.

    Raises:
        UserError: a pattern names nothing.
    """
    found = [path for pattern in patterns for path in _paths(pattern)]
    return list({path.resolve(): path for path in reversed(found)}.values())[::-1]  # each once, where it is named first


def listing(raw: Mapping[str, Any]) -> str:
    """How many videos there are now, and a digest of names, sizes and times of change, of videos and labels alike.

    Args:
        raw: a data set of footage in params.yaml, checked.

    Raises:
        UserError: a pattern names nothing.
    """
    p = FootageParameters.model_validate(raw)
    paths = named((p.videos,) if isinstance(p.videos, str) else p.videos)
    read = paths + ([] if p.labels is None else [p.labels.folder.expanduser(), Path(p.labels.table).expanduser()])
    files = [f for path in read for f in (sorted(path.iterdir()) if path.is_dir() else [path]) if f.exists()]
    known = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return f"{len(paths)} videos, {hashlib.sha256(repr(known).encode()).hexdigest()[:12]}"


def _paths(pattern: str) -> list[Path]:
    """The videos one pattern names, in order."""
    given = Path(pattern).expanduser()
    if given.exists():
        inside = sorted(p for p in given.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES) if given.is_dir() else []
        return inside or [given]
    found = sorted(Path(given.anchor).glob(str(given.relative_to(given.anchor))))
    if not found:
        raise UserError(f"there is nothing at {pattern}: give videos, a pattern in quotes, or a folder of frames")
    return found


def _read(
    source: FrameSource,
    seen: Survey,
    wanted: Sequence[tuple[Stretch, str]],
    parameters: FootageParameters,
    folder: Path,
) -> Iterator[Video]:
    """Read one video once more and write the wanted stretches, in order, each to its split."""
    pending = iter(wanted)
    current = next(pending, None)
    images: list[np.ndarray] = []
    for k, (_, frame) in enumerate(source.sampled(parameters.rate)):
        if current is None:
            return
        stretch, split = current
        if k < stretch.first:
            continue
        images.append(shrink(frame, parameters.height))
        if len(images) == stretch.count:
            times = seen.times[stretch.first : stretch.first + stretch.count]
            yield _write(folder, split, f"{stretch.video:03d}-{stretch.first:06d}", images, times)
            current, images = next(pending, None), []


def _keep_labelled(
    folder: Path,
    parameters: FootageParameters,
    labels: FootageLabels,
    table: Table,
    paths: Sequence[Path],
    sources: Sequence[FrameSource],
    surveys: Sequence[Survey],
) -> list[Labelled]:
    """Write the clips around labelled frames; the first ones for the oracle, if it is to have any."""
    plans: list[LabelledClip] = []
    alone: list[Path] = []
    for v, known in enumerate(labelled_frames(folder.name, labels, paths, sources)):
        rate = sources[v].rate or parameters.rate
        step = max(1, round(rate / parameters.rate))
        sampled = [round(float(t) * rate) for t in surveys[v].times]
        starts = np.flatnonzero(shot_starts(surveys[v], parameters))
        cuts = [(sampled[k - 1] if k else -1, sampled[k]) for k in starts]
        own = plan_clips(v, known, step, parameters.clip_frames, cuts)
        plans += own
        alone += [known[k] for k in sorted(known.keys() - {k for plan in own for k in plan.labels})]
    if alone:
        print(
            f"{folder.name}: {len(alone)} labelled frames are left out, first {alone[0]}: a cut is so near that fewer "
            f"than {FEWEST} frames are surely of their shot"
        )
    for_oracle = round(labels.for_oracle * (len(plans) - 1))
    splits = {id(plan): "train" if k < for_oracle else "val" for k, plan in enumerate(plans)}
    kept = []
    for v, source in enumerate(sources):
        own = [plan for plan in plans if plan.video == v]
        small = partial(shrink, height=parameters.height)
        for plan, indices, times, images in read_clips(source, own, parameters.rate, small):
            size = (images[0].shape[1], images[0].shape[0])
            seen = {
                indices.index(k): cv2.resize(label, size, interpolation=cv2.INTER_NEAREST_EXACT)
                for k, label in read_labels(plan, table, source.size).items()
            }
            name = f"{v:03d}-labelled-{indices[0]:06d}"
            kept.append(Labelled(v, _write(folder, splits[id(plan)], name, images, np.array(times), seen)))
    return kept


def _write(
    folder: Path,
    split: str,
    name: str,
    images: list[np.ndarray],
    times: np.ndarray,
    labels: Mapping[int, np.ndarray] = MappingProxyType({}),
) -> Video:
    """One clip as a zip of JPEGs, and PNGs of the labels there are; all of it or nothing."""
    base = f"{split}/{name}.zip"
    members = {f"{k:04d}.jpg": jpeg(image) for k, image in enumerate(images)}
    write_archive(folder / base, (members | {f"{k:04d}.png": png(label) for k, label in labels.items()}).items())
    frames = tuple(
        Frame(f"{base}!{k:04d}.jpg", f"{base}!{k:04d}.png" if k in labels else None, round(float(t), 6))
        for k, t in enumerate(times)
    )
    return Video(name, split, (images[0].shape[0], images[0].shape[1]), frames)


def shrink(frame: np.ndarray, height: int) -> np.ndarray:
    """(H, W, 3) at most `height` high, its proportions kept."""
    if frame.shape[0] <= height:
        return frame
    return cv2.resize(frame, (round(frame.shape[1] * height / frame.shape[0]), height), interpolation=cv2.INTER_AREA)


def _seconds(source: FrameSource, rate: float) -> float:
    """How long a video should be; 0 where it does not say."""
    return (source.count or 0) / (source.rate or rate)


@contextmanager
def _progress(what: str, total: float) -> Iterator[Callable[[float], None]]:
    """A bar on stderr; yields a function to call with what has been done since."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total or None)
        yield lambda done: bar.advance(task, done)
