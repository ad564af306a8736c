"""Footage becomes clips: shots are cut, stillness is left out, times are the file's own."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from crossfade.data.footage import FootageParameters, Survey, named, prepare, shot_starts, stretches, survey
from crossfade.data.labels import load_label_space
from crossfade.data.loading import Domain, frames_in_order
from crossfade.data.manifest import UNLABELLED, read_image
from crossfade.data.video import VideoWriter, open_frames
from crossfade.errors import UserError
from crossfade.evaluation import evaluate
from crossfade.experiment import Place
from crossfade.motion.estimate import estimate_data_set
from crossfade.motion.parameters import MotionParameters
from crossfade.networks import NetworkParameters
from crossfade.pair_index import index_pair
from crossfade.params import Pair
from crossfade.temporal import ModelParameters, build_video_network

RATE = 12.0
SHARED = Path(__file__).resolve().parents[2] / "../shared/data/footage"


def drive(path: Path, shots: list[tuple[int, int]], size: tuple[int, int] = (72, 96), rate: float = RATE) -> Path:
    """A video of shots (frames, pixels a frame): each a pan over a picture of its own."""
    with VideoWriter(path, rate) as writer:
        for k, (frames, speed) in enumerate(shots):
            wide = np.random.default_rng(k).integers(0, 255, (5, 24), np.uint8)
            wide = cv2.resize(wide, (size[1] * 6, size[0]), interpolation=cv2.INTER_CUBIC)
            for t in range(frames):
                writer.add(np.repeat(wide[:, speed * t : speed * t + size[1], None], 3, 2))
    return path


def look(path: Path, **options) -> tuple[Survey, FootageParameters]:
    parameters = FootageParameters(videos=str(path), clip_frames=6, **options)
    return survey(open_frames(path), parameters.rate), parameters


def test_shots_are_cut_where_the_picture_changes(tmp_path):
    seen, parameters = look(drive(tmp_path / "a.mp4", [(20, 2), (25, 3)]))
    assert len(seen.times) == 45
    assert np.flatnonzero(shot_starts(seen, parameters)).tolist() == [20]
    assert [(s.first, s.count) for s in stretches(0, seen, parameters)] == [
        *((0, 6), (6, 6), (12, 6)), *((20, 6), (26, 6), (32, 6), (38, 6))
    ]  # fmt: skip


def test_a_parked_stretch_is_left_out(tmp_path):
    seen, parameters = look(drive(tmp_path / "a.mp4", [(30, 2), (40, 0), (30, 2)]))
    found = [k for s in stretches(0, seen, parameters) for k in range(s.first, s.first + s.count)]
    assert found
    assert not [k for k in found if 38 <= k < 62]  # the edges are as blurred as the running median is wide
    assert len(found) >= 40


def test_a_gap_in_time_ends_a_clip():
    times = np.concatenate([np.arange(10) / RATE, 5 + np.arange(10) / RATE])
    seen = Survey(times, np.full(20, 8.0))
    assert np.flatnonzero(shot_starts(seen, FootageParameters(videos="x"))).tolist() == [10]


def test_footage_faster_than_the_rate_is_thinned(tmp_path):
    seen, _ = look(drive(tmp_path / "a.mp4", [(60, 1)], rate=30.0))
    assert 23 <= len(seen.times) <= 25
    assert np.diff(seen.times).max() < 2 / RATE
    slow, _ = look(drive(tmp_path / "b.mp4", [(20, 1)], rate=5.0))
    assert len(slow.times) == 20  # no frame is given out twice


def test_slow_footage_is_not_all_gaps(tmp_path):
    seen, parameters = look(drive(tmp_path / "a.mp4", [(30, 2)], rate=5.0))
    assert len(stretches(0, seen, parameters)) == 5


def test_a_video_of_one_frame_is_no_clip_and_no_harm(tmp_path):
    seen, parameters = look(drive(tmp_path / "a.mp4", [(1, 2)]))
    assert len(seen.times) == 1
    assert stretches(0, seen, parameters) == []


def test_clips_are_written_with_the_footage_s_frames_and_times(tmp_path):
    drive(tmp_path / "drives/b.mp4", [(24, 2)])
    drive(tmp_path / "drives/a.mp4", [(24, 3)])
    folder = tmp_path / "footage"
    parameters = FootageParameters(videos=str(tmp_path / "drives/*.mp4"), clip_frames=6, clips=6, height=36)
    manifest = prepare(parameters, folder)
    assert manifest.labels == UNLABELLED
    assert [video.split for video in manifest.videos] == ["train"] * 5 + ["val"]
    assert {video.size for video in manifest.videos} == {(36, 48)}
    assert {video.name[:3] for video in manifest.videos} == {"000", "001"}
    last = manifest.videos[-1]
    first = int(last.name.split("-")[1])
    assert [frame.time for frame in last.frames] == pytest.approx([(first + k) / RATE for k in range(6)], abs=1e-3)
    frames = list(open_frames(tmp_path / "drives/b.mp4"))
    kept = read_image(manifest.root, last.frames[2].image)
    expected = cv2.resize(frames[first + 2], (48, 36), interpolation=cv2.INTER_AREA)
    assert np.abs(kept.astype(int) - expected).mean() < 3
    again = prepare(parameters, tmp_path / "again" / "footage")
    assert again.files == manifest.files


def test_a_folder_of_frames_is_footage(tmp_path):
    video = drive(tmp_path / "a.mp4", [(24, 2)])
    (tmp_path / "frames").mkdir()
    for k, frame in enumerate(open_frames(video)):
        cv2.imwrite(str(tmp_path / f"frames/{k}.png"), frame)
    manifest = prepare(FootageParameters(videos=str(tmp_path / "frames"), clip_frames=6), tmp_path / "footage")
    assert len(manifest.videos) == 4


def test_a_video_named_twice_is_read_once_and_some_clips_are_learned_from(tmp_path):
    path = drive(tmp_path / "drives" / "a.mp4", [(40, 2)])
    assert named([str(path), f"{path.parent}/*.mp4", str(path.parent)]) == [path]
    videos = prepare(FootageParameters(videos=str(path), clip_frames=6, validation=0.9), tmp_path / "footage").videos
    assert {video.split for video in videos} == {"train", "val"}


def test_what_cannot_be_used_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="there is nothing at"):
        prepare(FootageParameters(videos=str(tmp_path / "*.mp4")), tmp_path / "footage")
    drive(tmp_path / "parked.mp4", [(60, 0)])
    with pytest.raises(UserError, match="in which something moves"):
        prepare(FootageParameters(videos=str(tmp_path / "parked.mp4")), tmp_path / "footage")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes((tmp_path / "parked.mp4").read_bytes()[:-200])
    with pytest.raises(UserError, match="truncated"):
        prepare(FootageParameters(videos=str(broken)), tmp_path / "footage")
    assert not (tmp_path / "footage" / "manifest.parquet").exists()


def test_footage_goes_through_motion_index_and_evaluation(tmp_path):
    """Everything a pair does with a target that has no labels, and what is measured without them."""
    place = Place(tmp_path)
    target = prepare(
        FootageParameters(videos=str(drive(tmp_path / "a.mp4", [(24, 2)])), clip_frames=6), place.data("mine")
    )
    source = Place(tmp_path).data("street")
    from crossfade.data import prepare_data_set

    look = {"kind": "street", "look": "plain", "size": [48, 64], "splits": {"train": {"videos": 1, "frames": 3}}}
    street = prepare_data_set(look, source)
    estimate_data_set(street, MotionParameters(estimator="exact"), place.motion("street"), 1)
    estimate_data_set(target, MotionParameters(preset="fast"), place.motion("mine"), 1)
    pair = Pair(source="street", target="mine", label_space="camvid11", size=(48, 64))
    assert "checked" in index_pair(place, "pair", pair)[-1]
    domain = Domain(target, place.motion("mine"), load_label_space("camvid11"), (48, 64), ("val",))
    assert len(list(frames_in_order(domain, domain.videos[0]))) == 6
    network = build_video_network(
        ModelParameters(network=NetworkParameters(kind="deeplab", pretrained=False, channels=16)), 11
    ).eval()
    result = evaluate(network, domain, checkpoint={"which": "first", "rule": "none"})
    assert result.metrics["miou"] is None
    assert set(result.metrics["iou"].values()) == {None}
    assert result.metrics["temporal_consistency"]["pixels"] > 0
    assert 0 <= result.metrics["label_free"]["entropy"] <= 1
    assert result.metrics["frames"] == 0
    assert list(result.strips[0].panels) == ["frame", "prediction"]
    result.save(tmp_path / "out")
    assert (tmp_path / "out" / "side_by_side.mp4").is_file()


@pytest.mark.skipif(not SHARED.is_dir(), reason="the sample footage is not beside the project")
def test_real_footage_is_divided(tmp_path):
    manifest = prepare(FootageParameters(videos=str(SHARED / "*.mp4")), tmp_path / "footage")
    assert len(manifest.videos) >= 8
    assert {len(video.frames) for video in manifest.videos} == {12}
    assert all(video.size[0] == 480 for video in manifest.videos)
