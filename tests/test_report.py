import base64
import csv
import json
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from crossfade.data.labels import LabelSpace
from crossfade.errors import UserError
from crossfade.evaluation import Evaluation
from crossfade.gallery import Strip
from crossfade.presets import Published, PublishedResult
from crossfade.report import compare, print_table, read_results
from crossfade.report.figures import confusion_figure, figure_image
from crossfade.report.results import Comparison, Recipe, Value
from crossfade.report.tables import best_sentence, markdown

CLASSES = ("Road", "Car", "Sign")
COLOURS = np.array([[128, 64, 128], [64, 0, 128], [192, 128, 128]], np.uint8)
MIOU = {
    "source_only": {0: 0.30, 1: 0.34},
    "adabn": {0: 0.40, 1: 0.41},
    "stcl": {0: 0.45, 1: 0.47},
    "oracle": {0: 0.55, 1: 0.56},
}


def metrics(miou: float, consistency: float | None = 0.8) -> dict:
    return {
        "miou": miou,
        "iou": {"Road": miou + 0.2, "Car": miou - 0.2, "Sign": None},
        "pixel_accuracy": 0.9,
        "temporal_consistency": {
            "value": consistency,
            "agreement": consistency,
            "motion": None if consistency is None else "exact",
            "pixels": 100,
        },
        "frames_per_second": {"network": 12.5, "with_decoding": 9.0, "device": "toy (1 threads)"},
        "frames": 8,
        "checkpoint": {"which": "last", "rule": "no selection"},
    }


def write(root: Path, results: dict = MIOU, pictures: bool = True) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    for recipe, runs in results.items():
        for seed, miou in runs.items():
            path = root / "metrics" / "toy" / recipe / f"seed-{seed}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(metrics(miou)))
            panels = {name: rng.integers(0, 255, (24, 32, 3), dtype=np.uint8) for name in ("frame", "truth", recipe)}
            Evaluation(
                metrics=metrics(miou),
                confusion=np.array([[70, 5, 0], [10, 15, 0], [0, 0, 0]]),
                classes=CLASSES,
                strips=[Strip("val/a/1", panels)] if pictures else [],
                clip=[np.zeros((24, 64, 3), np.uint8)] * 3 if pictures else [],
                rate=8.0,
            ).save(root / "evaluations" / "toy" / recipe / f"seed-{seed}")
    return root / "metrics" / "toy", root / "evaluations" / "toy"


def make(root: Path, **options) -> Path:
    found, evaluations = write(root)
    space = LabelSpace("toy3", CLASSES, COLOURS, {})
    compare("toy", found, evaluations, root / "reports" / "toy", space, **options)
    return root / "reports" / "toy"


def test_mean_spread_and_gap_are_those_of_the_seeds(tmp_path):
    found, _ = write(tmp_path, pictures=False)
    comparison = read_results("toy", found)
    assert [r.name for r in comparison.recipes] == ["source_only", "adabn", "stcl", "oracle"]
    stcl = comparison.recipe("stcl")
    assert stcl.miou.mean == pytest.approx(0.46)
    assert stcl.miou.spread == pytest.approx(statistics.stdev([0.45, 0.47]))
    shares = [(0.45 - 0.30) / (0.55 - 0.30), (0.47 - 0.34) / (0.56 - 0.34)]
    assert comparison.gap_closed(stcl).mean == pytest.approx(statistics.fmean(shares))
    assert comparison.gain(stcl).mean == pytest.approx(0.14)
    assert comparison.gap_closed(comparison.recipe("oracle")).seeds == 0


def test_only_seeds_both_recipes_have_are_compared(tmp_path):
    found, _ = write(tmp_path, {"source_only": {0: 0.3}, "stcl": {0: 0.4, 1: 0.9}}, pictures=False)
    comparison = read_results("toy", found)
    assert comparison.gain(comparison.recipe("stcl")) == Value(pytest.approx(0.1), None, 1)


@pytest.mark.parametrize(
    "numbers, words",
    [([0.461], "46.1"), ([0.4, 0.5], "45.0 ± 7.1"), ([None, float("nan")], "–"), ([None, 0.5], "50.0")],
)
def test_values_are_said_honestly(numbers, words):
    assert Value.of(numbers).format(100) == words


def test_bold_goes_to_the_best_and_to_what_its_spread_reaches(tmp_path):
    runs = {
        "source_only": {0: 0.2, 1: 0.2},
        "a": {0: 0.40, 1: 0.44},
        "b": {0: 0.41, 1: 0.41},
        "oracle": {0: 0.9, 1: 0.9},
    }
    found, _ = write(tmp_path, runs, pictures=False)
    comparison = read_results("toy", found)
    assert comparison.best(lambda r: r.miou) == {"a", "b"}
    one_seed = {name: {0: seeds[0]} for name, seeds in runs.items()}
    found, _ = write(tmp_path / "one", one_seed, pictures=False)
    assert read_results("toy", found).best(lambda r: r.miou) == {"b"}


