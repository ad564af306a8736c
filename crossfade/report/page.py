"""index.html: one file with everything inside; it needs no network and no other file."""

import base64
import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from crossfade.report.results import BOUND, Comparison
from crossfade.report.sheets import sheets
from crossfade.report.tables import (
    PUBLISHED_HEADER,
    best_sentence,
    checkpoint_word,
    columns,
    published_rows,
    published_sentence,
    reading,
    seeds_word,
)

STYLE = """
:root{--ink:#20242c;--soft:#5c6570;--line:#e3e7ec;--paper:#fff;--wash:#f6f7f9;--accent:#2a9d7f}
*{box-sizing:border-box}
body{margin:0;background:var(--wash);color:var(--ink);
 font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1120px;margin:0 auto;padding:36px 28px 64px}
h1{font-size:27px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em}
h2{font-size:18px;margin:0 0 12px}
section{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:20px 22px;margin:18px 0;
 overflow-x:auto}
.lead{font-size:17px;color:var(--ink);margin:0}
.sub{color:var(--soft);margin:0 0 14px}
.note{border-left:4px solid #d9a12b;background:#fdf7e6;padding:9px 14px;border-radius:0 6px 6px 0;margin:10px 0}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:7px 8px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:600;color:var(--soft);font-size:13px}
th:first-child,td:first-child,td.word,th.word,.words td,.words th{text-align:left}
.words td{white-space:normal}
td.best{font-weight:700;color:#17715a}
tr.bound td{font-style:italic;color:var(--soft)}
tr:last-child td{border-bottom:0}
ul.reading{color:var(--soft);font-size:13px;margin:12px 0 0;padding-left:18px}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:20px;align-items:center}
.pair img,.wide img{max-width:100%;height:auto}
.drawn{margin-top:16px}
.strip{display:grid;gap:8px;margin:0 0 14px}
figure{margin:0}
figcaption{font-size:12.5px;color:var(--soft);margin:0 0 3px}
.strip img{width:100%;display:block;border-radius:4px}
.where{font-size:12.5px;color:var(--soft);margin:10px 0 4px}
.legend{display:flex;flex-wrap:wrap;gap:4px 14px;font-size:13px;margin:0 0 6px}
.legend i{display:inline-block;
 width:13px;height:13px;border-radius:3px;margin-right:6px;vertical-align:-2px;border:1px solid #0002}
video{width:100%;border-radius:6px;background:#000;display:block}
.heat td{text-align:center;border-bottom:2px solid #fff;border-right:2px solid #fff}
.heat td:first-child{text-align:left}
.heat th{text-align:center}
.heat th:first-child{text-align:left}
details{margin:8px 0}
summary{cursor:pointer;font-weight:600}
details img{max-width:min(100%,680px)}
footer{color:var(--soft);font-size:12.5px;margin-top:20px}
@media(max-width:760px){.pair{grid-template-columns:1fr}main{padding:20px 12px}}
"""


@dataclass(frozen=True)
class PictureRow:
    """One frame with every recipe's reading of it.

    Attributes:
        name: "split/video/frame".
        panels: {caption: (H, W, 3) uint8}.
    """

    name: str
    panels: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Pictures:
    """What the page shows besides numbers.

    Attributes:
        figures: {file name: path of a PNG}.
        rows: frames with all recipes side by side.
        videos: {recipe: path of an mp4}.
        colours: {class name: (r, g, b)}; the legend of the rows.
    """

    figures: Mapping[str, Path]
    rows: Sequence[PictureRow]
    videos: Mapping[str, Path]
    colours: Mapping[str, tuple[int, int, int]]


