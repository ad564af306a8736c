"""Refinement of pseudo labels: exemptions from agreement, thresholds that follow each class, and the oracle's bound."""

import ast
import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy_network import CLASSES, toy_clip, toy_video

from crossfade.methods import METHODS, build_method, weigh_classes
from crossfade.methods.base import ClipNeeds
from crossfade.methods.parts.batch_norm import train_mode
from crossfade.methods.parts.labeller import Labeller, LabelParameters, PseudoLabels, pseudo_labels
from crossfade.methods.parts.pseudo_labels import combine_over_motion, running_thresholds
from crossfade.methods.parts.unroll import run_frames
from crossfade.metrics.oracle import Refinement, best_of, only_true, refinement
from crossfade.motion.field import Motion

ROOT = Path(__file__).resolve().parents[2]


def probabilities(*pixels):
    """(1, 3, 1, n) out of one triple a pixel."""
    return torch.tensor(pixels).T[None, :, None]


@pytest.mark.parametrize(
    ("fill", "mirror_warp", "unknown"),
    [("ignore", "correct", [30, 31]), ("ignore", "legacy", [0, 1]), ("none", "correct", []), ("none", "legacy", [])],
)
def test_where_a_warped_label_is_known(fill, mirror_warp, unknown):
    network, clip = toy_video("none").eval(), toy_clip(ClipNeeds.of(1, labels=False))
    motion = clip.motion[1, 0]
    flow = torch.zeros_like(motion.flow)
    flow[:, 0] = 2.0  # from beyond the right edge
    clip = replace(clip, motion={(1, 0): Motion(flow, torch.ones_like(motion.valid))})
    p = LabelParameters(over_motion="warped", fill=fill, mirror=1.0, mirror_warp=mirror_warp)
    ignored = (pseudo_labels(network, clip, p, 1).labels[:, 0] == 255).all(1).all(0)
    assert ignored.nonzero().flatten().tolist() == unknown


OWN = probabilities((0.9, 0.1, 0.0), (0.6, 0.4, 0.0), (0.1, 0.7, 0.2), (0.1, 0.2, 0.7))
WARPED = probabilities((0.1, 0.9, 0.0), (0.2, 0.8, 0.0), (0.1, 0.8, 0.1), (0.8, 0.1, 0.1))
VALID = torch.ones(1, 1, 1, 4, dtype=torch.bool)


def test_exemptions_from_agreement():
    def combined(how, valid=VALID, **options):
        label, confidence = combine_over_motion(OWN, WARPED, valid, how, **options)
        assert torch.equal(confidence > 0, label != 255)
        return label.flatten().tolist()

    assert combined("agreement") == [255, 255, 1, 255]
    assert combined("agreement_or_sure", thresholds=torch.tensor([0.8, 0.8, 0.6])) == [0, 255, 1, 2]
    rare = torch.tensor([False, True, True])
    assert combined("agreement_or_rare", rare=rare) == [255, 255, 1, 2]
    assert combined("agreement_or_rare", valid=~VALID, rare=~rare) == [0, 0, 1, 2]


def test_thresholds_follow_their_class_and_never_exceed_the_ceiling():
    start = torch.tensor([0.9, 0.9, 0.9])
    labels = torch.tensor([[[0, 0, 1, 255]]])
    confidence = torch.tensor([[[1.0, 0.98, 0.4, 0.0]]])
    moved = running_thresholds(start, labels, confidence, ceiling=0.9, decay=0.5)
    torch.testing.assert_close(moved, torch.tensor([0.9, 0.65, 0.9]))


def labeller(**raw):
    method = build_method("tps", {}, toy_video(), CLASSES)
    return Labeller(LabelParameters(weighting="threshold", **raw), method)


def test_a_hard_class_is_heard_once_its_threshold_has_come_down():
    labels, confidence = torch.zeros(1, 1, 2, 4, dtype=torch.long), torch.full((1, 1, 2, 4), 0.95)
    labels[..., 2:], confidence[..., 2:] = 2, torch.tensor([0.5, 0.7])
    pseudo = PseudoLabels(labels, confidence, None)
    fixed, running = labeller(), labeller(class_decay=0.5)
    assert float(fixed.weigh(pseudo)[1]) == 0.5
    first = float(running.weigh(pseudo)[1])
    for _ in range(20):
        weight, sure = running.weigh(pseudo)
    assert first == 0.5
    assert float(sure) == 0.75
    assert weight[0, 0].tolist() == [1, 1, 0, 1]
    again = labeller(class_decay=0.5)
    again.load_state_dict(running.state_dict())
    assert torch.equal(again.thresholds, running.thresholds)
    assert torch.equal(fixed.thresholds, torch.full((5,), 0.9))


