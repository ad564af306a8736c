"""What stands between params.yaml and a training: motion that is asked for, models that were left out."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from toy_video import video_on_disk

from crossfade import experiment
from crossfade.errors import UserError
from crossfade.experiment import LEFT_OUT, Place, _started_from, adapt, dataset_for
from crossfade.methods import build_method
from crossfade.methods.base import ClipNeeds
from crossfade.networks import NetworkParameters
from crossfade.params import read_params
from crossfade.temporal import ModelParameters, build_video_network
from crossfade.training import Knobs

PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"
WIDE = ClipNeeds((-2, -1, 0), ((1, 0), (2, 1), (2, 0)))


def test_motion_over_a_span_that_nobody_has_is_refused(tmp_path):
    domain = video_on_disk(tmp_path)
    assert dataset_for(domain, None) is None
    assert len(dataset_for(domain, ClipNeeds.of(2, labels=False))) == 6
    with pytest.raises(UserError, match=r"'toy' to the one 2 before it.* add 2 to motion\.toy\.spans"):
        dataset_for(domain, WIDE)
    with pytest.raises(UserError, match="to the one 2 after it"):
        dataset_for(domain, ClipNeeds((-2, 0), ((0, 1),)))


def test_a_side_without_any_motion_is_stood_in_for(tmp_path):
    clip = dataset_for(video_on_disk(tmp_path, motion=False), WIDE)[3]
    assert not any(motion.valid.any() for motion in clip.motion.values())


def test_a_side_without_motion_is_refused_where_it_is_learned_from(tmp_path):
    domain = video_on_disk(tmp_path, motion=False)
    network = build_video_network(ModelParameters(network=FRAME, temporal=DAVSS), 4)
    whole, still = (build_method("davss", {"stage": s}, network, ("a", "b", "c", "d")) for s in ("all", "distortion"))
    with pytest.raises(UserError, match="needs motion from each frame of 'toy' to the one 1 before it"):
        dataset_for(domain, whole.target_needs)
    assert dataset_for(domain, still.target_needs) is not None


FRAME = NetworkParameters(kind="deeplab", pretrained=False, channels=8, skip_channels=4)
DAVSS = {"kind": "davss", "interval": 10, "width": 0.1}


def started(before, now):
    """The temporal modules of a model and of a recipe that starts from it, and the recipe's schedule."""
    torch.manual_seed(0)
    known = ModelParameters(network=FRAME, temporal=before)
    model = build_video_network(known, 3)
    described = json.loads(json.dumps(known.model_dump()))  # as in model.json
    network = _started_from(model, described, ModelParameters(network=FRAME, temporal=now), 3)
    for name, value in model.frame.state_dict().items():
        assert torch.equal(network.frame.state_dict()[name], value)
    weights = model.temporal.state_dict()
    mine = network.temporal.state_dict()
    return mine.keys() == weights.keys() and all(torch.equal(mine[key], weights[key]) for key in mine), network


def test_a_recipe_that_changes_the_schedule_keeps_the_temporal_module_it_starts_from():
    for schedule in ({}, {"interval": 5}, {"threshold": 0.2}, {"reach": 1, "interval": 3}):
        same, network = started(DAVSS, DAVSS | schedule)
        assert same
        assert schedule.items() <= vars(network.temporal.schedule).items()
    assert started(DAVSS, {"kind": "davss", "width": 0.1, "motion": "own"})[0]  # defaults may be said or not
    dtern = {"kind": "dtern", "exemplars": 3, "channels": 4, "kernels": [3], "offsets": [-3, -1]}
    same, network = started(dtern, dtern | {"offsets": [-1], "heads": [2, 4]})
    assert same
    assert network.offsets == (-1,)


def test_another_temporal_module_of_the_same_kind_is_no_start():
    with pytest.raises(UserError, match=r"'davss' with width: 0\.1, and params\.yaml now says 0\.2: name its value"):
        started(DAVSS, DAVSS | {"width": 0.2})
    with pytest.raises(UserError, match=r"temporal module 'none', and params\.yaml now says 'tmanet'"):
        started("none", {"kind": "tmanet", "key_channels": 4, "value_channels": 4})
    assert not started("fusion", DAVSS)[0]


@pytest.mark.parametrize("main", [True, False])
def test_what_starts_from_a_left_out_model_is_left_out_by_one_process(tmp_path, monkeypatch, main):
    place, params = Place(tmp_path), read_params(PARAMS)
    domain = video_on_disk(tmp_path / "data")
    monkeypatch.setattr(experiment, "open_domain", lambda *_: domain)
    monkeypatch.setattr(experiment, "make_accelerator", lambda *_: SimpleNamespace(is_main_process=main))
    origin = place.pretrained("street", params.recipes["stcl"].network, 0)
    origin.mkdir(parents=True)
    (origin / LEFT_OUT).write_text(json.dumps({"reason": "there is nothing"}))
    folder = adapt(place, params, "street", "stcl", 0, Knobs())
    assert folder == place.model("street", "stcl", 0)
    assert folder.exists() == main
