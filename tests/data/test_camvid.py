"""CamVid's SegNet layout, written tiny, and the real one where it is at hand."""

from pathlib import Path

import pytest
from tiny_layouts import camvid_segnet

from crossfade.data import prepare_data_set
from crossfade.data.checks import check_files, check_videos, count_classes
from crossfade.data.labels import load_label_space
from crossfade.errors import UserError

REAL = Path(__file__).resolve().parents[2] / "../shared/data/camvid"


def index(root, tmp_path):
    return prepare_data_set({"kind": "camvid", "root": str(root)}, tmp_path / "data" / "camvid")


def test_foreign_prefixes_sequences_and_times(tmp_path):
    manifest = index(camvid_segnet(tmp_path / "raw"), tmp_path)
    assert [(v.split, v.name, len(v.frames)) for v in manifest.videos] == [
        ("train", "0001TP", 2),
        ("train", "0016E5", 1),
        ("val", "0016E5", 1),
    ]
    first, second = manifest.videos[0].frames
    assert second.time - first.time == pytest.approx(1.0)
    assert not list((tmp_path / "data").rglob("*.png"))  # indexed, not copied


def test_mistakes_are_sentences(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        index(tmp_path / "nowhere", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no train\.txt"):
        index(tmp_path / "empty", tmp_path)
    root = camvid_segnet(tmp_path / "raw")
    (root / "train" / "0001TP_006720.png").unlink()
    with pytest.raises(UserError, match=r"line 2 of .*train\.txt names train/0001TP_006720\.png"):
        index(root, tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason="real CamVid frames are not beside the project")
def test_real_camvid(tmp_path):
    manifest = index(REAL, tmp_path)
    assert sum(len(v.frames) for v in manifest.split("train")) == 266
    (clip,) = manifest.split("val")
    gaps = {round(b.time - a.time, 4) for a, b in zip(clip.frames, clip.frames[1:], strict=False)}
    assert gaps == {round(2 / 30, 4)}
    assert len(clip.frames) == 51
    check_files(manifest)
    check_videos(manifest, ("val",))
    counts = count_classes(manifest, ("val",), load_label_space("camvid11"))
    assert (counts > 0).sum() >= 9
