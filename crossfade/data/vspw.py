"""VSPW (480p and full): data/<video>/origin/*.jpg beside data/<video>/mask/*.png, every frame labelled.

`train.txt`, `val.txt` and `test.txt` hold one video a line. Ids 0 (others) and 255 (void) are ignored, 1 … 124 are the
classes: the table "vspw" of the label space vspw124. Videos have sizes of their own. Masks of the test split were
never published: its videos are indexed without labels.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveFloat

from crossfade.data.layout import all_there, data_root, files_in, lines_of
from crossfade.data.manifest import Frame, Manifest, Reading, Video, read_image


class VspwParameters(BaseModel):
    """Where VSPW lies.

    Attributes:
        kind: "vspw".
        root: the folder with train.txt, val.txt and data/.
        splits: which.
        rate: frames per second.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["vspw"] = "vspw"
    root: Path
    splits: tuple[Literal["train", "val", "test"], ...] = ("train", "val")
    rate: PositiveFloat = 15.0


def prepare(parameters: VspwParameters, folder: Path, workers: int = 1) -> Manifest:
    """Index VSPW in place: `folder`/manifest.parquet; nothing is copied.

    Raises:
        UserError: a list, a listed video, or one of its masks is missing; a video is listed twice.
    """
    name = folder.name
    root = data_root(name, parameters.root)
    videos: list[Video] = []
    for split in parameters.splits:
        hint = f"it comes with the archive; is {root} the folder that holds data/?"
        listed = [line for _, line in lines_of(name, root / f"{split}.txt", hint)]
        videos += [_video(name, root, split, video, parameters.rate) for video in listed]
    Manifest(name, "vspw", root, tuple(videos), reading=Reading(labels="palette")).save(folder)
    return Manifest.load(folder)


def _video(name: str, root: Path, split: str, video: str, rate: float) -> Video:
    """One video; times follow from positions, whatever the numbers in the names."""
    base = f"data/{video}"
    hint = f"{split}.txt lists it: unpack it there, or take the line out"
    images = files_in(name, root / base / "origin", ".jpg", hint)
    masks: set[str] = set()
    if split != "test" or (root / base / "mask").is_dir():
        masks = set(files_in(name, root / base / "mask", ".png", hint))
        missing = [root / base / "mask" / f"{Path(i).stem}.png" for i in images if f"{Path(i).stem}.png" not in masks]
        all_there(name, missing, len(images), "restore them, or take away the frames without a mask")
    frames = []
    for k, image in enumerate(images):
        mask = f"{Path(image).stem}.png"
        frames.append(
            Frame(f"{base}/origin/{image}", f"{base}/mask/{mask}" if mask in masks else None, round(k / rate, 6))
        )
    height, width = read_image(root, frames[0].image).shape[:2]
    return Video(video, split, (height, width), tuple(frames))