def page(comparison: Comparison, pictures: Pictures) -> str:
    """The whole page as HTML."""
    title = html.escape(comparison.title)
    parts = [
        _head(comparison),
        _table(comparison),
        _published(comparison),
        _charts(pictures),
        _rows(pictures),
        _videos(pictures),
        _heat(comparison),
        _sheets(comparison, pictures),
        _confusions(pictures),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title} · crossfade</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _head(comparison: Comparison) -> str:
    runs = sum(len(r.runs) for r in comparison.recipes)
    frames = comparison.recipes[0].first.get("frames") if comparison.recipes else None
    sub = f"{len(comparison.recipes)} recipes, {runs} runs" + (
        f", scored on {frames} labelled frames" if frames else ", no labelled frames"
    )
    notes = "".join(f'<p class="note">{html.escape(note)}</p>' for note in comparison.notes)
    lead = html.escape(best_sentence(comparison))
    return (
        f"<h1>{html.escape(comparison.title)}</h1>"
        f'<p class="sub">pair <b>{html.escape(comparison.pair)}</b> · {sub}</p><p class="lead">{lead}</p>{notes}'
    )


def _table(comparison: Comparison) -> str:
    if not comparison.recipes:
        body = "<p>No recipe has a result.</p>"
    else:
        shown = columns(comparison)
        heads = "".join(f"<th>{html.escape(c.title)}</th>" for c in shown)
        rows = []
        for recipe in comparison.recipes:
            cells = "".join(
                f'<td class="best">{c.cell(comparison, recipe)}</td>'
                if c.is_best(comparison, recipe)
                else f"<td>{c.cell(comparison, recipe)}</td>"
                for c in shown
            )
            kind = ' class="bound"' if recipe.name == BOUND else ""
            rows.append(
                f"<tr{kind}><td>{html.escape(recipe.name)}</td>{cells}<td>{seeds_word(recipe)}</td>"
                f'<td class="word">{html.escape(checkpoint_word(recipe))}</td></tr>'
            )
        body = (
            f'<table><thead><tr><th>recipe</th>{heads}<th>seeds</th><th class="word">checkpoint</th></tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table>"
        )
    left = "".join(
        f"<p>Left out: <b>{html.escape(r.name)}</b>: {html.escape(r.left_out or '')}</p>" for r in comparison.left_out
    )
    lines = "".join(f"<li>{_code(line)}</li>" for line in reading(comparison))
    return f'<section><h2>Results</h2>{body}{left}<ul class="reading">{lines}</ul></section>'


def _published(comparison: Comparison) -> str:
    """Published numbers beside the measured ones, each marked as what it is."""
    if comparison.published is None:
        return ""
    heads = "".join(f"<th>{html.escape(word)}</th>" for word in PUBLISHED_HEADER[:-1])
    rows = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}"
        f'<td class="word">{html.escape(note)}</td></tr>'
        for *cells, note in published_rows(comparison)
    )
    return (
        f'<section><h2>Published and measured</h2><table><thead><tr>{heads}<th class="word">note</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
        f'<ul class="reading"><li>{_code(published_sentence(comparison))}</li></ul></section>'
    )


def _charts(pictures: Pictures) -> str:
    images = [
        f'<img src="{data_uri(pictures.figures[name])}" alt="{alt}">'
        for name, alt in (("miou.png", "mIoU by recipe"), ("consistency.png", "mIoU against temporal consistency"))
        if name in pictures.figures
    ]
    if not images:
        return ""
    kind = "pair" if len(images) == 2 else "wide"
    return f'<section><h2>Accuracy and steadiness</h2><div class="{kind}">{"".join(images)}</div></section>'


def _rows(pictures: Pictures) -> str:
    if not pictures.rows:
        return ""
    legend = "".join(
        f'<span><i style="background:rgb({r},{g},{b})"></i>{html.escape(name)}</span>'
        for name, (r, g, b) in pictures.colours.items()
    )
    strips = []
    for row in pictures.rows:
        columns_ = min(len(row.panels), 4)
        tiles = "".join(
            f"<figure><figcaption>{html.escape(caption)}</figcaption>"
            f'<img src="{image_uri(image, photo=caption == "frame")}" alt="{html.escape(caption)}"></figure>'
            for caption, image in row.panels.items()
        )
        strips.append(
            f'<p class="where">{html.escape(row.name)}</p>'
            f'<div class="strip" style="grid-template-columns:repeat({columns_},1fr)">{tiles}</div>'
        )
    return (
        f'<section><h2>The same frames, every recipe</h2><div class="legend">{legend}</div>{"".join(strips)}</section>'
    )


