from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from crossfade.data.manifest import Frame, Manifest, Video
from crossfade.errors import UserError
from crossfade.motion.estimate import estimate_data_set, neighbours, read_index
from crossfade.motion.parameters import MotionParameters
from crossfade.motion.score import score_against_truth
from crossfade.motion.store import MotionArchive, MotionWriter

SIZE = (48, 64)
STEP = 2
"""Pixels by which the picture moves to the right from frame to frame."""


def make_video(root: Path, name: str, frames: int = 4, split: str = "train", times: list[float] | None = None) -> Video:
    """A texture that moves by `STEP` pixels a frame, with its exact motion."""
    noise = np.random.default_rng(int(name)).random((SIZE[0], SIZE[1] + 40, 3)).astype(np.float32)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    (root / name).mkdir(parents=True)
    listed = []
    for index in range(frames):
        x = 40 - STEP * index
        cv2.imwrite(str(root / name / f"{index}.png"), texture[:, x : x + SIZE[1]])
        listed.append(Frame(f"{name}/{index}.png", None, (times or [k / 10 for k in range(frames)])[index]))
    truth = f"{name}.truth"
    with MotionWriter(root / truth, SIZE, name, frames) as writer:
        for i in range(frames):
            for j in range(frames):
                if 0 < abs(i - j) <= 2:
                    flow = np.zeros((2, *SIZE), np.float32)
                    flow[0] = STEP * (j - i)
                    x = np.arange(SIZE[1]) + STEP * (j - i)
                    writer.add(i, j, flow, np.broadcast_to((x >= 0) & (x < SIZE[1]), SIZE))
    return Video(name, split, SIZE, tuple(listed), truth)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    root = tmp_path / "data"
    videos = (make_video(root, "001"), make_video(root, "002"), make_video(root, "003", split="val"))
    return Manifest("moving", "camvid11", root, videos)


def stamps(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.glob("*/*.motion")}


def test_neighbours_are_near_in_time() -> None:
    assert neighbours([0.0, 0.1, 0.2], [1, 2], 0.25) == [(1, 0), (2, 1), (2, 0)]
    assert neighbours([0.0, 0.1, 0.2], [2, 1], 0.15) == [(1, 0), (2, 1)]
    assert neighbours([0.0, 1.0, 1.1], [1, 2], 0.25) == [(2, 1)]  # as CamVid's frames, one a second
    assert neighbours([0.0, 0.1 + 0.2], [1], 0.3) == [(1, 0)]  # 0.30000000000000004


def test_a_data_set_is_estimated(manifest: Manifest, tmp_path: Path) -> None:
    parameters = MotionParameters(estimator="dis", preset="medium", spans=(1, 2))
    index_file = estimate_data_set(manifest, parameters, tmp_path / "motion")
    index = read_index(tmp_path / "motion")
    assert index_file == tmp_path / "motion/index.json"
    assert (index["data_set"], index["estimator"], index["spans"]) == ("moving", "dis", [1, 2])
    assert sorted(index["videos"]) == ["train/001", "train/002", "val/003"]
    assert index["videos"]["val/003"]["file"] == "val/003.motion"
    with MotionArchive(tmp_path / "motion/train/001.motion") as archive:
        assert archive.pairs == {(i, j) for i in range(4) for j in range(4) if 0 < abs(i - j) <= 2}
        flow, valid = archive.read(2, 0)
        assert np.median(flow[0]) == pytest.approx(-2 * STEP, abs=0.3)
        back, _ = archive.read(0, 2)
        assert np.median(back[0]) == pytest.approx(2 * STEP, abs=0.3)
        assert valid[:, 8:].mean() > 0.9
        assert not valid[:, : 2 * STEP].any()  # what came in from the left was not in the frame before


def test_frames_far_apart_have_no_motion(tmp_path: Path) -> None:
    video = make_video(tmp_path / "data", "001", times=[0.0, 1.0, 2.0, 2.1])
    estimate_data_set(
        Manifest("slow", "camvid11", tmp_path / "data", (video,)), MotionParameters(), tmp_path / "motion"
    )
    assert MotionArchive(tmp_path / "motion/train/001.motion").pairs == {(3, 2), (2, 3)}


def test_processes_change_no_result(manifest: Manifest, tmp_path: Path) -> None:
    estimate_data_set(manifest, MotionParameters(), tmp_path / "one", workers=1)
    estimate_data_set(manifest, MotionParameters(), tmp_path / "two", workers=2)
    assert read_index(tmp_path / "one") == read_index(tmp_path / "two")


def test_an_error_in_a_process_reaches_the_user(manifest: Manifest, tmp_path: Path) -> None:
    (manifest.root / "002/1.png").unlink()
    with pytest.raises(UserError, match=r"002/1.png .*is missing"):
        estimate_data_set(manifest, MotionParameters(), tmp_path / "motion", workers=2)
    assert not (tmp_path / "motion/index.json").exists()


