"""Presets: each is valid, goes into params.yaml in one line and out of it without a trace."""

import sys
from pathlib import Path

import pytest
import torch

from crossfade.data.labels import load_label_space
from crossfade.errors import UserError
from crossfade.params import check_params
from crossfade.params_text import merged_in, parse, taken_out
from crossfade.presets import preset_names, preset_text, read_published, switched_to
from crossfade.temporal import build_video_network
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
    if "seeds:" not in preset_text(name):
        assert params.seeds == check_params(SHIPPED).seeds  # what a preset does not say stays in force
    assert switched_to(text, "street") == SHIPPED
    assert switched_to(text, name) == text
    other = next(n for n in preset_names() if n != name)
    assert switched_to(text, other) == switched_to(SHIPPED, other)


@pytest.mark.parametrize("name", COMPLETE)
def test_the_adaptation_pairs_have_the_published_numbers(name):
    source, tps, stcl = COMPLETE[name]
    params = check_params(switched_to(SHIPPED, name))
    assert params.recipe_names == ["source_only", "advent", "tps", "tps_deep", "oracle", "stcl"]
    assert (params.recipe("stcl").network, params.continued[0].start) == ("resnet101_deep", "tps_deep")
    optimiser = params.training_of("stcl").optimiser
    assert optimiser == params.pretraining.training.optimiser
    assert (optimiser.horizon, optimiser.schedule, optimiser.head_schedule) == (250_000, "poly", "constant")
    assert optimiser.lr * optimiser.head_multiplier == pytest.approx(
        {"synthia": 2.5e-3, "viper": 1e-3}[source], rel=1e-4
    )
    assert params.pairs[name].source == source
    assert params.training_of("tps").steps == params.pretraining.training.steps == 40_000
    assert params.training_of("stcl").batch == 1
    assert params.recipes["tps"].method["target_weight"] == tps
    assert params.recipe("stcl").method["target_weight"] == stcl
    published = read_published(name)
    assert published is not None
    assert published.results["stcl"].miou == {"synthia": 61.5, "viper": 56.2}[source]
    classes = load_label_space(params.pairs[name].label_space).classes
    assert set(params.recipe("stcl").method["mixing"]["tail_classes"]) < set(classes)


@pytest.mark.parametrize("name", preset_names())
def test_the_networks_of_every_preset_are_built(name):
    """Without weights: on the meta device."""
    params = check_params(switched_to(SHIPPED, name))
    classes = len(load_label_space(params.pairs[name].label_space).classes)
    models = {key: network.model for key, network in params.networks.items()}
    for recipe in map(params.recipe, params.recipe_names):
        if recipe.temporal is not None:
            added = models[recipe.network].model_copy(update={"temporal": recipe.temporal})
            models[f"{recipe.network} {recipe.temporal.kind}"] = added
    for model in models.values():
        with torch.device("meta"):
            network = build_video_network(model.untrained(), classes)
        assert network.past == {"none": 0, "fusion": 1, "davss": 2}.get(model.temporal.kind, network.past)


SUPERVISED = {  # network, frames before now, steps, clips a step, the encoder's rate
    "vspw_dtern": ("mit_b1_dtern", 9, 160_000, 8, 6e-5),
    "cityscapes_tmanet": ("resnet50_tmanet", 2, 80_000, 8, 0.01),
    "camvid_tmanet": ("resnet50_tmanet", 4, 80_000, 8, 0.01),
    "cityscapes_etc": ("resnet18_psp", 0, 74_000, 8, 0.01),
}


@pytest.mark.parametrize("name", SUPERVISED)
def test_the_supervised_settings_have_the_published_numbers(name):
    network, past, steps, batch, lr = SUPERVISED[name]
    params = check_params(switched_to(SHIPPED, name))
    training = params.pretraining.training
    assert (training.steps, training.batch, training.optimiser.lr) == (steps, batch, lr)
    assert params.pretraining.method["class_balance"] == 0
    assert params.pretraining.method["geometric"]["scale"] == [0.5, 2.0]
    with torch.device("meta"):
        built = build_video_network(params.networks[network].model.untrained(), 19)
    assert built.past == past
    assert network in {recipe.network for recipe in params.recipes.values()}


