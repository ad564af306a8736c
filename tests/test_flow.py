"""The flow on a small graph of its own: who fails, who is not reached, who is tried again, who gets which GPU."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent

STAGE = """
import json, os, signal, sys, time
from pathlib import Path

SEEN = {"gpu": "CUDA_VISIBLE_DEVICES", "threads": "OMP_NUM_THREADS", "launched": "LAUNCHED"}
name, behaviour = sys.argv[1:]
start = time.time()
if behaviour == "refuse" and not Path("mended").exists():
    sys.exit(print("error: there is no weather here: bring some", file=sys.stderr) or 2)
if behaviour == "die once" and not Path("died").exists():
    Path("died").touch()
    os.kill(os.getpid(), signal.SIGKILL)
if behaviour == "meet":  # ends only once two have begun
    Path(name + ".begun").touch()
    while len(list(Path().glob("*.begun"))) < 2:
        if time.time() > start + 60:
            sys.exit(print("error: nobody came", file=sys.stderr) or 2)
        time.sleep(0.05)
seen = {key: os.environ.get(name) for key, name in SEEN.items()}
Path(name).write_text(json.dumps({"start": start, "end": time.time(), **seen}))
"""

GRAPH = """
stages:
  sun: {cmd: python stage.py sun work, outs: [sun]}
  rain: {cmd: python stage.py rain refuse, outs: [rain]}
  rainbow: {cmd: python stage.py rainbow work, deps: [sun, rain], outs: [rainbow]}
  gold: {cmd: python stage.py gold work, deps: [rainbow], outs: [gold]}
  cat: {cmd: python stage.py cat die\\ once, deps: [sun], outs: [cat]}
  train:
    foreach: [a, b, c]
    do: {cmd: "python stage.py ${item} meet", deps: [sun], outs: ["${item}"], meta: {gpu: 1}}
"""

NEAR_AND_FAR = """
stages:
  near: {cmd: python stage.py near work, outs: [near]}
  far: {cmd: python stage.py far work, outs: [far], meta: {gpu: 1}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return create_project(tmp_path_factory.mktemp("project"), GRAPH)


def create_project(folder, graph):
    (folder / "stage.py").write_text(STAGE)
    (folder / "dvc.yaml").write_text(graph)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run([BIN / "dvc", "init", "-q"], cwd=folder, check=True)
    return folder


def call(folder, *command, **environment):
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "OMP_"))}
    settings |= {"PYTHONPATH": str(ROOT), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **environment}
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=120, check=False)


def benchmark(folder, *options, **environment):
    return call(folder, sys.executable, "-m", "flows.benchmark", *options, **environment)


@pytest.fixture(scope="module")
def first(project):
    return benchmark(project, "--workers", "4", "--gpus", "2", CUDA_VISIBLE_DEVICES="5,7")


def test_a_failure_stops_only_its_dependents_and_is_named(project, first):
    assert first.returncode == 1
    last = first.stderr.strip().splitlines()[-1]
    assert last == "error: failed or not reached: rain (Failed), rainbow (NotReady), gold (NotReady)"
    assert "error: there is no weather here: bring some" in first.stderr + first.stdout
    assert {path.name for path in project.iterdir()} >= {"sun", "cat", "a", "b", "c"}
    assert not {path.name for path in project.iterdir()} & {"rain", "rainbow", "gold"}


def test_it_is_quiet(first):
    output = first.stdout + first.stderr
    for noise in ("Traceback", "NoneType", "Error logging", "emporary server", "dvc push"):
        assert noise not in output


def test_the_killed_is_tried_again_and_the_mistaken_is_not(project, first):
    output = first.stdout + first.stderr
    assert (project / "died").exists()
    assert output.count("Retry") == 1
    assert output.count("Running stage 'rain'") == 1


def test_no_two_stages_share_a_gpu(project, first):
    runs = [json.loads((project / name).read_text()) for name in "abc"]
    assert {run["gpu"] for run in runs} == {"5", "7"}
    assert all(run["threads"] for run in runs)
    for gpu in "57":
        mine = sorted((run["start"], run["end"]) for run in runs if run["gpu"] == gpu)
        assert all(end <= start for (_, end), (start, _) in pairwise(mine))
    # Two of them ran side by side.
    assert sum(a["start"] < b["end"] and b["start"] < a["end"] for a in runs for b in runs if a is not b) >= 2


def test_the_next_run_does_only_what_is_missing(project, first):
    (project / "mended").touch()
    again = benchmark(project, "gold")
    assert again.returncode == 0
    ran = {line.split("'")[3] for line in (again.stdout + again.stderr).splitlines() if "Running stage" in line}
    assert ran == {"rain", "rainbow", "gold"}
    assert "Data and pipelines are up to date." in call(project, "dvc", "repro").stdout


def test_gpus_that_are_not_there_are_no_places(project):
    done = benchmark(project, "sun", "--gpus", "3", CUDA_VISIBLE_DEVICES="5,7")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: --gpus 3, but 2 are found")


def test_a_launcher_runs_the_stages_and_shares_out_nothing_of_this_machine(tmp_path):
    project = create_project(tmp_path, NEAR_AND_FAR)
    done = benchmark(project, "--launch", "env 'LAUNCHED={gpus} of them'", CUDA_VISIBLE_DEVICES="5,7")
    assert done.returncode == 0, done.stderr
    runs = [json.loads((project / name).read_text()) for name in ("near", "far")]
    assert [run["launched"] for run in runs] == ["0 of them", "1 of them"]
    assert {run["gpu"] for run in runs} == {"5,7"}
    assert {run["threads"] for run in runs} == {None}


def test_the_server_of_the_user_s_profile_is_used(tmp_path):
    (tmp_path / ".prefect").mkdir()
    profile = 'active = "lab"\n[profiles.lab]\nPREFECT_API_URL = "http://prefect.lab:4200/api"\n'
    (tmp_path / ".prefect" / "profiles.toml").write_text(profile)
    program = "import flows; from prefect.settings import get_current_settings as s; print(s().api.url)"
    done = call(tmp_path, sys.executable, "-c", program, HOME=str(tmp_path))
    assert done.stdout.strip() == "http://prefect.lab:4200/api", done.stderr


def test_a_server_that_does_not_answer_is_one_sentence(project):
    done = benchmark(project, "sun", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert done.returncode == 1
    assert "error: the Prefect server at http://127.0.0.1:9/api does not answer" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_mistaken_target_is_one_sentence(project):
    done = benchmark(project, "snow")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: 'snow' is neither a stage nor an output")
    assert "Traceback" not in done.stdout + done.stderr
