import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from toy_video import COLOURS, SPACE, scene

import stages
from crossfade import cli
from crossfade.cli import main
from crossfade.data.video import VideoWriter, open_frames
from crossfade.model_folder import save_model
from crossfade.networks import NetworkParameters
from crossfade.temporal import ModelParameters, build_video_network

SIZE = (32, 48)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    """A small untrained network without and with memory, as model folders."""
    torch.manual_seed(0)
    folders = {}
    network = NetworkParameters(kind="deeplab", encoder="tf_efficientnet_lite0", pretrained=False)
    for temporal in ("none", "fusion"):
        parameters = ModelParameters(network=network, temporal=temporal)
        folders[temporal] = tmp_path_factory.mktemp(temporal)
        save_model(folders[temporal], build_video_network(parameters, 4), parameters, SPACE, SIZE)
    return folders


def mp4(path: Path, frames: int = 6) -> Path:
    with VideoWriter(path, 5.0) as writer:
        for k in range(frames):
            writer.add(COLOURS[scene(k % 8)])
    return path


def folder_of_frames(folder: Path, frames: int = 4) -> Path:
    folder.mkdir()
    for k in range(frames):
        cv2.imwrite(str(folder / f"shot{k + 8}.png"), COLOURS[scene(k)][..., ::-1])
    return folder


def run(*arguments: object) -> int:
    return main(["predict", *map(str, arguments), "--device", "cpu"])


@pytest.mark.parametrize("temporal", ["none", "fusion"])
def test_a_video_becomes_an_overlay_of_the_same_length_and_rate(models, temporal, tmp_path, capsys):
    video = mp4(tmp_path / "in.mp4")
    assert run(video, "--model", models[temporal], "--out", tmp_path / "out.mp4") == 0
    result = open_frames(tmp_path / "out.mp4")
    assert (len(list(result)), result.size, result.rate) == (6, SIZE, pytest.approx(5.0))
    said = capsys.readouterr()
    assert "6 frames in" in said.out
    assert "frames/s" in said.out


def test_a_folder_becomes_labels_named_as_its_frames(models, tmp_path):
    frames = folder_of_frames(tmp_path / "in")
    out, labels = tmp_path / "out.mp4", tmp_path / "labels"
    assert run(frames, "--model", models["none"], "--out", out, "--labels", labels, "--rate", 7) == 0
    assert sorted(f.name for f in labels.iterdir()) == ["shot10.png", "shot11.png", "shot8.png", "shot9.png"]
    ids = cv2.imread(str(labels / "shot8.png"), cv2.IMREAD_UNCHANGED)
    assert ids.shape == SIZE
    assert ids.dtype == np.uint8
    assert set(np.unique(ids)) <= {0, 1, 2, 3}
    assert open_frames(out).rate == pytest.approx(7)


def test_frames_of_another_shape_are_noted(models, tmp_path, capsys):
    frames = folder_of_frames(tmp_path / "in")
    for path in frames.iterdir():
        cv2.imwrite(str(path), np.zeros((20, 200, 3), np.uint8))
    assert run(frames, "--model", models["none"], "--out", tmp_path / "out.mp4") == 0
    assert "note: frames of 200 by 20 pixels were brought to" in capsys.readouterr().err


def test_motion_changes_what_a_network_with_memory_says(models, tmp_path, capsys):
    torch.manual_seed(1)
    network = NetworkParameters(kind="deeplab", encoder="tf_efficientnet_lite0", pretrained=False)
    parameters = ModelParameters(network=network, temporal="fusion")
    built = build_video_network(parameters, 4)
    with torch.no_grad():
        weight = built.temporal.sf_layer.weight  # now minus before: all zero, so class 0, where nothing is known before
        weight[:, 4:] = -weight[:, :4]
    save_model(tmp_path / "model", built, parameters, SPACE, SIZE)
    said = {}
    capsys.readouterr()
    for motion in ("dis", "none"):
        labels = tmp_path / motion
        video = mp4(tmp_path / "in.mp4", 4)
        out = tmp_path / f"{motion}.mp4"
        assert run(video, "--model", tmp_path / "model", "--out", out, "--labels", labels, "--motion", motion) == 0
        assert ("without motion it is not the one" in capsys.readouterr().err) == (motion == "none")
        said[motion] = [cv2.imread(str(labels / f"{k:06d}.png"), cv2.IMREAD_UNCHANGED) for k in range(4)]
    assert np.array_equal(said["dis"][0], said["none"][0])  # nothing comes before the first frame
    assert not any(labels.any() for labels in said["none"][1:])
    assert all(labels.any() for labels in said["dis"][1:])