def _videos(pictures: Pictures) -> str:
    if not pictures.videos:
        return ""
    shown = "".join(
        f"<details{' open' if k == 0 else ''}><summary>{html.escape(name)}</summary>"
        f'<video controls loop muted playsinline preload="auto" src="{data_uri(path, "video/mp4")}"></video>'
        "</details>"
        for k, (name, path) in enumerate(pictures.videos.items())
    )
    return f"<section><h2>Side by side, moving</h2>{shown}</section>"


def _heat(comparison: Comparison) -> str:
    if not comparison.scored:
        return ""
    heads = "".join(f"<th>{html.escape(r.name)}</th>" for r in comparison.recipes)
    rows = []
    for name in comparison.classes:
        cells = []
        for recipe in comparison.recipes:
            value = recipe.iou(name)
            style = f' style="{_shade(value.mean)}"' if value.seeds else ""
            cells.append(f"<td{style}>{value.format(100)}</td>")
        rows.append(f"<tr><td>{html.escape(name)}</td>{''.join(cells)}</tr>")
    return (
        f'<section><h2>IoU by class, %</h2><table class="heat"><thead><tr><th>class</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></section>"
    )


def _sheets(comparison: Comparison, pictures: Pictures) -> str:
    parts = []
    for sheet in sheets(comparison):
        heads = "".join(f"<th>{html.escape(word)}</th>" for word in sheet.header)
        rows = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in sheet.rows)
        lines = "".join(f"<li>{_code(line)}</li>" for line in sheet.notes)
        drawn = pictures.figures.get(sheet.figure)
        image = (
            "" if drawn is None else f'<div class="wide drawn"><img src="{data_uri(drawn)}" alt="{sheet.title}"></div>'
        )
        kind = ' class="words"' if sheet.words else ""
        parts.append(
            f"<section><h2>{html.escape(sheet.title)}</h2><table{kind}><thead><tr>{heads}</tr></thead>"
            f'<tbody>{rows}</tbody></table>{image}<ul class="reading">{lines}</ul></section>'
        )
    return "".join(parts)


def _confusions(pictures: Pictures) -> str:
    found = {
        n.removeprefix("confusion-").removesuffix(".png"): p for n, p in pictures.figures.items() if "confusion-" in n
    }
    if not found:
        return ""
    items = "".join(
        f"<details><summary>{html.escape(name)}</summary>"
        f'<img src="{data_uri(path)}" alt="confusion of {html.escape(name)}"></details>'
        for name, path in found.items()
    )
    return f"<section><h2>What is taken for what</h2>{items}</section>"


def _shade(share: float) -> str:
    """Background from white (0) to deep teal (1), with ink that can be read on it."""
    share = min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
    low, high = np.array([247, 250, 250]), np.array([22, 112, 100])
    r, g, b = (low + (high - low) * share**1.15).astype(int)
    return f"background:rgb({r},{g},{b});color:{'#fff' if share > 0.6 else '#20242c'}"


def _code(words: str) -> str:
    pieces = html.escape(words).split("`")
    return "".join(f"<code>{piece}</code>" if k % 2 else piece for k, piece in enumerate(pieces))


def data_uri(path: Path, kind: str = "image/png") -> str:
    """A file as a data: address."""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def image_uri(image: np.ndarray, photo: bool) -> str:
    """An image as a data: address: JPEG for photographs, PNG for flat colour."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 88] if photo else []
    _, content = cv2.imencode(".jpg" if photo else ".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return f"data:image/{'jpeg' if photo else 'png'};base64,{base64.b64encode(content.tobytes()).decode()}"
