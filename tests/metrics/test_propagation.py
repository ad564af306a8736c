import math

import pytest
import torch
from sklearn.metrics import jaccard_score

from crossfade.metrics.propagation import PropagationDistance


def drawn(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    prediction, truth = (torch.randint(0, 4, (1, 12, 16), generator=generator) for _ in range(2))
    return prediction, truth


def test_each_distance_is_scored_on_its_own_frames_as_scikit_learn_scores_them():
    metric = PropagationDistance(6, (0, 2))
    for seed in range(4):
        metric.update(*drawn(seed), distance=2 * (seed % 2))
    curve = metric.compute()
    assert list(curve) == [0, 2]
    for distance, seeds in ((0, (0, 2)), (2, (1, 3))):
        prediction, truth = (torch.cat(side).flatten() for side in zip(*map(drawn, seeds), strict=True))
        assert curve[distance] == pytest.approx(jaccard_score(truth, prediction, average="macro"))
    assert metric.mean() == pytest.approx((curve[0] + curve[2]) / 2)
    assert metric.minimum() == min(curve.values())


def test_a_distance_never_seen_is_nan_and_so_are_mean_and_minimum():
    metric = PropagationDistance(4)
    assert metric.distances == tuple(range(10))
    metric.update(*drawn(0), distance=3)
    curve = metric.compute()
    assert [d for d, value in curve.items() if not math.isnan(value)] == [3]
    assert math.isnan(metric.mean())
    assert math.isnan(metric.minimum())


def test_parts_merge_into_the_whole():
    whole, first, second = (PropagationDistance(4, (0, 1)) for _ in range(3))
    for seed in range(6):
        whole.update(*drawn(seed), distance=seed % 2)
        (first if seed < 3 else second).update(*drawn(seed), distance=seed % 2)
    first.merge(second)
    assert first.compute() == whole.compute()
    with pytest.raises(ValueError, match="distances"):
        first.merge(PropagationDistance(4, (0, 1, 2)))


def test_an_unknown_distance_is_refused():
    with pytest.raises(ValueError, match="distance 10 is not one of 0, 1"):
        PropagationDistance(4).update(*drawn(0), distance=10)
