"""Cityscapes with its sequences: leftImg8bit_sequence/<split>/<city>/… beside gtFine/<split>/<city>/….

One frame of each 30-frame snippet is labelled: usually number 19, but not in every city (267 of the 500 val frames have
another number), so the label files decide, or the lists that a published setting trains and tests on. Around each
labelled frame, `before` earlier and `after` later frames are indexed as one short video.
"""

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, field_validator

from crossfade.data.layout import all_there, data_root, files_in, folders_in, lines_of
from crossfade.data.manifest import Frame, Manifest, Video, read_image
from crossfade.errors import UserError

FORMS = {
    "labelIds": ("gtFine", "labelIds", "cityscapes_ids"),
    "labelTrainIds": ("gtFine", "labelTrainIds", "cityscapes19"),
    "gtFine_19": ("gtFine_19", "labelIds", "cityscapes19"),
}
"""Per form of labels: the folder, what files are called, and which table of ids they use."""

Split = Literal["train", "val"]
_NAME = re.compile(r"(?P<city>[\w-]+)_(?P<sequence>\d{6})_(?P<number>\d{6})(?:_\w+)?$")


class CityscapesParameters(BaseModel):
    """Where Cityscapes lies.

    Attributes:
        kind: "cityscapes".
        root: the folder with leftImg8bit_sequence/ and gtFine/.
        splits: which.
        labels: which label files are read: "labelIds" (as downloaded), "labelTrainIds" (made by cityscapesScripts), or
            "gtFine_19": TMANet's tree gtFine_19/, train ids under the name _gtFine_labelIds.png.
        images: the folder of the frames; "leftImg8bit" where sequences were merged into it (ETC).
        lists: {split: list file}, in `root` or absolute: only the frames that a line's first word names, and their
            neighbours, are indexed (a second word must be that frame's label: "image label", tab or space between).
        before, after: frames around each labelled one.
        rate: frames per second of the camera.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["cityscapes"] = "cityscapes"
    root: Path
    splits: tuple[Split, ...] = ("train", "val")
    labels: Literal["labelIds", "labelTrainIds", "gtFine_19"] = "labelIds"
    images: Literal["leftImg8bit_sequence", "leftImg8bit"] = "leftImg8bit_sequence"
    lists: dict[Split, Path] = Field(default_factory=dict)
    before: NonNegativeInt = 2
    after: NonNegativeInt = 0
    rate: PositiveFloat = Field(default=17.0)

    @property
    def form(self) -> tuple[str, str, str]:
        """See FORMS."""
        return FORMS[self.labels]

    @field_validator("splits")
    @classmethod
    def _some(cls, splits: tuple[str, ...]) -> tuple[str, ...]:
        if not splits:
            raise ValueError("name a split, train or val")
        return splits


def prepare(parameters: CityscapesParameters, folder: Path, workers: int = 1) -> Manifest:
    """Index Cityscapes in place: `folder`/manifest.parquet; nothing is copied.

    Raises:
        UserError: a folder is missing, a neighbour of a labelled frame is, or a list names a frame without a label.
    """
    root = data_root(folder.name, parameters.root)
    videos = [video for split in parameters.splits for video in _split(folder.name, root, split, parameters)]
    Manifest(folder.name, parameters.form[2], root, tuple(videos)).save(folder)
    return Manifest.load(folder)


def _split(name: str, root: Path, split: Split, p: CityscapesParameters) -> list[Video]:
    tree, kind, _ = p.form
    listed = _listed(name, root / p.lists[split], kind) if split in p.lists else None
    videos: list[Video] = []
    missing: list[Path] = []
    for city in folders_in(name, root / tree / split, f"unpack gtFine_trainvaltest.zip there ({tree}/)"):
        if listed is not None and not any(stem.startswith(f"{city}_") for stem in listed):
            continue
        hint = f"unpack gtFine_trainvaltest.zip there, or choose other labels than {p.labels}"
        labels = files_in(name, root / tree / split / city, f"_gtFine_{kind}.png", hint)
        images = root / p.images / split / city
        there = set(files_in(name, images, ".png", "unpack leftImg8bit_sequence_trainvaltest.zip there"))
        for label in labels:
            stem = label.removesuffix(f"_gtFine_{kind}.png")
            match = _NAME.match(stem)
            if match is None:
                raise UserError(f"data set '{name}': '{label}' is not named <city>_<sequence>_<frame>_gtFine_….png")
            if listed is not None:
                if stem not in listed:
                    continue
                listed.pop(stem)
            now, snippet = int(match["number"]), f"{match['city']}_{match['sequence']}"
            frames = []
            for number in range(now - p.before, now + p.after + 1):
                image = f"{snippet}_{number:06d}_leftImg8bit.png"
                if image not in there:
                    missing.append(images / image)
                known = f"{tree}/{split}/{city}/{label}" if number == now else None
                frames.append(Frame(f"{p.images}/{split}/{city}/{image}", known, round(number / p.rate, 6)))
            videos.append(Video(stem, split, (0, 0), tuple(frames)))
    if listed:
        stem, line = next(iter(listed.items()))
        raise UserError(
            f"data set '{name}': line {line} of {root / p.lists[split]} names {stem}, which has no label under "
            f"{root / tree / split}: is it a list of this split?"
        )
    hint = (
        "unpack these frames of leftImg8bit_sequence_trainvaltest.zip, or ask for fewer (before + after, one at least)"
    )
    all_there(name, missing, len(videos) * (p.before + p.after + 1), hint)
    height, width = read_image(root, videos[0].frames[0].image).shape[:2]
    return [replace(video, size=(height, width)) for video in videos]  # each is checked when a pair is indexed


def _listed(name: str, path: Path, kind: str) -> dict[str, int]:
    """{<city>_<sequence>_<frame>: line} of a list file."""
    found: dict[str, int] = {}

    def named(line: str) -> str:
        return PurePosixPath(line.split()[0]).name

    for number, line in lines_of(name, path, f"mend data_sets.{name}.lists", named):
        stems = []
        for word in line.split()[:2]:
            match = _NAME.match(PurePosixPath(word).name.removesuffix(".png"))
            if match is None:
                raise UserError(f"data set '{name}': line {number} of {path}: '{word}' names no frame of Cityscapes")
            stems.append(f"{match['city']}_{match['sequence']}_{match['number']}")
        if len(set(stems)) > 1:
            raise UserError(f"data set '{name}': line {number} of {path}: image and label are of different frames")
        found[stems[0]] = number
    return found
