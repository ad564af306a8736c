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
        vec = {"vec8": 0.3, "vec16": None, "vec8_matrix": 0.25, "vec16_matrix": None}
        numbers["video_consistency"] = {"vc8": 0.9, "vc16": None, **vec}
        numbers["frames_per_second"] |= {"with_motion": 8.0, "with_both": 6.5}
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
    apart, steady, video, gap, chosen, speed = sheets(read_results("toy", tmp_path / "metrics" / "toy"))
    assert steady.header == ["recipe", "TC", "agreement", "TC (VSPW)", "TC (ETC)"]
    assert steady.rows[0] == ["source_only", *["80.0 ± 0.0"] * 2, "70.0 ± 0.0", "60.0 ± 0.0"]
    assert video.header == ["recipe", "VC8", "VEC8 †", "VEC8 ‡"]
    assert video.rows[0] == ["source_only", "90.0 ± 0.0", "30.0 ± 0.0", "25.0 ± 0.0"]
    assert speed.header == ["recipe", "network alone", "with decoding", "with motion", "with both"]
    assert speed.rows[0] == ["source_only", "12.5 ± 0.0", "9.0 ± 0.0", "8.0 ± 0.0", "6.5 ± 0.0"]
    assert apart.rows[2] == ["stcl", "source_only, adabn", "–"]  # all runs are equally consistent
    assert gap.header == ["recipe", "before", "after"]
    assert gap.rows[1][:2] == ["adabn", "1.90 ± 0.00"]
    assert len(chosen.rows) == 4
    assert any("provisional" in line and "†" in line and "‡" in line for line in video.notes)


def test_runs_from_before_these_were_measured_are_still_reported(tmp_path):
    found, _ = write(tmp_path)
    _, steady, ranking, speed = sheets(read_results("toy", found))
    assert steady.header == ["recipe", "TC", "agreement"]
    assert [row[0] for row in ranking.rows] == ["consistency over motion, high"]
    assert ranking.rows[0][1] == "–"  # all runs are equally consistent
    assert speed.header == ["recipe", "network alone", "with decoding"]
    assert any("not timed when these were evaluated" in line for line in speed.notes)
    assert "domain-gap" not in (made(tmp_path) / "index.html").read_text()
    row = next(csv.DictReader((tmp_path / "report" / "comparison.csv").open()))
    assert (row["frames_per_second_with_decoding"], row["frames_per_second_with_motion"], row["vec8_matrix"]) == (
        "9",
        "",
        "",
    )


def test_motion_that_nobody_can_estimate_is_a_dash(tmp_path):
    unknown = {"network": 20.0, "with_decoding": 9.0, "with_motion": None, "with_both": None, "device": "toy"}
    found = told(tmp_path, stcl={"frames_per_second": unknown})
    speed = sheets(read_results("toy", found))[-1]
    assert next(row for row in speed.rows if row[0] == "stcl")[3:] == ["–", "–"]


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
    found = told(tmp_path, **{name: {"network": "lite0"} for name in MIOU})
    comparison = read_results("toy", found)
    folders = {r.name: tmp_path / "evaluations" / "toy" / r.name / "seed-0" for r in comparison.recipes}
    clouds = read_clouds(comparison, folders)
    assert [c.title.split(":")[0] for c in clouds] == ["before adaptation", "adabn", "stcl", "oracle"]
    arrays = np.load(folders["stcl"] / "features.npz")
    assert np.array_equal(clouds[2].target, arrays["after_target_vectors"])
    assert np.array_equal(clouds[2].source_classes, arrays["after_source_classes"])


def test_every_network_has_its_own_panel_from_before(tmp_path):
    found = told(tmp_path, **{name: {"network": "wide" if name == "stcl" else "lite0"} for name in MIOU})
    comparison = read_results("toy", found)
    folders = {r.name: tmp_path / "evaluations" / "toy" / r.name / "seed-0" for r in comparison.recipes}
    clouds = read_clouds(comparison, folders)
    titles = [c.title.split(": gap")[0] for c in clouds]
    assert titles == ["before: lite0", "before: wide", "adabn", "stcl", "oracle"]
    assert np.array_equal(clouds[1].target, np.load(folders["stcl"] / "features.npz")["before_target_vectors"])


def test_a_network_whose_name_was_not_written_down_is_told_by_its_recipes(tmp_path):
    comparison = read_results("toy", told(tmp_path))
    folders = {r.name: tmp_path / "evaluations" / "toy" / r.name / "seed-0" for r in comparison.recipes}
    same = folders["source_only"] / "features.npz"
    for name in ("adabn", "oracle"):
        arrays = dict(np.load(folders[name] / "features.npz"))
        arrays |= {key: value for key, value in np.load(same).items() if key.startswith("before")}
        np.savez(folders[name] / "features.npz", **arrays)
    titles = [c.title.split(": gap")[0] for c in read_clouds(comparison, folders)]
    assert titles[:2] == ["before: network of source_only, adabn, oracle", "before: network of stcl"]


def test_the_report_shows_them_all(tmp_path):
    told(tmp_path)
    folder = made(tmp_path)
    text, page = (folder / "comparison.md").read_text(), (folder / "index.html").read_text()
    steadiness = ("Steadiness over time, %", "Steadiness over 8 and 16 frames, %")
    for title in (*steadiness, "Domain gap", "Speed, frames/s", "Which score without labels would have chosen well"):
        assert f"## {title}\n" in text
        assert f"<h2>{title}</h2>" in page
    assert "(figures/domain-gap.png)" in text
    assert (folder / "figures" / "domain-gap.png").is_file()
    assert 'alt="Domain gap"' in page
    row = next(r for r in csv.DictReader((folder / "comparison.csv").open()) if r["recipe"] == "stcl")
    assert (row["tc_vspw"], row["vc8"], row["vc16"], row["domain_gap_before"]) == ("0.7", "0.9", "", "1.9")
    assert (row["vec8"], row["vec8_matrix"], row["vec16_matrix"]) == ("0.3", "0.25", "")
    speeds = [row[f"frames_per_second{more}"] for more in ("", "_with_decoding", "_with_motion", "_with_both")]
    assert speeds == ["12.5", "9", "8", "6.5"]
