"""PixMatch: the views it trains on."""

import pytest
import torch
from toy_network import CLASSES, toy_clip, toy_video

from crossfade.errors import UserError
from crossfade.methods import build_method
from crossfade.methods.pixmatch import PixMatchParameters


def one_step(batch=2, temporal="fusion", **raw):
    torch.manual_seed(0)
    method = build_method("pixmatch", raw, toy_video(temporal), CLASSES)
    source = toy_clip(method.source_needs, batch=batch)
    target = toy_clip(method.target_needs, batch=batch, seed=1)
    return method.step(0, 10, source, target, draw=True)


@pytest.mark.parametrize("perturbation", ["fourier", "photometric", "cutmix", "fourier_cutmix"])
def test_every_perturbation_trains(perturbation):
    output = one_step(perturbation=perturbation, labels={"labeller": "self", "threshold": 0.0, "weighting": "none"})
    assert set(output.terms) == {"source", "source_aux", "consistency", "consistency_aux"}
    assert float(output.terms["consistency"].detach()) > 0
    assert output.figures["view"].shape == (2 * 24, 2 * 2 * 32, 3)


def test_only_sure_pixels_teach():
    unsure = one_step(labels={"labeller": "self", "threshold": 1.0, "weighting": "threshold"})
    assert float(unsure.terms["consistency"].detach()) == 0
    assert float(unsure.scalars["sure"]) == 0


def test_boxes_carry_their_neighbours_frames_and_labels():
    method = build_method("pixmatch", {"perturbation": "cutmix", "box": 0.3}, toy_video(), CLASSES)
    target = toy_clip(method.target_needs, seed=1)
    labels = torch.stack([torch.zeros(24, 32), torch.ones(24, 32)]).long()
    view = method._perturbed(target, target.now, labels, labels.float())
    pasted = view.origin[:, -1] == 1
    assert pasted.float().mean((1, 2)).sub(0.3).abs().max() < 0.06
    assert torch.equal(view.labels[:, -1] != labels, pasted)
    assert torch.equal(view.weight[:, -1], view.labels[:, -1].float())
    moved = pasted[:, None, None].expand_as(view.frames)
    assert torch.equal(view.frames, torch.where(moved, target.frames.roll(1, 0), target.frames))


def test_refusals():
    with pytest.raises(UserError, match="at least 2 clips"):
        one_step(batch=1, perturbation="cutmix")
    with pytest.raises(ValueError, match="pixmatch has no labeller 'frozen'"):
        PixMatchParameters.model_validate({"labels": {"labeller": "frozen"}})