@pytest.mark.parametrize("name", [name for name in METHODS if name in ("tps", "pixmatch", "stcl")])
def test_methods_know_rare_classes_from_the_source_s_labels(name):
    raw = {"labels": {"labeller": "ema", "over_motion": "agreement_or_rare", "rare_below": 0.1, "mirror": 0.0}}
    method = build_method(name, raw, toy_video(), CLASSES)
    assert not method.rare_classes(0.1).any()
    weigh_classes(method, {"name": name, **raw}, [60, 20, 15, 5, 0])
    assert method.rare_classes(0.1).tolist() == [False, False, False, True, True]
    target = toy_clip(method.target_needs)
    label = method.labeller.label(method.network.eval(), target, 1).labels
    plain = build_method(name, {"labels": {**raw["labels"], "over_motion": "now"}}, toy_video(), CLASSES)
    own = plain.labeller.label(method.network, target, 1).labels
    assert torch.equal(label[(own == 3) | (own == 4)], own[(own == 3) | (own == 4)])


def images(network):
    clip = toy_clip(ClipNeeds.of(2, labels=False))
    return [clip.frames[:, k] * share for k, share in enumerate((1.0, 0.5, 0.2))]


def test_a_labeller_in_train_mode_normalises_each_frame_by_itself():
    network = toy_video().train()
    frames, alone, calls = images(network), copy.deepcopy(network), []
    handle = network.frame.register_forward_hook(lambda *_: calls.append(1))
    for output, image in zip(run_frames(network, frames), frames, strict=True):
        assert torch.equal(output.logits, alone.frame(image).logits)
    assert len(calls) == 3
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(network.buffers(), alone.buffers(), strict=True))
    handle.remove()


@pytest.mark.parametrize("statistics", ["fixed", "eval"])
def test_with_running_statistics_frames_are_run_at_once(statistics):
    network, calls = toy_video(), []
    network.eval() if statistics == "eval" else train_mode(network, "fixed")
    network.frame.register_forward_hook(lambda *_: calls.append(1))
    frames = images(network)
    together = run_frames(network, frames)
    assert len(calls) == 1
    for output, image in zip(together, frames, strict=True):
        alone = network.frame(image)
        for mine, theirs in (
            (output.logits, alone.logits),
            (output.embedding, alone.embedding),
            (output.aux, alone.aux),
        ):
            torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("name", ["tps", "pixmatch"])
def test_what_labels_the_present_does_not_depend_on_frames_that_have_no_say(name):
    """The frame furthest back is read for the label of the frame before, which motion that is nowhere valid rejects."""
    method = build_method(
        name, {"labels": {"labeller": "self", "over_motion": "warped", "mirror": 0.0}}, toy_video(), CLASSES
    )
    method.network.train()
    clip = toy_clip(method.target_needs, valid=0.0)
    other = replace(clip, frames=torch.cat([clip.frames[:, :1] * 0.1, clip.frames[:, 1:]], 1))
    found = [method.labeller.label_now(method.network, method.teacher, c) for c in (clip, other)]
    assert torch.equal(found[0].labels, found[1].labels)
    assert torch.equal(found[0].confidence, found[1].confidence)


def test_the_oracle_keeps_what_is_true():
    truth = torch.tensor([[0, 1, 2, 255]])
    before, after = torch.tensor([[0, 1, 1, 2]]), torch.tensor([[0, 255, 1, 2]])
    assert only_true(before, truth).tolist() == [[0, 1, 255, 255]]
    score = refinement(before, after, truth)
    for sums in (
        score,
        Refinement() + score,
        score + score,
        refinement(before, after, torch.full_like(truth, 255)) + score,
    ):
        assert (sums.kept, sums.true, sums.bound, sums.found) == pytest.approx((2 / 3, 1 / 2, 2 / 3, 1 / 2))
    assert (score + score).pixels == 2 * score.pixels == 6
    assert best_of(before, torch.tensor([[2, 255, 2, 0]]), truth).tolist() == [[0, 1, 2, 2]]


def test_the_two_labels_that_a_label_over_motion_is_made_of_are_handed_out():
    raw = {"labels": {"labeller": "self", "over_motion": "max_confidence", "mirror": 0.0}}
    network = toy_video()
    for name, value in network.named_parameters():
        if name.endswith("weight") and value.dim() == 4:
            value.data.normal_(generator=torch.Generator().manual_seed(0))
    method = build_method("tps", raw, network, CLASSES)
    target = toy_clip(method.target_needs)
    found = method.labeller.label(method.network.eval(), target, 1)
    now = found.labels[:, -1]
    alone = build_method("tps", {"labels": {**raw["labels"], "over_motion": "now"}}, toy_video(), CLASSES)
    told = alone.labeller.label(method.network, target, 1)
    assert torch.equal(found.own, told.labels[:, -1])
    assert (told.own, told.warped) == (None, None)
    assert ((now == found.own) | (now == found.warped)).all()
    assert torch.equal(found.warped != 255, target.motion[2, 1].valid[:, 0] & (found.warped != 255))
    assert (found.warped == 255).any()
    assert 0 < (now == found.own).float().mean() < 1


def test_nothing_that_trains_can_reach_the_oracle():
    """The diagnosis may, which methods cannot import (test_arrows.py)."""
    for path in (ROOT / "crossfade").rglob("*.py"):
        if path.parent.name == "metrics" or path.name == "diagnosis.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            assert not any(name and name.split(".")[-1] == "oracle" for name in names), path
