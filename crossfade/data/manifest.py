"""The manifest: which videos, frames and labels a data set has, and where their bytes lie.

Every data set, rendered or found on disk, is read through one of these. Frames are indexed, never copied; a *ref* names
one file, either a path ("clips/a.png", relative to the manifest's root, or absolute) or a member of a zip archive
("train/000.zip!rgb/0003.png").
"""

import io
import os
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from crossfade.data.manifest_files import FRAMES, FileTable, damaged, hash_files, read_frames, write_tables
from crossfade.errors import UserError

UNLABELLED = "none"
"""In place of a table of ids where a data set has no labels at all."""


@dataclass(frozen=True)
class Frame:
    """One frame: refs of its image and label (None where unlabelled) and its time in seconds."""

    image: str
    label: str | None
    time: float


@dataclass(frozen=True)
class Video:
    """Consecutive frames of one camera.

    Attributes:
        name: unique within its split.
        split: "train", "val", …
        size: (H, W) of every frame.
        frames: in order of time.
        truth: ref of a motion archive with the exact motion, where it is known.
    """

    name: str
    split: str
    size: tuple[int, int]
    frames: tuple[Frame, ...]
    truth: str | None = None


LabelForm = Literal["ids", "palette", "red"]


@dataclass(frozen=True)
class Reading:
    """How a data set's images are to be decoded.

    Attributes:
        labels: "ids": one channel of 8 bits; "palette": an indexed PNG, of which the index counts and not the colour
            (VIPER gives two classes one colour); "red": the first channel of a 16-bit image (SYNTHIA).
        crop_bottom: rows that are cut off below, of images and labels alike.
        ego_class: the connected piece of this id that touches the middle of the bottom row is the own car: ignored.
    """

    labels: LabelForm = "ids"
    crop_bottom: int = 0
    ego_class: int | None = None


