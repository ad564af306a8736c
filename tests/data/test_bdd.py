"""BDD100K, written tiny: stills with labels, and videos around frame 307 (here 7)."""

import cv2
import numpy as np
import pytest
from tiny_layouts import SIZE, bdd, bdd_frame, index, refusal, write

from crossfade.data.labels import load_label_space
from crossfade.data.loading import ClipDataset, Domain
from crossfade.data.manifest_files import read_about
from crossfade.data.video import VideoWriter


def shown(manifest, ref) -> int:
    return round(float(manifest.image(ref)[8:-8, 8:24].mean()) / 20)


@pytest.mark.parametrize("turned", [False, True])
def test_neighbours_come_from_the_video_and_the_still_is_the_labelled_frame(tmp_path, turned, capsys):
    manifest = index(bdd(tmp_path / "raw", turned=turned), tmp_path)
    assert "2 stills with their video, 1 without" in capsys.readouterr().out
    assert [(v.split, v.name, v.size) for v in manifest.videos] == [
        ("train", "0004a4c0-d4dff0ad", SIZE),
        ("val", "7d06fefd-f7be05a6", SIZE),
    ]
    frames = manifest.videos[0].frames
    assert [f.label is not None for f in frames] == [False, False, True]
    assert [shown(manifest, f.image) for f in frames[:2]] == [3, 5]
    assert [round(f.time * 30) for f in frames] == [3, 5, 7]
    still = cv2.cvtColor(cv2.imread(str(tmp_path / "raw/images/10k/train/0004a4c0-d4dff0ad.jpg")), cv2.COLOR_BGR2RGB)
    assert np.array_equal(manifest.image(frames[2].image), still)
    domain = Domain(manifest, None, load_label_space("cityscapes19"), SIZE, ("val",))
    label = domain.label(str(domain.videos[0].frames[2].label))
    assert label[0, ::8].tolist() == [0, 1, 10, 11, 13, 18, 255, 2]
    viper = Domain(manifest, None, load_label_space("viper15"), SIZE, ("val",))
    assert viper.label(str(domain.videos[0].frames[2].label))[0, ::8].tolist() == [0, 1, 8, 9, 10, 14, 255, 2]
    assert len(ClipDataset(domain, (-2, -1, 0), labels=True)) == 1


def test_the_frame_of_the_video_can_stand_for_the_still(tmp_path):
    manifest = index(bdd(tmp_path / "raw") | {"labelled": "video", "after": 1}, tmp_path)
    frames = manifest.videos[0].frames
    assert [shown(manifest, f.image) for f in frames] == [3, 5, 7, 9]
    assert [f.label is not None for f in frames] == [False, False, True, False]


def test_lists_choose_stills_and_frames_may_have_been_taken_out_before(tmp_path):
    """UnifiedVideoDA's lists name stills of 10k's train for both splits, with the number of the frame."""
    raw = bdd(tmp_path / "raw", videos=())
    for k in (3, 5, 7):
        write(tmp_path / f"raw/frames/00054602-3bf57337_{k}.jpg", bdd_frame(k)[..., ::-1])
    (tmp_path / "raw/val.txt").write_text("00054602-3bf57337_7\n")
    raw |= {"splits": ["val"], "lists": {"val": "val.txt"}, "videos": "frames"}
    manifest = index(raw, tmp_path)
    assert [(v.split, v.name) for v in manifest.videos] == [("val", "00054602-3bf57337")]
    assert [shown(manifest, f.image) for f in manifest.videos[0].frames[:2]] == [3, 5]
    (tmp_path / "raw/frames/00054602-3bf57337_5.jpg").unlink()
    assert "_5.jpg is missing: take it out of the video" in refusal(raw, tmp_path)
    (tmp_path / "raw/val.txt").write_text("00054602-3bf57337_7\n\n00054602-3bf57337\n")
    assert "val.txt lists 00054602-3bf57337 twice, in lines 1 and 3: remove" in refusal(raw, tmp_path)
    (tmp_path / "raw/val.txt").write_text("nobody_7\n")
    assert "val.txt names nobody, but" in refusal(raw, tmp_path)


@pytest.mark.parametrize("videos", [True, False])
def test_the_same_data_elsewhere_are_the_same_data(tmp_path, videos):
    contents = []
    for place in (tmp_path / "A", tmp_path / "B"):
        raw = bdd(place / "raw", videos=("7d06fefd-f7be05a6",) if videos else ())
        if not videos:
            for k in (3, 5, 7):
                write(place / f"frames/7d06fefd-f7be05a6_{k}.jpg", bdd_frame(k)[..., ::-1])
            raw["videos"] = str(place / "frames")
        index(raw, place)
        contents.append(read_about(place / "data/data_set")["content"])
    assert contents[0] == contents[1]


def test_what_is_wrong_is_one_sentence(tmp_path):
    raw = bdd(tmp_path / "raw", length=5)
    assert "ends before frame 5" in refusal(raw, tmp_path)
    assert not list((tmp_path / "data").rglob("*.zip"))
    assert "begin too early: lower before" in refusal(raw | {"before": 4}, tmp_path)
    assert "there is no folder" in refusal(raw | {"videos": "nowhere"}, tmp_path)
    (tmp_path / "empty").mkdir()
    assert "none of 3 stills has a video" in refusal(raw | {"videos": str(tmp_path / "empty")}, tmp_path)
    with VideoWriter(tmp_path / "raw/videos/train/0004a4c0-d4dff0ad.mp4", 30) as writer:
        writer.add(np.zeros((20, 20, 3), np.uint8))
    assert "is 20x20, its still 64x40: is it the original video?" in refusal(raw, tmp_path)
