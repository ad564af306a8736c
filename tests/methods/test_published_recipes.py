"""The recipes of the published pairs run: every quirk together, a clip a step."""

from pathlib import Path

import pytest
import torch
from toy_network import CLASSES, ToyFrame, toy_clip, toy_video

from crossfade.data.augment import CAFFE_MEAN_RGB, NO_PHOTOMETRIC, wrapped
from crossfade.data.labels import load_label_space
from crossfade.methods import build_method
from crossfade.methods.base import ClipNeeds
from crossfade.params import check_params
from crossfade.presets import preset_names, switched_to
from crossfade.temporal import TEMPORAL
from crossfade.temporal.video_network import VideoNetwork

SHIPPED = (Path(__file__).resolve().parents[2] / "params.yaml").read_text()
SUPERVISED = {"supervised", "supervised_aux"}
FUSED = {"source_fused", "target_fused", "self_training", "self_training_aux", "alignment_mmd"}
TERMS = {
    "source_only": SUPERVISED,
    "oracle": SUPERVISED,
    "advent": {"source", "source_aux", "target", "target_aux"},
    "tps": {"source", "source_aux", "target", "target_aux"},
    "tps_deep": {"source", "source_aux", "target", "target_aux"},
    "stcl": {"source", "source_aux"} | FUSED,
    "etc": {"source", "source_aux", "source_temporal"},
    "tmanet": SUPERVISED,
    "dtern": SUPERVISED,
    "davss": {"semantic", "correction"},
}
ALL = {"source", "source_aux", "source_fused", "target_fused", "self_training", "self_training_aux", "alignment_mmd"}
PARTS = {
    "source_only": SUPERVISED,
    "self_training": ALL - {"source_fused", "target_fused", "alignment_mmd"},
    "class_patches": ALL - {"alignment_mmd"},
    "long_tail": ALL - {"alignment_mmd"},
    "only_target_fused": ALL - {"source_fused"},
    "only_source_fused": ALL - {"target_fused"},
    "only_source_to_target": ALL - {"source_fused"},
}


def toy_of(recipe, params, classes):
    """The recipe's temporal module around a toy network, with the weights that it starts from as they are born."""
    temporal, frame = params.temporal_of(params.recipe(recipe)), ToyFrame(classes)
    arguments = {**temporal.arguments, **({"width": 0.1} if temporal.kind == "davss" else {})}
    return VideoNetwork(frame, TEMPORAL[temporal.kind](frame, classes, **arguments)).train()


@pytest.mark.parametrize("preset", preset_names())
def test_a_step_of_every_published_recipe(preset):
    params = check_params(switched_to(SHIPPED, preset))
    classes = load_label_space(params.pairs[preset].label_space).classes
    batch = min(2, params.adaptation.batch)
    for recipe in (r for r in params.recipe_names if params.recipe(r).method["name"] != "adabn"):
        chosen = params.recipe(recipe)
        torch.manual_seed(0)
        network = toy_of(recipe, params, len(classes))
        raw = dict(chosen.method if params.training_of(recipe).steps else params.pretraining.method)
        method = build_method(str(raw.pop("name")), raw, network, classes)
        asked = (method.source_needs, method.target_needs)
        size = (64, 128) if chosen.method["name"] == "davss" else (24, 32)  # its light network goes down to stride 64
        sides = [None if needs is None else toy_clip(needs, batch=batch, size=size) for needs in asked]
        for step in range(3):
            terms = method.step(step + 1, 4, *sides).terms
            total = torch.stack(list(terms.values())).sum()
            assert torch.isfinite(total)
            total.backward()
        if preset == "street_stcl_parts":
            assert set(terms) == PARTS.get(recipe, ALL), recipe
        elif preset != "street_field":
            assert set(terms) == TERMS[recipe], recipe


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


def test_published_colour_changes_are_those_of_the_wrapped_bytes():
    blurred = {"probability": 0.0, "grayscale": 0.0, "noise": 0.0, "blur": 1.0, "blur_sigma": [7.0, 7.0]}
    frames = toy_clip(ClipNeeds.of(1, labels=False)).frames
    mean = torch.tensor(CAFFE_MEAN_RGB).view(3, 1, 1)
    plain, fed = (
        255 * build_method("stcl", raw | {"strong_aug": "legacy_wrap"}, toy_video(), CLASSES).strong(frames) - mean
        for raw in ({"mix_photometric": NO_PHOTOMETRIC.model_dump()}, {"mix_photometric": blurred})
    )
    torch.testing.assert_close(plain, wrapped(frames), atol=1e-4, rtol=0)
    assert fed.std() < plain.std() / 3
