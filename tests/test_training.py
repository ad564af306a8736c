"""Killed at any moment and started again, a training gives the weights of an uninterrupted one, bit for bit."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_training

from crossfade.data.batches import StepSampler
from crossfade.errors import UserError
from crossfade.methods.base import StepOutput

HERE = Path(__file__).resolve().parent


def start(folder, out, **environment):
    command = [sys.executable, str(HERE / "toy_training.py"), str(folder), str(out)]
    return subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)


def same(a, b):
    assert a.keys() == b.keys()
    for key, value in a.items():
        if isinstance(value, dict):
            same(value, b[key])
        elif isinstance(value, torch.Tensor):
            assert torch.equal(value, b[key]), key


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    toy_training.main(folder / "checkpoints", folder / "out")
    return torch.load(folder / "out.0", weights_only=True)


def test_killed_twice_and_resumed(whole, tmp_path):
    moments = random.Random(5)
    for kill in range(2):
        process = start(tmp_path / "c", tmp_path / "out", PAUSE="0.03")
        wanted = (kill + 1) * 2
        deadline = time.monotonic() + 120
        while len(list((tmp_path / "c").rglob("step-*"))) < min(wanted, 2) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(moments.uniform(0.0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "out.0").exists()
        assert list((tmp_path / "c").rglob("step-*.ckpt"))
    assert start(tmp_path / "c", tmp_path / "out").wait() == 0
    resumed = torch.load(tmp_path / "out.0", weights_only=True)
    assert 0 < resumed["resumed"] < toy_training.STEPS
    same(whole["network"], resumed["network"])
    same(whole["method"], resumed["method"])


def test_a_damaged_checkpoint_costs_only_the_steps_since_the_one_before(whole, tmp_path):
    toy_training.main(tmp_path / "c", tmp_path / "first")
    newest = max((tmp_path / "c").rglob("step-*.ckpt"))
    newest.write_bytes(newest.read_bytes()[:1000])
    toy_training.main(tmp_path / "c", tmp_path / "out")
    again = torch.load(tmp_path / "out.0", weights_only=True)
    assert again["resumed"] == 56
    same(whole["network"], again["network"])


def two_ranks(folder, out):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}
    ranks = [start(folder, out, RANK=str(r), LOCAL_RANK=str(r), **common) for r in range(2)]
    assert [rank.wait(120) for rank in ranks] == [0, 0]
    return [torch.load(f"{out}.{r}", weights_only=True) for r in range(2)]


def test_two_ranks_agree_also_when_one_of_them_was_killed_before_it_saved(tmp_path):
    first, second = two_ranks(tmp_path / "c", tmp_path / "out")
    same(first["network"], second["network"])
    alone = toy_training.ToyNetwork()
    assert first["network"].keys() == {f"frame.{name}" for name in alone.state_dict()}
    max((tmp_path / "c" / "rank-1").glob("step-*.ckpt")).unlink()
    again = two_ranks(tmp_path / "c", tmp_path / "again")
    assert [rank["resumed"] for rank in again] == [56, 56]
    same(first["network"], again[0]["network"])
    same(first["network"], again[1]["network"])


def test_a_loss_that_is_not_finite_stops_with_a_sentence(tmp_path, monkeypatch):
    def broken(self, *_, **__):
        weight = next(self.network.parameters())
        return StepOutput({"ce": weight.sum() * float("nan")})

    monkeypatch.setattr(toy_training.ToyMethod, "step", broken)
    with pytest.raises(UserError, match=r"not finite at step .*lower the learning rate"):
        toy_training.main(tmp_path / "c", tmp_path / "out")


def test_training_and_inference_need_none_of_the_three_tools():
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.split('.')[0] in ('mlflow', 'dvc', 'prefect'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "import crossfade.experiment, crossfade.scoring, crossfade.predict, stages.adapt, stages.evaluate\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=HERE.parent)


def test_a_method_may_say_which_source_clips_are_drawn(tmp_path):
    parameters = toy_training.TrainingParameters(steps=3, batch=2)
    accelerator = toy_training.make_accelerator(parameters, toy_training.Knobs(device="cpu"))
    method = toy_training.ToyMethod(toy_training.VideoNetwork(toy_training.ToyNetwork(), toy_training.NoMemory()))
    seen, step = set(), method.step

    def watched(number, total, source, target, draw=False):
        seen.update(source.names)
        return step(number, total, source, target, draw)

    method.step, method.sampling_weights = watched, lambda source: np.eye(len(source))[7]
    toy_training.train(method, toy_training.ToyClips(), None, parameters, 0, tmp_path, accelerator)
    assert seen == {"toy/7"}


def test_weights_of_clips_are_summed_once(monkeypatch):
    summed, cumsum = [], np.cumsum
    monkeypatch.setattr(np, "cumsum", lambda values: summed.append(1) or cumsum(values))
    drawn = [*islice(StepSampler(4, 3, seed=0, weights=np.array([0.0, 1.0, 0.0, 3.0])), 20)]
    assert {k for step in drawn for k in step} == {1, 3}
    assert len(summed) == 1
