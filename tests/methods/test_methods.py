"""Contracts over every method: what it asks for, what it returns, what it needs to resume."""

import copy
import math

import pytest
import torch
from pydantic import ValidationError
from toy_network import CLASSES, toy_clip, toy_video

from crossfade.errors import UserError
from crossfade.methods import METHODS, build_method
from crossfade.methods.base import ClipNeeds
from crossfade.methods.parts.unroll import supervised_terms

SMALL = {"advent": {"width": 8}, "da_vsn": {"width": 8}}
TEMPORAL_KINDS = ("none", "fusion", "tmanet", "dtern", "davss")
REFUSES = {(name, "davss") for name, (_, method) in METHODS.items() if not method.trains_key_frames}
REFUSES |= {("davss", kind) for kind in TEMPORAL_KINDS if kind != "davss"}
REFUSES |= {("quadmix", kind) for kind in ("fusion", "tmanet", "dtern")}
TRAINED = [name for name, (_, method) in METHODS.items() if method.trains]


def clips(method, seed=0, valid=0.8):
    source = toy_clip(method.source_needs, seed=2 * seed, valid=valid) if method.source_needs else None
    target = toy_clip(method.target_needs, seed=2 * seed + 1, valid=valid) if method.target_needs else None
    return source, target


def endless(method, side):
    seed = 0
    while True:
        seed += 1
        yield clips(method, seed)[side]


def train(method, optimizer, first, last, total=6):
    losses = []
    for step in range(first, last):
        torch.manual_seed(step)
        output = method.step(step, total, *clips(method, step))
        loss = torch.stack(list(output.terms.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step(step)
        losses.append(float(loss.detach()))
    return losses


def build(name, temporal="fusion", **raw):
    accepted = next(kind for kind in (temporal, *TEMPORAL_KINDS) if (name, kind) not in REFUSES)
    torch.manual_seed(0)
    return build_method(name, SMALL.get(name, {}) | raw, toy_video(accepted), CLASSES)


def optimizer_of(method):
    return torch.optim.SGD(method.network.parameters(), lr=0.05, momentum=0.9)


@pytest.mark.parametrize("temporal", ["none", "fusion"])
@pytest.mark.parametrize("name", TRAINED)
def test_loss_falls_and_terms_are_scalars(name, temporal):
    method = build(name, temporal)
    method.prepare(endless(method, 0), endless(method, 1))
    torch.manual_seed(5)
    output = method.step(0, 30, *clips(method), draw=True)
    assert all(term.ndim == 0 and term.requires_grad for term in output.terms.values())
    assert all(figure.dtype.name == "uint8" and figure.shape[-1] == 3 for figure in output.figures.values())
    losses = train(method, optimizer_of(method), 0, 30, total=30)
    assert sum(losses[-5:]) < sum(losses[:5])


@pytest.mark.parametrize(
    ("name", "temporal"), [(n, kind) for n in TRAINED for kind in ("tmanet", "dtern") if (n, kind) not in REFUSES]
)
def test_networks_of_several_frames_are_trained(name, temporal):
    method = build(name, temporal)
    method.prepare(endless(method, 0), endless(method, 1))
    before = copy.deepcopy(method.network.temporal.state_dict())
    assert all(math.isfinite(loss) for loss in train(method, optimizer_of(method), 0, 2))
    moved = {key for key, value in method.network.temporal.state_dict().items() if not torch.equal(value, before[key])}
    assert any(key.startswith("classifier") for key in moved)


@pytest.mark.parametrize("name", list(METHODS))
def test_a_network_is_taken_or_refused_in_a_sentence(name):
    for temporal in TEMPORAL_KINDS:
        if (name, temporal) in REFUSES:
            with pytest.raises(UserError, match=rf"{name}.*(leave|choose|set)"):
                build_method(name, {}, toy_video(temporal), CLASSES)
        else:
            build_method(name, {}, toy_video(temporal), CLASSES)


@pytest.mark.parametrize("name", TRAINED)
def test_motion_nowhere_valid(name):
    method = build(name)
    for step in range(2):
        output = method.step(step, 2, *clips(method, step, valid=0.0))
        assert all(torch.isfinite(term) for term in output.terms.values())


@pytest.mark.parametrize("name", TRAINED)
def test_resume_is_exact(name):
    whole = build(name)
    whole.prepare(endless(whole, 0), endless(whole, 1))
    optimizer = optimizer_of(whole)
    train(whole, optimizer, 0, 3)
    saved = copy.deepcopy((whole.network.state_dict(), optimizer.state_dict(), whole.state_dict()))
    expected = train(whole, optimizer, 3, 6)

    resumed = build(name)
    resumed.network.load_state_dict(saved[0])
    again = optimizer_of(resumed)
    again.load_state_dict(saved[1])
    resumed.load_state_dict(saved[2])
    assert train(resumed, again, 3, 6) == expected
    other = resumed.deployed().state_dict()
    assert all(torch.equal(value, other[key]) for key, value in whole.deployed().state_dict().items())


@pytest.mark.parametrize("name", TRAINED)
def test_state_loads_with_weights_only(name, tmp_path):
    method = build(name)
    train(method, optimizer_of(method), 0, 2)
    torch.save(method.state_dict(), tmp_path / "state.pt")
    method.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))


@pytest.mark.parametrize("name", list(METHODS))
def test_only_the_oracle_reads_target_labels(name):
    needs = build(name).target_needs
    assert needs is None or not needs.labels


def test_oracle_reads_target_labels_and_no_source():
    method = build("supervised", domain="target")
    assert method.source_needs is None
    assert method.target_needs.labels
    train(method, optimizer_of(method), 0, 1)


def test_unknown_method_and_key():
    with pytest.raises(UserError, match="did you mean 'self_training'"):
        build("self_trainin")
    with pytest.raises(ValidationError, match="threshhold"):
        build("self_training", threshhold=0.5)


ALL_TERMS = {"stcl": {"self_training": 1.0, "labels": {"over_motion": "max_confidence"}}}


@pytest.mark.parametrize("name", TRAINED)
def test_logits_are_enlarged_in_training_as_they_are_deployed(name, monkeypatch):
    network = toy_video("davss" if name == "davss" else "none" if name == "quadmix" else "fusion")
    for part in (network.frame, network.temporal):
        part.align_corners = True
    method = build_method(name, SMALL.get(name, {}) | ALL_TERMS.get(name, {}), network, CLASSES)
    seen, interpolate = set(), torch.nn.functional.interpolate

    def recorded(maps, *args, **options):
        if maps.shape[1] == len(CLASSES) and options.get("mode") == "bilinear":
            seen.add(options["align_corners"])
        return interpolate(maps, *args, **options)

    monkeypatch.setattr(torch.nn.functional, "interpolate", recorded)
    for step in range(2):  # davss trains another part in each
        method.step(step, 2, *clips(method, step))
    assert seen == {True}


@pytest.mark.parametrize("aligned", [True, False])
def test_supervised_logits_are_enlarged_as_in_inference(aligned):
    network, clip = toy_video("none").eval(), toy_clip(ClipNeeds(labels=True))
    network.frame.align_corners = aligned
    _, terms = supervised_terms(network, clip, "supervised", 0.0)
    logits = network.frame(clip.now).logits
    logits = torch.nn.functional.interpolate(logits, (24, 32), mode="bilinear", align_corners=aligned)
    expected = torch.nn.functional.cross_entropy(logits, clip.labels_now, ignore_index=255)
    torch.testing.assert_close(terms["supervised"], expected)
