"""Learning rates: what params.yaml had before stays as it was, and the published schedules."""

import pytest
import torch
from toy_training import ToyNetwork

from crossfade.optimisation import OptimiserParameters, build_optimiser, set_learning_rate
from crossfade.temporal.base import NoMemory
from crossfade.temporal.video_network import VideoNetwork


@pytest.fixture
def network():
    return VideoNetwork(ToyNetwork(), NoMemory())


def rates(network, steps, total, **numbers):
    """[encoder's, heads'] learning rate at each step."""
    parameters = OptimiserParameters(**{"warmup": 0, **numbers})
    optimiser = build_optimiser(network, parameters)
    found = []
    for step in steps:
        base = set_learning_rate(optimiser, parameters, step, total)
        found.append([group["lr"] for group in optimiser.param_groups])
        assert found[-1][0] == base
    return found


@pytest.mark.parametrize("power", [0.0, 0.9])
def test_the_default_is_what_it_was_to_the_last_bit(network, power):
    numbers = {"lr": 6e-4, "warmup": 7, "power": power, "head_multiplier": 3.3333}
    for step, (encoder, head) in enumerate(rates(network, range(50), 50, **numbers)):
        lr = 6e-4 * min(1.0, (step + 1) / 7) * (1.0 - step / 50) ** power
        assert (encoder, head) == (lr, lr * 3.3333)
    optimiser = build_optimiser(network, OptimiserParameters())
    assert [len(group["params"]) for group in optimiser.param_groups] == [4, 2]
    assert type(optimiser) is torch.optim.AdamW


def test_the_adaptation_pairs_decay_over_a_horizon_that_is_not_reached_and_their_heads_not_at_all(network):
    """ADVENT, TPS, STCL: 40,000 steps of 250,000; 2.5e-4 ends at 2.137e-4, the heads stay at 2.5e-3."""
    found = rates(
        network, [0, 40_000], 40_001, lr=2.5e-4, head_multiplier=10, horizon=250_000, head_schedule="constant"
    )
    assert found[0] == pytest.approx([2.5e-4, 2.5e-3])
    assert found[1] == pytest.approx([2.137e-4, 2.5e-3], rel=1e-3)
    assert rates(network, [9], 10, horizon=5) == [[0.0, 0.0]]  # not a complex number


def test_tmanet_decays_to_an_end_above_zero(network):
    lr, end = 0.01, 1e-4
    for step, (found, _) in zip((0, 300, 999), rates(network, (0, 300, 999), 1000, lr=lr, end=end), strict=True):
        assert found == pytest.approx((lr - end) * (1 - step / 1000) ** 0.9 + end)


def test_dtern_begins_at_a_millionth_and_decays_linearly(network):
    numbers = {"lr": 6e-5, "power": 1.0, "warmup": 1500, "warmup_start": 1e-6}
    for step, (found, _) in zip((0, 600, 1500), rates(network, (0, 600, 1500), 160_000, **numbers), strict=True):
        left = 1 - min(step, 1500) / 1500
        assert found == pytest.approx(6e-5 * (1 - step / 160_000) * (1 - left * (1 - 1e-6)))


def test_davss_learns_at_a_tenth_after_half(network):
    found = rates(network, [0, 49, 50, 99], 100, name="adam", lr=1e-4, head_multiplier=1, schedule="step")
    assert [head for _, head in found] == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5])
    assert type(build_optimiser(network, OptimiserParameters(name="adam"))) is torch.optim.Adam


def test_the_encoder_s_normalisation_can_be_spared_the_weight_decay(network):
    optimiser = build_optimiser(network, OptimiserParameters(norm_decay=False, weight_decay=0.01))
    norm = network.frame.body[1]
    encoder, spared, head = optimiser.param_groups
    assert [id(p) for p in spared["params"]] == [id(norm.weight), id(norm.bias)]
    assert (encoder["weight_decay"], spared["weight_decay"], head["weight_decay"]) == (0.01, 0.0, 0.01)
    assert spared["multiplier"] == 1.0
    assert len(encoder["params"]) == len(head["params"]) == 2
