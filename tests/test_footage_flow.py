"""`python -m flows.adapt_footage`: mistakes are told before any work; a finished model is registered."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from crossfade.tracking import MlflowTracker

ROOT = Path(__file__).resolve().parents[1]
mlflow = pytest.importorskip("mlflow")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--video", "nowhere/*.mp4"], "nowhere/*.mp4: give videos, a pattern in quotes"),
        (["--video", ".", "--recipe", "stlc"], "did you mean 'stcl'"),
        (["--video", ".", "--seed", "7"], "error: seed 7 is not among the seeds [0]"),
        (["--video", ".", "--workers", "-1"], "'-1' is not a whole number from 1 up"),
    ],
)
def test_a_mistake_ends_in_one_sentence(tmp_path, arguments, sentence):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy2(ROOT / name, tmp_path / name)
    before = (tmp_path / "params.yaml").read_text()
    command = [sys.executable, "-m", "flows.adapt_footage", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "params.yaml").read_text() == before


def switch(folder, *arguments):
    command = [sys.executable, "-m", "stages.switch", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)


def test_the_switch_names_the_footage_and_what_is_there(tmp_path):
    shutil.copy2(ROOT / "params.yaml", tmp_path)
    (tmp_path / "drives").mkdir()
    (tmp_path / "drives/1.mp4").write_bytes(b"one")
    assert switch(tmp_path, "street_footage", "--videos", "drives").returncode == 0
    text = (tmp_path / "params.yaml").read_text()
    entry = yaml.safe_load(text)["data_sets"]["footage"]
    assert (entry["kind"], entry["videos"]) == ("footage", f"{tmp_path}/drives")
    assert entry["found"].startswith("1 videos, ")
    assert "\n  # street: {" in text
    assert switch(tmp_path, "street_footage", "--videos", "drives").returncode == 0
    assert (tmp_path / "params.yaml").read_text() == text  # nothing new: nothing is run again
    (tmp_path / "drives/2.mp4").write_bytes(b"two")
    switch(tmp_path, "street_footage", "--videos", "drives")
    assert yaml.safe_load((tmp_path / "params.yaml").read_text())["data_sets"]["footage"]["found"] != entry["found"]


def test_the_switch_notices_other_labels(tmp_path):
    text = (ROOT / "params.yaml").read_text()
    labels = f"labels: {{folder: {tmp_path}/labels, table: {tmp_path}/table.json}}"
    (tmp_path / "params.yaml").write_text(text.replace("videos: data/raw/footage", f"videos: x, {labels}"))
    (tmp_path / "1.mp4").write_bytes(b"one")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/1_0.png").write_bytes(b"png")
    (tmp_path / "table.json").write_text("{}")
    found = []

    def look() -> str:
        done = switch(tmp_path, "street_footage", "--videos", "1.mp4")
        assert done.returncode == 0, done.stderr
        return str(yaml.safe_load((tmp_path / "params.yaml").read_text())["data_sets"]["footage"]["found"])

    found += [look(), look()]
    assert found[0] == found[1]
    for file in ("labels/1_0.png", "labels/1_1.png", "table.json"):
        (tmp_path / file).write_bytes(b"changed")
        found.append(look())
    assert len(set(found)) == 4


def test_the_switch_says_where_data_lie_and_touches_nothing_else(tmp_path):
    shutil.copy2(ROOT / "params.yaml", tmp_path)
    before = (tmp_path / "params.yaml").read_text()
    (tmp_path / "data/camvid").mkdir(parents=True)
    for wrong, sentence in (
        ("camvid=", "there is no folder '' for data set 'camvid'"),
        ("camvid=nowhere", "there is no folder 'nowhere'"),
        ("/some/link", "data set of the pair street_camvid (given as data_set=folder)"),
        ("camvod=.", "did you mean 'camvid'"),
        ("camvid=data/camvid", "data/camvid, which is deleted before data set 'camvid' is made anew: put it under"),
    ):
        done = switch(tmp_path, "street_camvid", wrong)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)
        assert sentence in done.stderr
    assert (tmp_path / "params.yaml").read_text() == before
    assert switch(tmp_path, "street_camvid", "camvid=.").returncode == 0
    text = (tmp_path / "params.yaml").read_text()
    assert yaml.safe_load(text)["data_sets"]["camvid"] == {"kind": "camvid", "root": str(tmp_path)}


def test_a_model_is_registered_with_its_run_and_an_alias(tmp_path, monkeypatch):
    from tasks.register import ALIAS, register

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = MlflowTracker("sqlite:///mlflow.db", "street_footage", "stcl seed-0").close()
    folder = tmp_path / "models/street_footage/stcl/seed-0"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "run.json").write_text(json.dumps({"mlflow_run": run}))
    assert register.fn("street_footage", "stcl", 0) == "street_footage version 1"
    assert register.fn("street_footage", "stcl", 0) == "street_footage version 2"
    client = mlflow.MlflowClient("sqlite:///mlflow.db")
    version = client.get_model_version_by_alias("street_footage", ALIAS)
    assert (int(version.version), version.run_id, version.tags["recipe"]) == (2, run, "stcl")
    kept = mlflow.artifacts.download_artifacts(version.source, dst_path=str(tmp_path / "back"))
    assert (Path(kept) / "model.safetensors").read_bytes() == b"weights"
    (folder / "run.json").write_text(json.dumps({"mlflow_run": None}))
    assert register.fn("street_footage", "stcl", 0) == "not registered: the run was not recorded"
    (folder / "run.json").unlink()
    assert register.fn("street_footage", "stcl", 0) == "not registered: stcl was left out"
