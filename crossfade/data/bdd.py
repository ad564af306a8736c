"""BDD100K: the 10,000 labelled stills ("10k") beside the videos they were taken from.

`images/10k/<split>/<id>.jpg`, `labels/sem_seg/masks/<split>/<id>.png` (train ids of Cityscapes, 255 = ignored) and
`videos/<split>/<id>.mov`. A still is from about the tenth second of its 40-second video; measured over all of them,
frame 307 (counted from 0) is nearest (UnifiedVideoDA). It is not always that frame, so by default the still stands for
it: its label is then exact, and the neighbours come from the video. Stills without a video are left out.

The frames around 307 are taken out of the videos (data/<name>/frames), or were before: a folder of <id>_<frame>.jpg.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat

from crossfade.data.excerpts import take_frames
from crossfade.data.layout import data_root, files_in, lines_of
from crossfade.data.manifest import Frame, Manifest, Video, read_image
from crossfade.data.video import VIDEO_SUFFIXES, open_frames
from crossfade.errors import UserError

Split = Literal["train", "val"]


class BddParameters(BaseModel):
    """Where BDD100K lies.

    Attributes:
        kind: "bdd".
        root: the folder with images/, labels/ and videos/.
        splits: which.
        images, labels: folders in `root`, each with a folder a split.
        videos: in `root` or absolute: videos named <id>.mov, in it or in a folder a split of it, or frames
            <id>_<frame>.jpg.
        lists: {split: list file}, in `root` or absolute, of lines "<id>" or "<id>_307"; UnifiedVideoDA's "train" and
            "val" are both taken from 10k's train.
        listed_from: the folder of images and labels that listed stills lie in.
        labelled: "still": the labelled frame is the still; "video": it is the frame of the video, to which the label
            fits as well as 307 is right (UnifiedVideoDA adapts on these, and scores on stills).
        frame: of the video, where the still is.
        before, after: frames around each.
        stride: every how many frames of the video a neighbour is.
        rate: frames per second of the videos.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["bdd"] = "bdd"
    root: Path
    splits: tuple[Split, ...] = Field(default=("train", "val"), min_length=1)
    images: str = "images/10k"
    labels: str = "labels/sem_seg/masks"
    videos: Path = Path("videos")
    lists: dict[Split, Path] = Field(default_factory=dict)
    listed_from: str = "train"
    labelled: Literal["still", "video"] = "still"
    frame: NonNegativeInt = 307
    before: NonNegativeInt = 2
    after: NonNegativeInt = 0
    stride: int = Field(default=1, ge=1)
    rate: PositiveFloat = 30.0

    @property
    def indices(self) -> tuple[int, ...]:
        """Frames of a video that are indexed, in order."""
        steps = range(-self.before, self.after + 1)
        return tuple(self.frame + self.stride * k for k in steps)


def prepare(parameters: BddParameters, folder: Path, workers: int = 1) -> Manifest:
    """Index BDD100K: `folder`/manifest.parquet; nothing is copied but frames out of videos.

    Raises:
        UserError: a folder, a listed still or its label is missing, no still has a video, or a video is cut short.
    """
    name, p = folder.name, parameters
    if p.frame < p.before * p.stride:
        raise UserError(f"data set '{name}': {p.before} frames before frame {p.frame} begin too early: lower before")
    root = data_root(name, p.root)
    places = _videos(name, root / p.videos.expanduser())
    stills = [(split, still) for split in p.splits for still in _stills(name, root, split, p)]
    known = [(split, still) for split, still in stills if still in places]
    alone = len(stills) - len(known)
    if not known:
        raise UserError(
            f"data set '{name}': none of {alone} stills has a video in {root / p.videos}: unpack some there"
        )
    with ThreadPoolExecutor(max(1, workers)) as pool:  # decoding is outside Python's lock
        videos = list(pool.map(lambda it: _around(name, root, folder, it[0], it[1], places[it[1]], p), known))
    bases = {"raw": root, "videos": root / p.videos.expanduser()}
    Manifest(name, "cityscapes19", folder, tuple(videos), bases=bases).save(folder)
    print(f"{name}: {len(videos)} stills with their video, {alone} without (left out)")
    return Manifest.load(folder)


