"""Archives of which only what is needed comes out, and archives that mean harm."""

import io
import os
import stat
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path

import cv2
import numpy as np
import pytest

from crossfade.data import data_set_parameters, prepare_data_set
from crossfade.data.bar import readable
from crossfade.data.getting import archives as archives_module
from crossfade.data.getting.archives import bring_out, open_archive
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


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_only_the_frames_around_labelled_ones_come_out(tmp_path, pack):
    both = (pack(tmp_path / "sequence.archive", sequences()), pack(tmp_path / "fine.archive", fine()))
    manifest = prepare_data_set(cityscapes(tmp_path, *both), tmp_path / "data/cityscapes", workers=2)
    image = "leftImg8bit_sequence/{}/{}/{}_{:06d}_leftImg8bit.png"
    assert below(tmp_path / "raw") == [
        "gtFine/train/aachen/aachen_000019_000019_gtFine_labelIds.png",
        "gtFine/val/frankfurt/frankfurt_000000_000294_gtFine_labelIds.png",
        *(image.format("train", "aachen", "aachen_000019", k) for k in (17, 18, 19)),
        *(image.format("val", "frankfurt", "frankfurt_000000", k) for k in (292, 293, 294)),
    ]
    assert [len(video.frames) for video in manifest.videos] == [3, 3]
    for file, content in sequences().items():
        assert not (tmp_path / "raw" / file).exists() or (tmp_path / "raw" / file).read_bytes() == content


def test_the_offsets_are_the_data_set_s_own_and_labels_may_lie_there_already(tmp_path):
    with zipfile.ZipFile(zipped(tmp_path / "fine.zip", fine())) as archive:
        archive.extractall(tmp_path / "raw")
    sequence = zipped(tmp_path / "sequence.zip", {f"cityscapes/{k}": v for k, v in sequences().items()})
    raw = cityscapes(tmp_path, sequence, before=4, after=1, splits=["val"])
    (video,) = prepare_data_set(raw, tmp_path / "data/c").videos
    assert [int(frame.image.split("_")[-2]) for frame in video.frames] == [290, 291, 292, 293, 294, 295]
    assert not (tmp_path / "raw/leftImg8bit_sequence/train").exists()


def test_what_is_there_is_kept_and_what_is_broken_is_written_again(tmp_path):
    both = (zipped(tmp_path / "sequence.zip", sequences()), zipped(tmp_path / "fine.zip", fine()))
    raw = cityscapes(tmp_path, *both)
    first = prepare_data_set(raw, tmp_path / "data/c")
    files = [tmp_path / "raw" / f for f in below(tmp_path / "raw")]
    whole = {file: file.read_bytes() for file in files}
    before = {file: file.stat().st_ino for file in files}
    shorter, other, gone = files[2:5]
    shorter.write_bytes(whole[shorter][:-5])
    changed = bytearray(whole[other])
    changed[60] ^= 1  # of the same size
    other.write_bytes(changed)
    gone.unlink()
    again = prepare_data_set(raw, tmp_path / "data/c")
    assert {file: file.read_bytes() for file in files} == whole
    kept = {file for file in files if file.stat().st_ino == before[file]}
    assert set(files[:2] + files[5:]) <= kept
    assert again.videos == first.videos


