"""Archives, written tiny."""

import io
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from crossfade.data.getting.archives import open_archive
from crossfade.data.getting.bringing import bring_out
from crossfade.errors import UserError

SIZE = (24, 32)


def png(seed: int) -> bytes:
    image = np.random.default_rng(seed).integers(0, 255, (*SIZE, 3), np.uint8)
    return cv2.imencode(".png", image)[1].tobytes()


def label(value: int = 7) -> bytes:
    return cv2.imencode(".png", np.full(SIZE, value, np.uint8))[1].tobytes()


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def sequences() -> dict[str, bytes]:
    """Two snippets of 30 frames, one in a city whose labelled frames have other numbers; a split nobody asked for."""
    files = {f"leftImg8bit_sequence/train/aachen/aachen_000019_{k:06d}_leftImg8bit.png": png(k) for k in range(30)}
    for k in range(280, 310):
        files[f"leftImg8bit_sequence/val/frankfurt/frankfurt_000000_{k:06d}_leftImg8bit.png"] = png(k)
        files[f"leftImg8bit_sequence/test/berlin/berlin_000000_{k:06d}_leftImg8bit.png"] = png(k)
    return files | {"README": b"x", "license.txt": b"y"}


def fine() -> dict[str, bytes]:
    files = {}
    for split, city, stem in (
        ("train", "aachen", "aachen_000019_000019"),
        ("val", "frankfurt", "frankfurt_000000_000294"),
        ("test", "berlin", "berlin_000000_000299"),
    ):
        files[f"gtFine/{split}/{city}/{stem}_gtFine_labelIds.png"] = label()
        files[f"gtFine/{split}/{city}/{stem}_gtFine_color.png"] = png(1)
    return files


def below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def cityscapes(folder: Path, *archives: Path, **more: object) -> dict[str, object]:
    return {"kind": "cityscapes", "root": str(folder / "raw"), "archives": [str(a) for a in archives], **more}


def refusal(path: Path, folder: Path) -> str:
    """What is said when everything of an archive is brought out; nothing may be written outside the folder."""

    def everything() -> None:
        archive = open_archive(path, "d")
        bring_out("d", [archive], {name: name for name in archive.members}, folder)

    with pytest.raises(UserError) as caught:
        everything()
    return str(caught.value)