@pytest.mark.parametrize(
    "name, words",
    [
        ("missing.mp4", "does not exist"),
        ("empty", "holds no frames"),
        ("cut.mp4", "is truncated"),
        ("words.mp4", "no video that can be read"),
    ],
)
def test_bad_videos_get_one_sentence(models, tmp_path, capsys, name, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.mp4").write_text("these are only words " * 100)
    (tmp_path / "cut.mp4").write_bytes(mp4(tmp_path / "in.mp4").read_bytes()[:-200])
    out = tmp_path / "out.mp4"
    assert run(tmp_path / name, "--model", models["none"], "--out", out, "--labels", tmp_path / "labels") == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("crossfade: ")
    assert words in said
    assert "\n" not in said
    assert not out.exists()
    assert not (tmp_path / "labels").exists()


def test_bad_choices_get_one_sentence(models, tmp_path, capsys):
    video, out = mp4(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    model = models["none"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not delete")
    for arguments, words in (
        (["--model", tmp_path, "--out", out], "is not a model"),
        (["--model", model, "--out", tmp_path / "out.avi"], "must end in .mp4"),
        (["--model", model, "--out", video], "is the video to read"),
        (["--model", model, "--out", out, "--labels", tmp_path / "mine"], "not an empty folder"),
        (["--model", model, "--out", out, "--rate", "0"], "rate must lie"),
    ):
        assert run(video, *arguments) == 2
        said = capsys.readouterr().err.strip()
        assert words in said
        assert "\n" not in said
    for device in ("tpu9", "meta"):
        assert main(["predict", str(video), "--model", str(model), "--out", str(out), "--device", device]) == 2
        assert f"the device '{device}' is not there" in capsys.readouterr().err
    assert run(video, "--model", model, "--out", video / "out.mp4") == 2
    assert "cannot write" in capsys.readouterr().err
    assert not out.exists()
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_frame_that_fails_half_way_leaves_nothing(models, tmp_path, capsys):
    frames = folder_of_frames(tmp_path / "in")
    damaged = frames / "shot10.png"
    damaged.write_bytes(damaged.read_bytes()[:-30])
    out, labels = tmp_path / "out.mp4", tmp_path / "labels"
    assert run(frames, "--model", models["none"], "--out", out, "--labels", labels) == 2
    assert "shot10.png is truncated" in capsys.readouterr().err
    assert [f.name for f in tmp_path.iterdir()] == ["in"]


def test_what_may_not_be_opened_is_one_sentence_and_what_may_come_back_is_not(monkeypatch, capsys):
    def refused(number):
        def work(*_):
            raise OSError(number, os.strerror(number), "frames/0.png")

        return work

    monkeypatch.setattr(cli, "labels", refused(errno.EACCES))
    assert main(["labels"]) == 2
    assert capsys.readouterr().err.startswith("crossfade: frames/0.png: Permission denied; see that")
    with pytest.raises(SystemExit, match="2"):
        stages.run(refused(errno.EACCES))
    assert capsys.readouterr().err.startswith("error: frames/0.png: Permission denied")
    monkeypatch.setattr(cli, "labels", refused(errno.EIO))  # a flow tries such a stage again
    for entry in (lambda: main(["labels"]), lambda: stages.run(refused(errno.EIO))):
        with pytest.raises(OSError, match=r"frames/0\.png"):
            entry()


def test_label_spaces_are_shown(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["labels"]) == 0
    assert {"camvid11", "synthia12", "viper15", "cityscapes19"} <= set(capsys.readouterr().out.split())
    assert main(["labels", "synthia12"]) == 0
    shown = capsys.readouterr().out
    assert "fence (not scored)" in shown
    (rider,) = [line.split() for line in shown.splitlines() if " rider " in line]
    assert rider == ["10", "rider", "10", "11", "25", "12"]
    assert main(["labels", "synthia"]) == 2
    assert "did you mean 'synthia12'" in capsys.readouterr().err