def test_a_left_out_recipe_is_said_with_its_reason(tmp_path):
    found, _ = write(tmp_path, {"source_only": {0: 0.3}, "stcl": {0: 0.4}}, pictures=False)
    (found / "oracle").mkdir()
    (found / "oracle" / "seed-0.json").write_text(json.dumps({"left_out": "the target has no labels"}))
    comparison = read_results("toy", found)
    assert [r.name for r in comparison.recipes] == ["source_only", "stcl"]
    assert "left out: `oracle`: the target has no labels" in markdown(comparison)
    assert "gap closed" not in markdown(comparison)
    console = Console(record=True, width=120)
    print_table(comparison, console)
    assert "left out: oracle: the target has no labels" in console.export_text()


def test_the_table_fits_a_narrow_terminal(tmp_path):
    runs = {"source_only": {0: 0.30, 1: 0.34}, "self_training": {0: 0.45, 1: 0.47}, "oracle": {0: 0.55, 1: 0.56}}
    found, _ = write(tmp_path, runs, pictures=False)
    console = Console(record=True, width=80)
    print_table(read_results("toy", found), console)
    said = console.export_text()
    assert "…" not in said
    assert "46.0 ± 1.4" in said
    assert "60 ± 1 %" in said


def test_the_report_holds_every_promised_file(tmp_path):
    folder = make(tmp_path, notes=["the evaluation clip was seen unlabelled"], title="toy_a → toy_b")
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert {"comparison.md", "comparison.csv", "index.html", "figures/miou.png", "figures/classes.png"} <= names
    assert {"figures/consistency.png", "figures/confusion-stcl.png", "strips/00.png", "videos/stcl.mp4"} <= names
    text = (folder / "comparison.md").read_text()
    assert "the evaluation clip was seen unlabelled" in text
    assert "| stcl | **46.0 ± 1.4** | +14.0 ± 1.4 | 60 ± 1 % |" in text
    for link in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (folder / link).is_file()


def test_without_the_baseline_its_absence_is_said(tmp_path):
    said = {}
    for first in ("source_only", "baseline"):
        found, _ = write(tmp_path / first, {first: {0: 0.3}, "stcl": {0: 0.4}}, pictures=False)
        said[first] = markdown(read_results("toy", found))
    assert "No recipe is called `source_only`" in said["baseline"]
    assert "No recipe" not in said["source_only"]


def test_rows_of_different_code_are_told_apart(tmp_path):
    found, _ = write(tmp_path, pictures=False)
    assert read_results("toy", found).notes == []
    for recipe, code in (("stcl", "new"), ("adabn", "old"), ("oracle", "new")):
        for seed in (0, 1):
            path = found / recipe / f"seed-{seed}.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"code": {"trained": code, "scored": "same"}}))
    (note,) = read_results("toy", found).notes
    assert "trained by different states of the code: stcl, oracle (new); adabn (old)" in note


def test_the_csv_reads_back(tmp_path):
    rows = list(csv.DictReader((make(tmp_path) / "comparison.csv").open()))
    assert len(rows) == 8
    row = next(r for r in rows if r["recipe"] == "stcl" and r["seed"] == "1")
    assert float(row["miou"]) == 0.47
    assert float(row["iou_Road"]) == pytest.approx(0.67)
    assert row["iou_Sign"] == ""
    assert float(row["gap_closed"]) == pytest.approx(0.13 / 0.22, rel=1e-5)


def test_the_page_needs_no_other_file(tmp_path):
    text = (make(tmp_path, notes=["a <b>note</b>"]) / "index.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert sources
    assert all(source.startswith("data:") for source in sources)
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    for source in sources:
        base64.b64decode(source.split(",", 1)[1], validate=True)
    assert "a &lt;b&gt;note" in text
    assert "video/mp4" in text
    assert "60 ± 1 %" in text


def test_the_confusion_figure_is_an_image_a_tracker_takes():
    image = figure_image(confusion_figure(np.array([[9, 1], [0, 0]]), ["Road", "Car"], "stcl"))
    assert image.dtype == np.uint8
    assert image.shape[2] == 3
    assert image.std() > 5


def test_the_sentence_does_not_boast(tmp_path):
    found, _ = write(tmp_path, {"source_only": {0: 0.5}, "stcl": {0: 0.4}}, pictures=False)
    assert best_sentence(read_results("toy", found)) == "No recipe is above source_only (50.0 mIoU)."


def test_a_failed_report_leaves_the_one_before(tmp_path):
    folder = make(tmp_path)
    before = (folder / "index.html").read_bytes()
    (tmp_path / "evaluations" / "toy" / "stcl" / "seed-0" / "confusion.csv").unlink()
    space = LabelSpace("toy3", CLASSES, COLOURS, {})
    with pytest.raises(UserError, match=r"confusion\.csv is missing"):
        compare("toy", tmp_path / "metrics" / "toy", tmp_path / "evaluations" / "toy", folder, space)
    assert (folder / "index.html").read_bytes() == before
    assert not list(folder.parent.glob(".*"))


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda f: (f / "stcl" / "seed-0.json").write_text("{"), "not valid JSON"),
        (lambda f: (f / "stcl" / "seed-0.json").write_text('{"miou": 1}'), "lacks 'iou'"),
        (lambda f: (f / "late").mkdir(), "holds no seed"),
    ],
)
def test_damaged_results_are_named(tmp_path, damage, words):
    found, _ = write(tmp_path, {"source_only": {0: 0.3}, "stcl": {0: 0.4}}, pictures=False)
    damage(found)
    with pytest.raises(UserError, match=words):
        read_results("toy", found)


