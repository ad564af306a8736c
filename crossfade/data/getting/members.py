"""Which members of its archives a data set needs, by name alone."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel

from crossfade.data.getting.archives import Archive
from crossfade.errors import UserError


@dataclass(frozen=True)
class Choice:
    """How a kind of data set chooses.

    Attributes:
        place: (parameters, name of a member) → path below the data set's root, None for what is not of the data set.
        needed: (parameters, paths below the root that are to be had) → those that are needed.
        hint: what the archives should hold, for the error.
    """

    place: Callable[[Any, str], str | None]
    needed: Callable[[Any, set[str]], set[str]]
    hint: str


_CITYSCAPES = re.compile(r"(?:^|/)((?:leftImg8bit_sequence|gtFine)/\w+/[\w-]+/[^/]+\.png)$")
_CITYSCAPES_LABEL = re.compile(
    r"gtFine/(?P<split>\w+)/(?P<city>[\w-]+)/(?P<snippet>.+)_(?P<number>\d{6})_gtFine_\w+\.png"
)
_VIPER = re.compile(r"(?:^|/)((?:train|val)/(?:img|cls)/\d+/\d+_\d+\.(?:jpg|png))$")
_VIPER_LABEL = re.compile(r"(?P<split>\w+)/cls/(?P<sequence>\d+)/\d+_(?P<number>\d+)\.png")


def _match(pattern: re.Pattern[str], name: str) -> str | None:
    found = pattern.search(name)
    return found[1] if found else None


def _cityscapes(p: Any, there: set[str]) -> set[str]:
    """The labels of the splits, and `before` and `after` frames around each."""
    needed: set[str] = set()
    for path in there:
        label = _CITYSCAPES_LABEL.fullmatch(path) if path.endswith(f"_gtFine_{p.labels}.png") else None
        if label is None or label["split"] not in p.splits:
            continue
        now, stem = int(label["number"]), f"leftImg8bit_sequence/{label['split']}/{label['city']}/{label['snippet']}"
        frames = {f"{stem}_{n:06d}_leftImg8bit.png" for n in range(now - p.before, now + p.after + 1)}
        needed |= {path, *(frames & there)}
    return needed


def _viper(p: Any, there: set[str]) -> set[str]:
    """Every `step`-th labelled frame and `before` earlier ones, with the labels there are."""
    needed: set[str] = set()
    for path in there:
        label = _VIPER_LABEL.fullmatch(path)
        if label is None or label["split"] not in p.splits:
            continue
        now, digits = int(label["number"]), len(label["number"])
        if now % p.step or now < p.before:
            continue
        for number in range(now - p.before, now + 1):
            stem = f"{label['sequence']}/{label['sequence']}_{number:0{digits}d}"
            frames = {f"{label['split']}/img/{stem}.jpg", f"{label['split']}/cls/{stem}.png"}
            needed |= frames & there
    return needed


def _synthia_place(p: Any, name: str) -> str | None:
    """Below <sequence>/; the archives call SEQS-04-DAWN "SYNTHIA-SEQS-04-DAWN"."""
    parts = PurePosixPath(name).parts
    for k, part in enumerate(parts[:-1]):
        for sequence in (part, part.removeprefix("SYNTHIA-")):
            if sequence in p.sequences:
                return "/".join((sequence, *parts[k + 1 :]))
    return None


def _synthia(p: Any, there: set[str]) -> set[str]:
    """Pictures and labels of one camera: an eighth of the pictures, and no depth."""
    folders = ("rgb", "label", f"RGB/{p.camera}", f"GT/LABELS/{p.camera}")
    wanted = {f"{sequence}/{folder}" for sequence in p.sequences for folder in folders}
    return {path for path in there if path.endswith(".png") and path.rpartition("/")[0] in wanted}


def _camvid_place(_: Any, name: str) -> str | None:
    """What lies below CamVid/ in the archive of SegNet's tutorial."""
    _, found, rest = f"/{name}".partition("/CamVid/")
    return rest if found else None


CHOICES: dict[str, Choice] = {
    "cityscapes": Choice(
        lambda _, name: _match(_CITYSCAPES, name),
        _cityscapes,
        "both leftImg8bit_sequence_trainvaltest.zip and gtFine_trainvaltest.zip, whose labels say which frames are "
        "wanted",
    ),
    "viper": Choice(
        lambda _, name: _match(_VIPER, name),
        _viper,
        "images (…/train/img/001/001_00010.jpg) and labels (…/train/cls/001/001_00010.png), which say which are wanted",
    ),
    "synthia": Choice(_synthia_place, _synthia, "<sequence>/RGB/<camera>/000000.png and <sequence>/GT/LABELS/…"),
    "camvid": Choice(_camvid_place, lambda _, there: there, "a folder CamVid/ as SegNet's tutorial has it"),
}
"""By kind of data set; of any other kind everything is brought out."""

EVERYTHING = Choice(lambda _, name: name, lambda _, there: there, "any file")


def choose(name: str, kind: str, parameters: BaseModel, archives: Sequence[Archive], folder: Path) -> dict[str, str]:
    """Choose among the members of all archives together, and of what lies in the folder already.

    Args:
        name: the data set's, for messages.
        kind: a key of DATASETS.
        parameters: the data set's own; they decide which frames are needed.
        archives: the archives.
        folder: the data set's root, which may have some of the files already (the labels, say).

    Returns:
        Member's name → path below `folder`.

    Raises:
        UserError: nothing in the archives is needed.
    """
    choice = CHOICES.get(kind, EVERYTHING)
    placed = {m: path for a in archives for m in a.members if (path := choice.place(parameters, m)) is not None}
    needed = choice.needed(parameters, set(placed.values()) | set(_files_below(folder)))
    chosen = {member: path for member, path in placed.items() if path in needed}
    if not chosen:
        first = next((member for archive in archives for member in archive.members), "no file at all")
        raise UserError(
            f"data set '{name}': nothing in {', '.join(str(a.path) for a in archives)} is needed; expected was "
            f"{choice.hint}; the first file there is {first}: name the right archives in data_sets.{name}.archives"
        )
    return chosen


def _files_below(folder: Path) -> Iterator[str]:
    for place, _, files in os.walk(folder):
        inside = Path(place).relative_to(folder).as_posix()
        yield from (file if inside == "." else f"{inside}/{file}" for file in files)
