"""The recipes of the published pairs run: every quirk together, a clip a step."""

from pathlib import Path

import pytest
import torch
from toy_network import ToyFrame, toy_clip

from crossfade.data.labels import load_label_space
from crossfade.methods import build_method
from crossfade.params import check_params
from crossfade.presets import switched_to
from crossfade.temporal import TEMPORAL
from crossfade.temporal.video_network import VideoNetwork

SHIPPED = (Path(__file__).resolve().parents[2] / "params.yaml").read_text()
FUSED = {"source_fused", "target_fused", "self_training", "self_training_aux", "alignment_mmd"}
TERMS = {
    "source_only": {"supervised", "supervised_aux"},
    "oracle": {"supervised", "supervised_aux"},
    "advent": {"source", "source_aux", "target", "target_aux"},
    "tps": {"source", "source_aux", "target", "target_aux"},
    "stcl": {"source", "source_aux"} | FUSED,
}
PRESETS = ("synthia_cityscapes_resnet101", "viper_cityscapes_resnet101")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("recipe", ["source_only", "advent", "tps", "stcl", "oracle"])
def test_a_step_of_every_published_recipe(preset, recipe):
    params = check_params(switched_to(SHIPPED, preset))
    chosen = params.recipes[recipe]
    classes = load_label_space(params.pairs[preset].label_space).classes
    torch.manual_seed(0)
    frame, kind = ToyFrame(len(classes)), "none" if chosen.temporal is None else chosen.temporal.kind
    network = VideoNetwork(frame, TEMPORAL[kind](frame, len(classes))).train()
    raw = {key: value for key, value in chosen.method.items() if key != "name"}
    method = build_method(str(chosen.method["name"]), raw, network, classes)
    asked = (method.source_needs, method.target_needs)
    sides = [None if needs is None else toy_clip(needs, batch=1) for needs in asked]
    for step in range(3):
        terms = method.step(step, 4, *sides).terms
        total = torch.stack(list(terms.values())).sum()
        assert torch.isfinite(total)
        total.backward()
    assert set(terms) == TERMS[recipe]


def test_a_mean_over_all_pixels_counts_the_ignored_ones():
    losses = {}
    for denominator in ("valid", "all"):
        torch.manual_seed(0)
        network = VideoNetwork(frame := ToyFrame(), TEMPORAL["none"](frame, 5))
        plain = {"geometric": {"flip": 0, "scale": [1, 1]}, "class_balance": 0, "denominator": denominator}
        method = build_method("supervised", plain, network, ("a", "b", "c", "d", "e"))
        assert method.source_needs is not None
        clip = toy_clip(method.source_needs, batch=2)
        assert clip.labels is not None
        clip.labels[0] = 255
        torch.manual_seed(1)
        losses[denominator] = method.step(0, 1, clip, None).terms
    share = float((clip.labels_now != 255).float().mean())
    for name, loss in losses["all"].items():
        torch.testing.assert_close(loss, losses["valid"][name] * share)
    assert 0.2 < share < 0.8
