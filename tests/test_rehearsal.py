"""A rehearsal finds what would stop a training, and nothing in what is shipped."""

from pathlib import Path

import pytest
import yaml

from crossfade.params import Params, check_params
from crossfade.presets import preset_names, switched_to
from crossfade.rehearsal import rehearse

SHIPPED = Path("params.yaml")


def offline(params: Params) -> Params:
    """The same without pretrained encoders, which would be downloaded."""
    return params.model_copy(update={"networks": {name: n.untrained() for name, n in params.networks.items()}})


@pytest.mark.parametrize("name", ["street", *preset_names()])
def test_all_that_is_shipped_can_be_built(name):
    params = offline(check_params(switched_to(SHIPPED.read_text(), name, discard=False)))
    assert list(rehearse(params, name, {})) == []


def changed(**recipes) -> Params:
    raw = yaml.safe_load(SHIPPED.read_text())
    raw["recipes"] = {"plain": {"network": "lite0", "method": {"name": "adabn"}}} | recipes
    raw["networks"]["typo"] = {"kind": "deeplab", "encoder": "resnet5O", "pretrained": False}
    raw.pop("continued", None)
    return check_params(yaml.safe_dump(raw))


def test_an_encoder_that_does_not_exist_is_told_once():
    on_it = {name: {"network": "typo", "method": {"name": "adabn"}} for name in ("one", "two")}
    (line,) = rehearse(changed(**on_it), "street", {})
    assert line.startswith("networks.typo: unknown encoder 'resnet5O'; did you mean resnet5")


def test_a_method_that_its_network_or_classes_do_not_suit_is_told_by_the_recipe_s_name():
    feature_distance = {"things": ["elephant"]}
    bad = {"network": "lite0", "method": {"name": "mic", "feature_distance": feature_distance}}
    told, line = rehearse(changed(bad=bad), "street", {})
    assert told.startswith("networks.typo")
    assert line.startswith("recipe 'bad': ")
    assert "elephant" in line
