"""Published checkpoints become model folders; what does not fit is one sentence."""

import pickle

import pytest
import torch
from golden_rule import synthetic
from published_forward import deeplab_keys

from crossfade.cli import main
from crossfade.errors import UserError
from crossfade.importing import IMPORTERS
from crossfade.importing.convert import converted, import_weights, read_state
from crossfade.model_folder import load_model


@pytest.fixture(scope="module")
def tps():
    return synthetic(deeplab_keys("layer6", 12, fusion=True))


@pytest.fixture(scope="module")
def small(tps):
    """A checkpoint with the keys of TPS, each tensor but the classifier cut to nothing."""
    return {key: value if key.startswith("layer6") else value.flatten()[:1].clone() for key, value in tps.items()}


def test_a_file_of_torch_1_2_becomes_a_model_folder(tps, tmp_path, capsys):
    file, out = tmp_path / "tps_syn2city_pretrained.pth", tmp_path / "model"
    counters = ".num_batches_tracked"
    raw = {f"module.{key}": value for key, value in tps.items() if not key.endswith(counters)}
    torch.save(raw, file, _use_new_zipfile_serialization=False)
    assert main(["import-weights", "tps", str(file), "--out", str(out)]) == 0
    assert "12 classes, 43,827,648 parameters" in capsys.readouterr().out
    model = load_model(out)
    assert (model.label_space, model.size, model.network.align_corners) == ("synthia12", (512, 1024), True)
    assert model.checkpoint == {"which": file.name, "rule": "imported"}
    assert model.description["imported"]["system"] == "tps"
    loaded = model.network.state_dict()
    assert all(torch.equal(value, loaded[f"{part(key)}.{key}"]) for key, value in tps.items())


def part(key):
    return "temporal" if key.startswith("sf_layer") else "frame"


def test_what_does_not_fit_is_named(tps, small):
    without = {key: value for key, value in tps.items() if not key.startswith("layer4.2.bn")}
    with pytest.raises(UserError, match=r"frame\.layer4\.2\.bn1\.weight.* and 9 more are missing"):
        converted(IMPORTERS["tps"], without, "file")
    with pytest.raises(UserError, match=r"ema\.decay is left over"):
        converted(IMPORTERS["tps"], tps | {"ema.decay": torch.zeros(1)}, "file")
    with pytest.raises(UserError, match=r"conv1\.weight is left over"):  # two tensors for one place
        converted(IMPORTERS["tps"], tps | {"frame.conv1.weight": tps["conv1.weight"]}, "file")
    with pytest.raises(UserError, match=r"sf_layer\.weight is left over"):
        converted(IMPORTERS["advent"], tps, "file")
    with pytest.raises(UserError, match=r"conv1\.weight has shape \(1,\) where \(64, 3, 7, 7\) belongs"):
        converted(IMPORTERS["tps"], small, "file")


def test_mistakes_are_one_sentence(tmp_path, small, capsys):
    good, cut, old_cut = tmp_path / "good.pth", tmp_path / "cut.pth", tmp_path / "old_cut.pth"
    torch.save(small, good)
    cut.write_bytes(good.read_bytes()[:-500])
    torch.save(small, old_cut, _use_new_zipfile_serialization=False)
    old_cut.write_bytes(old_cut.read_bytes()[:-500])
    objects, nothing, words = tmp_path / "objects.pth", tmp_path / "nothing.pth", tmp_path / "words.pth"
    torch.save({"state_dict": small, "meta": Strange()}, objects)
    torch.save({"epoch": 3}, nothing)
    words.write_text("not a checkpoint at all")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not delete")
    for arguments, sentence in (
        (["tsp", good], "did you mean 'tps'"),
        (["tps", tmp_path / "absent.pth"], "there is no file"),
        (["tps", cut], "cut short"),
        (["tps", old_cut], "cut short"),
        (["tps", words], "cut short"),
        (["tps", objects], "could run code"),
        (["tps", nothing], "holds no weights by name"),
        (["stcl", good], "there is no layer7.conv2d_list.0.weight): it looks like da_vsn or tps"),
        (["tps", good, "--label-space", "synthia"], "did you mean 'synthia12'"),
        (["tps", good, "--size", "0", "9"], "--size 0 9 is too small"),
    ):
        assert main(["import-weights", *map(str, arguments), "--out", str(tmp_path / "model")]) == 2, arguments
        said = capsys.readouterr().err.strip()
        assert sentence in said, said
        assert "\n" not in said
    assert not (tmp_path / "model").exists()
    assert main(["import-weights", "tps", str(good), "--out", str(tmp_path / "mine")]) == 2
    assert "not a model" in capsys.readouterr().err
    assert (tmp_path / "mine" / "thesis.txt").exists()


class Strange:
    """What must never be unpickled."""

    def __reduce__(self):
        return (pickle.loads, (b"",))


def test_the_number_of_classes_decides_what_they_mean(tps, tmp_path):
    torch.save(tps, tmp_path / "tps.pth")
    with pytest.raises(UserError, match=r"has 12 classes, but label space 'viper15' has 15"):
        import_weights("tps", tmp_path / "tps.pth", tmp_path / "model", "viper15")
    assert not (tmp_path / "model").exists()
    five = {key: value[:5] if key.startswith(("layer5", "layer6")) else value for key, value in tps.items()}
    five["sf_layer.weight"] = tps["sf_layer.weight"][:5, :10]
    torch.save(five, tmp_path / "five.pth")
    with pytest.raises(UserError, match="has 5 classes: say which with --label-space"):
        import_weights("tps", tmp_path / "five.pth", tmp_path / "model")


def test_wrappers_and_prefixes_are_seen_through(tmp_path):
    torch.save({"epoch": 1, "state_dict": {"module.student.a": torch.ones(2)}}, tmp_path / "wrapped.pth")
    state = read_state(tmp_path / "wrapped.pth", ("module.", "student."))
    assert list(state) == ["a"]
