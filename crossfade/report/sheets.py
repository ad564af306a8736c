"""The smaller tables of the report, as words: Markdown and the page show the same."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crossfade.report.ranking import rankings
from crossfade.report.results import BOUND, Comparison

Read = Callable[[Mapping[str, Any]], float | None]


def _within(section: str, name: str) -> Read:
    return lambda metrics: metrics.get(section, {}).get(name)


TEMPORAL: dict[str, tuple[str, Read]] = {
    "agreement": ("agreement", _within("temporal_consistency", "agreement")),
    "tc_vspw": ("TC (VSPW)", _within("temporal_consistency", "vspw")),
    "tc_etc": ("TC (ETC)", _within("temporal_consistency", "etc")),
    "vc8": ("VC8", _within("video_consistency", "vc8")),
    "vc16": ("VC16", _within("video_consistency", "vc16")),
    "vec8": ("VEC8 †", _within("video_consistency", "vec8")),
    "vec16": ("VEC16 †", _within("video_consistency", "vec16")),
}
"""The temporal metrics beside the headline's: column of the CSV → title, and where it stands in a run's metrics."""
GAP: dict[str, tuple[str, Read]] = {
    "domain_gap_before": ("before", _within("domain_gap", "before")),
    "domain_gap_after": ("after", _within("domain_gap", "after")),
}
GAP_FIGURE = "domain-gap.png"


@dataclass(frozen=True)
class Sheet:
    """One table.

    Attributes:
        title: its heading.
        header: one word a column; the first column is words, the others are numbers.
        rows: cells, formatted.
        notes: how to read it; `code` between backticks.
        figure: file name of a figure that belongs to it, if any.
        words: all cells are words, not numbers.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    figure: str = ""
    words: bool = False


def sheets(comparison: Comparison) -> list[Sheet]:
    """Those that have anything to say for this pair."""
    made = (_told_apart(comparison), _temporal(comparison), _gap(comparison), _rankings(comparison))
    return [sheet for sheet in made if sheet is not None]


def _told_apart(comparison: Comparison) -> Sheet | None:
    measures: dict[str, Read] = {"mIoU": lambda m: m["miou"], "TC": _within("temporal_consistency", "value")}
    clear = {name: comparison.clearly_above(read) for name, read in measures.items()}
    if not any(below for above in clear.values() for below in above.values()):
        return None
    rows = [[r.name, *(", ".join(clear[name][r.name]) or "–" for name in measures)] for r in comparison.recipes]
    notes = [
        "A recipe is named where it is below in every seed and the mean difference of equal seeds is larger than the "
        "differences' sample standard deviation. What is not named, these seeds do not tell apart.",
        "With three seeds that happens by chance about once in ten comparisons: it is a hint, no proof.",
    ]
    header = ["recipe", *(f"clearly above in {name}" for name in measures)]
    return Sheet("What the seeds tell apart", header, rows, notes, words=True)


def _temporal(comparison: Comparison) -> Sheet | None:
    steady = {"temporal_consistency": ("TC", _within("temporal_consistency", "value")), **TEMPORAL}
    shown = _known(comparison, steady)
    if not shown:
        return None
    notes = [
        "None of these but VEC asks whether the prediction is right: one class everywhere scores 100. Read them beside "
        "the mIoU.",
    ]
    if comparison.motion:
        notes.append(
            "TC: the previous prediction warped here, hidden pixels left out; agreement: share of the same pixels that "
            "keep their class. TC (VSPW), TC (ETC): the published forms, which count hidden pixels too, with their own "
            f"sampling, but with `{comparison.motion}` motion: not to be compared with published numbers."
        )
    if "vc8" in shown:
        notes += [
            "VC8, VC16: of the pixels whose true class stays over 8 or 16 frames, the share whose prediction stays.",
            "† VEC: stays and is right, as IoU by class; provisional, its published definition could not be checked.",
        ]
    return _sheet("Steadiness over time, %", comparison, shown, notes, scale=100, digits=1)


def _gap(comparison: Comparison) -> Sheet | None:
    shown = _known(comparison, GAP)
    notes = [
        "Proxy A-distance between source and target: 0 = a straight line cannot tell the domains by one class's mean "
        "feature in one frame, 2 = it always can. Source classes are the true ones, target classes the network's own.",
        "A small gap is not accuracy: features that tell nothing lie close together too. In the figure (t-SNE) near "
        "points are alike; how far apart the heaps lie means little.",
    ]
    return _sheet("Domain gap", comparison, shown, notes, scale=1, digits=2, figure=GAP_FIGURE) if shown else None


def _known(comparison: Comparison, columns: Mapping[str, tuple[str, Read]]) -> dict[str, tuple[str, Read]]:
    """The columns that some recipe has a number for."""
    return {
        name: (title, read)
        for name, (title, read) in columns.items()
        if any(r.over_seeds(read).seeds for r in comparison.recipes)
    }


def _sheet(
    title: str,
    comparison: Comparison,
    columns: Mapping[str, tuple[str, Read]],
    notes: Sequence[str],
    scale: float,
    digits: int,
    figure: str = "",
) -> Sheet:
    """One row a recipe."""
    rows = [
        [r.name, *(r.over_seeds(read).format(scale, digits) for _, read in columns.values())]
        for r in comparison.recipes
    ]
    return Sheet(title, ["recipe", *(name for name, _ in columns.values())], rows, notes, figure)


def _rankings(comparison: Comparison) -> Sheet | None:
    found = rankings(comparison)
    if not found:
        return None
    rows = [
        [
            r.score,
            "–" if math.isnan(r.correlation) else f"{r.correlation:+.2f}",
            str(r.runs),
            r.picked,
            f"{r.miou * 100:.1f}",
            f"{r.lost * 100:.1f}",
        ]
        for r in found
    ]
    notes = [
        "Where a target has no labels, one of these has to choose. ρ: Spearman's rank correlation with mIoU, +1 = "
        "the same order, 0 = none, −1 = the reverse; lost: mIoU points below the best run. "
        f"`{BOUND}` is left out: it has seen labels.",
        "With few runs ρ is little more than chance.",
    ]
    header = ["score without labels", "ρ with mIoU", "runs", "would pick", "its mIoU %", "lost"]
    return Sheet("Which score without labels would have chosen well", header, rows, notes)
