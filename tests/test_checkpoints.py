"""Checkpoints are whole or absent; a damaged one falls back to the one before."""

import errno
from pathlib import Path

import pytest
import torch

from crossfade.checkpoints import checkpoints, newest_checkpoint, save_checkpoint
from crossfade.errors import UserError


def save(folder, step, fingerprint="a"):
    return save_checkpoint(folder, step, {"fingerprint": fingerprint, "step": step, "network": {"w": torch.ones(3)}})


def test_newest_is_found_and_old_ones_are_pruned(tmp_path):
    for step in (1, 2, 10):
        save(tmp_path, step)
    assert [p.name for p in checkpoints(tmp_path)] == ["step-00000002.ckpt", "step-00000010.ckpt"]
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


def test_another_configuration_begins_afresh(tmp_path):
    save(tmp_path, 3, "a")
    assert newest_checkpoint(tmp_path, "b") is None


def test_a_full_disk_is_a_sentence_and_leaves_the_old_one(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def full(self, data):
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="no space left"):
        save(tmp_path, 2)
    assert [p.name for p in (tmp_path / "rank-0").iterdir()] == ["step-00000001.ckpt"]
    assert newest_checkpoint(tmp_path, "a")[0] == 1
