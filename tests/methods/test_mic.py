"""The parts of MIC: hidden blocks, feature distance, rare-class sampling, and their switches."""

import numpy as np
import pytest
import torch
from toy_network import CLASSES, ToyFrame, toy_clip, toy_video

from crossfade.data.augment import NO_GEOMETRIC, NO_PHOTOMETRIC
from crossfade.data.batches import StepSampler
from crossfade.errors import UserError
from crossfade.methods import build_method
from crossfade.methods.parts.class_sampling import RareClassParameters, rare_class_weights
from crossfade.methods.parts.feature_distance import FeatureDistance, FeatureDistanceParameters
from crossfade.methods.parts.masked_consistency import HIDDEN_RGB, MaskedParameters, hide

PLAIN = {
    "source_geometric": NO_GEOMETRIC.model_dump(),
    "source_photometric": NO_PHOTOMETRIC.model_dump(),
    "student_statistics": "fixed",
}


def one_step(temporal="none", **raw):
    torch.manual_seed(0)
    method = build_method("mic", PLAIN | raw, toy_video(temporal), CLASSES)
    torch.manual_seed(3)
    return method.step(0, 10, toy_clip(method.source_needs), toy_clip(method.target_needs, seed=1), draw=True)


def names(output):
    return {name for name in output.terms if not name.endswith("_aux")}


def test_every_part_can_be_switched_off():
    off = {"weight": 0.0}
    every = {"source", "mixed", "masked", "feature_distance"}
    assert names(one_step()) == names(one_step("fusion")) == every
    assert names(one_step(masked=off)) == every - {"masked"}
    assert names(one_step(feature_distance=off)) == every - {"feature_distance"}
    assert names(one_step(mixed_weight=0.0)) == every - {"mixed"}
    method = build_method("mic", {"rare_classes": {"on": False}}, toy_video("none"), CLASSES)
    assert method.sampling_weights(None) is None


@pytest.mark.parametrize("which", ["all", "now"])
def test_blocks_are_hidden_in_the_right_share_and_size(which):
    torch.manual_seed(0)
    frames = torch.rand(8, 2, 3, 70, 96)
    seen = hide(frames, MaskedParameters(block=8 / 70, ratio=0.7, frames=which))
    hidden = (seen == torch.tensor(HIDDEN_RGB).view(3, 1, 1)).all(2)
    share = hidden[:, 1].float().mean()
    assert abs(float(share) - 0.7) < 0.03
    assert torch.equal(seen[~hidden[:, :, None].expand_as(seen)], frames[~hidden[:, :, None].expand_as(seen)])
    blocks = hidden[:, 1, :64, :96].view(8, 8, 8, 12, 8).float().mean((2, 4))
    assert set(blocks.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(hidden[:, 0], hidden[:, 1] if which == "all" else torch.zeros_like(hidden[:, 0]))
    assert torch.equal(hide(frames, MaskedParameters(ratio=0.0)), frames)


def test_feature_distance_is_zero_at_the_start_and_counts_on_things_alone():
    """With running statistics the student's features are those of its frozen copy until it learns."""
    start = {"to": "start", "weight": 1.0}
    torch.manual_seed(0)
    method = build_method("mic", PLAIN | {"feature_distance": start}, toy_video("none"), CLASSES)
    clips = toy_clip(method.source_needs), toy_clip(method.target_needs, seed=1)
    assert float(method.step(0, 10, *clips).terms["feature_distance"].detach()) == 0
    with torch.no_grad():
        method.network.frame.deep[0].weight.add_(0.1)
    moved = method.step(0, 10, *clips)
    moved.terms["feature_distance"].backward()
    assert float(moved.terms["feature_distance"].detach()) > 0
    assert method.network.frame.deep[0].weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in method.distance.anchor.parameters())

    output = method.network.frame(clips[0].now)
    known = method.distance.anchor(clips[0].now).features[4]
    labels = torch.zeros(2, 24, 32, dtype=torch.long)
    labels[0, :4, :8] = 4  # a car, two features wide and one high
    labels[0, 8:10, :4] = 3  # half a feature: too little
    expected = (output.features[4] - known)[0, :, 0, :2].norm(dim=0).mean()
    torch.testing.assert_close(method.distance.term(output, clips[0].now, labels), expected)
    assert float(method.distance.term(output, clips[0].now, torch.zeros_like(labels)).detach()) == 0


def test_feature_distance_refuses_in_a_sentence(monkeypatch):
    network = toy_video("none")
    with pytest.raises(UserError, match="name some in feature_distance"):
        FeatureDistance(FeatureDistanceParameters(), network, ("road", "sky"))
    with pytest.raises(UserError, match="did you mean 'car'"):
        FeatureDistance(FeatureDistanceParameters(things=("cat",)), network, CLASSES)
    monkeypatch.setattr(ToyFrame, "published_encoder", lambda _: None)
    with pytest.raises(UserError, match="to: start"):
        FeatureDistance(FeatureDistanceParameters(), network, CLASSES)


def test_rare_class_weights_by_hand():
    counts = np.array([[90, 10, 0, 0], [100, 0, 0, 0], [80, 18, 2, 0]])
    parameters = RareClassParameters(temperature=0.5, min_share=0.1)
    weights = rare_class_weights(counts, 100, parameters)
    frequency = np.array([270, 28, 2]) / 300  # the fourth class does not occur
    chance = np.exp((1 - frequency) / 0.5)
    chance /= chance.sum()
    # class 0 is in all three frames, 1 in two, 2 nowhere large enough and so wherever it is
    expected = chance[0] / 3 + np.array([chance[1] / 2, 0, chance[1] / 2 + chance[2]])
    np.testing.assert_allclose(weights, expected)
    np.testing.assert_allclose(weights.sum(), 1)
    rare = rare_class_weights(counts, 100, RareClassParameters(temperature=0.001))
    assert rare[2] > 0.99


def test_weighted_draws_have_their_frequencies_and_depend_on_the_step_alone():
    weights = np.array([0.1, 0.0, 0.6, 0.3, 0.0])

    def drawn(first, count, rank=0, world=1, seed=0, stream=0):
        steps = iter(StepSampler(5, 4, seed, first, rank, world, stream, weights))
        return [next(steps) for _ in range(count)]

    sample = drawn(0, 2000)
    share = np.bincount(np.ravel(sample), minlength=5) / 8000
    np.testing.assert_allclose(share, weights, atol=0.02)
    assert share[[1, 4]].tolist() == [0, 0]
    assert drawn(700, 50) == sample[700:750]
    halves = [drawn(0, 10, rank, 2) for rank in (0, 1)]
    assert [clip for pair in zip(*halves, strict=True) for clip in pair] == sample[:20]
    assert drawn(0, 50, seed=1) != sample[:50]
    assert drawn(0, 50, stream=1) != sample[:50]
