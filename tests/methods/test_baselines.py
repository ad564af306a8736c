"""What sets `advent` and `tps` apart from other methods."""

import pytest
import torch
from toy_network import CLASSES, toy_clip, toy_video

from crossfade.methods import build_method
from crossfade.methods.parts.judges import Judges
from crossfade.methods.tps import TPSParameters
from crossfade.motion.field import Motion
from crossfade.networks.discriminator import SMALLEST
from crossfade.objectives.entropy import entropy_loss


def build(name, temporal="none", **raw):
    torch.manual_seed(0)
    return build_method(name, raw, toy_video(temporal), CLASSES)


def one_step(method, seed=0):
    torch.manual_seed(3)
    source = toy_clip(method.source_needs, seed=seed)
    target = toy_clip(method.target_needs, seed=seed + 1)
    return method.step(0, 10, source, target)


def test_minent_makes_the_target_surer():
    method = build("advent", form="entropy", weight=5.0, class_balance=0.0)
    target = toy_clip(method.target_needs, seed=1)
    optimiser = torch.optim.SGD(method.network.parameters(), lr=0.05)
    scores = []
    for _ in range(15):
        output = one_step(method)
        optimiser.zero_grad()
        output.terms["target"].backward()
        optimiser.step()
        scores.append(float(entropy_loss(method.network.frame(target.now).logits).detach()))
    assert scores[-1] < 0.9 * scores[0]
    assert method.state_dict() == {}


def test_network_and_discriminators_learn_against_each_other():
    method = build("advent", weight=1.0)
    assert method.judges is not None
    output = one_step(method)
    told = {name: p.grad.clone() for name, p in method.judges.networks.named_parameters()}
    assert all(grad.abs().sum() > 0 for grad in told.values())
    sum(output.terms.values()).backward()
    for name, parameter in method.judges.networks.named_parameters():
        assert torch.equal(parameter.grad, told[name])  # the network's loss leaves no gradient in them
    assert method.network.frame.stem[0].weight.grad.abs().sum() > 0
    before = [p.detach().clone() for p in method.judges.networks.parameters()]
    method.after_step(0)
    assert any(not torch.equal(a, b) for a, b in zip(before, method.judges.networks.parameters(), strict=True))
    assert all(p.grad is None for p in method.judges.networks.parameters())


def test_accumulated_gradients_of_discriminators_are_averaged():
    torch.manual_seed(0)
    judges = Judges({"main": 2, "aux": 2}, 8, 1e-3, torch.device("cpu"))
    maps = torch.rand(2, 1, 2, SMALLEST, SMALLEST)

    def gradients():
        return [p.grad.clone() for p in judges.networks["main"].parameters()]

    judges.judged("main", *maps)
    once, seen = gradients(), []
    judges.judged("main", *maps)
    judges.optimiser.step = lambda: seen.extend(gradients())
    judges.update()
    torch.testing.assert_close(seen, once)
    judges.judged("main", *maps)  # the next update starts anew
    judges.update()
    torch.testing.assert_close(seen[len(once) :], once)


def test_discriminators_learn_to_tell_the_domains_apart():
    method = build("advent", discriminator_lr=3e-3, width=8)
    first = float(one_step(method).scalars["discriminator_main"])
    for _ in range(40):
        method.after_step(0)
        last = float(one_step(method).scalars["discriminator_main"])
    assert last < 0.8 * first


def test_tps_learns_what_was_seen_a_frame_ago():
    """The frame before says one class everywhere; over motion that is valid nowhere else, that is what is taught."""
    method = build("tps", labels={"labeller": "self", "over_motion": "warped", "weighting": "none", "mirror": 0.0})
    needs = method.target_needs
    assert needs.offsets == (-1, 0)
    assert needs.motion == ((1, 0),)
    output = one_step(method)
    assert set(output.terms) == {"source", "source_aux", "target", "target_aux"}
    assert "disagreement_over_motion" in output.scalars
    clip = toy_clip(needs, seed=1)
    still = {(1, 0): Motion(torch.zeros(2, 2, 24, 32), torch.ones(2, 1, 24, 32, dtype=torch.bool))}
    from crossfade.methods.parts.labeller import pseudo_labels

    moved = type(clip)(clip.frames, None, still, clip.names)
    method.network.eval()
    labels = pseudo_labels(method.network, moved, method.parameters.labels, 1).labels[:, -1]
    said = torch.nn.functional.interpolate(method.network.frame(clip.frames[:, 0]).logits, (24, 32), mode="bilinear")
    assert (labels == said.argmax(1)).float().mean() > 0.99


def test_tps_has_no_frozen_labeller():
    with pytest.raises(ValueError, match="choose self or ema"):
        TPSParameters.model_validate({"labels": {"labeller": "frozen"}})
