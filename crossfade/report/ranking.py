"""Would a score that needs no labels have chosen the right run? Where there are labels, that can be looked up."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crossfade.report.results import BOUND, Comparison

FEWEST = 4
"""Runs, below which a rank correlation says nothing."""

Metrics = Mapping[str, Any]

SCORES: dict[str, tuple[Callable[[Metrics], float | None], int]] = {
    "entropy, low": (lambda m: m.get("label_free", {}).get("entropy"), -1),
    "neighbourhood density, high": (lambda m: m.get("label_free", {}).get("neighbourhood_density"), 1),
    "consistency over motion, high": (lambda m: m["temporal_consistency"]["value"], 1),
    "domain gap, low": (lambda m: m.get("domain_gap", {}).get("after"), -1),
}
"""Label-free scores: how each is read from a run's metrics, and whether more (1) or less (-1) is taken for better."""


@dataclass(frozen=True)
class Ranking:
    """How well one label-free score orders runs.

    Attributes:
        score: its name.
        correlation: Spearman's ρ between the score, turned so that higher is better, and mIoU, in [-1, 1]; nan where
            all runs have one score.
        runs: how many.
        picked: the name of the run it would pick.
        miou: that run's mIoU, in [0, 1].
        lost: how far that is below the best run's, in [0, 1].
    """

    score: str
    correlation: float
    runs: int
    picked: str
    miou: float
    lost: float


def rankings(comparison: Comparison) -> list[Ranking]:
    """Every score that at least `FEWEST` scored runs have; the bound's are left out, for it has seen labels."""
    return rank(
        [
            (f"{recipe.name} seed {seed}", metrics)
            for recipe in comparison.recipes
            if recipe.name != BOUND
            for seed, metrics in recipe.runs.items()
        ]
    )


def rank(runs: Sequence[tuple[str, Metrics]]) -> list[Ranking]:
    """Every score that at least `FEWEST` of the runs have which were scored; of equal scores the first is picked.

    Args:
        runs: (name, metrics) of networks that one has to choose from: of several recipes, or of one training's steps.
    """
    from scipy.stats import spearmanr

    scored = [(name, metrics) for name, metrics in runs if metrics["miou"] is not None]
    found = []
    for score, (read, sign) in SCORES.items():
        values = [(sign * value, m["miou"], name) for name, m in scored if (value := read(m)) is not None]
        if len(values) < FEWEST:
            continue
        scores, mious = [v[0] for v in values], [v[1] for v in values]
        varied = len(set(scores)) > 1 and len(set(mious)) > 1
        rho = float(spearmanr(scores, mious).statistic) if varied else math.nan
        _, miou, name = max(values, key=lambda v: v[0])
        found.append(Ranking(score, rho, len(values), name, miou, max(mious) - miou))
    return found