@dataclass(frozen=True)
class Manifest:
    """A data set, ready to read.

    Attributes:
        data_set: its name in params.yaml.
        labels: name of the table of ids its label images use ("cityscapes19", "camvid11"), or `UNLABELLED`.
        root: what refs are relative to.
        videos: all of them, every split.
        ego_mask: ref of an image that is non-zero where the own car is seen, if any.
        files: {file: {size, sha256}} of every file the refs name, so that a change on disk is noticed.
        reading: how its images are decoded.
        bases: {name: folder} of what lies elsewhere than `root`: an absolute ref below such a folder is written down as
            @name/…, so that the content's hash does not depend on where the data lie, as it does not on `root`.
    """

    data_set: str
    labels: str
    root: Path
    videos: tuple[Video, ...]
    ego_mask: str | None = None
    files: Mapping[str, dict[str, Any]] | None = None
    reading: Reading = Reading()
    bases: Mapping[str, Path] = field(default_factory=dict)

    def image(self, ref: str, shrink: int = 1) -> np.ndarray:
        """One frame, (H, W, 3) uint8 RGB. `shrink` and errors as in `read_image`."""
        image = read_image(self.root, ref, 1 if self.reading.crop_bottom else shrink)
        return image[: image.shape[0] - self.reading.crop_bottom]

    def label(self, ref: str) -> np.ndarray:
        """One label image, (H, W) uint8 ids as the data set numbers them, 255 where the own car is. Raises as
        `read_label`.
        """
        label = read_label(self.root, ref, self.reading.labels)
        label = label[: label.shape[0] - self.reading.crop_bottom]
        return label if self.reading.ego_class is None else _without_ego(label, self.reading.ego_class)

    def split(self, *names: str) -> tuple[Video, ...]:
        """The videos of the named splits.

        Raises:
            UserError: a split does not exist.
        """
        known = {video.split for video in self.videos}
        for name in names:
            if name not in known:
                raise UserError(f"data set '{self.data_set}' has no split '{name}'; it has: {', '.join(sorted(known))}")
        return tuple(video for video in self.videos if video.split in names)

    def save(self, folder: Path) -> None:
        """Write `folder`/manifest.parquet and files.parquet, with the size and hash of every file.

        Raises:
            UserError: a file is missing, or no space is left.
        """
        inside = self.root.resolve() == folder.resolve()
        memory = folder.with_name(f".{folder.name}.hashes.parquet")
        about = {
            "data_set": self.data_set,
            "labels": self.labels,
            "root": "." if inside else str(self.root.resolve()),
            "bases": {name: str(base) for name, base in self.bases.items()},
            "ego_mask": self.kept(self.ego_mask),
            "reading": asdict(self.reading),
            "videos": [[v.name, v.split, *v.size, self.kept(v.truth), len(v.frames)] for v in self.videos],
        }
        every = [(video, frame) for video in self.videos for frame in video.frames]
        frames: dict[str, list[Any]] = {
            "split": [video.split for video, _ in every],
            "video": [video.name for video, _ in every],
            "image": [self.kept(frame.image) for _, frame in every],
            "label": [self.kept(frame.label) for _, frame in every],
            "time": [frame.time for _, frame in every],
        }
        files = self.files or fingerprints(self, memory, remade=inside)
        write_tables(folder, about, frames, {str(self.kept(file)): known for file, known in files.items()})

    def kept(self, ref: str | None) -> str | None:
        """A ref as it is on disk: @name/… below one of `bases`."""
        if ref is None or not ref.startswith("/"):
            return ref
        for name, base in sorted(self.bases.items(), key=lambda item: -len(str(item[1]))):  # the innermost first
            if ref.startswith(f"{base}/"):
                return f"@{name}{ref.removeprefix(str(base))}"
        return ref

    @staticmethod
    def load(folder: Path) -> "Manifest":
        """Read what `save` wrote; sizes and hashes only when `files` is used.

        Raises:
            UserError: the folder or its manifest is missing or damaged.
        """
        about, (images, labels, times) = read_frames(folder, ["image", "label", "time"])
        try:
            bases = {name: Path(base) for name, base in about.get("bases", {}).items()}
            found = partial(_found, {f"@{name}": str(base) for name, base in bases.items()})
            frames = map(Frame, map(found, images), map(found, labels), times)
            videos = tuple(
                Video(name, split, (height, width), tuple(islice(frames, count)), found(truth))
                for name, split, height, width, truth, count in about["videos"]
            )
            root = folder if about["root"] == "." else Path(about["root"])
            reading, files = Reading(**about["reading"]), FileTable(folder, found)
            ego_mask = found(about["ego_mask"])
            return Manifest(about["data_set"], about["labels"], root, videos, ego_mask, files, reading, bases)
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(folder / FRAMES, error) from error


def _found(bases: Mapping[str, str], ref: Any) -> Any:
    """The opposite of `Manifest.kept`."""
    if not bases or ref is None or not ref.startswith("@"):
        return ref
    name, _, rest = ref.partition("/")
    return f"{bases[name]}/{rest}" if name in bases else ref


def split_ref(ref: str) -> tuple[str, str | None]:
    """("archive.zip", "member") or ("file", None)."""
    file, mark, member = ref.partition(".zip!")  # a ! elsewhere is a letter like others
    return (f"{file}.zip", member) if mark else (ref, None)


def refs(manifest: Manifest) -> Iterable[str]:
    """Every ref of a manifest, in order."""
    for video in manifest.videos:
        for frame in video.frames:
            yield frame.image
            if frame.label is not None:
                yield frame.label
        if video.truth is not None:
            yield video.truth
    if manifest.ego_mask is not None:
        yield manifest.ego_mask


def fingerprints(manifest: Manifest, memory: Path | None = None, remade: bool = False) -> dict[str, dict[str, Any]]:
    """{file: {size in bytes, sha256}} of every file the refs name.

    Args:
        manifest: the data set.
        memory: as in `hash_files`.
        remade: what lies in the root is written anew each time: its hashes need not be remembered.
    """
    files = list(dict.fromkeys(split_ref(ref)[0] for ref in refs(manifest)))
    paths = {file: os.path.join(manifest.root, file) for file in files}  # noqa: PTH118 (quick)
    if not remade:
        return hash_files(paths, memory)
    own = {file: path for file, path in paths.items() if not file.startswith("/")}
    known = hash_files(own, None) | hash_files({file: paths[file] for file in files if file not in own}, memory)
    return {file: known[file] for file in files}


SHRUNK = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


