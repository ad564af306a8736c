"""The whole graph at its smallest, through DVC and through Prefect; after either, the other finds nothing to do."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent

PARAMS = {
    "seeds": [0],
    "pairs": {"street": {"source": "plain", "target": "camera", "label_space": "camvid11", "size": [48, 64]}},
    "data_sets": {
        name: {"kind": "street", "look": name, "size": [48, 64], "seed": seed, "splits": splits}
        for name, seed, splits in (
            ("plain", 1, {"train": {"videos": 2, "frames": 4}}),
            ("camera", 2, {"train": {"videos": 2, "frames": 4}, "val": {"videos": 1, "frames": 3}}),
        )
    },
    "motion": {"plain": {"estimator": "exact"}, "camera": {"estimator": "dis", "preset": "fast"}},
    "networks": {"tiny": {"kind": "deeplab", "pretrained": False, "channels": 16, "skip_channels": 8}},
    "pretraining": {"method": {"name": "supervised", "domain": "source"}, "training": {"steps": 12, "batch": 2}},
    "adaptation": {"steps": 10, "batch": 2},
    "recipes": {
        "source_only": {"network": "tiny", "method": {"name": "supervised"}, "training": {"steps": 0}},
        "stcl": {"network": "tiny", "temporal": "fusion", "method": {"name": "stcl"}},
    },
    "continued": [{"name": "longer", "start": "stcl", "network": "tiny", "method": {"name": "self_training"}}],
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The project's tracked and new files, with the smallest parameters."""
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    write(folder, PARAMS)
    return folder


def write(folder, params):
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def call(folder, *command, status=0, **settings):
    """Run a command in the clone; the project's code is that of the clone."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"OMP_NUM_THREADS": "1", "CROSSFADE_WORKERS": "1", "CROSSFADE_DEVICE": "cpu"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    environment |= settings
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def changed(folder):
    """The stages `dvc repro` would run."""
    plan = call(folder, "dvc", "repro", "--dry")
    return {line.split("'")[1] for line in plan.splitlines() if line.startswith("Running stage")}


def test_every_stage_runs_one_thing():
    """Or what the first of them made would be lost when a later one fails."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    assert all(isinstance(stage.get("do", stage)["cmd"], str) for stage in stages)


@pytest.mark.timeout(600)
def test_the_whole_graph(clone):
    call(clone, "dvc", "repro")
    metrics = json.loads((clone / "metrics/street/stcl/seed-0.json").read_text())
    needed = {"miou", "iou", "pixel_accuracy", "temporal_consistency", "frames_per_second", "checkpoint"}
    assert needed <= metrics.keys()
    assert metrics["temporal_consistency"]["motion"] == "dis"
    run = json.loads((clone / "models/street/stcl/seed-0/run.json").read_text())
    scored = json.loads((clone / "metrics/street/stcl/seed-0.json").read_text())
    assert scored["code"] == {"trained": run["code"], "scored": run["code"]}
    assert run["mlflow_run"]
    assert run["pretrained"]["mlflow_run"]
    assert run["data"]["target"]["data_set"] == "camera"
    assert (clone / "models/street/stcl/seed-0/model.safetensors").stat().st_size > 1e6
    page = (clone / "reports/street/index.html").read_text()
    assert "stcl" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert not (clone / "checkpoints").exists() or not list((clone / "checkpoints").rglob("*.ckpt"))

    # One MLflow run a recipe and seed, from adaptation through evaluation; one for the pretraining.
    count = (
        "import mlflow; c = mlflow.MlflowClient('sqlite:///mlflow.db'); e = c.get_experiment_by_name('street');"
        "print(sorted((r.info.run_name, 'eval/miou' in r.data.metrics) for r in c.search_runs([e.experiment_id])))"
    )
    runs = call(clone, sys.executable, "-c", count)
    trained = [("longer seed-0", True), ("pretrain tiny seed-0", False)]
    expected = [*trained, ("source_only seed-0", True), ("stcl seed-0", True)]
    assert str(expected) in runs

    # Prefect finds nothing to do, and says what it published.
    flow = call(clone, sys.executable, "-m", "flows.benchmark", "--workers", "2")
    assert "Running stage" not in flow
    assert "Traceback" not in flow

    # A changed number reruns exactly what depends on it.
    assert changed(clone) == set()
    edited = json.loads(json.dumps(PARAMS))
    edited["recipes"]["stcl"]["method"]["source_fused"] = 0.5
    write(clone, edited)
    assert changed(clone) >= {"adapt@street-stcl-0", "compare@street"}  # evaluation follows once the model has changed

    # The flow runs it; afterwards DVC finds nothing to do.
    flow = call(clone, sys.executable, "-m", "flows.benchmark", "--workers", "2")
    assert "Running stage 'adapt@street-stcl-0'" in flow
    assert "Running stage 'evaluate@street-stcl-0'" in flow
    assert "Running stage 'adapt@street-source_only-0'" not in flow
    assert changed(clone) == set()

    # A stage that fails stops only its dependents, and is named.
    edited["data_sets"]["camera"]["seed"] = 3
    edited["motion"]["camera"] = {"estimator": "raft", "weights": "nowhere.pth"}
    edited["data_sets"]["plain"]["seed"] = 4
    write(clone, edited)
    flow = call(clone, sys.executable, "-m", "flows.benchmark", "--workers", "2", "pairs/street", status=1)
    last = flow.strip().splitlines()[-1]
    assert "motion@camera (Failed)" in last
    assert "index@street (NotReady)" in last
    assert "motion@plain" not in last


def test_a_mistake_ends_in_one_sentence_before_any_work(clone):
    output = call(
        clone, sys.executable, "-m", "stages.adapt", "--pair", "sreet", "--recipe", "stcl", "--seed", "0", status=2
    )
    assert output.strip().splitlines()[-1].startswith("error: ")
    assert "did you mean 'street'" in output
    assert "Traceback" not in output
    for options, environment, said in (
        (["--seed", "-1"], {}, "'-1' is not a whole number from 0 up"),
        (["--seed", "0"], {"CROSSFADE_WORKERS": "four"}, "'four' is not a whole number from 0 up"),
    ):
        adapt = ["-m", "stages.adapt", "--pair", "street", "--recipe", "stcl", *options]
        assert said in call(clone, sys.executable, *adapt, status=2, **environment)
