"""STCL: every switch runs and does what it says; labels over motion; the bank; templates."""

import pytest
import torch
from toy_network import CLASSES, FineFrame, ToyFrame, toy_clip, toy_video

from crossfade.data.augment import NO_GEOMETRIC
from crossfade.data.clip import Clip
from crossfade.errors import UserError
from crossfade.methods import build_method
from crossfade.methods.parts.fused_domains import MixingParameters, Patches, Templates, choose_patches
from crossfade.methods.parts.labeller import LabelParameters, PseudoLabels, pseudo_labels
from crossfade.methods.parts.long_tail import LongTailBank
from crossfade.methods.parts.pseudo_labels import combine_over_motion, confidence_weight
from crossfade.methods.parts.unroll import run
from crossfade.methods.stcl import _Fused
from crossfade.motion.field import Motion
from crossfade.objectives.mixing import Layer, compose
from crossfade.temporal.schedule import SlidingMemory


def stcl(temporal="fusion", names=CLASSES, frame=ToyFrame, **raw):
    torch.manual_seed(0)
    return build_method("stcl", raw, toy_video(temporal, kind=frame), names)


def steps(method, count=2, batch=2, total=10):
    for step in range(count):
        torch.manual_seed(step)
        source = toy_clip(method.source_needs, batch=batch, seed=2 * step)
        target = toy_clip(method.target_needs, batch=batch, seed=2 * step + 1)
        output = method.step(step, total, source, target, draw=True)
        torch.stack(list(output.terms.values())).sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in method.network.parameters() if p.grad is not None)
        method.after_step(step)
    return output


SURE = {"target_threshold": 0.0}
ALWAYS = {"start": 0.0}

SWITCHES = [
    {"mixing": {"directions": ["S->S", "T->S"]}},
    {"mixing": {"directions": ["S->T", "T->T"]}},
    {"mixing": {"directions": ["S->S", "T->T"], **SURE}},
    {"mixing": {"directions": ["S->T", "T->S"], **SURE}},
    {"mixing": {"directions": ["S->S", "S->T"]}},
    {"mixing": {"directions": []}, "self_training": 1.0},
    {"mixing": {"templates": "previous", **SURE}},
    {"mixing": {"long_tail": 0, "tail_always": False}},
    {"mixing": {"tail_classes": ["pole", "sign"], "tail_mask": "sum", "tail_min_pixels": 1, "long_tail": 2}},
    {"mixing": {"mix_motion": False}},
    {"mixing": {"motion_mask": "previous", "check_origin": False, "source_classes": 2}},
    {"feature_blend": {"level": "shallow", "mask": "current", **ALWAYS}},
    {"feature_blend": {"level": "last", "weight": 1.0, **ALWAYS}},
    {"feature_blend": {"level": "off"}},
    {"alignment": {"kind": "off"}},
    {"alignment": {"kind": "mmd", "absent": "zeros", "centroid_weights": "entropy"}},
    {"alignment": {"kind": "mmd", "spans": [1]}},
    {"alignment": {"kind": "prototype", "weight": 0.1, "centroid_weights": "certainty"}},
    {"alignment": {"kind": "prototype", "memory": 0.0, "spans": [2]}},
    {"labels": {"labeller": "frozen"}},
    {"labels": {"labeller": "frozen_then_self", "switch": 0.1}},
    {"labels": {"labeller": "self", "over_motion": "warped"}},
    {"labels": {"over_motion": "agreement", "mirror": 1.0}},
    {"labels": {"over_motion": "agreement_or_sure", "class_decay": 0.9, "weighting": "threshold"}},
    {"labels": {"over_motion": "agreement_or_rare"}},
    {"labels": {"over_motion": "max_confidence", "conf_previous": "raw_logit"}},
    {"labels": {"over_motion": "average", "weighting": "threshold"}},
    {"labels": {"over_motion": "warped", "fill": "ignore", "mirror": 1.0, "mirror_warp": "legacy"}},
    {"consistency": {"weight": 1.0}},
    {"consistency": {"weight": 1.0, "distance": "kl"}, "mixing": {"directions": ["S->T"]}},
    {"strong_aug": "legacy_wrap", "augment": "base"},
    {"self_training": 1.0, "target_weight": 0.2},
    {"colour_transfer": "off", "student_statistics": "fixed", "teacher": {"deploy": "student"}},
    {"teacher": {"statistics": "student"}},
    {"masked": {}, "feature_distance": {}, "rare_classes": {}},
    {"masked": {"frames": "now"}, "feature_distance": {"to": "start"}, "mixing": {"directions": []}},
]