def test_viper_and_synthia_choose_too(tmp_path):
    from PIL import Image

    def palette() -> bytes:
        image = Image.fromarray(np.full(SIZE, 3, np.uint8), "P")
        image.putpalette(list(range(256)) * 3)
        image.save(buffer := io.BytesIO(), "PNG")
        return buffer.getvalue()

    jpg = cv2.imencode(".jpg", np.zeros((*SIZE, 3), np.uint8))[1].tobytes()
    images = {f"VIPER/train/img/001/001_{k:05d}.jpg": jpg for k in range(1, 26)}
    labels = {f"VIPER/train/cls/001/001_{k:05d}.png": palette() for k in range(9, 26)}
    both = [str(zipped(tmp_path / "img.zip", images)), str(tarred(tmp_path / "cls.tgz", labels, "w:gz"))]
    raw = {"kind": "viper", "root": str(tmp_path / "viper"), "archives": both}
    manifest = prepare_data_set(raw, tmp_path / "data/viper", workers=2)
    assert [v.name for v in manifest.videos] == ["001_00010", "001_00020"]
    assert len(below(tmp_path / "viper")) == 8

    red = cv2.imencode(".png", np.full((48, 32, 3), 3, np.uint16))[1].tobytes()
    folder = "SYNTHIA-SEQS-04-DAWN"
    files = {
        f"{folder}/RGB/Stereo_Left/Omni_{c}/{k:06d}.png": png(k) for k in range(3) for s in ("Left",) for c in "FBLR"
    }
    files |= {f"{folder}/GT/LABELS/Stereo_Left/Omni_F/{k:06d}.png": red for k in range(3)}
    files |= {f"{folder}/Depth/Stereo_Left/Omni_F/{k:06d}.png": red for k in range(3)}
    archive = tarred(tmp_path / "dawn.tar", files)
    raw = {"kind": "synthia", "root": str(tmp_path / "synthia"), "archives": [str(archive)], "crop_bottom": 0}
    (video,) = prepare_data_set(raw, tmp_path / "data/synthia").videos
    assert len(below(tmp_path / "synthia")) == 6
    assert len(video.frames) == 3


def refusal(path: Path, folder: Path) -> str:
    """What is said when everything of an archive is brought out; nothing may be written outside the folder."""

    def everything() -> None:
        archive = open_archive(path, "d")
        bring_out("d", [archive], {name: name for name in archive.members}, folder)

    with pytest.raises(UserError) as caught:
        everything()
    return str(caught.value)


@pytest.mark.parametrize("name", ["../evil.png", "/tmp/evil.png", "a/../../evil.png", "a\\..\\evil.png", "C:/evil.png"])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_name_that_leads_outside_is_refused(tmp_path, name, pack):
    said = refusal(pack(tmp_path / "evil.archive", {"good.png": png(0), name: b"x"}), tmp_path / "in/side")
    assert "would be written outside its folder" in said
    assert below(tmp_path) == ["evil.archive"]


