"""Source and target in a network's features, before and after adaptation, laid out in the plane."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crossfade.metrics.domain_gap import view
from crossfade.report.figures import INK
from crossfade.report.results import BASELINE, Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 3
SHOWN = 250
"""Vectors a side and panel, evenly spread; more take longer and show no more."""
SIDES = ("source", "target")


@dataclass(frozen=True)
class Cloud:
    """Category features of both domains in one network.

    Attributes:
        title: above the panel.
        source, target: (N, D) and (M, D).
        source_classes, target_classes: (N,) and (M,) class ids.
    """

    title: str
    source: np.ndarray
    target: np.ndarray
    source_classes: np.ndarray
    target_classes: np.ndarray


def read_clouds(comparison: Comparison, folders: Mapping[str, Path]) -> list[Cloud]:
    """Every network before adaptation, then after each recipe, from the features.npz of its evaluation.

    Recipes of one network share its panel from before. Where there are several networks, each such panel says whose it
    is: the network's name, or, where an older evaluation did not write that down, the recipes'.

    Args:
        comparison: the results.
        folders: {recipe: evaluation folder of one seed}; recipes without the file have no panel.
    """
    before: dict[str | bytes, tuple[list[str], _Panel]] = {}
    after: list[tuple[str, _Panel]] = []
    for recipe in comparison.recipes:
        path = folders[recipe.name] / "features.npz"
        if not path.is_file():
            continue
        metrics = recipe.runs[min(recipe.runs)]
        with np.load(path) as arrays:
            panels = {when: _panel(arrays, metrics, when) for when in ("before", "after")}
        network = metrics.get("network") or panels["before"].parts[1].tobytes()
        before.setdefault(network, ([], panels["before"]))[0].append(recipe.name)
        if recipe.name != BASELINE:
            after.append((recipe.name, panels["after"]))
    titled = []
    for network, (recipes, panel) in before.items():
        whose = network if isinstance(network, str) else "network of " + ", ".join(recipes)
        titled.append(("before adaptation" if len(before) == 1 else f"before: {whose}", panel))
    return [panel.cloud(title) for title, panel in [*titled, *after] if panel.can_be_shown]


@dataclass(frozen=True)
class _Panel:
    """What is read for one panel: vectors of both sides, classes of both sides, and the distance if it is known."""

    parts: list[np.ndarray]
    gap: float | None

    @property
    def can_be_shown(self) -> bool:
        return min(len(part) for part in self.parts) > 2 and self.parts[0].shape[1] > 1

    def cloud(self, title: str) -> Cloud:
        return Cloud(title if self.gap is None else f"{title}: gap {self.gap:.2f}", *self.parts)


def _panel(arrays: Mapping[str, np.ndarray], metrics: Mapping[str, Any], when: str) -> _Panel:
    parts = [arrays[f"{when}_{side}_{what}"] for what in ("vectors", "classes") for side in SIDES]
    parts = [part[np.unique(np.linspace(0, len(part) - 1, SHOWN).round().astype(int))] for part in parts]
    return _Panel(parts, metrics.get("domain_gap", {}).get(when))


def gap_figure(clouds: list[Cloud], classes: list[str], colours: Mapping[str, tuple[int, int, int]]) -> "Figure":
    """One panel a cloud: a ring is a class in a frame of the source, a triangle one of the target.

    Args:
        clouds: at least one.
        classes: names in order.
        colours: {class name: (r, g, b)}.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = min(COLUMNS, len(clouds))
    rows = math.ceil(len(clouds) / columns)
    figure = Figure(figsize=(3.6 * columns, 3.5 * rows + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    ink = np.array([colours[name] for name in classes]) / 255
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(clouds) :]:
        axes.set_visible(False)
    for axes, cloud in zip(panels, clouds, strict=False):
        place = view(np.concatenate([cloud.source, cloud.target]).astype(np.float32), "tsne")
        first, second = np.split(place, [len(cloud.source)])
        axes.scatter(*first.T, s=16, facecolors="none", edgecolors=ink[cloud.source_classes], linewidths=0.9)
        axes.scatter(*second.T, s=15, marker="^", color=ink[cloud.target_classes], edgecolors=INK, linewidths=0.25)
        axes.set_title(cloud.title, fontsize=10, loc="left", color=INK)
        axes.set_xticks([])
        axes.set_yticks([])
        for side in axes.spines.values():
            side.set_color("#d5dae0")
    used = sorted({int(k) for cloud in clouds for k in (*cloud.source_classes, *cloud.target_classes)})
    marks = [
        Line2D([], [], ls="", marker="o", mfc="none", mec=INK, label="source"),
        Line2D([], [], ls="", marker="^", color=INK, label="target"),
        *(Line2D([], [], ls="", marker="s", color=ink[k], label=classes[k]) for k in used),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=7, fontsize=8.5, frameon=False, handletextpad=0.2)
    return figure
