"""ETC as a method: whose clips, which frames, and the teacher."""

import copy

import pytest
import torch
from toy_network import CLASSES, toy_clip, toy_video

from crossfade.data.augment import NO_GEOMETRIC, NO_PHOTOMETRIC
from crossfade.methods import build_method
from crossfade.methods.parts.unroll import run
from crossfade.objectives.temporal_loss import temporal_loss

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
    more = method.network.past
    assert method.target_needs.offsets == (-3, -2, -1, 0)[1 - more :]
    own = {(1, 0), (2, 1), (3, 2)} if temporal == "fusion" else set()
    assert set(method.target_needs.motion) == own | {(2 + more, more)}
    assert build(temporal, distillation=ALL).target_needs.offsets == (-3, -2, -1, 0)[1 - more :]
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
    moved = method.teacher.state_dict()["frame.classifier.bias"] - before["frame.classifier.bias"]
    assert method.teacher.past == 0
    torch.testing.assert_close(moved, torch.full((5,), 0.5 if teacher == "ema" else 0.0))
    again = build(distillation={"teacher": teacher, **ALL})
    again.load_state_dict(copy.deepcopy(method.state_dict()))
    again.network.load_state_dict(method.network.state_dict())
    for name, value in step(method, 3).items():
        assert torch.equal(value, step(again, 3)[name]), name


def moved(method):
    """Away from its teacher and, with fusion, from the identity."""
    with torch.no_grad():
        for parameter in method.network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return method


@pytest.mark.parametrize("clips", ["target", "both"])
@pytest.mark.parametrize("temporal", ["fusion", "tmanet", "dtern"])
def test_terms_of_the_target_reach_all_of_the_temporal_module(temporal, clips):
    method = moved(build(temporal, norm=False, clips=clips, distillation=ALL))
    for name in ("temporal", *ALL):
        method.network.zero_grad()
        step(method)[f"target_{name}"].backward()
        unreached = {
            key
            for key, p in method.network.temporal.named_parameters()
            if p.grad is None or (p.ndim > 1 and not p.grad.abs().sum() > 0)  # some biases cancel out
        }
        if name in ("temporal", "classes"):
            assert not unreached, name
        elif temporal == "fusion":  # affinities are of features, and fusion works on logits
            assert unreached == {"sf_layer.weight"}
        else:
            assert unreached == {"classifier.weight", "classifier.bias"}, name
        assert all(p.grad is not None for p in method.network.frame.stem.parameters())


def test_what_is_compared_is_what_is_deployed():
    """The network's output for either frame, as if it were the last of a clip."""
    plain = {"geometric": NO_GEOMETRIC.model_dump(), "photometric": NO_PHOTOMETRIC.model_dump()}
    method = moved(build("fusion", norm=False, clips="target", span=2, **plain))
    clip = toy_clip(method.target_needs)
    found = method.step(0, 10, toy_clip(method.source_needs), clip).terms["target_temporal"]
    now, before = (run(method.network, clip.frames[:, : k + 1], clip.motion).logits for k in (3, 1))
    images, motion = (clip.frames[:, 3], clip.frames[:, 1]), clip.motion[3, 1]
    torch.testing.assert_close(found, 0.1 * temporal_loss(now, before, images, motion))
    own = [method.network.frame(image).logits for image in images]
    assert not torch.isclose(found, 0.1 * temporal_loss(*own, images, motion), rtol=1e-3)


@pytest.mark.parametrize(("temporal", "frames"), [("none", 1 + 2), ("fusion", 2 + 3), ("tmanet", 3 + 4)])
def test_each_frame_is_encoded_once(temporal, frames):
    method = build(temporal, clips="target")
    calls = []
    method.network.frame.register_forward_hook(lambda *_: calls.append(1))
    step(method)
    assert len(calls) == frames


def test_inference_is_as_it_was():
    method = build()
    method.network.eval()
    keys = set(method.network.state_dict())
    step(method)
    assert set(method.deployed().state_dict()) == keys
    assert method.deployed().past == 0
