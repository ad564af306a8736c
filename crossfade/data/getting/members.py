"""Which members of its archives a data set needs: by name, and by the lists that say what it has."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel

from crossfade.data.getting.archives import Archive, read_text
from crossfade.data.layout import lines_of
from crossfade.errors import UserError

Lines = Callable[[Path], list[str]]
"""The lines of a list, given by its path below the data set's root or an absolute one."""


@dataclass(frozen=True)
class Choice:
    """How a kind of data set chooses.

    Attributes:
        place: (parameters, name of a member) → path below the data set's root, None for what is not of the data set.
        needed: (parameters, paths below the root that are to be had, `Lines`) → those that are needed.
        hint: what the archives should hold, for the error.
    """

    place: Callable[[Any, str], str | None]
    needed: Callable[[Any, set[str], Lines], set[str]]
    hint: str


_SNIPPET = r"(?P<snippet>.+_\d{6})_(?P<number>\d{6})"
_VIPER = re.compile(r"(?:^|/)((?:train|val)/(?:img|cls)/\d+/\d+_\d+\.(?:jpg|png))$")
_VIPER_LABEL = re.compile(r"(?P<split>\w+)/cls/(?P<sequence>\d+)/\d+_(?P<number>\d+)\.png")


def _match(pattern: re.Pattern[str], name: str) -> str | None:
    found = pattern.search(name)
    return found[1] if found else None


def _below(name: str, *folders: str | Path | None) -> str | None:
    """The part of a name from one of the folders on, if it has that one."""
    for folder in map(str, filter(None, folders)):
        _, found, rest = f"/{name}".partition(f"/{folder}/")
        if found:
            return f"{folder}/{rest}"
    return None


def _cityscapes_place(p: Any, name: str) -> str | None:
    return _match(re.compile(rf"(?:^|/)((?:{p.images}|{p.form[0]})/\w+/[\w-]+/[^/]+\.png)$"), name)


def _cityscapes(p: Any, there: set[str], lines: Lines) -> set[str]:
    """The labels of the splits, of listed frames where there are lists, and `before` and `after` frames around each."""
    tree, kind, _ = p.form
    label = re.compile(rf"{tree}/(?P<split>\w+)/(?P<city>[\w-]+)/{_SNIPPET}_gtFine_{kind}\.png")
    named = re.compile(rf"{_SNIPPET}(?:_\w+)?(?:\.png)?")
    listed: dict[str, set[tuple[str, str]]] = {}
    for split, path in p.lists.items():
        if split not in p.splits:
            continue
        found = (named.fullmatch(PurePosixPath(line.split()[0]).name) for line in lines(path))
        listed[split] = {(m["snippet"], m["number"]) for m in found if m}
    needed: set[str] = set()
    for path in there:
        m = label.fullmatch(path)
        if m is None or m["split"] not in p.splits:
            continue
        if m["split"] in listed and (m["snippet"], m["number"]) not in listed[m["split"]]:
            continue
        now, stem = int(m["number"]), f"{p.images}/{m['split']}/{m['city']}/{m['snippet']}"
        frames = {f"{stem}_{n:06d}_leftImg8bit.png" for n in range(now - p.before, now + p.after + 1)}
        needed |= {path, *(frames & there)}
    return needed


def _viper(p: Any, there: set[str], _: Lines) -> set[str]:
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


def _synthia(p: Any, there: set[str], _: Lines) -> set[str]:
    """Pictures and labels of one camera: an eighth of the pictures, and no depth."""
    folders = ("rgb", "label", f"RGB/{p.camera}", f"GT/LABELS/{p.camera}")
    wanted = {f"{sequence}/{folder}" for sequence in p.sequences for folder in folders}
    return {path for path in there if path.endswith(".png") and path.rpartition("/")[0] in wanted}


def _camvid_place(p: Any, name: str) -> str | None:
    """What lies below CamVid/ in the archive of SegNet's tutorial; of the 701 stills, by folder or by name."""
    if p.layout == "segnet":
        _, found, rest = f"/{name}".partition("/CamVid/")
        return rest if found else None
    stem, file = PurePosixPath(name).stem, PurePosixPath(name).name
    inside = _below(name, p.labels, p.stills, p.lists, p.sequences)
    if inside is not None or not name.endswith(".png") or file.startswith("."):
        return None if file.startswith(".") else inside
    return f"{p.labels if stem.endswith('_L') else p.stills}/{file}"


def _camvid(p: Any, there: set[str], _: Lines) -> set[str]:
    """Of the stills those that have a label, and all else."""
    if p.layout == "segnet":
        return there
    labels = {PurePosixPath(f).stem.removesuffix("_L") for f in there if f.startswith(f"{p.labels}/")}
    kept = {path for path in there if _below(path, p.labels, p.lists, p.sequences) == path}
    return kept | {f for f in there if f.startswith(f"{p.stills}/") and PurePosixPath(f).stem in labels}


