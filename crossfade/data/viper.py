"""VIPER: <split>/img/<sequence>/<sequence>_<frame>.jpg beside <split>/cls/<sequence>/<sequence>_<frame>.png.

Labels are indexed PNGs and must be read by index: van and train share one colour. Around every `step`-th frame its
earlier neighbours are indexed as one short video; where a neighbour has no label (they are in archives of their own) it
is used without.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, PositiveInt

from crossfade.data.layout import all_there, data_root, files_in, folders_in
from crossfade.data.manifest import Frame, Manifest, Reading, Video, read_image
from crossfade.errors import UserError

CAR = 24
_NAME = re.compile(r"(?P<sequence>\d+)_(?P<number>\d+)\.(?:jpg|png)$")


class ViperParameters(BaseModel):
    """Where VIPER lies.

    Attributes:
        kind: "viper".
        root: the folder with train/ and val/.
        splits: which.
        step: every how many frames one is taken (published: 10).
        before: earlier frames around each.
        without_ego: ignore the own car: the piece of "car" that touches the middle of the bottom row.
        rate: frames per second.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["viper"] = "viper"
    root: Path
    splits: tuple[Literal["train", "val"], ...] = ("train",)
    step: PositiveInt = 10
    before: NonNegativeInt = 1
    without_ego: bool = True
    rate: PositiveFloat = 15.0


def prepare(parameters: ViperParameters, folder: Path, workers: int = 1) -> Manifest:
    """Index VIPER in place: `folder`/manifest.parquet; nothing is copied.

    Raises:
        UserError: a folder is missing, or a neighbour of a chosen frame is.
    """
    root = data_root(folder.name, parameters.root)
    videos: list[Video] = []
    missing: list[Path] = []
    for split in parameters.splits:
        for sequence in folders_in(folder.name, root / split / "cls", f"unpack {split}_cls.zip there"):
            videos += _sequence(folder.name, root, split, sequence, parameters, missing)
    if not videos:
        raise UserError(f"data set '{folder.name}': no labelled frame of {root} is a multiple of {parameters.step}")
    hint = "unpack the archive of in-between images (*[1-9]), or ask for fewer (before, one at least)"
    all_there(folder.name, missing, len(videos) * (parameters.before + 1), hint)
    reading = Reading(labels="palette", ego_class=CAR if parameters.without_ego else None)
    height, width = read_image(root, videos[0].frames[0].image).shape[:2]
    sized = tuple(replace(video, size=(height, width)) for video in videos)  # each is checked when a pair is indexed
    Manifest(folder.name, "viper", root, sized, reading=reading).save(folder)
    return Manifest.load(folder)


def _sequence(
    name: str, root: Path, split: str, sequence: str, p: ViperParameters, missing: list[Path]
) -> Iterator[Video]:
    """The short videos of one sequence; images that are not there are added to `missing`."""
    labels = set(files_in(name, root / split / "cls" / sequence, ".png", f"unpack {split}_cls.zip there"))
    folder = root / split / "img" / sequence
    images = set(files_in(name, folder, ".jpg", f"unpack {split}_img.zip there"))
    for label in sorted(labels):
        match = _NAME.match(label)
        if match is None:
            raise UserError(f"data set '{name}': {split}/cls/{sequence}/{label} is not named <sequence>_<frame>.png")
        now, digits = int(match["number"]), len(match["number"])
        if now % p.step or now < p.before:
            continue
        frames = []
        for number in range(now - p.before, now + 1):
            stem = f"{sequence}_{number:0{digits}d}"
            if f"{stem}.jpg" not in images:
                missing.append(folder / f"{stem}.jpg")
            known = f"{split}/cls/{sequence}/{stem}.png" if f"{stem}.png" in labels else None
            frames.append(Frame(f"{split}/img/{sequence}/{stem}.jpg", known, round(number / p.rate, 6)))
        yield Video(f"{sequence}_{match['number']}", split, (0, 0), tuple(frames))
