"""Checkpoints are whole or absent; a damaged one falls back to the one before."""

import errno
from pathlib import Path

import pytest
import torch

from crossfade.checkpoints import checkpoints, newest_checkpoint, save_checkpoint
from crossfade.errors import UserError
from crossfade.files import atomic_folder, atomic_path


def save(folder, step, fingerprint="a"):
    return save_checkpoint(folder, step, {"fingerprint": fingerprint, "step": step, "network": {"w": torch.ones(3)}})


def test_newest_is_found_and_old_ones_are_pruned(tmp_path):
    for step in (1, 2, 10):
        save(tmp_path, step)
    assert [p.name for p in checkpoints(tmp_path, "a")] == ["step-00000002-a.ckpt", "step-00000010-a.ckpt"]
    assert newest_checkpoint(tmp_path, "a")[0] == 10
    assert newest_checkpoint(tmp_path / "nothing", "a") is None


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b[:200] + b"x" + b[201:], lambda b: b""])
def test_a_damaged_one_falls_back(tmp_path, damage):
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    path.write_bytes(damage(path.read_bytes()))
    assert newest_checkpoint(tmp_path, "a")[0] == 1


def test_all_damaged_is_an_error(tmp_path):
    save(tmp_path, 1).write_bytes(b"nothing")
    with pytest.raises(UserError, match="damaged"):
        newest_checkpoint(tmp_path, "a")


def test_another_configuration_begins_afresh_and_neither_disturbs_the_other(tmp_path):
    for step in (400, 500):
        save(tmp_path, step, "a")
    assert newest_checkpoint(tmp_path, "b") is None
    for step in (100, 200, 300):
        save(tmp_path, step, "b")
        assert newest_checkpoint(tmp_path, "b")[0] == step
    assert newest_checkpoint(tmp_path, "b", at_most=299)[0] == 200
    assert newest_checkpoint(tmp_path, "b", at_most=199) is None
    assert newest_checkpoint(tmp_path, "a")[0] == 500


def test_a_full_disk_is_a_sentence_and_leaves_the_old_one(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def full(self, data):
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="no space left"):
        save(tmp_path, 2)
    assert [p.name for p in (tmp_path / "rank-0").iterdir()] == ["step-00000001-a.ckpt"]
    assert newest_checkpoint(tmp_path, "a")[0] == 1


@pytest.mark.parametrize("write", [atomic_path, atomic_folder])
def test_a_place_that_cannot_be_written_to_is_a_sentence(write, tmp_path):
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path / "file" / "deep" / "out.json", Path("/proc/nothing/out.json"), tmp_path / ("n" * 300)):
        with pytest.raises(UserError, match=r"cannot write .*: choose a place"), write(path) as temporary:
            (temporary if write is atomic_path else temporary / "a").write_text("lost")
    assert (tmp_path / "file").read_text() == "kept"
    with pytest.raises(FileNotFoundError), write(tmp_path / "out"):  # of something else: not ours to explain
        (tmp_path / "elsewhere" / "missing").read_text()
