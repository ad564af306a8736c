"""What stands between params.yaml and a training: motion that is asked for, models that were left out."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from toy_video import video_on_disk

from crossfade import experiment
from crossfade.errors import UserError
from crossfade.experiment import LEFT_OUT, Place, adapt, dataset_for
from crossfade.methods.base import ClipNeeds
from crossfade.params import read_params
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
