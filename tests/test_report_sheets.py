import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from test_report import CLASSES, COLOURS, MIOU, metrics, write

from crossfade.data.labels import LabelSpace
from crossfade.report import compare, print_table, read_results
from crossfade.report.gap_figure import read_clouds
from crossfade.report.ranking import rankings
from crossfade.report.sheets import sheets

SPACE = LabelSpace("toy3", CLASSES, COLOURS, {})


def told(root: Path, **more) -> Path:
    """Results in which every run knows everything; `more` by recipe overrides."""
    found, evaluations = write(root)
    for k, path in enumerate(sorted(found.rglob("*.json"))):
        numbers = json.loads(path.read_text())
        numbers["temporal_consistency"] |= {"vspw": 0.7, "etc": 0.6}
        numbers["video_consistency"] = {"vc8": 0.9, "vc16": None, "vec8": 0.3, "vec16": None}
        numbers["label_free"] = {"entropy": 0.5 - numbers["miou"] / 2, "neighbourhood_density": float((k * 5) % 7)}
        numbers["domain_gap"] = {"before": 1.9, "after": 1.9 - k / 100}
        path.write_text(json.dumps(numbers | more.get(path.parent.name, {})))
        rng = np.random.default_rng(k)
        arrays = {}
        for name in (f"{when}_{side}" for when in ("before", "after") for side in ("source", "target")):
            arrays[f"{name}_vectors"] = rng.random((40, 5)).astype(np.float16)
            arrays[f"{name}_classes"] = rng.integers(0, 3, 40)
        np.savez(evaluations / path.parent.name / path.stem / "features.npz", **arrays)
    return found


def made(root: Path) -> Path:
    compare("toy", root / "metrics" / "toy", root / "evaluations" / "toy", root / "report", SPACE)
    return root / "report"


def test_only_what_was_measured_becomes_a_column(tmp_path):
    told(tmp_path)
    apart, steady, gap, chosen = sheets(read_results("toy", tmp_path / "metrics" / "toy"))
    assert steady.header == ["recipe", "TC", "agreement", "TC (VSPW)", "TC (ETC)", "VC8", "VEC8 †"]
    assert steady.rows[0] == [
        "source_only",
        *["80.0 ± 0.0"] * 2,
        "70.0 ± 0.0",
        "60.0 ± 0.0",
        "90.0 ± 0.0",
        "30.0 ± 0.0",
    ]
    assert apart.rows[2] == ["stcl", "source_only, adabn", "–"]  # all runs are equally consistent
    assert gap.header == ["recipe", "before", "after"]
    assert gap.rows[1][:2] == ["adabn", "1.90 ± 0.00"]
    assert len(chosen.rows) == 4
    assert any("provisional" in line for line in steady.notes)


def test_runs_from_before_these_were_measured_are_still_reported(tmp_path):
    found, _ = write(tmp_path)
    _, steady, ranking = sheets(read_results("toy", found))
    assert steady.header == ["recipe", "TC", "agreement"]
    assert [row[0] for row in ranking.rows] == ["consistency over motion, high"]
    assert ranking.rows[0][1] == "–"  # all runs are equally consistent
    assert "domain-gap" not in (made(tmp_path) / "index.html").read_text()


def test_what_the_seeds_tell_apart(tmp_path):
    runs = {
        "source_only": {0: 0.30, 1: 0.34, 2: 0.32},
        "steady": {0: 0.32, 1: 0.36, 2: 0.34},  # always two points above
        "lucky": {0: 0.31, 1: 0.345, 2: 0.42},  # above in every seed, once by a lot
        "mixed": {0: 0.29, 1: 0.40, 2: 0.38},  # higher on average, lower in one seed
        "once": {1: 0.60},  # one seed tells nothing
    }
    comparison = read_results("toy", write(tmp_path, runs)[0])
    clear = comparison.clearly_above(lambda m: m["miou"])
    assert clear == {"source_only": [], "lucky": [], "mixed": [], "once": [], "steady": ["source_only"]}
    page = (made(tmp_path) / "index.html").read_text()
    assert '<table class="words">' in page
    assert "| steady | source_only | – |" in (tmp_path / "report" / "comparison.md").read_text()


