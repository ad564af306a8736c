"""QuadMix: the switch, the order of patches, weights, resume across the switch."""

import torch
from toy_network import CLASSES, toy_clip, toy_video

from crossfade.data.augment import NO_GEOMETRIC, NO_PHOTOMETRIC
from crossfade.methods import build_method
from crossfade.methods.parts.fused_domains import Templates

PLAIN = {
    "source_geometric": NO_GEOMETRIC.model_dump(),
    "target_geometric": NO_GEOMETRIC.model_dump(),
    "mix_photometric": NO_PHOTOMETRIC.model_dump(),
}


def quadmix(**raw):
    torch.manual_seed(0)
    return build_method("quadmix", PLAIN | raw, toy_video("none"), CLASSES)


def one_step(method, step, total=10, batch=2):
    torch.manual_seed(step)
    source = toy_clip(method.source_needs, batch=batch, seed=2 * step)
    target = toy_clip(method.target_needs, batch=batch, seed=2 * step + 1)
    return method.step(step, total, source, target, draw=True)


def names(output):
    return {name for name in output.terms if not name.endswith("_aux")}


def test_classmix_until_the_switch_then_two_batches():
    method = quadmix(switch=0.2)
    seen = [names(one_step(method, step)) for step in range(4)]
    assert seen == [{"source", "mixed"}] * 2 + [{"source", "source_fused", "target_fused"}] * 2
    assert one_step(method, 5).figures["mixed"].shape == (4 * 24, 2 * 32, 3)


def test_the_first_step_has_nothing_to_paste_unless_the_batch_has():
    assert names(one_step(quadmix(switch=0.0), 0, batch=1)) == {"source", "mixed"}
    assert "target_fused" in names(one_step(quadmix(switch=0.0, templates="batch"), 0))
    alone = quadmix(switch=0.0, source_fused=0.0)
    one_step(alone, 0)
    assert names(one_step(alone, 1)) == {"source", "target_fused"}


def test_both_batches_share_their_patches_in_order():
    method = quadmix(switch=0.0, target_threshold=0.0, tail_classes=["pole", "sign"], tail_min_pixels=1)
    one_step(method, 0)
    kept, labels = toy_clip(method.source_needs, seed=7), toy_clip(method.source_needs, seed=8)
    old = Templates(kept, labels, torch.rand(2, 1, 24, 32))
    own, theirs = toy_clip(method.source_needs, seed=9), toy_clip(method.source_needs, seed=10)
    mixed = method._fused(old, own, theirs, torch.full((2, 24, 32), 0.25))
    source, target = mixed["source_fused"], mixed["target_fused"]
    assert torch.equal(source.origin, target.origin)
    assert set(source.origin.unique().tolist()) == {0, 1, 2, 3, 4}
    patch = source.origin > 0
    assert torch.equal(source.labels[patch], target.labels[patch])
    assert not torch.equal(source.frames, target.frames)
    assert torch.equal(source.labels[source.origin == 1], kept.labels[source.origin == 1])
    assert torch.equal(source.labels[source.origin == 2], labels.labels[source.origin == 2])
    assert (target.weight[target.origin == 0] == 0.25).all()
    assert (source.weight[source.origin == 0] == 1).all()
    for b in range(2):
        first, second = ({*source.labels[b][source.origin[b] == k].tolist()} for k in (1, 2))
        assert len(first) <= 2
        assert len(second) <= 2
        assert not first & second
    assert set(source.labels[source.origin > 2].tolist()) <= {2, 3}


def test_the_published_base_can_be_named():
    parts = {"masked": {}, "feature_distance": {}, "rare_classes": {}}
    assert names(one_step(quadmix(**parts), 0)) == {"source", "mixed", "masked", "feature_distance"}
    assert quadmix(**parts).parameters.rare_classes.on
    assert quadmix().sampling_weights(None) is None


def test_resume_across_the_switch():
    one, other = quadmix(switch=0.2), quadmix(switch=0.2)
    one_step(one, 0)
    one_step(one, 1)
    other.network.load_state_dict(one.network.state_dict())
    other.load_state_dict(one.state_dict())
    values = [{k: float(v.detach()) for k, v in one_step(m, 2).terms.items()} for m in (one, other)]
    assert values[0] == values[1]
    assert "target_fused" in values[0]
