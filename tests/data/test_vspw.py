"""VSPW's layout, written tiny: odd names, palette masks, videos of different sizes, a test split without masks."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_layouts import index, refusal, vspw, write

from crossfade.cli import main
from crossfade.data.labels import load_label_space
from crossfade.data.loading import ClipDataset, Domain

NAMES = Path(__file__).resolve().parents[2] / "../shared/data/labels/vspw_label_num_dic_final.json"


def test_ids_are_shifted_by_one_and_others_and_void_are_ignored(tmp_path):
    manifest = index(vspw(tmp_path / "raw"), tmp_path)
    assert [(v.split, v.name, v.size) for v in manifest.videos] == [
        ("train", "1001_5z_ijQjUf_0", (40, 64)),
        ("val", "127_-hIVCYO4C90", (64, 40)),
    ]
    assert [frame.time for frame in manifest.videos[0].frames] == pytest.approx([0, 1 / 15, 2 / 15], abs=1e-5)
    assert not list((tmp_path / "data").rglob("*.png"))  # indexed, not copied
    domain = Domain(manifest, None, load_label_space("vspw124"), (64, 40), ("val",))
    label = domain.label(str(domain.videos[0].frames[1].label))
    assert label[0, 2::5].tolist() == [255, 0, 1, 28, 122, 123, 255, 0]
    clip = ClipDataset(domain, (-1, 0), labels=True)[0]
    assert clip.labels is not None
    assert clip.labels[0, :, 0, 2::5].tolist() == [[255, 0, 1, 28, 122, 123, 255, 0]] * 2  # every frame is labelled


def test_grey_masks_are_read_like_palette_masks(tmp_path):
    raw = vspw(tmp_path / "raw")
    for path in (tmp_path / "raw").rglob("mask/*.png"):
        write(path, np.full((40, 64), 17, np.uint8))
    manifest = index(raw | {"splits": ["train"]}, tmp_path)
    assert np.unique(manifest.label(str(manifest.videos[0].frames[0].label))).tolist() == [17]


def test_the_test_split_has_no_masks(tmp_path):
    manifest = index(vspw(tmp_path / "raw") | {"splits": ["test"]}, tmp_path)
    assert [frame.label for video in manifest.videos for frame in video.frames] == [None] * 3


def test_what_is_missing_is_one_sentence(tmp_path):
    raw = vspw(tmp_path / "raw")
    data = tmp_path / "raw/data/127_-hIVCYO4C90"
    (data / "mask/00000017.png").unlink()
    assert "1 of 3 files are missing, first" in refusal(raw, tmp_path)
    (data / "mask").rename(data / "masks")
    assert "mask: val.txt lists it" in refusal(raw, tmp_path)
    (tmp_path / "raw/val.txt").write_text("1001_5z_ijQjUf_0\n1001_5z_ijQjUf_0\n")
    assert "val.txt lists 1001_5z_ijQjUf_0 twice" in refusal(raw, tmp_path)
    (tmp_path / "raw/val.txt").write_text("\n")
    assert "val.txt is empty" in refusal(raw, tmp_path)
    (tmp_path / "raw/val.txt").unlink()
    assert "the folder that holds data/" in refusal(raw, tmp_path)


def test_the_label_space_shows_all_its_classes(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["labels", "vspw124"]) == 0
    said = capsys.readouterr().out
    for k, name in enumerate(load_label_space("vspw124").classes):
        assert any(line.split()[:2] == [str(k), name] for line in said.splitlines()), name
    assert main(["labels", "camvid11"]) == 0
    heading = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(" id"))
    assert heading.split()[2:] == list(load_label_space("camvid11").tables)  # nothing is cut off


@pytest.mark.skipif(not NAMES.is_file(), reason="the published names are not beside the project")
def test_the_names_are_those_published():
    published = {int(number): name for name, number in json.loads(NAMES.read_text()).items()}
    space = load_label_space("vspw124")
    table = space.table("vspw")
    assert table[0] == 255
    assert [space.classes[table[raw]] for raw in range(1, 125)] == [published[raw] for raw in range(1, 125)]