def test_one_seed_tells_nothing_apart(tmp_path):
    found, _ = write(tmp_path, {"source_only": {0: 0.3}, "stcl": {0: 0.5}})
    assert all(sheet.title != "What the seeds tell apart" for sheet in sheets(read_results("toy", found)))


def test_the_terminal_table_stays_narrow(tmp_path):
    told(tmp_path)
    console = Console(record=True, width=80)
    print_table(read_results("toy", tmp_path / "metrics" / "toy"), console)
    assert re.findall(r"mIoU %|gain|gap closed|TC %|frames/s|VC8|ρ", console.export_text())[:5] == [
        "mIoU %", "gain", "gap closed", "TC %", "frames/s",
    ]  # fmt: skip


def ranks(values: list[float]) -> np.ndarray:
    """Average ranks."""
    return np.array([np.mean([sum(v < x for v in values), sum(v <= x for v in values) - 1]) for x in values])


def test_rank_correlation_is_pearson_s_of_the_ranks_without_the_bound(tmp_path):
    found = told(tmp_path)
    by_name = {r.score: r for r in rankings(read_results("toy", found))}
    runs = [
        json.loads((found / name / f"seed-{seed}.json").read_text())
        for name, seeds in MIOU.items()
        for seed in seeds
        if name != "oracle"
    ]
    mious = [run["miou"] for run in runs]
    density = by_name["neighbourhood density, high"]
    values = [run["label_free"]["neighbourhood_density"] for run in runs]
    assert density.runs == 6
    assert density.correlation == pytest.approx(np.corrcoef(ranks(values), ranks(mious))[0, 1])
    assert density.miou == mious[int(np.argmax(values))]
    assert density.lost == pytest.approx(max(mious) - density.miou)
    entropy = by_name["entropy, low"]
    assert (entropy.correlation, entropy.picked, entropy.lost) == (pytest.approx(1.0), "stcl seed 1", 0.0)


def test_few_runs_are_not_ranked(tmp_path):
    found, _ = write(tmp_path, {"source_only": {0: 0.3}, "a": {0: 0.4}, "b": {0: 0.5}, "oracle": {0: 0.6}})
    assert rankings(read_results("toy", found)) == []
    (found / "b" / "seed-1.json").write_text(json.dumps(metrics(0.45, 0.9)))
    assert [r.runs for r in rankings(read_results("toy", found))] == [4]


def test_the_clouds_are_the_network_before_and_every_recipe_s_after(tmp_path):
    found = told(tmp_path)
    comparison = read_results("toy", found)
    folders = {r.name: tmp_path / "evaluations" / "toy" / r.name / "seed-0" for r in comparison.recipes}
    clouds = read_clouds(comparison, folders)
    assert [c.title.split(":")[0] for c in clouds] == ["before adaptation", "adabn", "stcl", "oracle"]
    arrays = np.load(folders["stcl"] / "features.npz")
    assert np.array_equal(clouds[2].target, arrays["after_target_vectors"])
    assert np.array_equal(clouds[2].source_classes, arrays["after_source_classes"])


def test_the_report_shows_them_all(tmp_path):
    told(tmp_path)
    folder = made(tmp_path)
    text, page = (folder / "comparison.md").read_text(), (folder / "index.html").read_text()
    for title in ("Steadiness over time, %", "Domain gap", "Which score without labels would have chosen well"):
        assert f"## {title}\n" in text
        assert f"<h2>{title}</h2>" in page
    assert "(figures/domain-gap.png)" in text
    assert (folder / "figures" / "domain-gap.png").is_file()
    assert 'alt="Domain gap"' in page
    row = next(r for r in csv.DictReader((folder / "comparison.csv").open()) if r["recipe"] == "stcl")
    assert (row["tc_vspw"], row["vc8"], row["vc16"], row["domain_gap_before"]) == ("0.7", "0.9", "", "1.9")