def test_links_and_devices_are_refused(tmp_path):
    path = tmp_path / "link.zip"
    with zipfile.ZipFile(path, "w") as archive:
        entry = zipfile.ZipInfo("a")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    assert "is a link, a device or sparse" in refusal(path, tmp_path / "out")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        path = tmp_path / f"{kind!r}.tar"
        with tarfile.open(path, "w") as tar:
            special = tarfile.TarInfo("a")
            special.type, special.linkname = kind, "/etc/passwd"
            tar.addfile(special)
        assert "is a link, a device or sparse" in refusal(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bombs_are_refused(tmp_path):
    big = b"\0" * (40 << 20)
    assert "200-fold" in refusal(zipped(tmp_path / "bomb.zip", {"a": big}), tmp_path / "out")
    assert "200-fold" in refusal(tarred(tmp_path / "bomb.tar.gz", {"a": big}, "w:gz"), tmp_path / "out")
    path = zipped(tmp_path / "overlap.zip", {f"{k:03d}": os.urandom(1 << 16) for k in range(2)})
    raw = bytearray(path.read_bytes())
    start = raw.index(b"PK\x01\x02")
    first = raw[start : start + 46 + 3]
    many = b"".join(first[:46] + f"{k:03d}".encode() for k in range(900))  # all with the bytes of the first member
    end = bytearray(raw[raw.index(b"PK\x05\x06") :])
    end[8:12] = (900).to_bytes(2, "little") * 2
    end[12:16] = len(many).to_bytes(4, "little")
    path.write_bytes(bytes(raw[:start]) + many + bytes(end))
    assert "200-fold" in refusal(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_declared_too_small_does_not_come_out(tmp_path):
    path = zipped(tmp_path / "lie.zip", {"a.png": os.urandom(5000)})
    raw = bytearray(path.read_bytes())
    central = raw.index(b"PK\x01\x02")
    raw[central + 24 : central + 28] = (100).to_bytes(4, "little")
    path.write_bytes(bytes(raw))
    assert "truncated, damaged or encrypted at a.png" in refusal(path, tmp_path / "out")
    assert below(tmp_path) == ["lie.zip"]


def test_damaged_archives_are_named(tmp_path):
    whole = zipped(tmp_path / "whole.zip", {f"{k}.png": png(k) for k in range(9)}).read_bytes()
    cut = tmp_path / "cut.zip"
    cut.write_bytes(whole[: len(whole) // 2])
    assert "cut.zip is no zip or tar archive, or is truncated" in refusal(cut, tmp_path / "out")
    flipped = bytearray(whole)
    flipped[whole.index(b"5.png") + 100] ^= 255
    (tmp_path / "flipped.zip").write_bytes(bytes(flipped))
    said = refusal(tmp_path / "flipped.zip", tmp_path / "out")
    assert "flipped.zip is truncated, damaged or encrypted at 5.png" in said
    assert "5.png" not in below(tmp_path / "out")
    assert "0.png" in below(tmp_path / "out")  # kept for the next time
    tar = tarred(tmp_path / "a.tar.gz", {f"{k}": os.urandom(50_000) for k in range(9)}, "w:gz")
    tar.write_bytes(tar.read_bytes()[:200_000])
    assert "a.tar.gz is no zip or tar archive, or is truncated" in refusal(tar, tmp_path / "out")
    (tmp_path / "s.rar").write_bytes(b"Rar!\x1a\x07\x01\x00rest")
    assert "s.rar is a rar archive, and only zip and tar are read here: unpack it" in refusal(
        tmp_path / "s.rar", tmp_path
    )
    assert "cannot be read (No such file" in refusal(tmp_path / "nowhere.zip", tmp_path)


def test_the_disk_is_asked_before_anything_is_written(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(archives_module.shutil, "disk_usage", lambda _: usage(1, 1, 1000))
    path = zipped(tmp_path / "a.zip", {"a.png": os.urandom(10_000)})
    assert "10.0 KB are to be written" in refusal(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_archives_of_something_else(tmp_path):
    other = zipped(tmp_path / "other.zip", {"leftImg8bit/train/a.png": b"x"})
    with pytest.raises(UserError, match=r"nothing in .*other\.zip is needed; expected was both leftImg8bit_sequence"):
        prepare_data_set(cityscapes(tmp_path, other), tmp_path / "data/c")
    raw = {"kind": "street", "look": "plain", "splits": {}, "archives": [str(other)]}
    with pytest.raises(UserError, match="no root"):
        prepare_data_set(raw, tmp_path / "data/s")


def test_without_any_data_the_screen_says_what_to_do(tmp_path):
    with pytest.raises(UserError) as caught:
        prepare_data_set({"kind": "cityscapes", "root": str(tmp_path / "none")}, tmp_path / "data/cs")
    said = str(caught.value)
    assert "leftImg8bit_sequence_trainvaltest.zip    324 GB" in said
    assert "data_sets.cs.archives" in said
    assert len(said.splitlines()) < 20


def test_keys_of_getting_are_checked():
    assert data_set_parameters({"kind": "viper", "root": "x", "archives": ["a.zip"]}).model_dump()["root"] == Path("x")
    with pytest.raises(ValueError, match="archives"):
        data_set_parameters({"kind": "viper", "root": "x", "archives": 3})


def test_sizes_are_readable():
    assert [readable(n) for n in (12, 2500, 22.5e9, 324e9, 5e15)] == [
        "12 bytes",
        "2.5 KB",
        "22.5 GB",
        "324 GB",
        "5000 TB",
    ]
