import pytest
import torch
from scipy.stats import entropy

from crossfade.networks.discriminator import Discriminator
from crossfade.objectives.entropy import entropy_loss, self_information


def test_entropy_is_scipy_s_and_normalised():
    logits = torch.randn(2, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    expected = entropy(logits.softmax(1).numpy(), axis=1, base=5).mean()
    assert float(entropy_loss(logits)) == pytest.approx(float(expected), rel=1e-5)
    assert float(entropy_loss(torch.zeros(1, 5, 2, 2))) == pytest.approx(1.0)
    maps = self_information(logits)
    assert maps.shape == logits.shape
    assert torch.allclose(maps.sum(1).mean(), entropy_loss(logits))


def test_its_gradient_is_finite_where_a_probability_is_zero():
    logits = torch.tensor([200.0, 0.0, -200.0]).view(1, 3, 1, 1).requires_grad_()
    entropy_loss(logits).backward()
    assert torch.isfinite(logits.grad).all()


def test_the_discriminator_has_the_published_size():
    judge = Discriminator(12)
    assert sum(p.numel() for p in judge.parameters()) == 2_773_953
    assert judge(torch.zeros(2, 12, 64, 96)).shape == (2, 1, 2, 3)
