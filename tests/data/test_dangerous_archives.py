"""What is dangerous, damaged or not an archive is refused in a sentence, and writes nothing."""

import os
import stat
import tarfile
import zipfile
from collections import namedtuple

import pytest
from tiny_archives import below, cityscapes, png, refusal, tarred, zipped

from crossfade.data import prepare_data_set
from crossfade.data.getting import bringing
from crossfade.errors import UserError


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "a\\..\\evil.png", "C:/evil.png"])
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
    monkeypatch.setattr(bringing.shutil, "disk_usage", lambda _: usage(1, 1, 1000))
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