def test_finished_videos_are_kept(manifest: Manifest, tmp_path: Path) -> None:
    folder = tmp_path / "motion"
    estimate_data_set(manifest, MotionParameters(), folder)
    index, before = read_index(folder), stamps(folder)
    (folder / "train/001.motion").unlink()  # never begun
    whole = (folder / "train/002.motion").read_bytes()
    (folder / "train/002.motion").write_bytes(whole[:-100])  # truncated
    estimate_data_set(manifest, MotionParameters(), folder)
    after = stamps(folder)
    assert after["val/003.motion"] == before["val/003.motion"]
    assert after["train/002.motion"] != before["train/002.motion"]
    assert read_index(folder) == index


@pytest.mark.parametrize("changed", [{"preset": "fast"}, {"spans": (1,)}, {"absolute_tolerance": 0.1}])
def test_other_parameters_make_it_anew(manifest: Manifest, tmp_path: Path, changed: dict[str, object]) -> None:
    folder = tmp_path / "motion"
    estimate_data_set(manifest, MotionParameters(), folder)
    before = stamps(folder)
    estimate_data_set(manifest, MotionParameters(**changed), folder)
    assert all(after != before[name] for name, after in stamps(folder).items())


def test_other_frames_make_it_anew(manifest: Manifest, tmp_path: Path) -> None:
    folder = tmp_path / "motion"
    estimate_data_set(manifest, MotionParameters(), folder)
    before = stamps(folder)
    path = str(manifest.root / "002/1.png")
    cv2.imwrite(path, 255 - cv2.imread(path))
    estimate_data_set(manifest, MotionParameters(), folder)
    assert {name for name, after in stamps(folder).items() if after != before[name]} == {"train/002.motion"}


def test_motion_of_a_video_that_is_gone_is_removed(manifest: Manifest, tmp_path: Path) -> None:
    estimate_data_set(manifest, MotionParameters(), tmp_path / "motion")
    estimate_data_set(replace(manifest, videos=manifest.videos[1:]), MotionParameters(), tmp_path / "motion")
    assert sorted(stamps(tmp_path / "motion")) == ["train/002.motion", "val/003.motion"]


def test_exact_motion_is_the_truth(manifest: Manifest, tmp_path: Path) -> None:
    estimate_data_set(manifest, MotionParameters(estimator="exact", spans=(1,)), tmp_path / "motion")
    with (
        MotionArchive(tmp_path / "motion/val/003.motion") as archive,
        MotionArchive(manifest.root / "003.truth") as truth,
    ):
        assert archive.pairs == {(1, 0), (0, 1), (2, 1), (1, 2), (3, 2), (2, 3)}
        for pair in archive.pairs:
            for own, true in zip(archive.read(*pair), truth.read(*pair), strict=True):
                assert np.array_equal(own, true)
    scores = score_against_truth(manifest, tmp_path / "motion")
    assert scores["end_point_error"] == scores["outliers"] == 0
    assert scores["validity_precision"] == scores["validity_recall"] == 1
    assert scores["pairs"] == 18


def test_estimated_motion_is_scored(manifest: Manifest, tmp_path: Path) -> None:
    estimate_data_set(manifest, MotionParameters(), tmp_path / "motion")
    scores = score_against_truth(manifest, tmp_path / "motion")
    assert 0 < scores["end_point_error_valid"] < scores["end_point_error"] < 0.6
    assert scores["outliers"] < 0.03
    assert scores["validity_precision"] > 0.97
    assert scores["validity_recall"] > 0.85


def test_truth_without_a_span(manifest: Manifest, tmp_path: Path) -> None:
    parameters = MotionParameters(estimator="exact", spans=(1, 3), max_gap=10.0)
    with pytest.raises(UserError, match=r"has no span 3: name it in the data set's `spans` too"):
        estimate_data_set(manifest, parameters, tmp_path / "motion", 1)


def test_no_truth(manifest: Manifest, tmp_path: Path) -> None:
    blind = replace(manifest, videos=tuple(replace(video, truth=None) for video in manifest.videos))
    with pytest.raises(UserError, match="no exact motion: choose"):
        estimate_data_set(blind, MotionParameters(estimator="exact"), tmp_path / "motion")
    with pytest.raises(UserError, match="no exact motion to score against"):
        score_against_truth(blind, tmp_path / "motion")


def test_truth_of_another_video(manifest: Manifest, tmp_path: Path) -> None:
    swapped = replace(manifest.videos[0], truth=manifest.videos[1].truth)
    with pytest.raises(UserError, match="does not fit video 001"):
        estimate_data_set(
            replace(manifest, videos=(swapped,)), MotionParameters(estimator="exact"), tmp_path / "motion"
        )


def test_frames_of_different_sizes(manifest: Manifest, tmp_path: Path) -> None:
    cv2.imwrite(str(manifest.root / "002/2.png"), np.zeros((30, 64, 3), np.uint8))
    with pytest.raises(UserError, match=r"002/2.png is 64x30, but .* are 64x48"):
        estimate_data_set(manifest, MotionParameters(), tmp_path / "motion")
    assert not (tmp_path / "motion/train/002.motion").exists()