@pytest.mark.parametrize("temporal", ["none", "fusion"])
@pytest.mark.parametrize("switch", SWITCHES, ids=str)
def test_every_switch_runs(switch, temporal):
    steps(stcl(temporal, **switch))


MEMORY = [
    {"labels": {"over_motion": "warped", "fill": "ignore"}},
    {"labels": {"over_motion": "agreement", "mirror": 1.0}, "self_training": 1.0},
    {"consistency": {"weight": 1.0}, "alignment": {"kind": "prototype"}},
    {"mixing": {"templates": "previous", **SURE}, "masked": {}},
    {"alignment": {"spans": [2]}, "strong_aug": "legacy_wrap", "augment": "base"},
]


@pytest.mark.parametrize("temporal", ["tmanet", "dtern"])
@pytest.mark.parametrize("switch", MEMORY, ids=str)
def test_switches_run_with_several_frames_of_memory(switch, temporal):
    steps(stcl(temporal, frame=FineFrame, **switch))


def test_what_patches_hide_is_not_fused_unasked():
    network = toy_video("fusion")
    network.temporal.validity = False
    with pytest.raises(UserError, match=r"check_origin: false, tail_mask: sum"):
        build_method("stcl", {}, network, CLASSES)
    build_method("stcl", {"mixing": {"check_origin": False, "tail_mask": "sum"}}, network, CLASSES)


def test_every_frame_that_is_read_has_labels_of_its_own():
    method = stcl("dtern")  # reads three frames and one frame before now
    network, clip = method.network.eval(), toy_clip(method.target_needs)
    plain = LabelParameters(mirror=0.0)
    found = pseudo_labels(network, clip, plain, 4)
    for place, offset in ((0, -3), (2, -1)):
        logits = network.frame(clip.frames[:, offset - 1]).logits
        own = torch.nn.functional.interpolate(logits, (24, 32), mode="bilinear", align_corners=False)
        assert torch.equal(found.labels[:, place], own.argmax(1))
        torch.testing.assert_close(found.confidence[:, place], own.softmax(1).amax(1))
    assert (found.labels[:, 1] == 255).all()
    assert (found.confidence[:, 1] == 0).all()
    assert torch.equal(found.labels[:, 3], pseudo_labels(network, clip, plain, 1).labels[:, 0])


def test_the_source_is_aligned_over_motion_whatever_the_network_reads():
    method = stcl("tmanet")
    method.network.temporal.schedule = SlidingMemory((-3,))  # not the frame before now
    source = toy_clip(stcl("dtern").source_needs)
    view = method._source_view(run(method.network, source.frames, source.motion), source)
    ((neighbour, motion),) = view.neighbours
    torch.testing.assert_close(neighbour.logits, method.network.frame(source.frames[:, -2]).logits)
    assert motion is source.motion[3, 2]


def test_a_neighbour_that_a_patch_covers_is_no_neighbour():
    method = stcl("tmanet")
    clip = toy_clip(method.target_needs)
    labels = torch.zeros_like(clip.frames[:, :, 0]).long()
    still = Motion(torch.zeros(2, 2, 24, 32), torch.ones(2, 1, 24, 32) > 0)
    target = Clip(clip.frames, labels, dict.fromkeys(clip.motion, still), clip.names)
    patch = torch.zeros_like(labels, dtype=torch.bool)
    patch[:, 0, :4] = True
    steps_only = {(1, 0): still, (2, 1): still}
    base = Layer(clip.frames, labels, ~patch, steps_only)
    mixed = compose(base, [Layer(clip.frames, labels, patch, steps_only)])
    output = run(method.network, mixed.frames, mixed.motion)
    view = method.target_view(output, labels[:, -1], mixed, target, mixed.frames)
    assert torch.equal(view.neighbours[1][1].valid[:, 0], ~patch[:, 0])


