"""A model is rebuilt from its folder alone, and refused with a sentence where it does not fit."""

import json

import pytest
import torch

from crossfade.data.labels import load_label_space
from crossfade.errors import UserError
from crossfade.model_folder import load_model, save_model
from crossfade.networks import NetworkParameters
from crossfade.temporal import ModelParameters, build_video_network

PARAMETERS = ModelParameters(
    network=NetworkParameters(kind="deeplab", pretrained=False, channels=16, skip_channels=8), temporal="fusion"
)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    network = build_video_network(PARAMETERS, 11).eval()
    save_model(tmp_path / "model", network, PARAMETERS, load_label_space("camvid11"), (64, 96), rule="last")
    return tmp_path / "model", network


def test_round_trip(saved):
    folder, network = saved
    model = load_model(folder, load_label_space("camvid11"))
    image = torch.rand(1, 2, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(model.network.unroll(image, {}).logits, network.unroll(image, {}).logits)
    assert model.size == (64, 96)
    assert model.classes[0] == "sky"
    assert model.description["rule"] == "last"


def test_other_label_space(saved):
    with pytest.raises(UserError, match=r"camvid11.*not 'cityscapes19'"):
        load_model(saved[0], load_label_space("cityscapes19"))


def test_damaged_weights(saved):
    weights = saved[0] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match="damaged"):
        load_model(saved[0])


def test_weights_of_another_network(saved):
    description = saved[0] / "model.json"
    raw = json.loads(description.read_text())
    raw["model"]["network"]["channels"] = 24
    description.write_text(json.dumps(raw))
    with pytest.raises(UserError, match="another network"):
        load_model(saved[0])


def test_what_another_version_wrote_is_refused(saved):
    description = saved[0] / "model.json"
    whole = json.loads(description.read_text())
    description.write_text(json.dumps({k: v for k, v in whole.items() if k != "colours"}))
    with pytest.raises(UserError, match="has no colours"):
        load_model(saved[0])
    whole["model"]["tempo"] = 1
    description.write_text(json.dumps(whole))
    with pytest.raises(UserError, match=r"model\.tempo: .* another version"):
        load_model(saved[0])


def test_not_a_model(tmp_path):
    with pytest.raises(UserError, match="is not a model"):
        load_model(tmp_path)
