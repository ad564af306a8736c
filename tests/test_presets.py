"""Presets: each is valid, goes into params.yaml in one line and out of it without a trace."""

import sys
from pathlib import Path

import pytest

from crossfade.data.labels import load_label_space
from crossfade.errors import UserError
from crossfade.params import check_params
from crossfade.params_text import merged_in, taken_out
from crossfade.presets import preset_names, preset_text, read_published, switched_to
from stages import switch

SHIPPED = (Path(__file__).resolve().parents[1] / "params.yaml").read_text()
COMPLETE = {"synthia_cityscapes_resnet101": ("synthia", 1.0, 1.0), "viper_cityscapes_resnet101": ("viper", 0.1, 0.2)}


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_goes_in_and_out(name):
    text = switched_to(SHIPPED, name)
    params = check_params(text)
    assert list(params.pairs) == [name]
    pair = params.pairs[name]
    assert set(params.data_sets) == {pair.source, pair.target} == set(params.motion)
    assert pair.published in (None, name)
    assert (pair.published is None) == (read_published(name) is None)
    assert load_label_space(pair.label_space).classes
    assert params.seeds == check_params(SHIPPED).seeds  # what a preset does not say stays in force
    assert switched_to(text, "street") == SHIPPED
    assert switched_to(text, name) == text
    other = next(n for n in preset_names() if n != name)
    assert switched_to(text, other) == switched_to(SHIPPED, other)


@pytest.mark.parametrize("name", COMPLETE)
def test_the_adaptation_pairs_have_the_published_numbers(name):
    source, tps, stcl = COMPLETE[name]
    params = check_params(switched_to(SHIPPED, name))
    assert set(params.recipes) == {"source_only", "advent", "tps", "stcl", "oracle"}
    assert params.pairs[name].source == source
    assert params.training_of("tps").steps == params.pretraining.training.steps == 40_000
    assert params.training_of("stcl").batch == 1
    assert params.recipes["tps"].method["target_weight"] == tps
    assert params.recipes["stcl"].method["target_weight"] == stcl
    published = read_published(name)
    assert published is not None
    assert published.results["stcl"].miou == {"synthia": 61.5, "viper": 56.2}[source]
    classes = load_label_space(params.pairs[name].label_space).classes
    assert set(params.recipes["stcl"].method["mixing"]["tail_classes"]) < set(classes)


def test_a_line_of_the_command_names_preset_and_folders(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(SHIPPED)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["switch", *arguments])
        switch.main()
        return check_params((tmp_path / "params.yaml").read_text())

    params = run("viper_cityscapes_resnet101", "viper=a")
    assert params.data_sets["viper"]["root"] == str(tmp_path / "a")
    params = run("viper_cityscapes_resnet101", "cityscapes=b")
    assert [params.data_sets[n]["root"] for n in ("viper", "cityscapes")] == [str(tmp_path / "a"), str(tmp_path / "b")]
    assert params.networks["resnet101"].kind == "deeplab_v2"
    run("street")
    assert (tmp_path / "params.yaml").read_text() == SHIPPED
    with pytest.raises(UserError, match="unknown pair or preset 'vspw_detrn'; did you mean 'vspw_dtern'"):
        run("vspw_detrn")


def test_what_was_changed_within_a_preset_is_not_lost_without_a_word(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "params.yaml"
    name = "viper_cityscapes_resnet101"
    merged = switched_to(SHIPPED, name)
    (tmp_path / "elsewhere").mkdir()
    for old, new, place in (
        ("steps: 40000\n    batch: 1", "steps: 7\n    batch: 1", "pretraining.training"),
        ("spans: [1], max_gap", "spans: [1, 2], max_gap", "motion.viper"),
        ("  oracle:\n    network: resnet101\n", "  mine:\n    network: resnet101\n", "recipes.oracle"),
    ):
        assert merged.count(old) == 1
        path.write_text(merged.replace(old, new))
        said = rf"{place} is not as in crossfade/presets/{name}\.yaml, and would be lost"
        for other in ("street", "vspw_dtern"):
            with pytest.raises(UserError, match=said):
                switched_to(path.read_text(), other)
        monkeypatch.setattr(sys, "argv", ["switch", name, "viper=elsewhere"])
        switch.main()  # to the same: nothing is lost
        monkeypatch.setattr(sys, "argv", ["switch", "street", "--discard"])
        switch.main()
        assert path.read_text() == SHIPPED
    own = merged.replace("recipes:\n", "recipes:\n  # beside the preset: stays\n")
    assert "# beside the preset: stays" in switched_to(own, "street")


def test_a_preset_finds_the_data_where_params_yaml_says():
    entry = "cityscapes: {kind: cityscapes, root: /mine, archives: [/a.zip], before: 9}"
    own = switched_to(SHIPPED, "viper_cityscapes").replace(
        "cityscapes: {kind: cityscapes, root: data/raw/cityscapes}", entry
    )
    data_sets = check_params(switched_to(own, "viper_cityscapes_resnet101")).data_sets
    assert data_sets["cityscapes"] == {"kind": "cityscapes", "root": "/mine", "archives": ["/a.zip"]}
    assert data_sets["viper"]["root"] == "data/raw/viper"
    assert switched_to(switched_to(own, "viper_cityscapes_resnet101"), "viper_cityscapes") == own


def test_what_dvc_writes_can_still_be_taken_out(tmp_path):
    """`dvc exp run -S` writes the file anew; what the preset put aside are comments, and stay."""
    from dvc.utils.hydra import apply_overrides

    path = tmp_path / "params.yaml"
    path.write_text(switched_to(SHIPPED, "viper_cityscapes_resnet101"))
    apply_overrides(path, ["adaptation.steps=7"])
    assert check_params(path.read_text()).adaptation.steps == 7
    back = taken_out(path.read_text())
    assert check_params(back) == check_params(SHIPPED)


def test_what_cannot_be_put_aside_is_told():
    text = SHIPPED.replace("networks:\n", "networks: {}\nnothing:\n")
    with pytest.raises(UserError, match="write the section 'networks' over several lines"):
        merged_in(text, "x", preset_text("viper_cityscapes_resnet101"))
    with pytest.raises(UserError, match="did you mean 'vspw_dtern'"):
        preset_text("vspw_dtren")


def test_a_pair_names_a_preset_that_exists():
    text = switched_to(SHIPPED, "cityscapes_etc").replace("published: cityscapes_etc", "published: cityscapes_ect")
    with pytest.raises(UserError, match="did you mean 'cityscapes_etc'"):
        check_params(text)
