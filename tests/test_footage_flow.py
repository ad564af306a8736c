"""`python -m flows.adapt_footage`: mistakes are told before any work; a finished model is registered."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crossfade.tracking import MlflowTracker

ROOT = Path(__file__).resolve().parents[1]
mlflow = pytest.importorskip("mlflow")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--video", "nowhere/*.mp4"], "error: there is nothing at nowhere/*.mp4"),
        (["--video", ".", "--recipe", "stlc"], "did you mean 'stcl'"),
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


def test_the_switch_names_the_footage(tmp_path):
    shutil.copy2(ROOT / "params.yaml", tmp_path)
    (tmp_path / "drives").mkdir()
    command = [sys.executable, "-m", "stages.switch", "street_footage", "--videos", "drives"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    text = (tmp_path / "params.yaml").read_text()
    assert f'  footage: {{kind: footage, videos: "{tmp_path}/drives"}}' in text
    assert "\n  # street: {" in text


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
    assert register.fn("street_footage", "stcl", 0).startswith("not registered")
