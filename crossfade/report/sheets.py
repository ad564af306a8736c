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
}
"""Temporal consistency beside the headline's: column of the CSV → title, and where it stands in a run's metrics."""
VIDEO: dict[str, tuple[str, Read]] = {
    "vc8": ("VC8", _within("video_consistency", "vc8")),
    "vc16": ("VC16", _within("video_consistency", "vc16")),
    "vec8": ("VEC8 †", _within("video_consistency", "vec8")),
    "vec16": ("VEC16 †", _within("video_consistency", "vec16")),
    "vec8_matrix": ("VEC8 ‡", _within("video_consistency", "vec8_matrix")),
    "vec16_matrix": ("VEC16 ‡", _within("video_consistency", "vec16_matrix")),
}
"""Video consistency, likewise."""
GAP: dict[str, tuple[str, Read]] = {
    "domain_gap_before": ("before", _within("domain_gap", "before")),
    "domain_gap_after": ("after", _within("domain_gap", "after")),
}
SPEED: dict[str, tuple[str, Read]] = {
    "frames_per_second_with_decoding": ("with decoding", _within("frames_per_second", "with_decoding")),
    "frames_per_second_with_motion": ("with motion", _within("frames_per_second", "with_motion")),
    "frames_per_second_with_both": ("with both", _within("frames_per_second", "with_both")),
}
"""What a live video needs beside the network, likewise."""
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
    makers = (_told_apart, _temporal, _video, _gap, _rankings, _speed)
    return [sheet for make in makers if (sheet := make(comparison)) is not None]


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
        "None of these asks whether the prediction is right: one class everywhere scores 100. Read them beside the "
        "mIoU.",
    ]
    if comparison.motion:
        notes.append(
            "TC: the previous prediction warped here, hidden pixels left out; agreement: share of the same pixels that "
            "keep their class. TC (VSPW), TC (ETC): the published forms, which count hidden pixels too, with their own "
            f"sampling, but with `{comparison.motion}` motion: not to be compared with published numbers."
        )
    return _sheet("Steadiness over time, %", comparison, shown, notes, scale=100, digits=1)


def _video(comparison: Comparison) -> Sheet | None:
    shown = _known(comparison, VIDEO)
    if not shown:
        return None
    notes = [
        "VC8, VC16: of the pixels whose true class stays over 8 or 16 frames, the share whose prediction stays, right "
        "or wrong: one class everywhere scores 100.",
        "VEC: stays and is right. † as the mean over windows of the IoU by class of what stays in truth and what stays "
        "in the prediction; ‡ as the mIoU of all windows' pixels together whose truth stays, a prediction that does "
        "not being wrong. Both are provisional: the published definition could not be checked, so put neither beside "
        "published numbers.",
    ]
    return _sheet("Steadiness over 8 and 16 frames, %", comparison, shown, notes, scale=100, digits=1)


def _gap(comparison: Comparison) -> Sheet | None:
    shown = _known(comparison, GAP)
    notes = [
        "Proxy A-distance between source and target: 0 = a straight line cannot tell the domains by one class's mean "
        "feature in one frame, 2 = it always can. Source classes are the true ones, target classes the network's own.",
        "A small gap is not accuracy: features that tell nothing lie close together too. In the figure (t-SNE) near "
        "points are alike; how far apart the heaps lie means little.",
    ]
    return _sheet("Domain gap", comparison, shown, notes, scale=1, digits=2, figure=GAP_FIGURE) if shown else None


def _speed(comparison: Comparison) -> Sheet | None:
    shown = _known(comparison, SPEED)
    if not shown:
        return None
    alone: dict[str, tuple[str, Read]] = {"network": ("network alone", _within("frames_per_second", "network"))}
    device = comparison.devices
    notes = [
        f"Frames a second on {device}, one frame at a time, parts timed apart and added up; `crossfade predict` "
        "prepares frames while the network works, and may be faster. Network alone: its motion is there already. With "
        "decoding: the frame is read and shrunk first, its motion still there.",
        "A machine that does other work meanwhile makes all of it slower.",
    ]
    if "frames_per_second_with_motion" in shown:
        notes.insert(
            1,
            "With motion: a network that looks back over motion has it estimated first, both ways with their check, at "
            "the network's size; one that needs none, or finds its own as DAVSS does, is as fast as alone. –: it looks "
            "back over exact or published motion, which nobody can estimate for a new video, or was evaluated before "
            "this was timed. With both: with motion "
            "and decoding, what a camera would see.",
        )
    else:
        notes.insert(1, "What motion costs was not timed when these were evaluated: evaluate again to know.")
    return _sheet("Speed, frames/s", comparison, {**alone, **shown}, notes, scale=1, digits=1)


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
