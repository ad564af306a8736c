"""Labels of a few frames of a user's footage: PNGs in one folder, for evaluation.

A PNG is named `<video's name>_<frame number>.png` (numbers count the frames of the file from 0), or, where the footage
is a folder of frames, as its frame. Around the labelled frames clips are kept that no training sees; labelled frames
that lie close together share one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from crossfade.data.clip import IGNORE
from crossfade.data.labels import label_space_names, load_label_space
from crossfade.data.layout import files_in
from crossfade.data.manifest import read_label
from crossfade.data.video import FileFrames, FrameSource
from crossfade.errors import UserError, unknown_name
from crossfade.files import read_json

LONGEST = 5
"""A clip around labelled frames is at most this many times as long as another clip (it is held in memory)."""


FEWEST = 3
"""Frames a clip has at least: two spans of motion."""


class FootageLabels(BaseModel):
    """Labels for footage.

    Attributes:
        folder: of the PNGs: one channel of ids, or indexed; as large as the frames.
        table: what the ids mean: a table of ids that a label space knows (`crossfade labels NAME` shows them:
            "cityscapes_ids", "camvid11", …), or a JSON file {"<id>": class name, or null = ignored}, its names being
            the classes of one label space.
        for_oracle: share of the labelled clips, the first ones, that go to split "train" instead of "val": only the
            oracle reads labels there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Path
    table: str
    for_oracle: float = Field(default=0.0, ge=0.0, lt=1.0)


@dataclass(frozen=True)
class Table:
    """What ids mean.

    Attributes:
        labels: the table of ids that the labels use once they are `translated`.
        ids: {id in a PNG: id in that table}.
        where: for errors.
    """

    labels: str
    ids: Mapping[int, int]
    where: str

    def translated(self, label: np.ndarray, file: Path) -> np.ndarray:
        """(H, W) uint8 ids of the table `labels`; 255 stays ignored.

        Raises:
            UserError: an id that the table does not list.
        """
        lookup = np.full(256, IGNORE, np.uint8)
        lookup[list(self.ids)] = list(self.ids.values())
        strange = np.setdiff1d(np.unique(label), [*self.ids, IGNORE])
        if strange.size:
            raise UserError(f"label image {file} has id {strange[0]}, which {self.where} does not list: mend either")
        return lookup[label]


@dataclass(frozen=True)
class LabelledClip:
    """A clip to be, around labelled frames.

    Attributes:
        video: position of its video.
        indices: frames of the video, in order.
        labels: {index: its PNG}.
    """

    video: int
    indices: tuple[int, ...]
    labels: Mapping[int, Path]


def read_table(name: str, table: str) -> Table:
    """The table that the parameters name.

    Raises:
        UserError: no label space knows it, the file is missing or not a mapping, or a class is unknown.
    """
    if not table.lower().endswith(".json"):
        known: dict[str, list[int]] = {}
        for space in map(load_label_space, label_space_names()):
            for title, mapped in space.tables.items():
                known.setdefault(title, list(mapped))
        if table not in known:
            raise unknown_name(f"table of ids (data_sets.{name}.labels.table)", table, known)
        return Table(table, {k: k for k in known[table]}, f"the table '{table}'")
    path = Path(table).expanduser()
    if not path.is_file():
        raise UserError(f"data set '{name}': there is no table {path}: mend data_sets.{name}.labels.table")
    raw = read_json(path)
    if not isinstance(raw, dict) or not all(k.isdigit() and int(k) < 256 for k in raw):
        raise UserError(f'{path} should be like {{"0": "road", "1": "car", "2": null}}, ids from 0 to 255')
    names = {str(value) for value in raw.values() if value is not None}
    if not names:
        raise UserError(f"{path} names no class: every id would be ignored")
    spaces = [load_label_space(space) for space in label_space_names()]
    general = sorted(spaces, key=lambda s: -sum(s.name in other.tables for other in spaces))  # most others know its ids
    fitting = next((space for space in general if names <= set(space.classes)), None)
    if fitting is None:
        nearest = max(general, key=lambda space: len(names & set(space.classes)))
        strange = min(names - set(nearest.classes))
        raise unknown_name(f"class in {path} (nearest label space: {nearest.name})", strange, nearest.classes)
    ids = {int(k): IGNORE if value is None else fitting.classes.index(str(value)) for k, value in raw.items()}
    return Table(fitting.name, ids, str(path))