def test_terms_follow_the_switches():
    assert set(steps(stcl()).terms) == {"source", "source_aux", "source_fused", "target_fused", "alignment_mmd"}
    one_domain = steps(stcl(mixing={"directions": ["S->S"]}, alignment={"kind": "off"}))
    assert set(one_domain.terms) == {"source", "source_aux", "source_fused"}
    parts = steps(stcl(masked={}, feature_distance={}))
    assert {"masked", "masked_aux", "feature_distance"} <= set(parts.terms)
    many = steps(stcl(self_training=1.0, consistency={"weight": 1.0}, alignment={"kind": "prototype"}))
    assert {"self_training", "consistency", "alignment_attraction", "alignment_separation"} <= set(many.terms)
    assert steps(stcl()).figures["mixed"].shape == (4 * 24, 2 * 2 * 32, 3)


def test_what_is_asked_of_the_loader():
    assert stcl().target_needs.offsets == (-2, -1, 0)
    assert set(stcl().target_needs.motion) == {(1, 0), (2, 1), (2, 0)}
    assert stcl().source_needs.offsets == (-1, 0)
    cheap = stcl("none", labels={"over_motion": "now"})
    assert cheap.target_needs.offsets == (0,)
    assert cheap.target_needs.motion == ()
    assert stcl("none", consistency={"weight": 1.0}).source_needs.offsets == (-1, 0)


def test_alignment_reaches_the_student_alone():
    method = stcl(source_fused=0.0, alignment={"kind": "mmd", "weight": 1.0, "absent": "zeros", "min_pixels": 1})
    source, target = toy_clip(method.source_needs), toy_clip(method.target_needs, seed=1)
    method.step(0, 10, source, target).terms["alignment_mmd"].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in method.network.frame.parameters())
    assert all(p.grad is None for p in method.teacher.network.parameters())


def test_first_step_with_previous_templates_only_fills_them():
    method = stcl(mixing={"templates": "previous", **SURE}, alignment={"kind": "off"})
    assert set(steps(method, 1, batch=1).terms) == {"source", "source_aux"}
    assert "target_fused" in steps(method, 2, batch=1).terms


def test_previous_templates_survive_a_resume():
    options = {"mixing": {"templates": "previous", "tail_classes": ["pole"], "tail_min_pixels": 1, **SURE}}
    one, other = stcl(**options), stcl(**options)
    steps(one, 2)
    other.network.load_state_dict(one.network.state_dict())
    other.load_state_dict(one.state_dict())
    values = []
    for method in (one, other):
        torch.manual_seed(9)
        output = method.step(2, 10, toy_clip(method.source_needs, seed=8), toy_clip(method.target_needs, seed=9))
        values.append({name: float(term.detach()) for name, term in output.terms.items()})
    assert values[0] == values[1]


def test_a_batch_of_one_needs_previous_templates():
    with pytest.raises(UserError, match="templates: previous"):
        steps(stcl(), 1, batch=1)


def test_unknown_tail_class():
    with pytest.raises(UserError, match="did you mean 'pole'"):
        stcl(mixing={"tail_classes": ["poles"]})


def test_blend_changes_only_what_the_student_is_taught_on_t():
    terms = []
    for level in ("off", "last"):
        method = stcl(feature_blend={"level": level, "weight": 1.0, **ALWAYS}, alignment={"kind": "off"})
        terms.append({k: float(v.detach()) for k, v in steps(method, 1).terms.items()})
    assert terms[0]["source_fused"] == terms[1]["source_fused"]
    assert terms[0]["target_fused"] != terms[1]["target_fused"]


def union_of(directions, mask="prev", still=()):
    """The union of hand-made patches: each a row of its own, the target's of the present clip another."""
    method = stcl(mixing={"directions": directions}, feature_blend={"mask": mask})
    fused = object.__new__(_Fused)
    fused.parameters = method.parameters

    def layer(row):
        mask = torch.zeros(1, 1, 5, 4, dtype=torch.bool)
        mask[..., row, :] = True
        return Layer(torch.zeros(1, 1, 3, 5, 4), torch.zeros(1, 1, 5, 4).long(), mask, None)

    labels = torch.zeros(1, 1, 5, 4).long()
    labels[..., 4, :] = 1
    only_one = torch.tensor([[False, True, False, False, False]])
    fused.patches = Patches(layer(0), [layer(row) for row in still], layer(3), only_one)
    fused.pseudo = PseudoLabels(labels, torch.ones(1, 1, 5, 4), None)
    union = fused._union()
    assert union.shape == (1, 1, 5, 4)
    return [row for row in range(5) if union[0, 0, row].all()]