@pytest.mark.parametrize(("name", "epoch"), [("cityscapes_davss", 2975), ("camvid_davss", 468)])
def test_davss_learns_as_long_as_published_and_at_a_tenth_from_the_middle_of_its_last_stage_on(name, epoch):
    params = check_params(switched_to(SHIPPED, name))
    training, method = params.training_of("davss"), params.recipes["davss"].method
    assert training.batch * training.accumulate == 16
    begins = round((method["motion_share"] + method["distortion_share"]) * training.steps)
    samples = epoch * 9  # key frames 2 to 10 frames back
    assert training.steps - begins == pytest.approx(100 * samples / 16, rel=0.01)
    assert method["distortion_share"] * training.steps == pytest.approx(100 * samples / 48, rel=0.01)
    assert training.optimiser.horizon == pytest.approx(begins + training.steps, abs=1)  # twice the middle


def test_the_street_presets_are_the_shipped_pair_with_more_rows():
    shipped = check_params(SHIPPED)
    for name, rows in (("street_field", 25), ("street_stcl_parts", 14)):
        params = check_params(switched_to(SHIPPED, name))
        assert (params.data_sets, params.motion) == (shipped.data_sets, shipped.motion)
        assert params.pairs[name] == shipped.pairs["street"]
        assert (params.networks["lite0"], params.pretraining) == (shipped.networks["lite0"], shipped.pretraining)
        assert params.adaptation == shipped.adaptation
        assert params.seeds == [0, 1, 2]
        assert len(params.recipe_names) == rows
        methods = [params.recipe(recipe).model_dump(exclude={"name"}) for recipe in params.recipe_names]
        assert all(one not in methods[k + 1 :] for k, one in enumerate(methods))
    field = check_params(switched_to(SHIPPED, "street_field"))
    assert shipped.recipes.items() <= field.recipes.items()
    looks = {name: n.arguments.get("inner", {"kind": n.kind, **n.arguments}) for name, n in field.networks.items()}
    assert looks["lite0"] == looks["lite0_dtern"] == looks["lite0_hrda"]  # several frames, or two resolutions
    assert looks["lite0_psp"] == looks["lite0_tmanet"]  # which reads the encoder's last stage alone, so at stride 8


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
        assert parse(path.read_text()) != parse(merged)
        monkeypatch.setattr(sys, "argv", ["switch", name, "--discard"])
        switch.main()
        assert path.read_text() == merged
        monkeypatch.setattr(sys, "argv", ["switch", "street", "--discard"])
        switch.main()
        assert path.read_text() == SHIPPED


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
    """`dvc exp run -S` writes the file anew; what the preset put aside are comments at the top, and stay."""
    from dvc.utils.hydra import apply_overrides

    path = tmp_path / "params.yaml"
    path.write_text(switched_to(SHIPPED, "viper_cityscapes_resnet101"))
    for steps in (6, 7):  # a block list of the first time loses what follows it the second time
        apply_overrides(path, [f"adaptation.steps={steps}"])
    assert check_params(path.read_text()).adaptation.steps == 7
    back = taken_out(path.read_text())
    assert check_params(back) == check_params(SHIPPED)


@pytest.mark.parametrize("end", ["\n", "", "\n\n# the end\n"])
def test_a_section_on_one_line_is_replaced_heading_and_all(end):
    text = "# mine\n\nseeds: [0]   # one\nrecipes: {}\n\ncontinued: []" + end
    preset = "# theirs\nseeds:\n  - 1\n  - 2\n\ncontinued: [{name: a}]   # after b\npublished: {a: 1}\n"
    merged = merged_in(text, "theirs", preset)
    assert parse(merged) == {"seeds": [1, 2], "recipes": {}, "continued": [{"name": "a"}]}
    assert taken_out(merged) == text == taken_out(text)
    assert "\n#| seeds: [0]   # one\n" in merged


def test_what_cannot_be_put_aside_is_told():
    with pytest.raises(UserError, match="has no section 'networks'"):
        merged_in(SHIPPED.replace("networks:\n", "nets:\n"), "x", preset_text("viper_cityscapes_resnet101"))
    with pytest.raises(UserError, match="did you mean 'vspw_dtern'"):
        preset_text("vspw_dtren")


def test_a_pair_names_a_preset_that_exists():
    text = switched_to(SHIPPED, "cityscapes_etc").replace("published: cityscapes_etc", "published: cityscapes_ect")
    with pytest.raises(UserError, match="did you mean 'cityscapes_etc'"):
        check_params(text)