_VSPW = re.compile(r"(?:^|/)(data/[^/]+/(?:origin|mask)/[^/.][^/]*\.(?:jpg|png)|(?:train|val|test)\.txt)$")


def _vspw(p: Any, there: set[str], lines: Lines) -> set[str]:
    """The lists of the splits, and the videos that they name."""
    lists = {f"{split}.txt" for split in p.splits}
    videos = {video for path in sorted(lists) for video in lines(Path(path))}
    return {path for path in there if path in lists or (path.startswith("data/") and path.split("/")[1] in videos)}


def _bdd_place(p: Any, name: str) -> str | None:
    return None if PurePosixPath(name).name.startswith(".") else _below(name, p.images, p.labels, p.videos)


def _bdd(p: Any, there: set[str], lines: Lines) -> set[str]:
    """Stills and labels of the splits, of listed ones where there are lists, and the videos (or frames) of them."""
    files: dict[str, set[str]] = {}  # by id
    for split in p.splits:
        inside = p.listed_from if split in p.lists else split
        stills = {PurePosixPath(f).stem: f for f in there if _is_in(f, f"{p.images}/{inside}", ".jpg")}
        labels = {PurePosixPath(f).stem: f for f in there if _is_in(f, f"{p.labels}/{inside}", ".png")}
        ids = stills.keys() & labels.keys()
        if split in p.lists:
            ids &= {PurePosixPath(line).stem.removesuffix(f"_{p.frame}") for line in lines(p.lists[split])}
        for still in ids:
            files.setdefault(still, set()).update((stills[still], labels[still]))
    needed = {file for own in files.values() for file in own}
    for path in there:
        if path.startswith(f"{p.videos}/"):
            stem = PurePosixPath(path).stem
            still, _, number = stem.rpartition("_")
            taken = still in files and number.isdigit() and int(number) in p.indices
            needed |= {path} if stem in files or taken else set()
    return needed


def _is_in(path: str, folder: str, ending: str) -> bool:
    return path.rpartition("/")[0] == folder and path.endswith(ending)


CHOICES: dict[str, Choice] = {
    "cityscapes": Choice(
        _cityscapes_place,
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
    "camvid": Choice(
        _camvid_place, _camvid, "a folder CamVid/ as SegNet's tutorial has it, or with layout: full stills and labels"
    ),
    "vspw": Choice(lambda _, name: _match(_VSPW, name), _vspw, "data/<video>/origin/….jpg, …/mask/….png, train.txt"),
    "bdd": Choice(
        _bdd_place, _bdd, "images/10k/<split>/<id>.jpg and labels/sem_seg/masks/<split>/<id>.png, which belong together"
    ),
}
"""By kind of data set; of any other kind everything is brought out."""

EVERYTHING = Choice(lambda _, name: name, lambda _, there, __: there, "any file")


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
        UserError: nothing in the archives is needed, or a list that says what is needed is nowhere.
    """
    choice = CHOICES.get(kind, EVERYTHING)
    placed = {m: path for a in archives for m in a.members if (path := choice.place(parameters, m)) is not None}
    lines = partial(_lines, name, archives, placed, folder)
    needed = choice.needed(parameters, set(placed.values()) | set(_files_below(folder)), lines)
    chosen = {member: path for member, path in placed.items() if path in needed}
    if not chosen:
        first = next((member for archive in archives for member in archive.members), "no file at all")
        raise UserError(
            f"data set '{name}': nothing in {_named(archives)} is needed; expected was "
            f"{choice.hint}; the first file there is {first}: name the right archives in data_sets.{name}.archives"
        )
    return chosen


def _lines(name: str, archives: Sequence[Archive], placed: Mapping[str, str], folder: Path, path: Path) -> list[str]:
    """The lines of a list that is there, or in an archive yet."""
    if (folder / path.expanduser()).is_file():
        return [line for _, line in lines_of(name, folder / path.expanduser(), "mend it")]
    for archive in archives:
        for member in archive.members:
            if placed.get(member) == path.as_posix():
                return [line for text in read_text(archive, member, name).splitlines() if (line := text.strip())]
    where = folder / path.expanduser()
    raise UserError(f"data set '{name}': there is no list {where}, nor is it in {_named(archives)}: put it there")


def _named(archives: Sequence[Archive]) -> str:
    return ", ".join(str(archive.path) for archive in archives)


def _files_below(folder: Path) -> Iterator[str]:
    for place, _, files in os.walk(folder):
        inside = Path(place).relative_to(folder).as_posix()
        yield from (file if inside == "." else f"{inside}/{file}" for file in files)