EVERYWHERE = ["S->S", "S->T", "T->S", "T->T"]


@pytest.mark.parametrize(
    ("directions", "mask", "rows"),
    [
        (EVERYWHERE, "prev", [0, 1, 2, 3]),
        (EVERYWHERE, "current", [0, 1, 2, 4]),
        (["S->S", "T->T"], "prev", [1, 2]),
        (["S->S", "T->T"], "current", [1, 2]),
        (["S->T", "T->S"], "prev", [1, 2]),
        (["S->S", "S->T", "T->S"], "current", [0, 1, 2]),
        (["S->S", "T->S", "T->T"], "current", [1, 2, 4]),
        (["S->S", "T->S", "T->T"], "prev", [1, 2, 3]),
    ],
)
def test_features_are_blended_where_both_fused_domains_show_the_same_patch(directions, mask, rows):
    assert union_of(directions, mask, still=(1, 2)) == rows
    assert union_of(directions, mask) == [row for row in rows if row not in (1, 2)]


def test_target_patches_show_rare_classes_too_but_not_those_drawn_for_the_source():
    labels = torch.tensor([0, 1, 2, 3]).repeat(6, 8)[None, None]
    clip = Clip(torch.rand(1, 1, 3, 6, 32), labels, {}, ("a",))
    templates = Templates(clip, clip, torch.ones_like(labels, dtype=torch.float32))
    rare = torch.tensor([False, False, True, True])
    parameters = MixingParameters(source_classes=1, target_classes=4, **SURE)
    for seed in range(8):
        torch.manual_seed(seed)
        patches = choose_patches(templates, parameters, rare, [])
        shown = set(labels[patches.source.mask].tolist())
        theirs = set(labels[patches.target.mask].tolist())
        assert shown >= {2, 3}
        (left_out,) = {0, 1, 2, 3} - theirs
        assert left_out in shown


def test_without_a_shared_patch_a_blend_changes_nothing():
    terms = []
    for level in ("off", "last"):
        raw = {"mixing": {"directions": ["S->S", "T->T"], "long_tail": 0, **SURE}, "alignment": {"kind": "off"}}
        method = stcl(feature_blend={"level": level, "weight": 1.0, **ALWAYS}, **raw)
        terms.append({k: float(v.detach()) for k, v in steps(method, 2).terms.items()})
    assert terms[0] == terms[1]


def probabilities(*labels):
    return torch.nn.functional.one_hot(torch.tensor([[list(labels)]]), 3).movedim(-1, 1).float()


def test_combinations_over_motion():
    own, warped = probabilities(0, 1, 2, 0) * 0.6, probabilities(0, 2, 1, 1) * 0.8
    valid = torch.tensor([[[[True, True, False, True]]]])

    def labels(how, own=own):
        return combine_over_motion(own, warped, valid, how)[0].flatten().tolist()

    assert labels("now") == [0, 1, 2, 0]
    assert labels("warped") == [0, 2, 2, 1]
    assert labels("warped", None) == [0, 2, 255, 1]
    assert labels("agreement") == [0, 255, 2, 255]
    assert labels("max_confidence") == [0, 2, 2, 1]
    assert labels("average") == [0, 2, 2, 1]
    assert combine_over_motion(own, warped, valid, "agreement")[1].flatten().tolist()[1] == 0.0


def test_confidence_weights():
    confidence = torch.tensor([[[0.95, 0.5], [0.99, 0.91]]])
    assert confidence_weight(confidence, 0.9, "share")[0].flatten().tolist() == [0.75] * 4
    assert confidence_weight(confidence, 0.9, "threshold")[0].flatten().tolist() == [1, 0, 1, 1]
    assert confidence_weight(confidence, 0.9, "none")[0].flatten().tolist() == [1.0] * 4