def labelled_frames(
    name: str, labels: FootageLabels, paths: Sequence[Path], sources: Sequence[FrameSource]
) -> list[dict[int, Path]]:
    """A {frame's index: its PNG} a video.

    Raises:
        UserError: the folder is missing or empty, or a PNG's name names no video or frame, or several.
    """
    folder = labels.folder.expanduser()
    found: list[dict[int, Path]] = [{} for _ in sources]
    by_frame: dict[str, list[tuple[int, int]]] = {}
    by_video: dict[str, list[int]] = {}
    for v, (path, source) in enumerate(zip(paths, sources, strict=True)):
        if isinstance(source, FileFrames):
            by_video.setdefault(path.stem, []).append(v)
        else:
            for k in range(source.count or 0):
                by_frame.setdefault(source.name(k), []).append((v, k))
    for file in files_in(name, folder, ".png", f"mend data_sets.{name}.labels.folder"):
        stem = Path(file).stem
        video, _, number = stem.rpartition("_")
        places = list(by_frame.get(stem, ()))
        if number.isdigit():
            places += [(v, int(number)) for v in by_video.get(video, ())]
        if len(places) != 1:
            unnamed = f"names no frame (<video's name>_<number>.png); videos: {', '.join(sorted(by_video)) or 'none'}"
            what = "names frames of several videos: rename them" if places else unnamed
            raise UserError(f"data set '{name}': {folder / file} {what}")
        v, k = places[0]
        if k in found[v]:
            raise UserError(f"data set '{name}': {folder / file} and {found[v][k]} label the same frame: remove one")
        found[v][k] = folder / file
    return found


def plan_clips(
    video: int, labels: Mapping[int, Path], step: int, length: int, cuts: Sequence[tuple[int, int]]
) -> list[LabelledClip]:
    """Clips of one video in which every labelled frame stands once, after as many others as a clip has.

    Labelled frames whose shot has fewer than `FEWEST` frames, or that may be of either shot, are left out.

    Args:
        video: its position.
        labels: {index: PNG}.
        step: frames of the video from one of a clip to the next.
        length: frames of a usual clip.
        cuts: (the last index known to be of a shot, the first known to be of the next): the frames between may be of
            either, so no clip has one of them, nor frames from both sides.
    """
    plans: list[LabelledClip] = []
    run: list[int] = []
    for k in [*sorted(labels), None]:
        joins = (
            run
            and k is not None
            and (k - run[0]) % step == 0
            and k - run[-1] < length * step
            and k - run[0] < (LONGEST - 1) * length * step
            and not any(before < k and run[-1] < begin for before, begin in cuts)
        )
        if run and not joins:
            since = max((min(begin, run[0]) for before, begin in cuts if before < run[0]), default=0)
            until = min((max(before, run[-1]) for before, begin in cuts if run[-1] < begin), default=None)
            back = min((run[0] - since) // step, length - 1)
            first = run[0] - back * step
            last = max(run[-1], first + (FEWEST - 1) * step)  # where the video begins, later ones
            if until is not None and last > until:
                last = run[-1] + (until - run[-1]) // step * step
            indices = tuple(range(first, last + 1, step))
            if len(indices) >= FEWEST:
                plans.append(LabelledClip(video, indices, {i: labels[i] for i in run}))
            run = []
        if k is not None:
            run.append(k)
    return plans


def read_clips(
    source: FrameSource, plans: Sequence[LabelledClip], rate: float, shape: Callable[[np.ndarray], np.ndarray]
) -> Iterator[tuple[LabelledClip, list[int], list[float], list[np.ndarray]]]:
    """Each plan with the frames that the video has of it: (plan, indices, seconds, frames), in one pass.

    Args:
        source: the video.
        plans: its.
        rate: frames per second, where the file says no times.
        shape: what is done to a frame before it is held.

    Raises:
        UserError: the video does not have a labelled frame.
    """
    waiting = sorted(plans, key=lambda plan: plan.indices[-1])
    held: dict[int, tuple[float, np.ndarray]] = {}
    for k, seconds, frame in source.picked({k for plan in plans for k in plan.indices}):
        held[k] = (k / rate if seconds is None else seconds, shape(frame))
        while waiting and waiting[0].indices[-1] <= k:
            yield _complete(waiting.pop(0), held)
        needed = min((plan.indices[0] for plan in waiting), default=k + 1)
        held = {i: kept for i, kept in held.items() if i >= needed}
    for plan in waiting:
        yield _complete(plan, held)


def _complete(
    plan: LabelledClip, held: Mapping[int, tuple[float, np.ndarray]]
) -> tuple[LabelledClip, list[int], list[float], list[np.ndarray]]:
    absent = [k for k in plan.labels if k not in held]
    if absent:
        raise UserError(f"{plan.labels[absent[0]]} labels frame {absent[0]}, which its video does not have: rename it")
    there = [k for k in plan.indices if k in held]
    return plan, there, [held[k][0] for k in there], [held[k][1] for k in there]


def read_labels(plan: LabelledClip, table: Table, size: tuple[int, int]) -> dict[int, np.ndarray]:
    """{index: (H, W) uint8 ids of `table.labels`} of a clip.

    Raises:
        UserError: a PNG is damaged, has colours, another size than `size`, or an id that the table does not list.
    """
    labels = {}
    for k, path in plan.labels.items():
        label = read_label(path.parent, path.name, "palette")
        if label.shape != tuple(size):
            raise UserError(
                f"label image {path} is {label.shape[1]}x{label.shape[0]}, its frame {size[1]}x{size[0]}: bring it to "
                "the frame's size"
            )
        labels[k] = table.translated(label, path)
    return labels