def read_image(root: Path, ref: str, shrink: int = 1) -> np.ndarray:
    """Decode a colour image: (H, W, 3) uint8 RGB.

    Args:
        root: what the ref is relative to.
        ref: of the image.
        shrink: 1, 2, 4 or 8: a JPEG is decoded at that fraction of its size, which is quicker; others come whole.

    Raises:
        UserError: the file is missing, truncated or no image.
    """
    jpeg = split_ref(ref)[1] or ref
    mode = SHRUNK.get(shrink, cv2.IMREAD_COLOR) if jpeg.lower().endswith((".jpg", ".jpeg")) else cv2.IMREAD_COLOR
    return cv2.cvtColor(_decode(root, ref, mode), cv2.COLOR_BGR2RGB)


def read_label(root: Path, ref: str, form: LabelForm = "ids") -> np.ndarray:
    """Decode a label image: (H, W) uint8 ids as the data set wrote them.

    Raises:
        UserError: the file is missing, truncated, or not of the form.
    """
    if form == "palette":
        return _indices(root, ref)
    image = _decode(root, ref, cv2.IMREAD_UNCHANGED)
    if form == "red":
        if image.ndim != 3 or image.dtype != np.uint16:
            raise UserError(
                f"label image {root / ref} has shape {image.shape} and type {image.dtype}; expected several channels "
                "of 16 bits, the first one with the class: is it the original file?"
            )
        red = image[..., 2]  # OpenCV keeps blue first
        if red.max(initial=0) > 255:
            raise UserError(f"label image {root / ref} has id {red.max()}: no class has one above 255")
        return red.astype(np.uint8)
    if image.ndim != 2 or image.dtype != np.uint8:
        raise UserError(
            f"label image {root / ref} has shape {image.shape} and type {image.dtype}; expected one channel of 8 bits"
        )
    return image


def _decode(root: Path, ref: str, mode: int) -> np.ndarray:
    data = _read_bytes(root, ref)
    if not _whole(data):
        raise UserError(f"image {root / ref} is truncated ({len(data)} bytes): copy it again")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    if image is None:
        raise UserError(f"{root / ref} is not an image that can be decoded: replace it")
    return image


def _indices(root: Path, ref: str) -> np.ndarray:
    """The indices of a palette PNG, which OpenCV would turn into colours."""
    from PIL import Image

    data = _read_bytes(root, ref)
    if not _whole(data):
        raise UserError(f"image {root / ref} is truncated ({len(data)} bytes): copy it again")
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files
        raise UserError(f"{root / ref} is not an image that can be decoded: replace it") from error
    if image.mode not in ("P", "L"):
        raise UserError(
            f"label image {root / ref} is not indexed (its mode is {image.mode}): colours do not name classes without "
            "doubt; use the original files"
        )
    return np.array(image)


def _without_ego(label: np.ndarray, ego_class: int) -> np.ndarray:
    """255 where the piece of `ego_class` is that touches the middle of the bottom row (8-connected)."""
    middle = label.shape[1] // 2
    if label[-1, middle] != ego_class:
        return label
    _, pieces = cv2.connectedComponents((label == ego_class).astype(np.uint8), connectivity=8)
    return np.where(pieces == pieces[-1, middle], np.uint8(255), label)


def _whole(data: bytes) -> bool:
    """False if a PNG or JPEG lacks its end marker (OpenCV would fill the rest with grey and say nothing)."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" in data[-16:]
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9", _scan_start(data)) >= 0
    return len(data) > 0


def _scan_start(data: bytes) -> int:
    """Where a JPEG's pixels begin, after its headers (which may hold a whole small JPEG)."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return position


def _read_bytes(root: Path, ref: str) -> bytes:
    file, member = split_ref(ref)
    path = root / file
    try:
        if member is None:
            return path.read_bytes()
        return _archive(str(path), path.stat().st_mtime_ns, os.getpid()).read(member)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: put it back or run the download stage again") from error
    except (KeyError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(f"{path} is damaged or has no {member}: delete it and run the download stage again") from error


@lru_cache(maxsize=64)
def _archive(path: str, _changed: int, _process: int) -> zipfile.ZipFile:
    """An open archive of this process (a fork must not share its file position); opening costs more than a frame."""
    return zipfile.ZipFile(path)
