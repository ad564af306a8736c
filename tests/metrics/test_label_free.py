import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.metrics.pairwise import cosine_similarity

from crossfade.metrics.label_free import LabelFreeScores, neighbourhood_density


def test_entropy_is_zero_when_sure_and_one_when_not():
    sure, unsure = torch.zeros(1, 5, 6, 7), torch.zeros(1, 5, 6, 7)
    sure[:, 2] = 50.0
    for logits, expected in ((sure, 0.0), (unsure, 1.0)):
        scores = LabelFreeScores()
        scores.update(logits)
        assert scores.entropy() == pytest.approx(expected, abs=1e-6)


def test_entropy_is_scipy_s_over_the_most_there_can_be():
    p = np.random.default_rng(0).dirichlet(np.full(7, 0.3), (3, 8, 9)).astype(np.float32)
    scores = LabelFreeScores()
    scores.update(torch.from_numpy(p).permute(0, 3, 1, 2).log())
    assert scores.entropy() == pytest.approx(float((entropy(p, axis=-1) / math.log(7)).mean()), rel=1e-5)
    assert 0.2 < scores.entropy() < 0.8


def test_density_is_the_paper_s():
    p = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)).softmax(1)
    similar = cosine_similarity(p.numpy()) / 0.05
    np.fill_diagonal(similar, -np.inf)
    weights = np.exp(similar - similar.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    logs = np.log(np.where(weights > 0, weights, 1.0))
    assert neighbourhood_density(p, 0.05) == pytest.approx(float(-(weights * logs).sum(1).mean()), rel=1e-4)


def test_dense_clusters_score_higher_than_scattered_samples():
    clusters = torch.eye(4).repeat(20, 1)
    generator = torch.Generator().manual_seed(0)
    scattered = torch.rand(80, 4, generator=generator) ** 4
    assert neighbourhood_density(clusters, 0.05) > neighbourhood_density(scattered, 0.05)
    same = torch.ones(80, 4) / 4
    assert neighbourhood_density(same, 0.05) == pytest.approx(math.log(79), rel=1e-4)


def test_density_does_not_depend_on_the_stride_of_the_logits():
    generator = torch.Generator().manual_seed(0)
    coarse = 8 * torch.randn(2, 4, 6, 8, generator=generator)
    densities = []
    for factor in (1, 4, 8):
        scores = LabelFreeScores()
        scores.update(torch.nn.functional.interpolate(coarse, scale_factor=factor, mode="nearest"))
        densities.append(scores.density())
    assert densities == pytest.approx([densities[-1]] * 3, rel=0.05)


def test_frames_add_up():
    logits = torch.randn(3, 5, 24, 30, generator=torch.Generator().manual_seed(0))
    whole, first, second = LabelFreeScores(), LabelFreeScores(), LabelFreeScores()
    whole.update(logits)
    first.update(logits[:1])
    second.update(logits[1:])
    first.merge(second)
    assert first.frames == 3
    assert first.entropy() == pytest.approx(whole.entropy())
    assert first.density() == pytest.approx(whole.density())
    assert math.isnan(LabelFreeScores().entropy())