def _stills(name: str, root: Path, split: Split, p: BddParameters) -> list[str]:
    """Ids of a split's stills; each has a label."""
    inside = p.listed_from if split in p.lists else split
    images = {Path(f).stem for f in files_in(name, root / p.images / inside, ".jpg", "unpack bdd100k_images_10k there")}
    hint = "unpack bdd100k_sem_seg_labels there"
    labels = {Path(f).stem for f in files_in(name, root / p.labels / inside, ".png", hint)}
    if split not in p.lists:
        return sorted(images & labels)
    found = []

    def named(line: str) -> str:
        return Path(line).stem.removesuffix(f"_{p.frame}")

    for number, line in lines_of(name, root / p.lists[split], f"mend data_sets.{name}.lists", named):
        still = named(line)
        for what, known, where in (("image", images, p.images), ("label", labels, p.labels)):
            if still not in known:
                listed = f"line {number} of {root / p.lists[split]} names {still}"
                raise UserError(f"data set '{name}': {listed}, but {root / where / inside} has no {what} of it")
        found.append(still)
    return found


def _videos(name: str, folder: Path) -> dict[str, Path]:
    """{id: its video, or the folder that holds its frames}."""
    if not folder.is_dir():
        raise UserError(f"data set '{name}': there is no folder {folder}: unpack the videos there, or set videos")
    found: dict[str, Path] = {}
    for inside in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        for path in sorted(inside.iterdir()):
            if path.suffix.lower() in VIDEO_SUFFIXES:
                found[path.stem] = path
            elif path.suffix.lower() == ".jpg" and "_" in path.stem:
                found.setdefault(path.stem.rpartition("_")[0], inside)
    return found


def _around(name: str, root: Path, folder: Path, split: Split, still: str, place: Path, p: BddParameters) -> Video:
    """The still's frames as one short video."""
    inside = p.listed_from if split in p.lists else split
    image, label = root / p.images / inside / f"{still}.jpg", str(root / p.labels / inside / f"{still}.png")
    size = read_image(root, str(image)).shape[:2]
    wanted = [k for k in p.indices if k != p.frame or p.labelled == "video"]
    if place.is_dir():
        refs = {k: str(place / f"{still}_{k}.jpg") for k in wanted}
        absent = [ref for ref in refs.values() if not Path(ref).is_file()]
        if absent:
            raise UserError(f"data set '{name}': {absent[0]} is missing: take it out of the video, or lower before")
    else:
        base = f"frames/{split}/{still}.zip"
        _take(name, place, wanted, size, folder / base)
        refs = {k: f"{base}!{k:06d}.jpg" for k in wanted}
    if p.labelled == "still":
        refs[p.frame] = str(image)
    frames = tuple(Frame(refs[k], label if k == p.frame else None, round(k / p.rate, 6)) for k in p.indices)
    return Video(still, split, (size[0], size[1]), frames)


def _take(name: str, video: Path, wanted: Sequence[int], size: Sequence[int], path: Path) -> None:
    """Take frames out of a video; it is turned where its rotation flag made it stand on its side."""
    source = open_frames(video)
    shapes = {tuple(size): lambda frame: frame, (size[1], size[0]): _upright}
    if tuple(source.size) not in shapes:
        own, stills = f"{source.size[1]}x{source.size[0]}", f"{size[1]}x{size[0]}"
        raise UserError(f"data set '{name}': {video} is {own}, its still {stills}: is it the original video?")
    taken = take_frames(source, wanted, path, shapes[tuple(source.size)])
    if len(taken) < len(wanted):
        path.unlink()
        raise UserError(
            f"data set '{name}': {video} ends before frame {max(wanted)}: copy it again, or take its still away"
        )


def _upright(frame: np.ndarray) -> np.ndarray:
    return cv2.rotate(frame, cv2.ROTATE_90_COUNTERCLOCKWISE)
