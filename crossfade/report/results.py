"""What the comparison of a pair knows: every recipe, every seed, mean and spread."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossfade.errors import UserError
from crossfade.files import read_json
from crossfade.presets import Published

BASELINE, BOUND = "source_only", "oracle"
"""The recipe everything is measured against, and the one nothing should beat."""


@dataclass(frozen=True)
class Value:
    """A number over seeds.

    Attributes:
        mean: nan where no seed has the number.
        spread: sample standard deviation over seeds; None with fewer than two.
        seeds: how many seeds have the number.
    """

    mean: float
    spread: float | None
    seeds: int

    @classmethod
    def of(cls, numbers: Sequence[float | None]) -> "Value":
        """Mean and spread of the numbers that exist (None and nan do not)."""
        known = [float(n) for n in numbers if n is not None and math.isfinite(n)]
        if not known:
            return cls(math.nan, None, 0)
        return cls(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None, len(known))

    def format(self, scale: float = 1.0, digits: int = 1, sign: bool = False) -> str:
        """ "46.2 ± 0.5", "46.2" with one seed, "–" with none."""
        if not self.seeds:
            return "–"
        mean = f"{self.mean * scale:{'+' if sign else ''}.{digits}f}"
        return mean if self.spread is None else f"{mean} ± {self.spread * scale:.{digits}f}"


@dataclass(frozen=True)
class Recipe:
    """One row of the comparison.

    Attributes:
        name: as in params.yaml.
        runs: {seed: the metrics of that run}.
        left_out: why there is no result, where there is none.
    """

    name: str
    runs: Mapping[int, Mapping[str, Any]]
    left_out: str | None = None

    def over_seeds(self, read: Callable[[Mapping[str, Any]], float | None]) -> Value:
        """`read(metrics) -> number or None`, over the seeds."""
        return Value.of([read(metrics) for metrics in self.runs.values()])

    @property
    def miou(self) -> Value:
        """Mean IoU, in [0, 1]."""
        return self.over_seeds(lambda m: m["miou"])

    @property
    def pixel_accuracy(self) -> Value:
        """Share of pixels that are right, in [0, 1]."""
        return self.over_seeds(lambda m: m["pixel_accuracy"])

    @property
    def temporal_consistency(self) -> Value:
        """Temporal consistency, in [0, 1]."""
        return self.over_seeds(lambda m: m["temporal_consistency"]["value"])

    @property
    def entropy(self) -> Value:
        """How unsure the network is, in [0, 1]."""
        return self.over_seeds(lambda m: m.get("label_free", {}).get("entropy"))

    @property
    def neighbourhood_density(self) -> Value:
        """How tightly its predictions cluster, nats."""
        return self.over_seeds(lambda m: m.get("label_free", {}).get("neighbourhood_density"))

    @property
    def speed(self) -> Value:
        """Frames per second of the network alone."""
        return self.over_seeds(lambda m: m["frames_per_second"]["network"])

    def iou(self, name: str) -> Value:
        """IoU of one class, in [0, 1]."""
        return self.over_seeds(lambda m: m["iou"].get(name))

    @property
    def first(self) -> Mapping[str, Any]:
        """The metrics of the lowest seed, for what does not depend on the seed."""
        return self.runs[min(self.runs)]


@dataclass(frozen=True)
class Comparison:
    """All recipes of a pair.

    Attributes:
        pair: its name.
        recipes: those with results, baseline first and bound last.
        left_out: those without, with the reason.
        notes: sentences the reader must know (for example that the evaluation clip was seen unlabelled).
        title: the pair in words, for example "street_plain → street_camera".
        published: what was published for this setting, if anything.
    """

    pair: str
    recipes: Sequence[Recipe]
    left_out: Sequence[Recipe] = ()
    notes: Sequence[str] = ()
    title: str = ""
    published: Published | None = None

    def recipe(self, name: str) -> Recipe | None:
        """A recipe with results, by name."""
        return next((recipe for recipe in self.recipes if recipe.name == name), None)

    @property
    def classes(self) -> list[str]:
        """Class names in the label space's order; empty with no result."""
        return list(self.recipes[0].first["iou"]) if self.recipes else []

    @property
    def devices(self) -> str:
        """What frames per second were measured on, with a warning where that was not one kind of machine."""
        known = {m["frames_per_second"]["device"] for recipe in self.recipes for m in recipe.runs.values()}
        return " and ".join(sorted(known)) + (", so rows do not compare" if len(known) > 1 else "")

    @property
    def scored(self) -> bool:
        """Whether anything was scored against labels."""
        return any(recipe.miou.seeds for recipe in self.recipes)

    @property
    def motion(self) -> str | None:
        """The motion estimator the temporal consistency was measured with."""
        return self.recipes[0].first["temporal_consistency"]["motion"] if self.recipes else None

    def published_miou(self, recipe: Recipe) -> Value:
        """The recipe's published mean IoU, in [0, 1]."""
        result = None if self.published is None else self.published.results.get(recipe.name)
        return Value.of([None if result is None else result.miou / 100])

    def gain(self, recipe: Recipe) -> Value:
        """mIoU above the baseline of the same seed, in [-1, 1]."""
        base = self.recipe(BASELINE)
        if base is None or recipe.name == BASELINE:
            return Value.of([])
        shared = sorted(set(recipe.runs) & set(base.runs))
        return Value.of([_difference(recipe.runs[s]["miou"], base.runs[s]["miou"]) for s in shared])

    def gap_closed(self, recipe: Recipe) -> Value:
        """Share of the way from baseline to bound, per seed: (r - baseline) / (bound - baseline).

        Unknown for the baseline and the bound themselves, and where the bound is not above the baseline.
        """
        base, bound = self.recipe(BASELINE), self.recipe(BOUND)
        if base is None or bound is None or recipe.name in (BASELINE, BOUND):
            return Value.of([])
        shares = []
        for seed in sorted(set(recipe.runs) & set(base.runs) & set(bound.runs)):
            gap = _difference(bound.runs[seed]["miou"], base.runs[seed]["miou"])
            gained = _difference(recipe.runs[seed]["miou"], base.runs[seed]["miou"])
            if gap is not None and gained is not None and gap > 0:
                shares.append(gained / gap)
        return Value.of(shares)

    def clearly_above(self, read: Callable[[Mapping[str, Any]], float | None]) -> dict[str, list[str]]:
        """Of each recipe, those that it is above in every seed they share, by more than the differences spread.

        Needs two seeds that both have; `read(metrics) -> number or None`.
        """
        return {a.name: [b.name for b in self.recipes if _clearly_above(a, b, read)] for a in self.recipes}

    def best(self, read: Callable[[Recipe], Value]) -> set[str]:
        """Names of the recipes, the bound aside, that have the highest mean or whose spread reaches it.

        With one seed nothing is known about spread, so only the highest is named.
        """
        values = {r.name: read(r) for r in self.recipes if r.name != BOUND}
        known = {name: v for name, v in values.items() if v.seeds}
        if not known:
            return set()
        top = max(known.values(), key=lambda v: v.mean)
        floor = top.mean - (top.spread or 0.0)
        return {name for name, v in known.items() if v.mean == top.mean or v.mean + (v.spread or 0.0) >= floor}


