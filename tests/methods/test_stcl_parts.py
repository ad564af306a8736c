"""What STCL's parts are given: whose frames change their colours, whose labels are believed."""

import numpy as np
import pytest
import torch
from toy_network import CLASSES, toy_clip, toy_video

from crossfade.data.augment import NO_GEOMETRIC, NO_PHOTOMETRIC
from crossfade.methods import build_method
from crossfade.methods.parts.unroll import run

PLAIN = {
    "source_geometric": NO_GEOMETRIC.model_dump(),
    "target_geometric": NO_GEOMETRIC.model_dump(),
    "source_photometric": NO_PHOTOMETRIC.model_dump(),
    "colour_transfer": "off",
    "alignment": {"kind": "off"},
}


def stcl(**raw):
    torch.manual_seed(0)
    return build_method("stcl", PLAIN | raw, toy_video(), CLASSES)


@pytest.mark.parametrize(
    ("form", "blackened", "patches_keep_their_colours"),
    [({}, "mix", False), ({"augment": "base"}, "base", True), ({"strong_aug": "legacy_wrap"}, "base", True)],
    ids=["mix", "base", "legacy_wrap"],
)
def test_strong_colour_changes_are_of_the_mix_or_as_published_of_the_target_beneath_it(
    form, blackened, patches_keep_their_colours, monkeypatch
):
    shown = {}

    def look(pictures, classes):
        shown.update(pictures)
        return np.zeros((1, 1, 3), np.uint8)

    monkeypatch.setattr("crossfade.methods.stcl.mixed_figure", look)
    method = stcl(mixing={"directions": ["S->T"], "long_tail": 0}, **form)
    if blackened == "base":
        method.strong = torch.zeros_like
    else:
        monkeypatch.setattr("crossfade.methods.stcl.photometric_frames", lambda frames, _: torch.zeros_like(frames))
    source, target = toy_clip(method.source_needs), toy_clip(method.target_needs, seed=1)
    method.step(0, 10, source, target, draw=True)
    frames, _ = shown["target_fused"]
    black = (frames == 0).all(2)
    patch = (frames == source.frames.roll(1, 0)).all(2)
    assert (black | patch).all()
    assert bool(patch.any()) == patches_keep_their_colours
    assert black.any()


def test_a_true_label_vetoes_a_prediction_in_the_centroids_and_a_pseudo_label_does_not():
    method = stcl(alignment={"kind": "mmd", "min_pixels": 1})
    source, target = toy_clip(method.source_needs), toy_clip(method.target_needs, seed=1)
    of_source = run(method.network, source.frames, source.motion)
    of_target = run(method.network, target.frames, target.motion)
    never = next(k for k in range(len(CLASSES)) if k not in torch.cat([of_source.logits, of_target.logits]).argmax(1))
    source.labels[:] = never
    believed = method._source_view(of_source, source)
    _, present = method.aligner._centroids(method.network, believed)
    assert not present.any()
    labels = torch.full_like(target.frames[:, -1, 0], never).long()
    guessed = method.target_view(of_target, labels, None, target, target.frames)
    _, present = method.aligner._centroids(method.network, guessed)
    assert present.any()
    assert not present[never]
