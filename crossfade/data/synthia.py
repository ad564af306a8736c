"""SYNTHIA video sequences, as the archive unpacks and as the reference code flattens them.

Archive: <sequence>/RGB/<camera>/000000.png and <sequence>/GT/LABELS/<camera>/000000.png; flattened: <sequence>/rgb/ and
<sequence>/label/; in either the folder may be called SYNTHIA-<sequence>. Labels are 16-bit images of several channels;
the class is the first, red one.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat

from crossfade.data.layout import all_there, data_root, files_in
from crossfade.data.manifest import Frame, Manifest, Reading, Video, read_image
from crossfade.errors import UserError


class SynthiaParameters(BaseModel):
    """Where SYNTHIA lies.

    Attributes:
        kind: "synthia".
        root: the folder with the sequences.
        sequences: which; published: SEQS-04-DAWN alone.
        camera: of the archive's layout.
        crop_bottom: rows cut off below (published: 120 of 760).
        rate: frames per second.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["synthia"] = "synthia"
    root: Path
    sequences: tuple[str, ...] = ("SEQS-04-DAWN",)
    camera: str = "Stereo_Left/Omni_F"
    crop_bottom: NonNegativeInt = 120
    rate: PositiveFloat = 5.0


def prepare(parameters: SynthiaParameters, folder: Path, workers: int = 1) -> Manifest:
    """Index SYNTHIA in place: `folder`/manifest.parquet; one video a sequence, split "train".

    Raises:
        UserError: a folder is missing, a frame has no label, or the crop leaves nothing.
    """
    root = data_root(folder.name, parameters.root)
    videos = tuple(_sequence(folder.name, root, sequence, parameters) for sequence in parameters.sequences)
    reading = Reading(labels="red", crop_bottom=parameters.crop_bottom)
    Manifest(folder.name, "synthia", root, videos, reading=reading).save(folder)
    return Manifest.load(folder)


def _sequence(name: str, root: Path, given: str, p: SynthiaParameters) -> Video:
    sequence = next((s for s in (given, f"SYNTHIA-{given}") if (root / s).is_dir()), given)
    flat = (root / sequence / "rgb").is_dir()
    images, labels = ("rgb", "label") if flat else (f"RGB/{p.camera}", f"GT/LABELS/{p.camera}")
    listed = files_in(name, root / sequence / images, ".png", f"unpack {sequence}.rar there, or name other sequences")
    known = set(files_in(name, root / sequence / labels, ".png", f"unpack the labels of {sequence}.rar there"))
    missing = [root / sequence / labels / file for file in listed if file not in known]
    all_there(name, missing, len(listed), "restore them, or take away the frames without a label")
    strange = [file for file in listed if not Path(file).stem.isdigit()]
    if strange:
        raise UserError(f"data set '{name}': {root / sequence / images / strange[0]} is not named <number>.png")
    height, width = read_image(root, f"{sequence}/{images}/{listed[0]}").shape[:2]
    if height <= p.crop_bottom:
        raise UserError(f"data set '{name}': crop_bottom {p.crop_bottom} leaves nothing of {height} rows: lower it")
    frames = tuple(
        Frame(f"{sequence}/{images}/{file}", f"{sequence}/{labels}/{file}", round(int(Path(file).stem) / p.rate, 6))
        for file in listed
    )
    return Video(given, "train", (height - p.crop_bottom, width), frames)
