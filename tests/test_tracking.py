"""Tracking never stands in training's way; what it is given arrives."""

import logging
import socket
import time

import numpy as np
import pytest

from crossfade import tracking
from crossfade.tracking import MlflowTracker, NoTracker, open_tracker

mlflow = pytest.importorskip("mlflow")


def fill(tracker):
    tracker.parameters({"training": {"steps": 3}})
    tracker.tags({"pair": "street"})
    tracker.data_set("street_plain", "0" * 64, "source", "data/street_plain")
    for step in range(5):
        tracker.metrics({"loss/total": 1.0 / (step + 1)}, step)
    tracker.figure("mixed", np.zeros((8, 8, 3), np.uint8), 3)
    tracker.table("per_class", [{"class": "road", "iou": 0.5}, {"class": "car", "iou": None}])


def test_a_run_is_recorded_and_continued(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tracking, "PATIENCE", 60.0)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    first = MlflowTracker(uri, "street", "stcl seed-0")
    fill(first)
    run = first.close()
    again = MlflowTracker(uri, "street", "stcl seed-0", run)
    again.metrics({"eval/miou": 0.5})
    again.table("per_class", [{"class": "road", "iou": 0.75}])
    assert again.close() == run
    client = mlflow.MlflowClient(uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "street"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params["training.steps"] == "3"
    assert found.data.tags["pair"] == "street"
    assert found.data.metrics["eval/miou"] == 0.5
    assert len(client.get_metric_history(run, "loss/total")) == 5
    assert found.inputs.dataset_inputs[0].dataset.name == "street_plain"
    table = client.load_table(experiment.experiment_id, "per_class.json", [run])
    assert table.to_dict("records") == [{"class": "road", "iou": 0.75}]  # the newest one, not both


def test_a_slow_import_is_not_taken_for_a_slow_server(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tracking, "PATIENCE", 30.0)
    monkeypatch.setattr(tracking, "IMPORT", 60.0)
    monkeypatch.setattr(tracking, "_quiet_environment", lambda: time.sleep(2.0))
    waited = []
    tracker = MlflowTracker(f"sqlite:///{tmp_path}/mlflow.db", "street", "x")
    join = tracker._thread.join
    monkeypatch.setattr(tracker._thread, "join", lambda s: (waited.append(tracker._imported.is_set()), join(s)))
    assert tracker.close() is not None
    assert waited == [True]
    assert not caplog.records


def test_a_server_that_is_down_costs_one_warning(monkeypatch, caplog):
    monkeypatch.setattr(tracking, "PATIENCE", 30.0)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with caplog.at_level(logging.WARNING, "crossfade.tracking"):
        tracker = MlflowTracker(f"http://127.0.0.1:{port}", "street", "x")
        fill(tracker)
        assert tracker.close() is None
    assert [r for r in caplog.records if "goes on without" in r.message].__len__() == 1


def test_a_server_that_never_answers_costs_a_bounded_time(monkeypatch, caplog):
    monkeypatch.setattr(tracking, "PATIENCE", 2.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with caplog.at_level(logging.WARNING, "crossfade.tracking"):
            tracker = MlflowTracker(f"http://127.0.0.1:{silent.getsockname()[1]}", "street", "x")
            start = time.monotonic()
            fill(tracker)
            assert time.monotonic() - start < 0.5
            tracker.close()
            assert time.monotonic() - start < 5.0
    assert "goes on without" in caplog.text


def test_more_than_the_queue_holds_is_dropped_not_waited_for(monkeypatch):
    monkeypatch.setattr(tracking, "QUEUE", 5)
    monkeypatch.setattr(tracking, "PATIENCE", 0.1)
    monkeypatch.setattr(MlflowTracker, "_open", lambda self: time.sleep(1))
    tracker = MlflowTracker("http://127.0.0.1:9", "street", "x")
    start = time.monotonic()
    for step in range(100):
        tracker.metrics({"a": 1.0}, step)
    assert time.monotonic() - start < 0.5
    tracker.close()


def test_off_and_other_ranks(monkeypatch):
    monkeypatch.setenv("CROSSFADE_TRACKING", "off")
    assert isinstance(open_tracker("street", "x"), NoTracker)
    monkeypatch.delenv("CROSSFADE_TRACKING")
    monkeypatch.setenv("RANK", "1")
    assert isinstance(open_tracker("street", "x"), NoTracker)


def test_a_killed_run_is_continued_by_its_memo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tracking, "PATIENCE", 60.0)
    uri, memo = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "checkpoints" / "mlflow-1.txt"
    first = MlflowTracker(uri, "street", "stcl seed-0", memo=memo).close()
    assert memo.read_text() == first
    assert MlflowTracker(uri, "street", "stcl seed-0", memo=memo).close() == first
    assert MlflowTracker(uri, "street", "stcl seed-0", memo=tmp_path / "other").close() != first
