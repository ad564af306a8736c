import copy

import torch
from torch import nn

from crossfade.objectives.weight_discrepancy import weight_discrepancy


def test_values():
    torch.manual_seed(0)
    one = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 1, 1))
    same, opposite = copy.deepcopy(one), copy.deepcopy(one)
    with torch.no_grad():
        for k, parameter in enumerate(opposite.parameters()):
            parameter.mul_(-1.0 if k < 2 else 3.0)
    torch.testing.assert_close(weight_discrepancy(one, same), torch.tensor(2.0))
    torch.testing.assert_close(weight_discrepancy(one, opposite), torch.tensor(1.0))  # two of four tensors turned
    other = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 1, 1))
    expected = sum(
        float((torch.dot(a.flatten(), b.flatten()) / a.norm() / b.norm()).detach()) + 1
        for a, b in zip(one.parameters(), other.parameters(), strict=True)
    )
    value = weight_discrepancy(one, other)
    torch.testing.assert_close(value.detach(), torch.tensor(expected / 4))
    value.backward()
    assert all(p.grad.abs().sum() > 0 for net in (one, other) for p in net.parameters() if p.numel() > 1)
