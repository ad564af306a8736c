"""ETC's temporal loss: gradients to both frames, nothing from what is hidden, nothing where all is consistent."""

import torch

from crossfade.motion.field import Motion
from crossfade.motion.warp import warp
from crossfade.objectives.temporal_loss import likeness, temporal_loss


def moving(valid=True):
    torch.manual_seed(0)
    flow = torch.randn(2, 2, 8, 12)
    return Motion(flow, torch.full((2, 1, 8, 12), valid))


def test_gradients_reach_both_frames():
    images = torch.rand(2, 3, 8, 12), torch.rand(2, 3, 8, 12)
    now, neighbour = (torch.randn(2, 5, 4, 6, requires_grad=True) for _ in range(2))
    temporal_loss(now, neighbour, images, moving()).backward()
    assert now.grad.abs().sum() > 0
    assert neighbour.grad.abs().sum() > 0


def test_what_agrees_costs_nothing_and_what_is_hidden_neither():
    image, logits, motion = torch.rand(2, 3, 8, 12), torch.randn(2, 5, 8, 12), moving()
    warped, inside = warp(logits, motion.flow)
    assert not bool(inside.all())
    assert temporal_loss(warped, logits, (image, image), motion) == 0
    other = torch.randn(2, 5, 8, 12)
    hidden = moving(valid=False)
    assert temporal_loss(other, logits, (image, image), hidden) == 0
    assert temporal_loss(other, logits, (image, image), hidden, compat=True) > 0


def test_places_that_look_different_count_less():
    still = Motion(torch.zeros(1, 2, 4, 4), torch.ones(1, 1, 4, 4, dtype=torch.bool))
    grey = torch.full((1, 3, 4, 4), 0.5)
    assert torch.equal(likeness(grey, grey, still.flow), torch.ones(1, 1, 4, 4))
    a, b = torch.randn(2, 1, 5, 4, 4)
    losses = [temporal_loss(a, b, (grey, grey + shift), still) for shift in (0.0, 0.05, 0.1)]
    torch.testing.assert_close(losses[0], (a - b).pow(2).mean())
    assert losses[0] > losses[1] > losses[2]
    # red up by a standard deviation, green down by one: the sum over channels does not see it, as published
    shift = torch.tensor([0.229, -0.224, 0.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(likeness(grey, grey + shift, still.flow), torch.ones(1, 1, 4, 4))
