"""A training that is watched ends with the weights of one that is not, and the last thing seen is what it deploys."""

import copy

import numpy as np
import pytest
import torch
import toy_training
from methods.toy_network import ToyFrame
from test_diagnosis import SETTINGS, target
from toy_video import CLASSES

from crossfade.evaluation import Options, evaluate
from crossfade.experiment import dataset_for
from crossfade.methods import build_method
from crossfade.optimisation import OptimiserParameters
from crossfade.snapshots import Snapshots
from crossfade.temporal import TEMPORAL
from crossfade.temporal.video_network import VideoNetwork
from crossfade.training import Knobs, TrainingParameters, make_accelerator, train


def trained(root, name, domain, look=None, steps=5, settings=None):
    torch.manual_seed(0)
    frame = ToyFrame(4)
    network = VideoNetwork(frame, TEMPORAL["none" if name == "quadmix" else "fusion"](frame, 4))
    method = build_method(name, settings or SETTINGS.get(name, {}), network, CLASSES)
    constant = OptimiserParameters(schedule="constant", warmup=0)
    parameters = TrainingParameters(steps=steps, batch=2, accumulate=2, optimiser=constant)
    knobs = Knobs(device="cpu", figure_every=0, snapshots=Snapshots(2, look))
    sides = dataset_for(domain, method.source_needs), dataset_for(domain, method.target_needs)
    accelerator = make_accelerator(parameters, knobs)
    train(method, *sides, parameters, 1, root, accelerator, knobs)
    return {"student": method.network.state_dict(), "deployed": method.deployed().state_dict()}


def same(a, b):
    assert a.keys() == b.keys()
    for key, value in a.items():
        assert torch.equal(value, b[key]), key


TEACHING = {"deploy": "teacher", "final_target_statistics": True, "statistics_batches": 2}


@pytest.mark.parametrize(
    "name, settings",
    [
        ("supervised", {"domain": "source"}),
        ("self_training", {"teacher": TEACHING}),
        ("stcl", {**SETTINGS["stcl"], "teacher": TEACHING, "labels": {"class_decay": 0.9}}),
        ("tps", {"teacher": {**TEACHING, "deploy": "student"}}),
        ("quadmix", None),
        ("mic", None),
        ("advent", None),
    ],
)
def test_the_weights_are_those_of_a_training_nobody_watched(tmp_path, name, settings):
    domain = target(tmp_path / "data")
    alone = trained(tmp_path / "alone", name, domain, settings=settings)
    seen, miou = {}, []

    def look(done, network):
        seen[done] = copy.deepcopy(network.state_dict())
        miou.append(evaluate(network, domain, checkpoint={}, options=Options(strips=0, clip_frames=0)).metrics["miou"])
        torch.rand(7)
        np.random.default_rng().random(3)
        for parameter in network.parameters():
            parameter.data.zero_()

    watched = trained(tmp_path / "watched", name, domain, look, settings=settings)
    for which, state in alone.items():
        same(state, watched[which])
    assert list(seen) == [2, 4, 5]
    assert all(0 <= value <= 1 for value in miou)
    same(seen[5], watched["deployed"])
    assert any(not torch.equal(value, seen[4][key]) for key, value in seen[2].items())


def test_what_is_seen_is_what_a_training_that_ends_there_deploys(tmp_path):
    """The learning rate is constant, so that steps are alike in a longer training and a shorter one."""
    domain, seen, settings = target(tmp_path / "data"), {}, {"teacher": TEACHING}

    def look(done, network):
        seen[done] = copy.deepcopy(network.state_dict())

    trained(tmp_path / "long", "self_training", domain, look, 5, settings)
    for steps in (2, 4):
        same(seen[steps], trained(tmp_path / str(steps), "self_training", domain, None, steps, settings)["deployed"])


@pytest.mark.parametrize("every, expected", [(0, []), (3, [3, 6, 7]), (7, [7]), (50, [7])])
def test_how_often(tmp_path, every, expected):
    parameters = toy_training.TrainingParameters(steps=7, batch=2)
    seen = []
    snapshots = Snapshots(every, lambda done, _: seen.append(done))
    knobs = toy_training.Knobs(device="cpu", snapshots=snapshots)
    accelerator = toy_training.make_accelerator(parameters, knobs)
    method = toy_training.ToyMethod(toy_training.VideoNetwork(toy_training.ToyNetwork(), toy_training.NoMemory()))
    toy_training.train(method, toy_training.ToyClips(), None, parameters, 0, tmp_path, accelerator, knobs)
    assert seen == expected
