"""Alignment against the golden figures of the published code, and by construction."""

import pytest
import torch

from crossfade.objectives.alignment import (
    attraction_separation,
    certainty,
    class_centroids,
    combine_spans,
    mmd,
    span_weights,
)

SOURCE = torch.arange(16.0).view(4, 4) / 10
TARGET = torch.cos(torch.arange(16.0)).view(4, 4)


def test_mmd_golden():
    assert float(mmd(SOURCE, TARGET)) == pytest.approx(2.3123393, abs=2e-6)
    assert float(mmd(SOURCE, torch.zeros(4, 4))) == pytest.approx(3.4930078, abs=2e-6)
    assert float(mmd(SOURCE, SOURCE)) == pytest.approx(0.0, abs=1e-6)


def test_mmd_of_nothing_is_zero_and_gradients_reach_both_sides():
    assert float(mmd(torch.zeros(0, 4), torch.zeros(0, 4))) == 0.0
    source, target = SOURCE.clone().requires_grad_(), TARGET.clone().requires_grad_()
    mmd(source, target).backward()
    assert source.grad.abs().sum() > 0
    assert target.grad.abs().sum() > 0


def test_centroids_are_weighted_means_of_present_classes():
    features = torch.randn(2, 3, 4, 5)
    labels = torch.randint(0, 3, (2, 4, 5))
    labels[0, 0] = 255
    labels[labels == 2] = 1
    labels[1, 3, 4] = 2
    weights = torch.rand(2, 4, 5)
    centroids, present = class_centroids(features, labels, 4, weights, min_pixels=2)
    assert present.tolist() == [True, True, False, False]
    chosen = labels == 1
    expected = (features.movedim(1, -1)[chosen] * weights[chosen][:, None]).sum(0) / weights[chosen].sum()
    torch.testing.assert_close(centroids[1], expected)
    assert torch.equal(centroids[2:], torch.zeros(2, 3))


def test_spans_with_a_class_each():
    a = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([True, False])
    b = torch.tensor([[4.0, 0.0], [0.0, 6.0]]), torch.tensor([True, True])
    rows, present = combine_spans([a, b], torch.tensor([0.5, 0.5]))
    torch.testing.assert_close(rows, torch.tensor([[3.0, 0.0], [0.0, 6.0]]))
    assert present.all()


def test_span_weighting_prefers_the_sure_or_the_unsure():
    sure, unsure = torch.randn(1, 4, 3, 3) * 20, torch.zeros(1, 4, 3, 3)
    assert torch.equal(span_weights([sure, unsure], "equal"), torch.tensor([0.5, 0.5]))
    assert span_weights([sure, unsure], "certainty")[0] > 0.6
    assert span_weights([sure, unsure], "entropy")[1] > 0.5
    assert float(certainty(unsure).max()) < 1e-5


def test_attraction_and_separation():
    yes = torch.ones(3, dtype=torch.bool)
    attraction, separation = attraction_separation(torch.eye(3), yes, torch.eye(3) * 5, yes)
    assert float(attraction) == pytest.approx(0.0, abs=1e-6)
    assert float(separation) == 0.0
    attraction, separation = attraction_separation(torch.eye(3), yes, torch.eye(3).roll(1, 0), yes)
    assert float(attraction) == pytest.approx(1.0)
    assert float(separation) == pytest.approx(3 / 6)
    no = torch.zeros(3, dtype=torch.bool)
    assert [float(v) for v in attraction_separation(torch.eye(3), no, torch.eye(3), yes)] == [0.0, 0.0]
