"""Shards: bit for bit what the data set gives at the network's size, and nothing stale."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from crossfade.data.loading import ClipDataset
from crossfade.data.shards import shards_folder, write_shards
from crossfade.errors import UserError


def with_shards(domain, folder):
    """The domain at another size than its files', and the same read from shards."""
    small = replace(domain, size=(24, 40))
    where = shards_folder(folder, "0123456789abcdef0123", small.size)
    written = [new for _, new in write_shards(small, where, workers=2)]
    return small, replace(small, shards=where), written


def test_the_same_bits(domain, tmp_path):
    plain, sharded, written = with_shards(domain, tmp_path)
    assert all(written)
    assert "-24x40" in str(sharded.shards)
    needs = {"offsets": (-1, 0), "motion": ((1, 0),), "labels": True}
    one, two = ClipDataset(plain, **needs), ClipDataset(sharded, **needs)
    for k in range(len(one)):
        assert torch.equal(one[k].frames, two[k].frames)
        assert torch.equal(one[k].labels, two[k].labels)


def test_they_are_what_is_read(domain, tmp_path, monkeypatch):
    plain, sharded, _ = with_shards(domain, tmp_path)
    expected = plain.image(plain.videos[0], 1)
    monkeypatch.setattr(type(plain.manifest), "image", lambda *_: pytest.fail("the data set was read"))
    monkeypatch.setattr(type(plain.manifest), "label", lambda *_: pytest.fail("the data set was read"))
    assert np.array_equal(sharded.image(sharded.videos[0], 1), expected)
    assert sharded.label_of(sharded.videos[0], 0).shape == (24, 40)


def test_written_once_and_read_from_the_data_set_where_missing(domain, tmp_path):
    plain, sharded, _ = with_shards(domain, tmp_path)
    assert not any(new for _, new in write_shards(sharded, sharded.shards))
    shutil.rmtree(sharded.shards / "train")
    assert np.array_equal(sharded.image(sharded.videos[0], 0), plain.image(plain.videos[0], 0))


def test_no_room(domain, tmp_path, monkeypatch):
    monkeypatch.setattr("crossfade.data.shards.BYTES_A_PIXEL", 1e15)
    with pytest.raises(UserError, match="make room"):
        list(write_shards(domain, tmp_path / "shards"))
