"""ETC as a method: whose clips, which frames, and the teacher."""

import copy

import pytest
import torch
from toy_network import CLASSES, toy_clip, toy_video

from crossfade.methods import build_method

ALL = {"classes": 1.0, "pair": 1.0, "own": 1.0, "sequence": 1.0}


def build(temporal="none", norm=True, **raw):
    torch.manual_seed(0)
    return build_method("etc", raw, toy_video(temporal, norm), CLASSES)


def step(method, k=0):
    torch.manual_seed(k)
    clips = [toy_clip(n, seed=k) if n else None for n in (method.source_needs, method.target_needs)]
    return method.step(k, 10, *clips).terms


@pytest.mark.parametrize(
    ("clips", "sides"), [("source", {"source"}), ("target", {"target"}), ("both", {"source", "target"})]
)
def test_whose_clips(clips, sides):
    method = build(clips=clips)
    terms = step(method)
    assert {name.removesuffix("_temporal") for name in terms if name.endswith("_temporal")} == sides
    assert {"source", "source_aux"} <= set(terms)
    assert (method.target_needs is None) == (clips == "source")
    assert method.source_needs.offsets == ((0,) if clips == "target" else (-1, 0))
    assert method.source_needs.labels


@pytest.mark.parametrize("temporal", ["none", "fusion"])
def test_which_frames_and_which_motion(temporal):
    method = build(temporal, span=2)
    assert method.target_needs.offsets == (-2, -1, 0)
    own = {(1, 0), (2, 1)} if temporal == "fusion" else set()
    assert set(method.target_needs.motion) == own | {(2, 0)}
    assert build(temporal, distillation=ALL).target_needs.offsets == (-2, -1, 0)
    assert all(torch.isfinite(term) for term in step(method).values())


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    """Without batch norm, whose batches differ from its running statistics."""
    method = build(norm=False, distillation=ALL)
    terms = step(method)
    learned = {name: float(terms[f"{side}_{name}"].detach()) for name in ALL for side in ("source", "target")}
    assert max(learned.values()) < 1e-6
    with torch.no_grad():
        for parameter in method.network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    terms = step(method)
    assert all(float(terms[f"target_{name}"].detach()) > 1e-6 for name in ALL)


@pytest.mark.parametrize("teacher", ["frozen", "ema"])
def test_the_teacher_moves_only_if_asked_and_resumes(teacher):
    method = build(distillation={"teacher": teacher, "decay": 0.5, **ALL})
    before = copy.deepcopy(method.teacher.state_dict())
    with torch.no_grad():
        method.network.frame.classifier.bias.add_(1.0)
    method.after_step(0)
    moved = method.teacher.state_dict()["classifier.bias"] - before["classifier.bias"]
    torch.testing.assert_close(moved, torch.full((5,), 0.5 if teacher == "ema" else 0.0))
    again = build(distillation={"teacher": teacher, **ALL})
    again.load_state_dict(copy.deepcopy(method.state_dict()))
    again.network.load_state_dict(method.network.state_dict())
    for name, value in step(method, 3).items():
        assert torch.equal(value, step(again, 3)[name]), name


def test_inference_is_as_it_was():
    method = build()
    method.network.eval()
    keys = set(method.network.state_dict())
    step(method)
    assert set(method.deployed().state_dict()) == keys
    assert method.deployed().past == 0
