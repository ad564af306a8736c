"""`crossfade evaluate`: what it prints and writes is what `evaluation.evaluate` finds; mistakes are one sentence."""

import json
from dataclasses import replace

import pytest
import torch
import yaml
from golden_rule import key_list, synthetic
from toy_video import video_on_disk, write_motion

from crossfade.cli import main
from crossfade.data.labels import load_label_space
from crossfade.data.loading import Domain
from crossfade.data.manifest import Manifest
from crossfade.errors import UserError
from crossfade.evaluation import evaluate
from crossfade.experiment import Place
from crossfade.model_folder import load_model, save_model
from crossfade.networks import NetworkParameters
from crossfade.pair_index import index_pair
from crossfade.params import Pair, read_params
from crossfade.scoring import score
from crossfade.temporal import ModelParameters, build_video_network

SIZE = (32, 48)
PAIR = {"source": "drawn", "target": "toy", "label_space": "camvid11", "size": list(SIZE), "source_split": "val"}
PAIR |= {"adapt_on": ["val"], "evaluate_on": "val"}
MARKED = {"which": "step 3", "rule": "last step"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with params.yaml, a pair of one labelled video, indexed, and one of the same without labels."""
    monkeypatch.chdir(tmp_path)
    for name, labelled in (("drawn", True), ("toy", True), ("bare", False)):
        manifest = video_on_disk(tmp_path / "raw" / name, motion=False, labelled=labelled).manifest
        manifest = replace(manifest, data_set=name, labels="camvid11")
        manifest.save(Place().data(name))
        write_motion(Place().motion(name), 8, SIZE)
    pairs = {"toys": PAIR, "void": PAIR | {"label_space": "camvid12"}, "bare": PAIR | {"target": "bare"}, "later": PAIR}
    splits = {"val": {"videos": 1, "frames": 8}}
    data_sets = {n: {"kind": "street", "look": "plain", "seed": 1, "splits": splits} for n in ("drawn", "toy", "bare")}
    params = {
        "seeds": [0],
        "pairs": pairs,
        "data_sets": data_sets,
        "motion": {name: {"estimator": "exact"} for name in data_sets},
        "networks": {"tiny": {"kind": "deeplab", "pretrained": False}},
        "pretraining": {"method": {"name": "supervised"}, "training": {"steps": 1, "batch": 1}},
        "adaptation": {"steps": 1, "batch": 1},
        "recipes": {"source_only": {"network": "tiny", "method": {"name": "supervised"}}},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    for name in ("toys", "void", "bare"):
        index_pair(Place(), name, Pair.model_validate(pairs[name]))
    return tmp_path


def trained(folder, space="camvid11", size=SIZE, temporal="fusion", **notes):
    """A tiny model as a recipe leaves it behind."""
    torch.manual_seed(0)
    network = NetworkParameters(kind="deeplab", pretrained=False, channels=16, skip_channels=8)
    parameters = ModelParameters(network=network, temporal=temporal)
    known = load_label_space(space)
    built = build_video_network(parameters, len(known.classes))
    torch.nn.init.normal_(built.frame.classifier.weight, std=20)  # or it would see one class everywhere
    save_model(folder, built, parameters, known, size, **notes)
    return folder


def found(folder, size=SIZE):
    """The numbers, by hand."""
    space = load_label_space("camvid11")
    domain = Domain(Manifest.load(Place().data("toy")), Place().motion("toy"), space, size, ("val",))
    return evaluate(load_model(folder).network, domain, checkpoint={})


def test_a_trained_model(project, capsys):
    folder = trained(project / "model", checkpoint=MARKED)
    arguments = ["evaluate", str(folder), "--pair", "toys", "--device", "cpu", "--json", "numbers.json", "--out", "out"]
    assert main(arguments) == 0
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    numbers, wanted = json.loads((project / "numbers.json").read_text()), found(folder)
    assert numbers["checkpoint"] == MARKED
    untimed = {"checkpoint", "frames_per_second"}
    assert {k: v for k, v in numbers.items() if k not in untimed} == {
        k: v for k, v in wanted.metrics.items() if k not in untimed
    }
    assert ["mIoU", f"{100 * numbers['miou']:.1f}", "%"] in said
    assert ["temporal", "consistency", f"{100 * numbers['temporal_consistency']['value']:.1f}", "%"] in said
    assert ["VC8", f"{100 * numbers['video_consistency']['vc8']:.1f}", "%"] in said
    assert ["IoU", "sky", f"{100 * numbers['iou']['sky']:.1f}", "%"] in said
    assert ["IoU", "car", "–"] in said  # the truth never shows one
    assert any(line[:1] == ["frames/s"] for line in said)
    assert {"confusion.csv", "classes.csv", "index.json", "strips", "side_by_side.mp4"} <= {
        path.name for path in (project / "out").iterdir()
    }


def test_an_imported_model_at_its_own_size(project, capsys):
    """Weights by the golden rule, of eleven classes."""
    classes = {key: [11 if n == 19 else n for n in shape] for key, shape in key_list("etc_psp18").items()}
    torch.save(synthetic(classes), "etc.pth")
    size = (40, 64)
    imported = ["import-weights", "etc", "etc.pth", "--out", "imported", "--label-space", "camvid11", "--size"]
    assert main([*imported, *map(str, size)]) == 0
    assert main(["evaluate", "imported", "--pair", "toys", "--device", "cpu", "--json", "numbers.json"]) == 0
    assert "(etc.pth, imported)" in capsys.readouterr().out
    numbers = json.loads((project / "numbers.json").read_text())
    assert numbers["checkpoint"] == {"which": "etc.pth", "rule": "imported"}
    wanted = found(project / "imported", size).metrics
    assert (numbers["miou"], numbers["label_free"]) == (wanted["miou"], wanted["label_free"])
    assert numbers["label_free"] != found(project / "imported").metrics["label_free"]  # at the pair's size


def test_a_class_that_is_not_scored_is_marked(project, capsys):
    assert main(["evaluate", str(trained(project / "model", "camvid12")), "--pair", "void", "--device", "cpu"]) == 0
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["IoU", "void", "(not", "scored)", "–"] in said
    assert any(line[:2] == ["IoU", "sky"] and line[-1] == "%" for line in said)


def test_a_model_that_says_nothing_of_its_checkpoint(project, capsys):
    assert main(["evaluate", str(trained(project / "model", temporal="none")), "--pair", "toys"]) == 0
    assert "toys: 8 labelled frames\n" in capsys.readouterr().out


def test_mistakes_are_one_sentence(project, capsys):
    folder = trained(project / "model")
    other = trained(project / "other", "cityscapes19")
    (project / "mine").mkdir()
    (project / "mine" / "thesis.txt").write_text("do not delete")
    for arguments, words in (
        (
            [folder, "--pair", "toy"],
            "unknown pair (of those that params.yaml has switched on) 'toy'; did you mean 'toys'",
        ),
        ([project, "--pair", "toys"], "is not a model"),
        ([other, "--pair", "toys"], "'cityscapes19', not 'camvid11'"),
        ([folder, "--pair", "later"], "dvc repro index@later first"),
        ([folder, "--pair", "bare"], "the split 'val' of bare has no labels"),
        ([folder, "--pair", "toys", "--out", project / "mine"], "not an empty folder"),
        ([folder, "--pair", "toys", "--json", project / "mine"], "is a folder: give --json a file"),
        ([folder, "--pair", "toys", "--device", "tpu9"], "the device 'tpu9' is not there"),
    ):
        assert main(["evaluate", *map(str, arguments)]) == 2, arguments
        said = capsys.readouterr().err.strip()
        assert words in said, said
        assert "\n" not in said
    assert (project / "mine" / "thesis.txt").exists()


def test_the_stage_names_the_command_for_a_model_that_no_recipe_trained(project):
    trained(Place().model("toys", "source_only", 0))
    with pytest.raises(UserError, match=r"no run\.json.*crossfade evaluate .* --pair toys"):
        score(Place(), read_params(), "toys", "source_only", 0, "cpu")
