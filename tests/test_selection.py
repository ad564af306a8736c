"""The checkpoints of one training, ranked by scores that need no labels."""

import json
import re
import sys
from dataclasses import replace

import pytest
import yaml
from scipy.stats import spearmanr

from benchmarks import selection
from crossfade.data import prepare_data_set
from crossfade.data.manifest import Manifest
from crossfade.errors import UserError
from crossfade.experiment import Place, adapt, pretrain
from crossfade.model_folder import load_model
from crossfade.motion.estimate import estimate_data_set
from crossfade.pair_index import index_pair
from crossfade.params import read_params
from crossfade.training import Knobs

SPLITS = {"train": {"videos": 1, "frames": 4}}
PARAMS = {
    "seeds": [0],
    "pairs": {"street": {"source": "plain", "target": "camera", "label_space": "camvid11", "size": [48, 64]}},
    "data_sets": {
        "plain": {"kind": "street", "look": "plain", "size": [48, 64], "seed": 1, "splits": SPLITS},
        "camera": {
            "kind": "street", "look": "camera", "size": [48, 64], "seed": 2,
            "splits": {**SPLITS, "val": {"videos": 1, "frames": 3}},
        },
    },
    "motion": {"plain": {"estimator": "exact"}, "camera": {"estimator": "dis", "preset": "fast"}},
    "networks": {"tiny": {"kind": "deeplab", "pretrained": False, "channels": 16, "skip_channels": 8}},
    "pretraining": {"method": {"name": "supervised", "domain": "source"}, "training": {"steps": 1, "batch": 1}},
    "adaptation": {"steps": 4, "batch": 1},
    "recipes": {
        "source_only": {"network": "tiny", "method": {"name": "supervised"}, "training": {"steps": 0}},
        "adabn": {"network": "tiny", "method": {"name": "adabn"}},
        "tps": {"network": "tiny", "temporal": "fusion", "method": {"name": "tps"}},
    },
    "continued": [{"name": "longer", "start": "tps", "network": "tiny", "method": {"name": "self_training"}}],
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """What the graph made up to the pretrained network, and a trained recipe."""
    root = tmp_path_factory.mktemp("place")
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    place, params = Place(root), read_params(root / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSFADE_TRACKING", "off")
        for name in params.data_sets:
            prepare_data_set(params.data_sets[name], place.data(name), 1)
            estimate_data_set(Manifest.load(place.data(name)), params.motion[name], place.motion(name))
        index_pair(place, "street", params.pairs["street"])
        pretrain(place, params, "street", "tiny", 0, Knobs(device="cpu"))
        adapt(place, params, "street", "tps", 0, Knobs(device="cpu"))
    return place


def command(place, monkeypatch, *arguments):
    monkeypatch.chdir(place.root)
    monkeypatch.setenv("CROSSFADE_TRACKING", "on")  # the command switches it off itself
    given = ["--pair", "street", "--seed", "0", "--device", "cpu", *arguments]
    monkeypatch.setattr(sys, "argv", ["selection", *given])
    return selection.main()


def test_every_checkpoint_is_scored_and_nothing_is_written(place, monkeypatch, capsys, tmp_path):
    kept, networks = sorted(place.root.rglob("*")), {}
    evaluate = selection.evaluate

    def watched(network, *rest, **options):
        networks[len(networks) + 1] = {key: value.clone() for key, value in network.state_dict().items()}
        return evaluate(network, *rest, **options)

    monkeypatch.setattr(selection, "evaluate", watched)
    file = tmp_path / "found.json"
    assert command(place, monkeypatch, "--recipe", "tps", "--every", "1", "--json", str(file)) == 0
    assert sorted(place.root.rglob("*")) == kept
    model = load_model(place.model("street", "tps", 0)).network.state_dict()
    assert all((networks[4][key] == value).all() for key, value in model.items())  # those the graph trained
    assert any((networks[3][key] != value).any() for key, value in model.items())

    said = capsys.readouterr().out
    assert [line.split()[1] for line in said.splitlines()[2:6]] == ["1", "2", "3", "4"]
    found = json.loads(file.read_text())
    points = found["checkpoints"]
    mious = [point["miou"] for point in points]
    assert [point["step"] for point in points] == [1, 2, 3, 4]
    by_name = {score["score"]: score for score in found["scores"]}
    assert list(by_name) == ["entropy, low", "neighbourhood density, high", "consistency over motion, high"]
    entropy = by_name["entropy, low"]
    values = [-point["entropy"] for point in points]
    assert entropy["correlation"] == pytest.approx(spearmanr(values, mious).statistic)
    best = values.index(max(values))
    assert entropy["picked"] == f"step {best + 1}"
    assert entropy["lost"] == pytest.approx(max(mious) - mious[best])
    assert entropy["lost_to_last"] == pytest.approx(mious[-1] - mious[best])
    assert f"| {entropy['correlation']:+.2f} | step {best + 1} |" in said


def test_a_recipe_that_continues_another_finds_its_model_and_writes_elsewhere(place):
    params = read_params(place.root / "params.yaml")
    with selection._borrowed(place, params, "street", "longer", 0) as borrowed:
        started = borrowed.model("street", "tps", 0)
        assert load_model(started).description == load_model(place.model("street", "tps", 0)).description
        borrowed.model("street", "longer", 0).mkdir(parents=True)
        assert not place.model("street", "longer", 0).parent.exists()
    assert place.model("street", "tps", 0).is_dir()
    assert not borrowed.root.exists()


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--recipe", "tsp"), "unknown recipe 'tsp'; did you mean 'tps'"),
        (("--recipe", "tps", "--every", "2"), r"give 2 checkpoints.* set --every to at most 1"),
        (("--recipe", "tps", "--every", "0"), "--every is at least 1"),
        (("--recipe", "source_only"), "give 0 checkpoints"),
        (("--recipe", "adabn", "--every", "1"), "'adabn' trains no step"),
    ],
)
def test_what_cannot_be_ranked_ends_in_a_sentence(place, monkeypatch, capsys, arguments, said):
    assert command(place, monkeypatch, *arguments) == 2
    assert re.search(f"^selection: .*{said}", capsys.readouterr().err.strip().splitlines()[-1])


def test_without_labels_nothing_can_be_ranked(place, monkeypatch):
    params = read_params(place.root / "params.yaml")
    domain = selection.open_domain(place, "street", params.pairs["street"], "target", ("val",))
    videos = tuple(
        replace(video, frames=tuple(replace(frame, label=None) for frame in video.frames))
        for video in domain.manifest.videos
    )
    bare = replace(domain, manifest=replace(domain.manifest, videos=videos))
    monkeypatch.setattr(selection, "open_domain", lambda *_: bare)
    with pytest.raises(UserError, match="camera has no labels in val"):
        selection.checkpoints(place, params, "street", "tps", 0, 1, "cpu")
