"""The comparison as figures (PNG)."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from crossfade.files import atomic_path
from crossfade.report.results import BASELINE, BOUND, Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

PALETTE = ("#3b6fb6", "#d9822b", "#2a9d7f", "#b5476b", "#7a5ab5", "#8c7a2b", "#4aa3c7", "#6b6b6b")
GREY = "#9aa3ad"
INK = "#20242c"
PLACES = tuple(
    (across, along, x, y)
    for far in (4, 11, 18)
    for along, y in (("bottom", far), ("top", -far))
    for across, x in (("left", 5), ("right", -5), ("center", 0))
)
"""Of a name beside its point, best first: alignment of the words, and how far away they begin, in points."""


def colour_of(comparison: Comparison) -> dict[str, str]:
    """One colour a recipe, the same in every figure: grey for the baseline, dark for the bound."""
    contenders = [r.name for r in comparison.recipes if r.name not in (BASELINE, BOUND)]
    colours = {name: PALETTE[k % len(PALETTE)] for k, name in enumerate(contenders)}
    return {BASELINE: GREY, BOUND: INK, **colours}


def miou_figure(comparison: Comparison) -> "Figure":
    """mIoU by recipe: bar = mean, whisker = spread, dots = seeds."""
    figure, axes = _figure(5.6, max(3.4, 0.9 + 0.5 * len(comparison.recipes)))
    colours = colour_of(comparison)
    values = [r.miou for r in comparison.recipes]
    reach = max([v.mean + (v.spread or 0) for v in values if v.seeds] or [1.0]) * 100
    for row, (recipe, value) in enumerate(zip(comparison.recipes, values, strict=True)):
        axes.barh(row, value.mean * 100, height=0.62, color=colours[recipe.name], alpha=0.85, zorder=2)
        seeds = [m["miou"] * 100 for m in recipe.runs.values() if m["miou"] is not None]
        end = max([value.mean * 100, *seeds])
        if value.spread is not None:
            axes.errorbar(value.mean * 100, row, xerr=value.spread * 100, color=INK, capsize=3, lw=1.2, zorder=4)
            axes.plot(seeds, [row] * len(seeds), "o", ms=3.5, mfc="white", mec=INK, mew=0.8, zorder=3)
            end = max(end, (value.mean + value.spread) * 100)
        axes.text(end + reach * 0.015, row, value.format(100), va="center", fontsize=9, color=INK)
    axes.set_yticks(range(len(values)), [r.name for r in comparison.recipes])
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.set_xlim(0, reach * 1.18)
    axes.set_xlabel("mIoU, %")
    axes.grid(axis="x", color="#e6e9ed", zorder=0)
    axes.tick_params(axis="y", length=0)
    return figure


def classes_figure(comparison: Comparison) -> "Figure":
    """IoU by class and recipe as a heat table."""
    names = comparison.classes
    table = np.array([[r.iou(name).mean * 100 for r in comparison.recipes] for name in names])
    figure, axes = _figure(1.8 + 1.0 * len(comparison.recipes), 0.9 + 0.3 * len(names))
    axes.imshow(np.ma.masked_invalid(table), cmap="YlGnBu", vmin=0, vmax=100, aspect="auto")
    for (row, column), number in np.ndenumerate(table):
        known = np.isfinite(number)
        dark = known and number > 58
        words = f"{number:.0f}" if known else "–"
        axes.text(column, row, words, ha="center", va="center", fontsize=8.5, color="white" if dark else INK)
    axes.set_xticks(range(len(comparison.recipes)), [r.name for r in comparison.recipes], rotation=25, ha="right")
    axes.xaxis.set_ticks_position("bottom")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    return figure


def consistency_figure(comparison: Comparison) -> "Figure | None":
    """mIoU against temporal consistency; None when consistency was not measured."""
    shown = [r for r in comparison.recipes if r.miou.seeds and r.temporal_consistency.seeds]
    if not shown:
        return None
    figure, axes = _figure(6.4, min(8.0, max(3.4, 0.9 + 0.5 * len(shown))))
    colours = colour_of(comparison)
    points = {r.name: (r.miou.mean * 100, r.temporal_consistency.mean * 100) for r in shown}
    for recipe in shown:
        x, y = recipe.miou, recipe.temporal_consistency
        axes.errorbar(
            x.mean * 100,
            y.mean * 100,
            xerr=(x.spread or 0) * 100 or None,
            yerr=(y.spread or 0) * 100 or None,
            fmt="o",
            ms=7,
            color=colours[recipe.name],
            capsize=2,
            lw=1,
            zorder=3,
        )
    axes.margins(0.2, 0.08)
    axes.set_xlabel("mIoU, %  (right is better)")
    axes.set_ylabel(f"temporal consistency, %  ({comparison.motion} motion)")
    axes.grid(color="#e6e9ed", zorder=0)
    spreads = {r.name: (100 * (r.miou.spread or 0), 100 * (r.temporal_consistency.spread or 0)) for r in shown}
    name_points(axes, points, spreads)
    return figure


def name_points(axes: Any, points: dict[str, tuple[float, float]], spreads: dict[str, tuple[float, float]]) -> None:
    """Write each point's name beside it, where it covers least of what stands there already.

    Args:
        axes: whose limits are final.
        points: (x, y) by name.
        spreads: (x, y) of their whiskers.
    """
    from matplotlib.transforms import Bbox

    axes.figure.draw_without_rendering()  # from here on it is known where things lie, in pixels
    taken = []
    for name, (x, y) in points.items():
        across, along = spreads[name]
        here, there = axes.transData.transform((x, y))
        right, high = axes.transData.transform((x + across, y + along)) - (here, there)
        for wide, tall in ((5, 5), (right, 1), (1, high)):  # the point and its whiskers
            taken.append(Bbox.from_extents(here - wide, there - tall, here + wide, there + tall))
    for name, point in points.items():
        words = axes.annotate(name, point, (0, 0), textcoords="offset points", fontsize=8, color=INK)
        best = min(PLACES, key=lambda place: _shared(_put(words, place), taken))
        taken.append(_put(words, best))


def _put(words: "Annotation", place: tuple[str, str, float, float]) -> "Bbox":
    """Move words to one of `PLACES`; returns where they lie then, in pixels."""
    across, along, x, y = place
    words.set(ha=across, va=along)
    words.xyann = (x, y)
    return words.get_window_extent()


def _shared(box: "Bbox", others: Sequence["Bbox"]) -> float:
    """How much of a box others cover, in square pixels; twice where two do."""
    both = [box.intersection(box, other) for other in others]
    return sum(common.width * common.height for common in both if common is not None)


def confusion_figure(counts: np.ndarray, classes: list[str], title: str = "") -> "Figure":
    """A confusion matrix, each row (true class) as shares of its pixels; classes never true stay empty.

    Args:
        counts: (K, K) int, row = truth, column = prediction.
        classes: K names.
        title: shown above.
    """
    totals = counts.sum(1, keepdims=True)
    shares = np.where(totals > 0, counts / np.maximum(totals, 1), np.nan) * 100
    side = 1.6 + 0.42 * len(classes)
    figure, axes = _figure(side + 0.4, side)
    axes.imshow(np.ma.masked_invalid(shares), cmap="Blues", vmin=0, vmax=100)
    for (row, column), share in np.ndenumerate(shares):
        if np.isfinite(share) and share >= 0.5:
            ink = "white" if share > 55 else INK
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=7.5, color=ink)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", fontsize=8.5)
    axes.set_yticks(range(len(classes)), classes, fontsize=8.5)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true (% of its pixels)")
    axes.tick_params(length=0)
    if title:
        axes.set_title(title, fontsize=10, loc="left")
    return figure


def write_figures(comparison: Comparison, confusions: dict[str, np.ndarray], folder: Path) -> list[tuple[str, str]]:
    """Write every figure into `folder`.

    Args:
        comparison: the results.
        confusions: {recipe: (K, K) counts}.
        folder: created if need be.

    Returns:
        (file name, caption) of each figure written, in the order a reader wants them; none without labels, since all
        of them show accuracy.
    """
    if not comparison.scored:
        return []
    makers: list[tuple[str, str, Callable[[], Figure | None]]] = [
        ("miou.png", "mIoU by recipe: bar = mean over seeds, dots = seeds", lambda: miou_figure(comparison)),
        ("consistency.png", "mIoU against temporal consistency", lambda: consistency_figure(comparison)),
        ("classes.png", "IoU by class, %", lambda: classes_figure(comparison)),
    ]
    for name, counts in confusions.items():
        makers.append(
            (
                f"confusion-{name}.png",
                f"What {name} takes for what",
                lambda counts=counts, name=name: confusion_figure(counts, comparison.classes, name),  # type: ignore[misc]
            )
        )
    written = []
    for file, caption, make in makers:
        figure = make()
        if figure is not None:
            save_figure(figure, folder / file)
            written.append((file, caption))
    return written


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=160, facecolor="white")


def figure_image(figure: "Figure") -> np.ndarray:
    """A figure as (H, W, 3) uint8 RGB, for a tracker."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, facecolor="white")
    image = np.asarray(cv2.imdecode(np.frombuffer(content.getvalue(), np.uint8), cv2.IMREAD_COLOR))
    return np.ascontiguousarray(image[..., ::-1])


def _figure(width: float, height: float) -> "tuple[Figure, Any]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#b8bec6")
    axes.tick_params(colors=INK, labelsize=9)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    return figure, axes