def moving_clip():
    """Three frames that move one pixel of the stride-4 grid to the left each, with their exact motion."""
    picture = torch.nn.functional.interpolate(torch.rand(2, 3, 6, 12), scale_factor=4, mode="nearest")
    frames = torch.stack([picture[..., 4 * k : 4 * k + 32] for k in range(3)], 1)
    flow = torch.zeros(2, 2, 24, 32)
    flow[:, 0] = 4.0
    motion = {(1, 0): Motion(flow, torch.ones(2, 1, 24, 32) > 0), (2, 1): Motion(flow, torch.ones(2, 1, 24, 32) > 0)}
    return Clip(frames, None, motion, ("a", "b"))


def test_own_labels_are_the_networks():
    network, clip = toy_video().eval(), toy_clip(stcl().target_needs)
    plain = LabelParameters(over_motion="now", mirror=0.0)
    labels = pseudo_labels(network, clip, plain, 2)
    logits = run(network, clip.frames, clip.motion).logits
    up = torch.nn.functional.interpolate(logits, (24, 32), mode="bilinear", align_corners=False)
    assert torch.equal(labels.labels[:, 1], up.argmax(1))
    before = network.frame(clip.frames[:, 1]).logits
    up = torch.nn.functional.interpolate(before, (24, 32), mode="bilinear", align_corners=False)
    assert torch.equal(labels.labels[:, 0], up.argmax(1))


def test_warped_labels_follow_exact_motion_and_the_legacy_mirror_does_not():
    torch.manual_seed(1)
    network, clip = toy_video().eval(), moving_clip()
    with torch.no_grad():  # every class wins somewhere
        classifier, logits = network.frame.classifier, network.frame(clip.now).logits
        mean, spread = logits.mean((0, 2, 3)), logits.std((0, 2, 3))
        classifier.weight /= spread[:, None, None, None]
        classifier.bias.copy_((classifier.bias - mean) / spread)
    inner = (slice(None), -1, slice(8, 16), slice(8, 20))

    def labels(**options):
        return pseudo_labels(network, clip, LabelParameters(**options), 2).labels[inner]

    own = labels(over_motion="now", mirror=0.0)
    assert len(own.unique()) >= 2
    assert float((labels(over_motion="warped", mirror=0.0) == own).float().mean()) > 0.97
    correct = labels(over_motion="warped", mirror=1.0, mirror_warp="correct")
    legacy = labels(over_motion="warped", mirror=1.0, mirror_warp="legacy")
    flipped_own = labels(over_motion="now", mirror=1.0)
    assert float((correct == flipped_own).float().mean()) > 0.97
    assert float((legacy == flipped_own).float().mean()) < 0.9


def test_bank_keeps_the_newest_of_rare_classes():
    bank = LongTailBank(4, [], below=0.1, capacity=2, min_pixels=3)
    for value in range(4):
        labels = torch.zeros(2, 8, 8, dtype=torch.long)
        labels[0, 0, :4] = 3
        labels[1, 0, :2] = 2
        bank.update(torch.full((2, 3, 8, 8), value / 10), labels)
    assert bank.tail().tolist() == [False, False, True, True]
    assert set(bank.patches) == {3}
    images, masks, ids = bank.draw(5, 3)[0]
    assert ids.tolist() == [3] * 5
    assert masks.sum((1, 2)).tolist() == [4] * 5
    assert float(images.min()) > 0.19
    again = LongTailBank(4, [], below=0.1, capacity=2, min_pixels=3)
    again.load_state_dict(bank.state_dict())
    assert torch.equal(again.patches[3][1][0], bank.patches[3][1][0])
    assert LongTailBank(4, [1], 0.1, 2, 3).tail().tolist() == [False, True, False, False]


def test_target_labels_are_never_read():
    method = stcl(source_geometric=NO_GEOMETRIC.model_dump(), target_geometric=NO_GEOMETRIC.model_dump())
    source, target = toy_clip(method.source_needs), toy_clip(method.target_needs, seed=1)
    poisoned = Clip(target.frames, torch.full((2, 3, 24, 32), 3), target.motion, target.names)
    values = []
    for clip in (target, poisoned):
        torch.manual_seed(4)
        method = stcl(source_geometric=NO_GEOMETRIC.model_dump(), target_geometric=NO_GEOMETRIC.model_dump())
        torch.manual_seed(5)
        values.append({k: float(v.detach()) for k, v in method.step(0, 10, source, clip).terms.items()})
    assert values[0] == values[1]