def test_no_results_at_all(tmp_path):
    with pytest.raises(UserError, match="is missing"):
        read_results("toy", tmp_path / "nowhere")


PUBLISHED = Published(
    source="a paper",
    rule="best of all",
    results={"stcl": PublishedResult(miou=61.5), "DA-VSN": PublishedResult(miou=49.5, note="<two> frames")},
)


def test_published_numbers_stand_beside_the_measured_ones_marked(tmp_path):
    folder = make(tmp_path, published=PUBLISHED)
    text = (folder / "comparison.md").read_text()
    assert "| recipe | mIoU % | published | gain |" in text
    assert "| stcl | **46.0 ± 1.4** | 61.5 | +14.0 ± 1.4 |" in text
    assert "| adabn | 40.5 ± 0.7 | – |" in text
    assert "| stcl | 61.5 | 46.0 ± 1.4 | -15.5 |  |" in text
    assert "| DA-VSN | 49.5 | – | – | <two> frames |" in text
    assert "Published: a paper. Their checkpoint: best of all." in text
    page = (folder / "index.html").read_text()
    assert "Published and measured" in page
    assert "<td>DA-VSN</td><td>49.5</td><td>–</td><td>–</td>" in page
    assert "&lt;two&gt; frames" in page
    rows = list(csv.DictReader((folder / "comparison.csv").open()))
    assert {row["recipe"]: row["published_miou"] for row in rows} == {
        "source_only": "", "adabn": "", "stcl": "0.615", "oracle": ""
    }  # fmt: skip
    console = Console(record=True, width=120)
    print_table(read_results("toy", tmp_path / "metrics" / "toy", published=PUBLISHED), console)
    said = console.export_text()
    assert "published, not run here: DA-VSN 49.5" in said
    assert "published and measured" not in (make(tmp_path / "without") / "comparison.md").read_text().lower()


def test_without_labels_the_report_says_so_and_shows_what_needs_none(tmp_path):
    _, evaluations = write(tmp_path, {"source_only": {0: 0.3}, "stcl": {0: 0.4}})
    for k, path in enumerate(sorted((tmp_path / "metrics").rglob("*.json"))):
        numbers = metrics(0.0, 0.7) | {"miou": None, "pixel_accuracy": None, "frames": 0}
        numbers |= {"iou": dict.fromkeys(CLASSES), "label_free": {"entropy": 0.25 + k, "neighbourhood_density": 3.5}}
        path.write_text(json.dumps(numbers))
    folder = tmp_path / "reports" / "toy"
    space = LabelSpace("toy", CLASSES, COLOURS, {})
    comparison = compare("toy", tmp_path / "metrics" / "toy", evaluations, folder, space)
    assert not comparison.scored
    text = (folder / "comparison.md").read_text()
    assert "Nothing was scored against labels" in text
    assert "mIoU %" not in text
    assert "IoU by class" not in text
    assert "| source_only | 70.0 | 25.0 | 3.5 |" in text
    assert not list(folder.glob("figures/*"))
    page = (folder / "index.html").read_text()
    assert "no labelled frames" in page
    assert "IoU by class" not in page
    rows = list(csv.DictReader((folder / "comparison.csv").open()))
    assert [row["entropy"] for row in rows] == ["0.25", "1.25"]
    assert [row["miou"] for row in rows] == ["", ""]
    console = Console(record=True, width=100)
    print_table(comparison, console)
    assert "entropy %" in console.export_text()


def test_speeds_of_different_machines_are_not_compared():
    other = {**metrics(0.5), "frames_per_second": {"network": 300.0, "device": "NVIDIA H200"}}
    alike = Comparison("toy", [Recipe("a", {0: metrics(0.4), 1: metrics(0.5)})])
    assert alike.devices == "toy (1 threads)"
    apart = Comparison("toy", [Recipe("a", {0: metrics(0.4)}), Recipe("b", {0: other})])
    assert apart.devices == "NVIDIA H200 and toy (1 threads), so rows do not compare"
