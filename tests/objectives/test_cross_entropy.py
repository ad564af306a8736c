import pytest
import torch
import torch.nn.functional as F

from crossfade.motion.field import Motion
from crossfade.objectives.consistency import temporal_consistency
from crossfade.objectives.cross_entropy import cross_entropy


def test_all_ignored_is_zero_with_a_gradient():
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = cross_entropy(logits, torch.full((2, 4, 4), 255))
    loss.backward()
    assert loss.item() == 0.0
    assert float(logits.grad.abs().sum()) == 0.0


def test_denominators_and_weights():
    logits, labels = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    labels[0] = 255
    expected = F.cross_entropy(logits, labels, ignore_index=255)
    torch.testing.assert_close(cross_entropy(logits, labels), expected)
    torch.testing.assert_close(cross_entropy(logits, labels, denominator="all"), expected / 2)
    torch.testing.assert_close(cross_entropy(logits, labels, torch.full((2, 4, 4), 0.3)), expected * 0.3)
    big = labels.repeat_interleave(2, 1).repeat_interleave(2, 2)
    up = F.interpolate(logits, (8, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(cross_entropy(logits, big), cross_entropy(up, big))
    up = F.interpolate(logits, (8, 8), mode="bilinear", align_corners=True)
    torch.testing.assert_close(cross_entropy(logits, big, align_corners=True), cross_entropy(up, big))


def shift(u, valid=True):
    flow = torch.zeros(1, 2, 5, 6)
    flow[:, 0] = u
    return Motion(flow, torch.full((1, 1, 5, 6), valid))


@pytest.mark.parametrize("distance", ["squared", "kl"])
def test_consistency_over_motion(distance):
    past = torch.randn(1, 4, 5, 6) * 3
    now = past.roll(-1, -1).clone().requires_grad_()
    moved = temporal_consistency(now, past, shift(1.0), distance)
    assert moved.item() == pytest.approx(0.0, abs=1e-5)
    still = temporal_consistency(now, past, shift(0.0), distance)
    assert still.item() > 0.1
    still.backward()
    assert now.grad.abs().sum() > 0
    assert temporal_consistency(now, past, shift(0.0, valid=False), distance).item() == 0.0
