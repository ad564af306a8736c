"""DA-VSN: each term, and who learns from it."""

import pytest
import torch
from toy_network import CLASSES, FineFrame, toy_clip, toy_video

from crossfade.methods import build_method
from crossfade.motion.field import Motion
from crossfade.objectives.consistency import surer_consistency


def build(temporal="fusion", **raw):
    torch.manual_seed(0)
    return build_method("da_vsn", {"width": 8, **raw}, toy_video(temporal), CLASSES)


def one_step(method, valid=0.8):
    torch.manual_seed(3)
    clips = (toy_clip(method.source_needs, valid=valid), toy_clip(method.target_needs, valid=valid, seed=1))
    return method.step(0, 10, *clips)


def test_surer_consistency_by_hand():
    now = torch.zeros(1, 2, 1, 3, requires_grad=True)  # q = (1/2, 1/2), the least sure there is
    propagated = torch.tensor([[[[0.9, 0.5, 0.0]], [[0.1, 0.5, 0.0]]]])
    loss = surer_consistency(now, propagated)
    torch.testing.assert_close(loss.detach(), torch.tensor(0.8 / 6))
    loss.backward()
    assert torch.equal(now.grad[..., 1:] == 0, torch.ones(1, 2, 1, 2, dtype=torch.bool))
    assert now.grad[0, 0, 0, 0] < 0 < now.grad[0, 1, 0, 0]
    sure = torch.tensor([[[[9.0]], [[0.0]]]])
    assert float(surer_consistency(sure, propagated[..., :1])) == 0  # the propagated one is less sure


@pytest.mark.parametrize("temporal", ["none", "fusion"])
def test_terms_follow_the_switches(temporal):
    every = {f"cross_domain_{what}_{head}" for what in ("time", "space") for head in ("main", "aux")}
    within = {"intra_domain", "intra_domain_aux"}
    source = {"source", "source_aux"}
    assert set(one_step(build(temporal)).terms) == source | within | every
    assert set(one_step(build(temporal, cross_domain=False)).terms) == source | within
    assert set(one_step(build(temporal, intra_domain=False)).terms) == source | every
    assert set(one_step(build(temporal, weight=0.0)).terms) == source
    assert build(temporal).target_needs.offsets == (-1, 0)


@pytest.mark.parametrize("propagate", ["warp", "splat"])
def test_logits_of_the_frame_before_come_to_the_grid_of_now(propagate):
    network = toy_video("tmanet", kind=FineFrame)  # its own logits are coarser
    terms = one_step(build_method("da_vsn", {"width": 8, "propagate": propagate}, network, CLASSES)).terms
    assert torch.isfinite(terms["intra_domain"])


@pytest.mark.parametrize("propagate", ["warp", "splat"])
def test_still_motion_brings_the_frame_before_as_it_is(propagate):
    method = build(propagate=propagate)
    logits = torch.randn(2, 5, 6, 8)
    still = Motion(torch.zeros(2, 2, 24, 32), torch.ones(2, 1, 24, 32, dtype=torch.bool))
    torch.testing.assert_close(method._propagated(logits, still), logits.softmax(1))


def test_invalid_motion_teaches_nothing_unless_splatted():
    nowhere = one_step(build(), valid=0.0)
    assert float(nowhere.terms["intra_domain"].detach()) == 0
    assert float(one_step(build(propagate="splat"), valid=0.0).terms["intra_domain"].detach()) > 0


def test_network_and_discriminators_learn_apart():
    method = build(weight=1.0)
    output = one_step(method)
    judges = method.judges.networks
    told = {name: p.grad.clone() for name, p in judges.named_parameters()}
    assert all(grad.abs().sum() > 0 for grad in told.values())
    terms = [term for name, term in output.terms.items() if name.startswith("cross_domain")]
    torch.stack(terms).sum().backward()
    assert all(torch.equal(p.grad, told[name]) for name, p in judges.named_parameters())
    assert method.network.frame.stem[0].weight.grad.abs().sum() > 0
    method.after_step(0)
    assert all(p.grad is None for p in judges.parameters())


def test_the_discrepancy_drives_the_discriminators_apart():
    def gap(weight):
        method = build(weight=1e-2, discrepancy=weight, discriminator_lr=1e-2, discriminator_clip=0.0)
        method.judges.networks["space_main"].load_state_dict(method.judges.networks["time_main"].state_dict())
        for _ in range(5):
            output = one_step(method)
            method.after_step(0)
        return float(output.scalars.get("weight_discrepancy_main", torch.tensor(9.0)))

    assert gap(100.0) < gap(1e-6) - 0.05
