"""From metrics and evaluation folders to reports/<pair>/."""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from crossfade import visualise
from crossfade.data.labels import LabelSpace
from crossfade.errors import UserError
from crossfade.files import atomic_folder, read_json
from crossfade.presets import Published
from crossfade.report.figures import save_figure, write_figures
from crossfade.report.gap_figure import gap_figure, read_clouds
from crossfade.report.page import PictureRow, Pictures, page
from crossfade.report.results import BASELINE, BOUND, Comparison, Recipe, read_results
from crossfade.report.sheets import GAP_FIGURE
from crossfade.report.tables import csv_text, markdown


def compare(
    pair: str,
    metrics: Path,
    evaluations: Path,
    folder: Path,
    label_space: LabelSpace,
    *,
    recipes: Sequence[str] | None = None,
    notes: Sequence[str] = (),
    title: str = "",
    seeds: Sequence[int] | None = None,
    published: Published | None = None,
) -> Comparison:
    """Write reports/<pair>: comparison.md, comparison.csv, figures/, strips/, videos/, index.html; all or nothing.

    Args:
        pair: the pair's name.
        metrics: metrics/<pair>, holding <recipe>/seed-<n>.json.
        evaluations: evaluations/<pair>, holding <recipe>/seed-<n>/ as `Evaluation.save` wrote them.
        folder: reports/<pair>; replaced.
        label_space: for the colour legend.
        recipes: which, in this order; all found when not given.
        notes: sentences the reader must know.
        title: the pair in words, for example "street_plain → street_camera".
        seeds: which; all found when not given.
        published: results to show beside the measured ones, marked as such.

    Returns:
        The results, for the terminal table.

    Raises:
        UserError: results are missing or damaged.
    """
    comparison = read_results(pair, metrics, recipes, notes, title, seeds, published)
    shown = {r.name: evaluations / r.name / f"seed-{min(r.runs)}" for r in comparison.recipes}
    with atomic_folder(folder) as temporary:
        confusions = {r.name: _confusion(evaluations / r.name, r) for r in comparison.recipes}
        figures = write_figures(comparison, confusions, temporary / "figures") if comparison.recipes else []
        rows = _rows(shown)
        strips = _write_strips(rows, temporary / "strips")
        videos = _copy_videos(comparison, shown, temporary / "videos")
        colours = {
            n: (int(c[0]), int(c[1]), int(c[2])) for n, c in zip(label_space.classes, label_space.colours, strict=True)
        }
        if clouds := read_clouds(comparison, shown):
            save_figure(gap_figure(clouds, list(label_space.classes), colours), temporary / "figures" / GAP_FIGURE)
            figures.append((GAP_FIGURE, "Source and target in the networks' features"))
        linked = [(f"figures/{name}", caption) for name, caption in figures if not name.startswith("confusion-")]
        (temporary / "comparison.md").write_text(markdown(comparison, [*linked, *strips]))
        (temporary / "comparison.csv").write_text(csv_text(comparison))
        pictures = Pictures({name: temporary / "figures" / name for name, _ in figures}, rows, videos, colours)
        (temporary / "index.html").write_text(page(comparison, pictures))
    return comparison


def _confusion(folder: Path, recipe: Recipe) -> np.ndarray:
    """Confusion counts summed over the seeds: (K, K) int64."""
    total: np.ndarray | None = None
    for seed in sorted(recipe.runs):
        path = folder / f"seed-{seed}" / "confusion.csv"
        if not path.is_file():
            raise UserError(f"{path} is missing: evaluate the recipe '{recipe.name}' again (dvc repro)")
        with path.open(newline="") as file:
            counts = np.array([[int(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]])
        total = counts if total is None else total + counts
    if total is None:
        raise ValueError(f"recipe {recipe.name} has no runs")
    return total


def _rows(folders: dict[str, Path]) -> list[PictureRow]:
    """The strips' frames, each with every recipe's prediction (of its lowest seed) after frame and truth."""
    rows: dict[str, dict[str, np.ndarray]] = {}
    for recipe, folder in folders.items():
        for strip in read_json(folder / "index.json")["strips"]:
            panels = rows.setdefault(strip["name"], {})
            for caption in ("frame", "truth", recipe):
                if caption not in panels and caption in strip["panels"]:
                    panels[caption] = _read(folder / strip["panels"][caption])
    return [PictureRow(name, panels) for name, panels in rows.items()]


def _write_strips(rows: Sequence[PictureRow], folder: Path) -> list[tuple[str, str]]:
    folder.mkdir()
    written = []
    for k, row in enumerate(rows):
        image = visualise.strip(list(row.panels.values()), list(row.panels))
        cv2.imwrite(str(folder / f"{k:02d}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        written.append((f"strips/{k:02d}.png", row.name))
    return written


def _copy_videos(comparison: Comparison, folders: dict[str, Path], target: Path) -> dict[str, Path]:
    """The side-by-side videos, best recipe first; baseline and bound only where nothing else has one."""
    ranked = sorted(comparison.recipes, key=lambda r: -(r.miou.mean if r.miou.seeds else 0.0))
    found = {r.name: folders[r.name] / "side_by_side.mp4" for r in ranked}
    found = {name: path for name, path in found.items() if path.is_file()}
    wanted = [name for name in found if name not in (BASELINE, BOUND)] or list(found)
    target.mkdir()
    return {name: Path(shutil.copyfile(found[name], target / f"{name}.mp4")) for name in wanted}


def _read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    if image is None:
        raise UserError(f"{path} is missing or damaged: evaluate the recipe again (dvc repro)")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
