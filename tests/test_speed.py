"""What a live video pays for beside the network: reading its frames, and finding their motion."""

import json
import logging
import time
from dataclasses import replace

import cv2
import pytest
from toy_video import reader, video_on_disk

from crossfade import inference, speed
from crossfade.data.manifest import Manifest
from crossfade.data.shards import write_shards
from crossfade.evaluation import evaluate
from crossfade.motion.parameters import MotionParameters
from crossfade.scoring import _record
from crossfade.speed import PAIRS, Speed, seconds_of_motion, seconds_to_decode
from crossfade.tracking import NoTracker

LAST = {"which": "last", "rule": "no selection"}


def on_estimated_motion(root, **parameters):
    """The toy video, whose motion was estimated with these parameters."""
    domain = video_on_disk(root)
    known = MotionParameters(**parameters)
    index = {"estimator": known.estimator, "parameters": known.model_dump(mode="json", exclude={"root", "ahead"})}
    (domain.motion / "index.json").write_text(json.dumps(index))
    return domain


def test_the_parts_are_added_up():
    assert Speed(0.1, 0.1, 0.3).rates() == {"network": 10, "with_decoding": 5, "with_motion": 2.5, "with_both": 2}
    unknown = Speed(0.1, 0.1, None).rates()
    assert (unknown["with_decoding"], unknown["with_motion"], unknown["with_both"]) == (5, None, None)


def test_a_network_that_looks_back_over_motion_is_slower_than_alone(tmp_path):
    domain = on_estimated_motion(tmp_path, estimator="dis")
    fusion = evaluate(reader(fusion=True), domain, checkpoint=LAST).metrics["frames_per_second"]
    assert 0 < fusion["with_both"] < fusion["with_motion"] < fusion["network"]
    assert fusion["with_both"] < fusion["with_decoding"] < fusion["network"]
    assert "threads" in fusion["device"]
    alone = evaluate(reader(), domain, checkpoint=LAST).metrics["frames_per_second"]
    assert alone["with_motion"] == alone["network"]
    assert alone["with_both"] == alone["with_decoding"] < alone["network"]


def test_the_motion_timed_is_that_of_the_pair_both_ways(tmp_path, monkeypatch):
    domain = on_estimated_motion(tmp_path, estimator="dis", preset="ultrafast", absolute_tolerance=0.7)
    build, built, calls = inference.build_estimator, [], []

    def slow(parameters, device):
        built.append(parameters)
        estimator = build(parameters, device)
        monkeypatch.setattr(type(estimator), "estimate", watched(type(estimator).estimate))
        return estimator

    def watched(estimate):
        def call(self, first, second):
            calls.append(first.shape)
            time.sleep(0.01)
            return estimate(self, first, second)

        return call

    monkeypatch.setattr(inference, "build_estimator", slow)
    half = replace(domain, size=(16, 24))
    assert seconds_of_motion(reader(fusion=True), half) > 0.02
    assert [(p.estimator, p.chosen_preset, p.absolute_tolerance) for p in built] == [("dis", "ultrafast", 0.7)]
    assert calls == [(16, 24, 3)] * 2 * (PAIRS + 1)  # one pair warms up
    assert seconds_of_motion(reader(), half) == 0.0
    assert len(built) == 1


def test_what_cannot_be_estimated_is_unknown(tmp_path, caplog):
    fusion = reader(fusion=True)
    exact = video_on_disk(tmp_path / "exact")
    told = evaluate(fusion, exact, checkpoint=LAST).metrics["frames_per_second"]
    assert (told["with_motion"], told["with_both"]) == (None, None)
    assert told["with_decoding"] < told["network"]
    (exact.motion / "index.json").write_text('{"estimator": "archive", "parameters": {"kind": "flo"}}')
    assert seconds_of_motion(fusion, exact) is None
    assert seconds_of_motion(fusion, video_on_disk(tmp_path / "none", motion=False)) is None
    gone = on_estimated_motion(tmp_path / "raft", estimator="raft", weights="nowhere.pth")
    with caplog.at_level(logging.WARNING):
        assert seconds_of_motion(fusion, gone) is None
    assert "nowhere.pth are missing" in caplog.text


def test_frames_are_timed_as_they_are_read(tmp_path, monkeypatch):
    domain = video_on_disk(tmp_path, frames=4, size=(128, 192))
    (video,) = domain.videos
    frames = []
    for k, frame in enumerate(video.frames):
        name = f"video/{k}.jpg"
        cv2.imwrite(str(tmp_path / name), cv2.imread(str(tmp_path / frame.image)))
        frames.append(replace(frame, image=name))
    manifest = Manifest("toy", "toy", tmp_path, (replace(video, frames=tuple(frames)),), files={})
    small = replace(domain, manifest=manifest, size=(32, 48))
    list(write_shards(small, tmp_path / "shards"))
    shrunk, image = [], Manifest.image

    def watched(self, ref, shrink=1):
        shrunk.append(shrink)
        return image(self, ref, shrink)

    monkeypatch.setattr(Manifest, "image", watched)
    assert seconds_to_decode(small) > 0
    assert shrunk == [4] * 4  # a JPEG four times as large is decoded at a quarter
    assert seconds_to_decode(replace(small, shards=tmp_path / "shards")) > 0
    assert shrunk == [4] * 8  # no camera writes shards


def test_the_tracker_is_told_what_is_known(tmp_path):
    class Record(NoTracker):
        def metrics(self, values, step=0):
            self.told = dict(values)

    evaluation = evaluate(reader(fusion=True), on_estimated_motion(tmp_path / "data", estimator="dis"), checkpoint=LAST)
    gap = {"domain_gap": {"before": None, "after": None}}
    known = evaluation.metrics["frames_per_second"]
    for speeds in (known, known | {"with_motion": None, "with_both": None}):
        record, metrics = Record(), evaluation.metrics | gap | {"frames_per_second": speeds}
        _record(record, replace(evaluation, metrics=metrics), tmp_path / "pictures")
        shown = {k: v for k, v in record.told.items() if k.startswith("eval/frames_per_second_")}
        expected = {k: v for k, v in speeds.items() if k.startswith("with") and v is not None}
        assert shown == {f"eval/frames_per_second_{k}": v for k, v in expected.items()}
        assert record.told["eval/vec8_matrix"] == 1.0


def test_a_slow_estimator_is_not_waited_for(tmp_path, monkeypatch):
    domain, calls = on_estimated_motion(tmp_path, estimator="dis"), []
    monkeypatch.setattr(speed, "PATIENCE", 0.0)
    monkeypatch.setattr(speed, "estimated_motion", lambda *_: lambda *images: calls.append(images))
    assert seconds_of_motion(reader(fusion=True), domain) >= 0
    assert len(calls) == 2


@pytest.mark.parametrize("few", [1, 3])
def test_few_frames_are_enough(tmp_path, few, monkeypatch):
    monkeypatch.setattr(speed, "PAIRS", few)
    assert seconds_of_motion(reader(fusion=True), on_estimated_motion(tmp_path, estimator="dis")) > 0
