"""DAVSS's losses, where they are not those of the golden numbers."""

import pytest
import torch
import torch.nn.functional as F

from crossfade.motion.field import Motion
from crossfade.objectives.propagation import correction_loss, distortion_loss, motion_loss


def test_distortion_is_asked_to_be_where_classes_differ():
    torch.manual_seed(0)
    a, b = torch.randn(2, 2, 4, 6, 8)
    d = torch.rand(2, 1, 6, 8) * 0.9 + 0.05
    wrong = (a.argmax(1) != b.argmax(1)).float()[:, None]
    torch.testing.assert_close(distortion_loss(d, a, b), F.binary_cross_entropy(d, wrong), rtol=1e-4, atol=1e-6)
    assert distortion_loss(wrong, a, b) < 1e-5


def test_a_saturated_distortion_still_learns():
    a, b = torch.randn(2, 1, 4, 6, 8)
    d = torch.zeros(1, 1, 6, 8, requires_grad=True)
    loss = distortion_loss(d, a, b)
    loss.backward()
    assert torch.isfinite(loss)
    assert d.grad.abs().max() > 0


def test_correction_counts_by_distortion_and_ignores_what_has_no_label():
    logits, labels = torch.randn(1, 4, 2, 4), torch.randint(0, 4, (1, 2, 4))
    labels[:, 0] = 255
    half = torch.full((1, 1, 2, 4), 0.5)
    expected = 0.5 * F.cross_entropy(logits[:, :, 1], labels[:, 1], reduction="sum") / 8
    torch.testing.assert_close(correction_loss(logits, half, labels), expected)


def test_end_point_error_in_pixels_of_the_frames():
    flow = torch.zeros(1, 2, 64, 64)
    flow[:, 0], flow[:, 1] = 3.0, 4.0
    valid = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    valid[..., :32] = False
    sizes = (1, 2, 4, 8, 16)
    perfect = [torch.tensor([3.0, 4.0]).view(1, 2, 1, 1).expand(1, 2, s, s) / 20 for s in sizes]
    assert motion_loss(perfect, Motion(flow, valid)) < 1e-2
    nothing = [torch.zeros(1, 2, s, s) for s in sizes[1:]]
    assert float(motion_loss(nothing, Motion(flow, valid))) == pytest.approx(5.0, rel=1e-3)
    assert motion_loss(nothing, Motion(flow, torch.zeros_like(valid))) == 0
