"""Cityscapes with its sequences: leftImg8bit_sequence/<split>/<city>/… beside gtFine/<split>/<city>/….

One frame of each 30-frame snippet is labelled: usually number 19, but not in every city (267 of the 500 val frames have
another number), so the label files decide. Around each labelled frame, `before` earlier and `after` later frames are
indexed as one short video.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat

from crossfade.data.layout import all_there, data_root, files_in, folders_in
from crossfade.data.manifest import Frame, Manifest, Video, read_image
from crossfade.errors import UserError

IMAGES, LABELS = "leftImg8bit_sequence", "gtFine"
IDS = {"labelIds": "cityscapes_ids", "labelTrainIds": "cityscapes19"}
_NAME = re.compile(r"(?P<city>[\w-]+)_(?P<sequence>\d{6})_(?P<number>\d{6})_gtFine_label\w+\.png$")


class CityscapesParameters(BaseModel):
    """Where Cityscapes lies.

    Attributes:
        kind: "cityscapes".
        root: the folder with leftImg8bit_sequence/ and gtFine/.
        splits: which.
        labels: which label files are read: "labelIds" (as downloaded) or "labelTrainIds" (made by cityscapesScripts).
        before, after: frames around each labelled one.
        rate: frames per second of the camera.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["cityscapes"] = "cityscapes"
    root: Path
    splits: tuple[Literal["train", "val"], ...] = ("train", "val")
    labels: Literal["labelIds", "labelTrainIds"] = "labelIds"
    before: NonNegativeInt = 2
    after: NonNegativeInt = 0
    rate: PositiveFloat = Field(default=17.0)


def prepare(parameters: CityscapesParameters, folder: Path, workers: int = 1) -> Manifest:
    """Index Cityscapes in place: `folder`/manifest.json; nothing is copied.

    Raises:
        UserError: a folder is missing, or a neighbour of a labelled frame is.
    """
    root = data_root(folder.name, parameters.root)
    videos = [video for split in parameters.splits for video in _split(folder.name, root, split, parameters)]
    Manifest(folder.name, IDS[parameters.labels], root, tuple(videos)).save(folder)
    return Manifest.load(folder)


def _split(name: str, root: Path, split: str, p: CityscapesParameters) -> list[Video]:
    videos: list[Video] = []
    missing: list[Path] = []
    for city in folders_in(name, root / LABELS / split, "unpack gtFine_trainvaltest.zip there"):
        hint = f"unpack gtFine_trainvaltest.zip there, or choose other labels than {p.labels}"
        labels = files_in(name, root / LABELS / split / city, f"_gtFine_{p.labels}.png", hint)
        images = root / IMAGES / split / city
        there = set(files_in(name, images, ".png", "unpack leftImg8bit_sequence_trainvaltest.zip there"))
        for label in labels:
            match = _NAME.match(label)
            if match is None:
                raise UserError(f"data set '{name}': '{label}' is not named <city>_<sequence>_<frame>_gtFine_….png")
            now, snippet = int(match["number"]), f"{match['city']}_{match['sequence']}"
            frames = []
            for number in range(now - p.before, now + p.after + 1):
                image = f"{snippet}_{number:06d}_leftImg8bit.png"
                if image not in there:
                    missing.append(images / image)
                known = f"{LABELS}/{split}/{city}/{label}" if number == now else None
                frames.append(Frame(f"{IMAGES}/{split}/{city}/{image}", known, round(number / p.rate, 6)))
            videos.append(Video(f"{snippet}_{match['number']}", split, (0, 0), tuple(frames)))
    hint = "unpack these frames of leftImg8bit_sequence_trainvaltest.zip, or ask for fewer (before, after)"
    all_there(name, missing, len(videos) * (p.before + p.after + 1), hint)
    height, width = read_image(root, videos[0].frames[0].image).shape[:2]
    return [replace(video, size=(height, width)) for video in videos]  # each is checked when a pair is indexed
