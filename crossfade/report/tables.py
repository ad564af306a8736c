"""The comparison as a table: on the terminal, in Markdown, in CSV."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.console import Console
from rich.table import Table

from crossfade.report.results import BASELINE, BOUND, Comparison, Recipe, Value
from crossfade.report.sheets import GAP, SPEED, TEMPORAL, VIDEO, sheets

PIXELS = "pixels %"


@dataclass(frozen=True)
class Column:
    """One column of the headline table."""

    title: str
    value: Callable[[Comparison, Recipe], Value]
    scale: float = 100.0
    sign: bool = False
    marked: bool = False
    unit: str = ""
    spread: bool = True

    def cell(self, comparison: Comparison, recipe: Recipe) -> str:
        """The formatted number."""
        value = self.value(comparison, recipe)
        value = value if self.spread else replace(value, spread=None)
        words = value.format(self.scale, 0 if self.unit == " %" else 1, self.sign)
        return words if words == "–" else words + self.unit

    def is_best(self, comparison: Comparison, recipe: Recipe) -> bool:
        """Is this the best of the recipes, or not distinguishable from it?"""
        return self.marked and recipe.name in comparison.best(lambda r: self.value(comparison, r))


def columns(comparison: Comparison) -> list[Column]:
    """The columns of the headline table: those that have anything to say for this pair."""
    everything = [
        Column("mIoU %", lambda _, r: r.miou, marked=True),
        Column("published", lambda c, r: c.published_miou(r)),
        Column("gain", lambda c, r: c.gain(r), sign=True),
        Column("gap closed", lambda c, r: c.gap_closed(r), unit=" %"),
        Column(PIXELS, lambda _, r: r.pixel_accuracy),
        Column("TC %", lambda _, r: r.temporal_consistency),
        Column("frames/s", lambda _, r: r.speed, scale=1.0, spread=False),
    ]
    if not comparison.scored:
        everything[-1:-1] = [
            Column("entropy %", lambda _, r: r.entropy),
            Column("density", lambda _, r: r.neighbourhood_density, scale=1.0),
        ]
    return [c for c in everything if any(c.value(comparison, r).seeds for r in comparison.recipes)]


def seeds_word(recipe: Recipe) -> str:
    """Which seeds a row rests on."""
    return ", ".join(str(seed) for seed in sorted(recipe.runs))


def checkpoint_word(recipe: Recipe) -> str:
    """Which checkpoint was evaluated, and by which rule."""
    checkpoint = recipe.first["checkpoint"]
    which, rule = str(checkpoint.get("which", "")), str(checkpoint.get("rule", ""))
    return f"{which} ({rule})" if rule and rule != which else which


def reading(comparison: Comparison) -> list[str]:
    """How to read the table: sentences under it."""
    if not comparison.recipes:
        return []
    seeds = max(len(r.runs) for r in comparison.recipes)
    lines = [
        "± is the sample standard deviation over seeds; bold: the best, and whatever its spread does not tell apart."
        if seeds > 1
        else "One seed: differences of a few points may be chance; add seeds to see the spread. Bold: the best."
    ]
    if comparison.scored and comparison.recipe(BASELINE) is None:
        lines.append(f"No recipe is called `{BASELINE}`, so nothing is said of gains over it.")
    elif comparison.scored:
        lines.append(f"gain: mIoU points above `{BASELINE}` of the same seed; pixels: share of pixels that are right.")
    else:
        lines.append(
            "No labels: nothing here says how *right* a model is. Entropy: how unsure it is, 0 = of nothing, 100 = of "
            "everything; density: soft neighbourhood density of its predictions, higher = tighter clusters. Look at "
            "the videos before you choose."
        )
    if comparison.published:
        lines.append("published: mIoU that a paper or its code states; everything else is measured here.")
    if comparison.recipe(BOUND):
        lines.append(f"`{BOUND}` was trained on the target's labels: an upper bound, not a competitor.")
    if comparison.motion:
        lines.append(
            "TC, temporal consistency: mIoU between each prediction and the previous one warped onto it by "
            f"`{comparison.motion}` motion, hidden pixels left out. A constant prediction scores 100: read it beside "
            "the mIoU."
        )
    how = "the network alone, its motion already there, one frame at a time"
    lines.append(f"Frames/s: {how}, on {comparison.devices}.")
    return lines


def published_rows(comparison: Comparison) -> list[list[str]]:
    """[method, published mIoU, measured mIoU, measured less published, note], in the order of publication."""
    rows = []
    for name, result in comparison.published.results.items() if comparison.published else ():
        recipe = comparison.recipe(name)
        miou = Value.of([]) if recipe is None else recipe.miou
        apart = Value.of([miou.mean - result.miou / 100 if miou.seeds else None])
        rows.append([name, f"{result.miou:g}", miou.format(100), apart.format(100, sign=True), result.note])
    return rows


PUBLISHED_HEADER = ("method", "published mIoU %", "measured mIoU %", "measured - published", "note")


def published_sentence(comparison: Comparison) -> str:
    """Where the published numbers come from, and what keeps them apart from those measured here."""
    if comparison.published is None:
        return ""
    p = comparison.published
    return (
        f"Published: {p.source}. Their checkpoint: {p.rule}. Measured: this run, with the checkpoint the table names; "
        "– was not run here."
    )


def best_sentence(comparison: Comparison) -> str:
    """The result in one sentence."""
    contenders = [r for r in comparison.recipes if r.name not in (BASELINE, BOUND) and r.miou.seeds]
    base = comparison.recipe(BASELINE)
    if comparison.recipes and not comparison.scored:
        return "Nothing was scored against labels; what needs none is below, and the videos are to be looked at."
    if not contenders or base is None:
        return ""
    top = max(contenders, key=lambda r: r.miou.mean)
    gain = comparison.gain(top)
    if not gain.seeds:
        return ""
    if gain.mean <= 0:
        return f"No recipe is above {BASELINE} ({base.miou.format(100)} mIoU)."
    words = f"{top.name} reaches {top.miou.format(100)} mIoU, {gain.format(100)} points above {BASELINE}"
    gap = comparison.gap_closed(top)
    if gap.seeds:
        words += f", closing {gap.format(100, 0)} % of the gap to the {BOUND}"
    return words + "."


def markdown(comparison: Comparison, figures: Sequence[tuple[str, str]] = ()) -> str:
    """comparison.md: notes, the headline table, IoU by class, what was left out.

    Args:
        comparison: the results.
        figures: (relative path, caption) of pictures to show.
    """
    out = [f"# {comparison.title}", ""]
    sentence = best_sentence(comparison)
    out += [sentence, ""] if sentence else []
    for note in comparison.notes:
        out += [f"> {note}", ""]
    shown = columns(comparison)
    out += _markdown_table(
        ["recipe", *(c.title for c in shown), "seeds", "checkpoint"],
        [
            [
                f"*{r.name}*" if r.name == BOUND else r.name,
                *(_bold(c.cell(comparison, r), c.is_best(comparison, r)) for c in shown),
                seeds_word(r),
                checkpoint_word(r),
            ]
            for r in comparison.recipes
        ],
    )
    out += [f"- left out: `{r.name}`: {r.left_out}" for r in comparison.left_out]
    out += ["", *(f"{line}  " for line in reading(comparison)), ""]
    if comparison.published:
        out += ["## Published and measured", ""]
        out += _markdown_table(PUBLISHED_HEADER, published_rows(comparison))
        out += ["", published_sentence(comparison), ""]
    out += [f"![{caption}]({path})\n" for path, caption in figures]
    if comparison.scored:
        out += ["## IoU by class, %", ""]
        out += _markdown_table(
            ["class", *(r.name for r in comparison.recipes)],
            [[name, *(r.iou(name).format(100) for r in comparison.recipes)] for name in comparison.classes],
        )
    for sheet in sheets(comparison):
        out += ["", f"## {sheet.title}", "", *_markdown_table(sheet.header, sheet.rows, sheet.words), ""]
        out += [f"{line}  " for line in sheet.notes]
    return "\n".join(out) + "\n"


def csv_text(comparison: Comparison) -> str:
    """comparison.csv: one row a recipe and seed, fractions in [0, 1], empty where unknown; left-out recipes say why."""
    header = ["pair", "recipe", "seed", "miou", "published_miou", "pixel_accuracy", "temporal_consistency", "motion"]
    header += ["entropy", "neighbourhood_density", "frames_per_second", "gap_closed", "checkpoint"]
    further = {**TEMPORAL, **VIDEO, **GAP, **SPEED}
    header += [*further, *(f"iou_{c}" for c in comparison.classes), "left_out"]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    for recipe in comparison.recipes:
        for seed in sorted(recipe.runs):
            alone = Recipe(recipe.name, {seed: recipe.runs[seed]})
            values = [alone.miou, comparison.published_miou(recipe), alone.pixel_accuracy, alone.temporal_consistency]
            motion = recipe.runs[seed]["temporal_consistency"]["motion"] or ""
            tail = [alone.entropy, alone.neighbourhood_density, alone.speed, comparison.gap_closed(alone)]
            row: list[object] = [comparison.pair, recipe.name, seed, *map(_number, values), motion, *map(_number, tail)]
            row += [checkpoint_word(alone), *(_number(alone.over_seeds(read)) for _, read in further.values())]
            row += [*(_number(alone.iou(c)) for c in comparison.classes), ""]
            writer.writerow(row)
    for recipe in comparison.left_out:
        writer.writerow([comparison.pair, recipe.name, *[""] * (len(header) - 3), recipe.left_out])
    return file.getvalue()


def print_table(comparison: Comparison, console: Console | None = None) -> None:
    """The headline table on the terminal."""
    console = console or Console()
    table = Table(title=comparison.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("recipe", no_wrap=True)
    roomy = console.width >= 100
    shown = [column for column in columns(comparison) if roomy or column.title != PIXELS]
    for column in shown:
        table.add_column(column.title, justify="right", no_wrap=True)
    for recipe in comparison.recipes:
        cells = [column.cell(comparison, recipe) for column in shown]
        marked = [
            f"[bold green]{cell}[/]" if column.is_best(comparison, recipe) else cell
            for cell, column in zip(cells, shown, strict=True)
        ]
        table.add_row(recipe.name, *marked, style="italic" if recipe.name == BOUND else None)
    console.print(table)
    seeds = sorted({seed for recipe in comparison.recipes for seed in recipe.runs})
    console.print(f"seeds: {', '.join(map(str, seeds))}; ± is the standard deviation over them", highlight=False)
    for recipe in comparison.left_out:
        console.print(f"left out: {recipe.name}: {recipe.left_out}", highlight=False, markup=False)
    for note in comparison.notes:
        console.print(f"note: {note}", highlight=False, markup=False)
    if comparison.published:
        others = [f"{row[0]} {row[1]}" for row in published_rows(comparison) if comparison.recipe(row[0]) is None]
        if others:
            console.print(f"published, not run here: {', '.join(others)}", highlight=False, markup=False)
        console.print(published_sentence(comparison), highlight=False, markup=False)
    sentence = best_sentence(comparison)
    if sentence:
        console.print(sentence, highlight=False, markup=False)


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], words: bool = False) -> list[str]:
    align = ["---", *["---" if words else "---:"] * (len(header) - 1)]
    return [f"| {' | '.join(line)} |" for line in (header, align, *rows)]


def _bold(words: str, bold: bool) -> str:
    return f"**{words}**" if bold else words


def _number(value: Value) -> str:
    return f"{value.mean:.6g}" if value.seeds and math.isfinite(value.mean) else ""
