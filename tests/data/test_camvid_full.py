"""The 701 stills of CamVid, written tiny: colour-coded labels, videos that begin elsewhere, frames taken out before."""

import os
import pickle

import cv2
import numpy as np
import pytest
from tiny_layouts import CAMVID_SIZE as SIZE
from tiny_layouts import camvid_scene as scene
from tiny_layouts import refusal

from crossfade.data import manifest_files, prepare_data_set
from crossfade.data.checks import check_files, check_videos, count_classes
from crossfade.data.labels import load_label_space
from crossfade.data.loading import ClipDataset, Domain
from crossfade.data.manifest_files import read_about
from crossfade.data.video import VideoWriter
from crossfade.files import sha256
from crossfade.motion.estimate import estimate_data_set
from crossfade.motion.parameters import MotionParameters
from crossfade.motion.store import MotionArchive

PAINTED = ["Sky", "Bridge", "Column_Pole", "LaneMkgsDriv", "RoadShoulder", "Void", "Child", "MotorcycleScooter"]
ELEVEN = ["sky", "building", "pole", "road", "pavement", None, "pedestrian", "bicyclist"]
SHOWN = {"0016E5_00004": 5, "0016E5_07961": 9, "0016E5_07963": 11, "0001TP_006664": 4, "Seq05VD_f00002": 3}
"""Stills, and the frame of its video that each shows by the published shift (no video here is as long as 7961)."""