def _mixed_code(recipes: Sequence[Recipe]) -> list[str]:
    """A sentence where rows come from different states of the code, which the graph does not watch."""
    told = []
    for when in ("trained", "scored"):
        found: dict[str, list[str]] = {}
        for recipe in recipes:
            for code in {(metrics.get("code") or {}).get(when) for metrics in recipe.runs.values()}:
                if code is not None:  # older results do not say
                    found.setdefault(code, []).append(recipe.name)
        if len(found) > 1:
            groups = "; ".join(f"{', '.join(names)} ({code})" for code, names in sorted(found.items()))
            told.append(f"Rows were {when} by different states of the code: {groups}. Alike again: dvc repro -f.")
    return told


def read_results(
    pair: str,
    metrics: Path,
    recipes: Sequence[str] | None = None,
    notes: Sequence[str] = (),
    title: str = "",
    seeds: Sequence[int] | None = None,
    published: Published | None = None,
) -> Comparison:
    """Read metrics/<pair>/<recipe>/seed-<n>.json.

    Args:
        pair: the pair's name.
        metrics: the folder metrics/<pair>.
        recipes: which, in this order; every recipe found when not given. The baseline always comes first, the bound
            last.
        notes: sentences for the reader.
        title: the pair in words.
        seeds: which; every seed found when not given.
        published: results to show beside the measured ones.

    Raises:
        UserError: the folder is missing or empty, a file is damaged or lacks a number, or one named recipe has none.
    """
    if not metrics.is_dir():
        raise UserError(f"{metrics} is missing: evaluate a recipe of the pair '{pair}' first (dvc repro)")
    names = recipes if recipes is not None else sorted(f.name for f in metrics.iterdir() if f.is_dir())
    ordered = sorted(names, key=lambda name: (name != BASELINE, name == BOUND))
    rows = [_read_recipe(metrics / name, seeds) for name in ordered]
    if not rows:
        raise UserError(f"{metrics} holds no metrics: evaluate a recipe of the pair '{pair}' first (dvc repro)")
    return Comparison(
        pair=pair,
        recipes=[row for row in rows if row.runs],
        left_out=[row for row in rows if not row.runs],
        notes=[*notes, *_mixed_code(rows)],
        title=title or pair,
        published=published,
    )


def _read_recipe(folder: Path, seeds: Sequence[int] | None) -> Recipe:
    runs: dict[int, Mapping[str, Any]] = {}
    reason: str | None = None
    for file in sorted(folder.glob("seed-*.json")):
        number = file.stem.removeprefix("seed-")
        if not number.isdigit():
            raise UserError(f"{file} is not named seed-<number>.json: move it away")
        if seeds is not None and int(number) not in seeds:
            continue
        content = read_json(file)
        if "left_out" in content:
            reason = str(content["left_out"])
            continue
        for key in ("miou", "iou", "pixel_accuracy", "temporal_consistency", "frames_per_second", "checkpoint"):
            if key not in content:
                raise UserError(f"{file} lacks '{key}': delete it and evaluate the recipe again")
        runs[int(number)] = content
    if not runs and reason is None:
        raise UserError(f"{folder} holds no seed-<n>.json: evaluate the recipe '{folder.name}' first (dvc repro)")
    return Recipe(folder.name, runs, None if runs else reason)


def _clearly_above(a: Recipe, b: Recipe, read: Callable[[Mapping[str, Any]], float | None]) -> bool:
    differences = [_difference(read(a.runs[s]), read(b.runs[s])) for s in sorted(set(a.runs) & set(b.runs))]
    known = [d for d in differences if d is not None]
    value = Value.of(known)
    return value.spread is not None and min(known) > 0 and value.mean > value.spread


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
