"""params.yaml: what ships is valid, and every mistake is one sentence with the nearest valid name."""

import re
from pathlib import Path

import pytest
import yaml

from crossfade.data.labels import load_label_space
from crossfade.errors import UserError
from crossfade.params import check_params, read_params
from crossfade.params_text import parse, switched, with_values

SHIPPED = Path(__file__).resolve().parents[1] / "params.yaml"


def edited(tmp_path, change):
    raw = yaml.safe_load(SHIPPED.read_text())
    change(raw)
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def test_what_ships_is_valid():
    params = read_params(SHIPPED)
    assert {"source_only", "adabn", "self_training", "stcl", "oracle"} <= set(params.recipes)
    assert params.training_of("source_only").steps == 0
    assert params.training_of("stcl").steps == params.adaptation.steps


MISTAKES = {
    "top": (lambda p: p.update(sedes=[1]), "unknown key 'sedes'; did you mean 'seeds'"),
    "pair": (lambda p: p["pairs"]["street"].update(targte="x"), "did you mean 'target'"),
    "pair_source": (lambda p: p["pairs"]["street"].update(source="street_plane"), "did you mean 'street_plain'"),
    "label_space": (lambda p: p["pairs"]["street"].update(label_space="camvid-11"), "did you mean 'camvid11'"),
    "method": (lambda p: p["recipes"]["stcl"]["method"].update(name="stlc"), "did you mean 'stcl'"),
    "method_key": (lambda p: p["recipes"]["stcl"]["method"].update(self_trainig=1), "did you mean 'self_training'"),
    "nested_key": (lambda p: p["recipes"]["stcl"]["method"].update(teacher={"deacy": 1}), "did you mean 'decay'"),
    "network": (lambda p: p["recipes"]["stcl"].update(network="lite1"), "did you mean 'lite0'"),
    "kind": (lambda p: p["networks"]["lite0"].update(kind="deplab"), "did you mean 'deeplab'"),
    "network_key": (
        lambda p: p["networks"]["lite0"].update(chanels=9),
        "lite0.chanels'; did you mean 'channels'",
    ),
    "temporal": (lambda p: p["recipes"]["stcl"].update(temporal="fuson"), "did you mean 'fusion'"),
    "frames": (
        lambda p: p["recipes"]["stcl"].update(method={"name": "quadmix"}),
        "recipes.stcl.temporal: method 'quadmix' trains on single frames",
    ),
    "accelerator": (lambda p: p["recipes"]["stcl"].update(temporal="davss"), "recipes.stcl.method to it"),
    "pretrained_accelerator": (
        lambda p: p["networks"]["lite0"].update(temporal="davss"),
        "lite0.temporal: 'davss' comes after pretraining",
    ),
    "temporal_key": (
        lambda p: p["recipes"]["stcl"].update(temporal={"kind": "davss", "intervall": 2}),
        "temporal.intervall'; did you mean 'interval'",
    ),
    "estimator": (lambda p: p["motion"]["street_camera"].update(estimator="diss", preset=None), "did you mean 'dis'"),
    "data_set": (lambda p: p["data_sets"]["street_plain"].update(kind="stret"), "did you mean 'street'"),
    "data_set_key": (
        lambda p: p["data_sets"].update(mine={"kind": "camvid", "root": "x", "archive": []}),
        "'archives'",
    ),
    "data_set_keys": (
        lambda p: p["data_sets"].update(mine={"kind": "camvid", "root": "x", "qq": 1}),
        "archives, fetch",
    ),
    "street_has_no_archives": (
        lambda p: p["data_sets"]["street_plain"].update(fetch=[], archives=["a.zip"]),
        "data_sets.street_plain: a data set of kind 'street' has no root to put files in: leave out archives, fetch",
    ),
    "footage_has_no_archives": (
        lambda p: p["data_sets"].update(mine={"kind": "footage", "videos": "x", "archives": ["a.zip"]}),
        "data_sets.mine: a data set of kind 'footage' has no root",
    ),
    "training": (lambda p: p["recipes"]["stcl"].update(training={"step": 3}), "did you mean 'steps'"),
    "range": (lambda p: p["adaptation"].update(batch=0), "adaptation.batch"),
    "size": (lambda p: p["pairs"]["street"].update(size=[0, -3]), "pairs.street.size.0"),
    "pretraining": (
        lambda p: p["pretraining"]["method"].update(domain="target"),
        "pretraining.method is {name",
    ),
    "no_seed": (lambda p: p.update(seeds=[]), "seeds"),
    "twice": (lambda p: p.update(seeds=[1, 1]), "a seed stands there twice"),
    "negative": (lambda p: p.update(seeds=[-1]), "seeds.0"),
    "no_number": (lambda p: p.update(seeds=[True]), "seeds.0"),
    "no_split": (lambda p: p["pairs"]["street"].update(adapt_on=[]), "pairs.street.adapt_on: "),
    "split_twice": (lambda p: p["pairs"]["street"].update(adapt_on=["train", "train"]), "none twice"),
    "leak": (
        lambda p: p["pairs"]["street"].update(source="street_camera", source_split="val"),
        "pairs.street: the labels of street_camera's split 'val' would be trained on and scored",
    ),
    "no_motion": (
        lambda p: p["data_sets"].update(other=dict(p["data_sets"]["street_plain"])),
        "unknown data set (data_sets.other; no section under motion) 'other'",
    ),
    "no_word": (lambda p: p["recipes"].update({"my recipe": p["recipes"]["adabn"]}), "recipes: 'my recipe' cannot be"),
    "a_path": (lambda p: p["recipes"].update({"../adabn": p["recipes"]["adabn"]}), "recipes: '../adabn' cannot be"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_sentence(name, tmp_path):
    change, expected = MISTAKES[name]
    with pytest.raises(UserError) as error:
        read_params(edited(tmp_path, change))
    message = str(error.value)
    assert expected in message
    assert "params.yaml" in message
    assert "\n" not in message


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(UserError, match="is missing"):
        read_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("seeds: [0\n")
    with pytest.raises(UserError, match="not valid YAML"):
        read_params(tmp_path / "params.yaml")


def test_only_declared_sections_can_be_read():
    params = read_params(SHIPPED, only={"recipes": {"stcl": {}}, "adaptation": {"steps": 1}})
    assert set(params.recipes) == {"stcl"}
    assert params.training_of("stcl") == read_params(SHIPPED).training_of("stcl")
    with pytest.raises(AttributeError):
        _ = params.pairs


def test_switching_to_real_footage_and_back(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(switched(SHIPPED.read_text(), "street_camvid"))
    params = read_params(path)
    assert set(params.pairs) == {"street_camvid"}
    assert params.pairs["street_camvid"].adapt_on == ("train", "val")
    assert "seen, unlabelled" in params.pairs["street_camvid"].notes[0]
    assert set(params.motion) == set(params.data_sets)  # also of those that stay because they are rendered
    assert switched(path.read_text(), "street").count("  street: {") == 1
    assert switched(path.read_text(), "street") == SHIPPED.read_text()
    with pytest.raises(UserError, match="did you mean 'street_camvid'"):
        switched(SHIPPED.read_text(), "street_camvit")
    half = SHIPPED.read_text().replace("# viper_bdd: {source: viper", "# viper-bdd: {sorce: viper")
    with pytest.raises(UserError, match=r"pairs\.viper-bdd has no source"):
        switched(half, "street_camvid")


@pytest.mark.parametrize(
    "videos", [["/drives/*.mp4"], ["/a b/1 [x].mp4", "/c, d/2.mp4"], ["/{e}/3.mp4", "/it's/4.mp4", "/über/🚗.mp4"]]
)
def test_footage_is_named_in_params(tmp_path, videos):
    path = tmp_path / "params.yaml"
    text = switched(SHIPPED.read_text(), "street_footage")
    for given in (["/other.mp4"], ["/one [1].mp4", "/two [2].mp4"], videos):
        text = switched(with_values(text, "data_sets", "footage", {"videos": given}), "street_footage")
    path.write_text(text)
    params = read_params(path)
    assert set(params.pairs) == {"street_footage"}
    assert params.data_sets["footage"]["videos"] == videos
    with pytest.raises(UserError, match="no entry 'street_plain"):
        with_values(text, "data_sets", "street_plain", {})


def test_what_dvc_writes_can_be_read_and_switched(tmp_path):
    """`dvc exp run -S` writes the file anew: long entries are wrapped, quotes that YAML 1.2 does not need are gone."""
    from dvc.utils.hydra import apply_overrides

    path = tmp_path / "params.yaml"
    path.write_text(SHIPPED.read_text())
    apply_overrides(path, ["adaptation.steps=7"])
    params = read_params(path)
    assert params.adaptation.steps == 7
    assert params.recipes["stcl"].method["feature_blend"] == {"level": "off"}
    path.write_text(switched(path.read_text(), "street_camvid"))
    assert set(read_params(path).pairs) == {"street_camvid"}
    path.write_text(switched(path.read_text(), "street"))
    assert set(read_params(path).pairs) == {"street"}


def test_a_pair_that_cannot_be_switched_off_is_told():
    text = SHIPPED.read_text().replace(
        "pairs:\n", "pairs:\n  mine:\n    source: street_plain\n    target: street_camera\n"
    )
    with pytest.raises(UserError, match="write the pair 'mine' as"):
        switched(text, "street_camvid")


@pytest.mark.parametrize("pair", re.findall(r"^  (?:# )?(\w+): \{source", SHIPPED.read_text(), re.MULTILINE))
def test_every_pair_that_ships_can_be_switched_on(tmp_path, pair):
    path = tmp_path / "params.yaml"
    path.write_text(switched(SHIPPED.read_text(), pair))
    params = read_params(path)
    assert set(params.pairs) == {pair}
    assert load_label_space(params.pairs[pair].label_space).classes


def test_the_recipes_that_are_commented_out_are_valid(tmp_path):
    path = tmp_path / "params.yaml"
    text, count = re.subn(r"^  # (\w+: \{network)", r"  \1", SHIPPED.read_text(), flags=re.MULTILINE)
    path.write_text(text)
    assert count == 3
    assert {"minent", "advent", "tps"} <= set(read_params(path).recipes)


LOST = {
    "itself": {"kind": "camvid", "root": "data/mine"},
    "below": {"kind": "camvid", "root": "data/raw/../mine/CamVid/"},
    "another_s": {"kind": "camvid", "root": "data/street_plain/x"},
    "archives": {"kind": "camvid", "root": "data/raw/x", "archives": ["a.zip", "data/mine/b.zip"]},
    "fetch": {"kind": "camvid", "root": "data/x", "fetch": [{"url": "http://a/b", "sha256": "0" * 64, "to": "c"}]},
    "sequences": {"kind": "camvid", "root": "data/raw", "sequences": "../mine/videos"},
    "lists": {"kind": "bdd", "root": "data/raw", "lists": {"val": "../mine/val.txt"}},
    "videos": {"kind": "footage", "videos": ["drives/*.mp4", "data/mine/*.mp4"]},
    "labels": {"kind": "footage", "videos": "a.mp4", "labels": {"folder": "data/mine/labels", "table": "camvid11"}},
}


@pytest.mark.parametrize("case", LOST)
def test_nothing_of_a_person_s_lies_where_dvc_deletes(case, tmp_path):
    change = with_entries(data_sets={"mine": LOST[case], "x": {"kind": "camvid", "root": "data/raw/camvid"}})
    with pytest.raises(UserError, match=r"params\.yaml: data_sets\.mine\..* is deleted .*: put it under data/raw/…"):
        read_params(edited(tmp_path, change))


def test_links_into_it_and_folders_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/mine").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "data/mine")
    with pytest.raises(UserError, match=r"link/a lies in data/mine"):
        read_params(edited(tmp_path, with_entries(data_sets={"mine": {"kind": "camvid", "root": "link/a"}})))
    for root in ("data/raw/mine", "data/mine2", str(tmp_path / "mine")):
        mine = {"data_sets": {"mine": {"kind": "camvid", "root": root}}, "motion": {"mine": {}}}
        read_params(edited(tmp_path, with_entries(**mine)))


def test_a_key_that_stands_twice_is_told():
    text = SHIPPED.read_text().replace("motion:  ", "  street_camera: {kind: footage, videos: x}\nmotion:  ")
    with pytest.raises(UserError, match=r"the key 'street_camera' stands twice in one place, in lines \d+ and \d+"):
        check_params(text)
    assert parse("a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, x: 3}")["c"] == {"x": 3}  # merged, not twice


def test_a_data_set_that_cannot_be_switched_off_is_told():
    block = "data_sets:\n  cityscapes:\n    kind: cityscapes\n    root: x\n"
    text = SHIPPED.read_text().replace("data_sets:\n", block)
    with pytest.raises(UserError, match="write the data set 'cityscapes' as 'cityscapes: "):
        switched(text, "street")
    with pytest.raises(UserError, match="'cityscapes' stands twice"):
        switched(text, "viper_cityscapes")
    own = re.sub(r"  # cityscapes: \{kind: city.*\n", "", text)
    assert check_params(switched(own, "viper_cityscapes")).data_sets["cityscapes"]["root"] == "x"


def test_the_example_of_the_readme_can_be_switched_and_given_values():
    readme = (SHIPPED.parent / "README.md").read_text()
    (example,) = re.findall(r"```yaml\n(cityscapes: .*?)```", readme, re.DOTALL)
    text = re.sub(r"  # cityscapes: \{kind: city.*\n", f"  # {example}", SHIPPED.read_text())
    text = with_values(switched(text, "viper_cityscapes"), "data_sets", "cityscapes", {"before": 7})
    entry = check_params(text).data_sets["cityscapes"]
    assert (len(entry["archives"]), entry["before"]) == (2, 7)


def with_entries(**sections):
    """A change of what ships: entries added to its sections (or, where a section is a list, replaced)."""

    def change(raw):
        for section, entries in sections.items():
            raw[section] = {**raw[section], **entries} if isinstance(entries, dict) else entries

    return change


def test_a_recipe_can_continue_another(tmp_path):
    after = {"name": "stcl_then", "start": "stcl", "network": "lite0", "method": {"name": "self_training"}}
    params = read_params(edited(tmp_path, with_entries(continued=[after])))
    assert params.recipe_names[-1] == "stcl_then"
    assert params.training_of("stcl_then") == params.adaptation
    for wrong, said in (
        ({"start": "stlc"}, "did you mean 'stcl'"),
        ({"name": "stcl"}, "there is a recipe 'stcl' already"),
        ({"temporal": "fusio"}, r"continued\[0\].temporal"),
        ({"method": {"name": "tps", "stps": 3}}, "stps"),
    ):
        with pytest.raises(UserError, match=said):
            read_params(edited(tmp_path, with_entries(continued=[after | wrong])))


def test_a_method_and_what_its_network_reads_are_held_against_each_other(tmp_path):
    fast = {"network": "lite0", "temporal": {"kind": "davss"}, "method": {"name": "davss"}}
    recipes = {
        "fast": fast,
        "plain": {"network": "lite0", "method": {"name": "supervised"}},
        "fused": {"network": "lite0", "temporal": "fusion", "method": {"name": "stcl"}},
    }

    def read(start, more, **others):
        after = {"name": "after", "start": start, "network": "lite0", "method": {"name": "stcl"}} | more
        return read_params(edited(tmp_path, with_entries(recipes=recipes | others, continued=[after])))

    read("fast", {"temporal": "none"})
    read("plain", {"method": {"name": "quadmix"}})
    read("fast", {"method": {"name": "davss"}})
    read(
        "fast", {"temporal": fast["temporal"] | {"interval": 5}, "method": {"name": "davss"}, "training": {"steps": 0}}
    )
    with pytest.raises(UserError, match=r"training\.steps: 0 would leave the temporal module 'davss' untrained"):
        read("plain", {"temporal": "davss", "method": {"name": "davss"}, "training": {"steps": 0}})
    with pytest.raises(UserError, match=r"recipes\.idle\.training\.steps: 0 would leave"):
        read("plain", {}, idle=fast | {"training": {"steps": 0}})
    for start, more, said in (
        ("fast", {}, "method: method 'stcl' cannot train a network with key frames"),
        (
            "fused",
            {"method": {"name": "quadmix"}},
            "temporal: method 'quadmix' trains on single frames",
        ),
        ("fused", {"method": {"name": "davss"}}, "temporal: method 'davss' trains the temporal module"),
    ):
        with pytest.raises(UserError, match=rf"continued\[0\].{said}"):
            read(start, more)
    with pytest.raises(UserError, match=r"recipes.slow.temporal: method 'davss' trains the temporal module 'davss'"):
        read("plain", {}, slow={"network": "lite0", "method": {"name": "davss"}})


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"dropout": 2.0}, r"networks\.mine\.dropout: Input should be less than 1 \(it is 2\.0\)"),
        ({"output_stride": 12}, r"networks\.mine\.output_stride: Input should be 2, 4, 8, 16 or 32"),
        ({"temporal": {"kind": "tmanet", "frames": 0}}, r"networks\.mine\.temporal\.frames: .*greater than 0"),
        ({"temporal": {"kind": "dtern", "kernels": [4]}}, r"networks\.mine\.temporal\.kernels\.0: .*odd"),
    ],
)
def test_arguments_of_networks_are_checked_before_anything_runs(tmp_path, network, said):
    with pytest.raises(UserError, match=rf"params\.yaml: {said}"):
        read_params(edited(tmp_path, with_entries(networks={"mine": {"kind": "deeplab"} | network})))


def test_arguments_of_an_added_temporal_module_are_checked(tmp_path):
    recipe = {"network": "lite0", "temporal": {"kind": "davss", "interval": 2.5}, "method": {"name": "davss"}}
    with pytest.raises(UserError, match=r"recipes\.fast\.temporal\.interval: .*integer"):
        read_params(edited(tmp_path, with_entries(recipes={"fast": recipe})))


def test_temporal_modules_are_checked(tmp_path):
    network = {"kind": "deeplab", "pretrained": False, "temporal": {"kind": "fusion"}}
    recipe = {"network": "fused", "method": {"name": "stcl"}}
    path = edited(tmp_path, with_entries(networks={"fused": network}, recipes={"r": recipe}))
    assert read_params(path).networks["fused"].model.temporal.kind == "fusion"
    with pytest.raises(UserError, match="has temporal module 'fusion' already"):
        read_params(
            edited(tmp_path, with_entries(networks={"fused": network}, recipes={"r": recipe | {"temporal": "fusion"}}))
        )
    network["temporal"] = {"kind": "fusion", "frames": 2}
    with pytest.raises(UserError, match=r"unknown key 'networks\.fused\.temporal\.frames'"):
        read_params(edited(tmp_path, with_entries(networks={"fused": network})))