def painted() -> np.ndarray:
    """A column of each of PAINTED's colours."""
    space = load_label_space("camvid32")
    row = np.array([space.colours[space.classes.index(name)] for name in PAINTED], np.uint8)
    return np.repeat(np.repeat(row[None], SIZE[1] // 8, 1), SIZE[0], 0)


def save(path, image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image)


def stills(root, names=tuple(SHOWN)):
    for name in names:
        save(root / f"701_StillsRaw_full/{name}.png", scene(SHOWN[name]))
        save(root / f"LabeledApproved_full/{name}_L.png", painted())
    return {"kind": "camvid", "root": str(root), "layout": "full"}


def videos(root, names=("0016E5", "01TP_extract", "0005VD"), seed=0):
    for name in names:
        root.mkdir(parents=True, exist_ok=True)
        with VideoWriter(root / f"{name}.mp4", 30) as writer:
            for k in range(16):
                writer.add(scene(k, seed))


def test_colours_become_ids_and_the_published_division_follows_the_names(tmp_path):
    raw = stills(tmp_path / "raw")
    manifest = prepare_data_set(raw, tmp_path / "data/camvid")
    assert {(v.split, v.name): [f.image.rsplit("/", 1)[1] for f in v.frames] for v in manifest.videos} == {
        ("train", "0001TP"): ["0001TP_006664.png"],
        ("train", "0016E5"): ["0016E5_00004.png"],
        ("val", "0016E5"): ["0016E5_07961.png", "0016E5_07963.png"],
        ("test", "Seq05VD"): ["Seq05VD_f00002.png"],
    }
    space = load_label_space("camvid11")
    domain = Domain(manifest, None, space, SIZE, ("val",))
    label = domain.label(str(domain.videos[0].frames[0].label))
    assert [None if k == 255 else space.classes[k] for k in label[0, 6::12]] == ELEVEN
    assert (label == label[:1]).all()
    check_files(manifest)
    assert count_classes(manifest, ("train", "val", "test"), space).sum() == 5 * SIZE[0] * SIZE[1] * 7 // 8
    again = prepare_data_set(raw, tmp_path / "again/camvid")
    digests = [sorted(v["sha256"] for v in (m.files or {}).values()) for m in (manifest, again)]
    assert digests[0] == digests[1]


def test_a_few_stray_pixels_are_ignored_and_a_resized_label_is_refused(tmp_path):
    raw = stills(tmp_path / "raw", ["0016E5_00004"])
    path = tmp_path / "raw/LabeledApproved_full/0016E5_00004_L.png"
    strayed = painted()
    strayed[5, 50] = (1, 2, 3)
    save(path, strayed)
    manifest = prepare_data_set(raw, tmp_path / "data/camvid")
    label = manifest.label(str(manifest.videos[0].frames[0].label))
    assert label[5, 50] == 255
    assert label[5, 49] == label[6, 50] == 13  # RoadShoulder
    save(path, cv2.resize(cv2.resize(painted(), (50, 30)), (96, 72)))
    assert "have colours that no class of 'camvid32' has, first" in refusal(raw, tmp_path)


def test_neighbours_are_taken_out_of_the_videos_at_the_published_shift(tmp_path):
    raw = stills(tmp_path / "raw", ["0016E5_00004", "0001TP_006664", "Seq05VD_f00002"])
    videos(tmp_path / "raw/videos")
    manifest = prepare_data_set(raw | {"sequences": "videos", "before": 4, "after": 1}, tmp_path / "data/camvid")
    assert [(v.split, v.name, len(v.frames)) for v in manifest.videos] == [
        ("train", "0001TP_006664", 6),
        ("train", "0016E5_00004", 6),
        ("test", "Seq05VD_f00002", 5),  # its fourth frame back would be before the video
    ]
    for video in manifest.videos:
        (now,) = [k for k, frame in enumerate(video.frames) if frame.label is not None]
        for k, frame in enumerate(video.frames):
            gaps = [np.abs(manifest.image(frame.image).astype(int) - scene(j)).mean() for j in range(16)]
            assert int(np.argmin(gaps)) == SHOWN[video.name] + k - now, (video.name, k)
            assert min(gaps) < 8
    domain = Domain(manifest, None, load_label_space("camvid11"), SIZE, ("train",))
    assert len(ClipDataset(domain, (-4, -3, -2, -1, 0), labels=True)) == 2
    check_videos(manifest, ("train", "test"))


def test_a_video_that_does_not_line_up_is_told_with_the_shift_that_would(tmp_path):
    raw = stills(tmp_path / "raw", ["0016E5_00004"]) | {"sequences": "videos", "before": 1}
    folder = tmp_path / "raw/videos"
    videos(folder)
    assert "shift: {0016E5: 1}" in refusal(raw | {"shift": {"0016E5": -1}}, tmp_path)
    videos(folder, ["0016E5"], seed=7)
    assert "is it the right video" in refusal(raw, tmp_path)
    (folder / "0016E5.mp4").unlink()
    assert "has no video of sequence 0016E5: put 0016E5 (.MXF or .avi) there" in refusal(raw, tmp_path)
    assert "before and after need sequences" in refusal(raw | {"sequences": None}, tmp_path)


@pytest.mark.parametrize("by", ["number", "index"])
def test_frames_that_somebody_took_out_serve_too(tmp_path, by):
    """TMANet's image_sequence/ has names as the stills', DAVSS' video_image/ a folder a sequence, by index."""
    names = ["0016E5_07961", "0016E5_07963"]
    raw = stills(tmp_path / "raw", names) | {"sequences": "frames", "before": 2}
    for number in range(7958, 7964):
        file = f"0016E5_{number:05d}" if by == "number" else f"0016E5/0016E5_{number + 1:06d}"
        save(tmp_path / f"raw/frames/{file}.png", scene(number - 7952))
    manifest = prepare_data_set(raw, tmp_path / "data/camvid")
    assert [v.name for v in manifest.videos] == names
    second = manifest.videos[1].frames
    assert [round(frame.time * 30) for frame in second] == [7961, 7962, 7963]
    assert [frame.label is None for frame in second] == [True, True, False]  # 7961 is a still, but counts once only
    assert all(np.array_equal(manifest.image(f.image), scene(k)) for f, k in zip(second, (9, 10, 11), strict=True))
    for path in (tmp_path / "raw/frames").rglob("*.png"):
        path.rename(path.with_name(path.name.replace("_0", "_9")))
    assert "has no neighbour of 0016E5_07961: are they named like" in refusal(raw, tmp_path)


def test_the_same_data_elsewhere_are_the_same_data(tmp_path, monkeypatch):
    """Where data lie decides nothing, and what lies outside the data folder is hashed once."""
    hashed: list[str] = []
    monkeypatch.setattr(manifest_files, "sha256", lambda path: hashed.append(path.name) or sha256(path))
    names = ["0016E5_07961", "0016E5_07963"]
    for place in ("A", "B"):
        raw = stills(tmp_path / place / "raw", names) | {"before": 2, "sequences": str(tmp_path / place / "frames")}
        for number in range(7958, 7964):
            save(tmp_path / place / f"frames/0016E5_{number:05d}.png", scene(number - 7952))
        for path in (tmp_path / place).rglob("*.png"):
            os.utime(path, ns=(10**18, 10**18))
        manifest = prepare_data_set(raw, tmp_path / place / "data/camvid")
        assert manifest.videos[1].frames[0].image == str(tmp_path / place / "raw/701_StillsRaw_full/0016E5_07961.png")
        assert manifest.videos[0].frames[0].image == str(tmp_path / place / "frames/0016E5_07959.png")
        check_files(manifest)
        check_files(pickle.loads(pickle.dumps(manifest)))
        assert sorted(hashed) == sorted(["0016E5.zip", *(f"0016E5_0{k}.png" for k in (7959, 7960, 7961, 7962, 7963))])
        hashed.clear()
        prepare_data_set(raw, tmp_path / place / "data/camvid")
        assert hashed == ["0016E5.zip"]  # the labels, just written
        hashed.clear()
        estimate_data_set(manifest, MotionParameters(preset="ultrafast", spans=(1,)), tmp_path / place / "motion")
    contents = [read_about(tmp_path / place / "data/camvid")["content"] for place in ("A", "B")]
    assert contents[0] == contents[1]
    origins = []
    for place in ("A", "B"):
        with MotionArchive(next((tmp_path / place / "motion").rglob("*.motion"))) as archive:
            origins.append(archive.origin)
    assert origins[0] == origins[1]
    save(tmp_path / "B/frames/0016E5_07959.png", scene(0))
    prepare_data_set(raw, tmp_path / "B/data/camvid")
    assert read_about(tmp_path / "B/data/camvid")["content"] != contents[1]


def test_lists_of_names_and_index_labels(tmp_path):
    """TMANet: annotations/*.txt name stills, images/, labels/*_L.png with void first; DAVSS: "image label" lines."""
    root = tmp_path / "raw"
    for name in ("0016E5_00004", "Seq05VD_f00002"):
        save(root / f"images/{name}.png", scene(SHOWN[name]))
        save(root / f"labels/{name}_L.png", np.repeat(np.arange(12, dtype=np.uint8), 8)[None].repeat(72, 0))
    (root / "annotations").mkdir()
    (root / "annotations/train.txt").write_text("0016E5_00004\n")
    (root / "annotations/test.txt").write_text("video_image/Seq05VD/Seq05VD_000003.png label/Seq05VD_f00002.png\n")
    raw = {"kind": "camvid", "root": str(root), "layout": "full", "stills": "images", "labels": "labels"}
    raw |= {"lists": "annotations", "label_form": "void_first"}
    manifest = prepare_data_set(raw, tmp_path / "data/camvid")
    assert [(v.split, v.name) for v in manifest.videos] == [("train", "0016E5"), ("test", "Seq05VD")]
    domain = Domain(manifest, None, load_label_space("camvid11"), SIZE, ("test",))
    assert domain.label(str(domain.videos[0].frames[0].label))[0, ::8].tolist() == [255, *range(11)]
    (root / "annotations/train.txt").write_text("0016E5_00004\nlabel/0016E5_00004_L.png\n")
    assert "train.txt lists 0016E5_00004 twice, in lines 1 and 2: remove" in refusal(raw, tmp_path)
    (root / "annotations/train.txt").write_text("0016E5_00005\n")
    assert "line 1 of" in refusal(raw, tmp_path)
    (root / "images/late.png").write_bytes((root / "images/0016E5_00004.png").read_bytes())
    assert "late.png is not named <sequence>_<number>.png" in refusal(raw, tmp_path)
