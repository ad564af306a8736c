"""The doctor finds what is wrong, all of it, and says what to do."""

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import yaml

from crossfade.cli import main
from crossfade.data import prepare_data_set
from crossfade.data.manifest import Manifest
from crossfade.doctor import examine, suspicion
from crossfade.errors import UserError
from crossfade.experiment import Place
from crossfade.motion.estimate import estimate_data_set
from crossfade.motion.field import Motion
from crossfade.motion.parameters import MotionParameters
from crossfade.motion.store import MotionArchive, MotionWriter
from crossfade.params import read_params

SPLITS = {
    "plain": {"train": {"videos": 2, "frames": 3}},
    "camera": {"train": {"videos": 1, "frames": 3}, "val": {"videos": 1, "frames": 3}},
}
PARAMS = {
    "seeds": [0],
    "pairs": {"street": {"source": "plain", "target": "camera", "label_space": "camvid11", "size": [48, 64]}},
    "data_sets": {n: {"kind": "street", "look": n, "size": [96, 128], "splits": s} for n, s in SPLITS.items()},
    "motion": {name: {"estimator": "exact"} for name in SPLITS},
    "networks": {},
    "pretraining": {"method": {"name": "supervised"}, "training": {"steps": 1, "batch": 1}},
    "adaptation": {"steps": 1, "batch": 1},
    "recipes": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    root = tmp_path_factory.mktemp("rendered")
    place = Place(root)
    for name in SPLITS:
        manifest = prepare_data_set(PARAMS["data_sets"][name], place.data(name))
        estimate_data_set(manifest, MotionParameters(estimator="exact"), place.motion(name), 1)
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    return root


@pytest.fixture
def project(rendered, tmp_path):
    shutil.copytree(rendered, tmp_path, dirs_exist_ok=True)
    return tmp_path


def found(project) -> list[str]:
    report = examine(Place(project), read_params(project / "params.yaml"), "street", sample=None)
    return [f"{finding.kind} {finding.severity}: {finding.sentence}" for finding in report.findings]


def test_whole_data_has_nothing_wrong_and_a_sheet(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "plain: 2 videos, 6 frames (train)" in said
    assert "camera: 2 videos, 6 frames (train+val)" in said
    assert "nothing is wrong" in said
    sheet = cv2.imread("doctor-street.png")
    assert sheet.shape[0] > 6 * 150  # three clips a side
    assert sheet.std() > 20


def test_everything_wrong_is_told_at_once(project, monkeypatch, capsys):
    (project / "data/camera/train/0000.zip").unlink()
    cut = project / "data/camera/val/0000.zip"
    cut.write_bytes(cut.read_bytes()[:1000])
    (project / "motion/plain/train/0001.motion").write_bytes(b"nonsense")
    lines = found(project)
    assert any("train/0000.zip of data set 'camera' is missing" in line for line in lines)
    assert any("val/0000.zip of data set 'camera' has" in line for line in lines)
    assert any(line.startswith("motion error") and "0001.motion" in line for line in lines)
    monkeypatch.chdir(project)
    assert main(["doctor", "street"]) == 1
    assert main(["doctor", "--sheet", "sheet.pdf"]) == 2
    assert "must end in .png" in capsys.readouterr().err
    assert main(["doctor", "--sheet", "nowhere/sheet.png"]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert main(["doctor", "street"]) == 1
    assert "… and" in capsys.readouterr().out  # six pictures cannot be read, three are told


def test_data_that_was_not_prepared_is_named(project):
    shutil.rmtree(project / "data/camera")
    (line,) = found(project)
    assert "run its download stage first" in line
    with pytest.raises(UserError, match="did you mean 'street'"):
        examine(Place(project), read_params(project / "params.yaml"), "sreet")


def test_recipes_that_would_stop_are_told_before_they_are_trained(project, monkeypatch, capsys):
    tiny = {"kind": "deeplab", "encoder": "mobilenetv3_small_050", "pretrained": False}
    more = {
        "networks": {"tiny": tiny},
        "recipes": {
            "near": {"network": "tiny", "method": {"name": "etc"}},
            "far": {"network": "tiny", "method": {"name": "etc", "span": 3}},
        },
    }
    (project / "params.yaml").write_text(yaml.safe_dump(PARAMS | more))
    (line,) = found(project)
    assert line.startswith("recipe error: recipe 'far': this recipe needs motion from each frame of")
    assert "to the one 3 before it, and there is none: add 3 to motion." in line
    monkeypatch.chdir(project)
    assert main(["doctor"]) == 1
    assert "tried: 1 networks, 2 recipes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda flow: -flow, "the opposite direction"),
        (lambda flow: flow / 2, "twice the length"),
        (lambda flow: flow[::-1], "x and y exchanged"),
    ],
)
def test_motion_that_is_not_of_its_frames_is_suspected(project, change, named):
    folder = project / "motion/plain/train"
    for name in ("0000", "0001"):
        path = folder / f"{name}.motion"
        with MotionArchive(path) as archive:
            kept = {pair: archive.read(*pair) for pair in sorted(archive.pairs)}
            origin = archive.origin
        with MotionWriter(path, (96, 128), name, 3, origin=origin) as writer:
            for (i, j), (flow, valid) in kept.items():
                writer.add(i, j, np.ascontiguousarray(change(flow)), valid)
    assert any(line.startswith("direction error") and named in line for line in found(project))


def test_right_motion_is_not_suspected():
    rng = np.random.default_rng(0)
    wide = cv2.resize(rng.integers(0, 255, (12, 20, 3), np.uint8), (160, 96), interpolation=cv2.INTER_CUBIC)
    flow = torch.zeros(1, 2, 96, 128)
    flow[:, 0] = 5
    motion = Motion(flow, torch.ones(1, 1, 96, 128, dtype=torch.bool))
    assert suspicion(wide[:, 5:133], wide[:, :128], motion) is None
    assert suspicion(wide[:, :128], wide[:, 5:133], motion) == "the opposite direction"
    still = Motion(torch.zeros_like(flow), motion.valid)
    assert suspicion(wide[:, :128], wide[:, :128], still) is None


def retime(folder, times):
    """Give frames other times."""
    manifest = Manifest.load(folder)
    videos = (
        replace(v, frames=tuple(replace(f, time=times.get(f.time, f.time)) for f in v.frames)) for v in manifest.videos
    )
    replace(manifest, videos=tuple(videos)).save(folder)


def test_frames_without_neighbours_and_absent_classes_are_warnings(project):
    retime(project / "data/plain", {0.083333: 5.0, 0.166667: 9.0})
    assert Manifest.load(project / "data/plain").videos[0].frames[2].time == 9.0
    lines = found(project)
    assert any("6 of 6 frames of 'plain' have no neighbour" in line for line in lines)
    assert all("error" not in line.split(":")[0] for line in lines)


def test_a_size_of_another_shape_is_a_warning(project):
    raw = yaml.safe_load((project / "params.yaml").read_text())
    raw["pairs"]["street"]["size"] = [64, 48]
    (project / "params.yaml").write_text(yaml.safe_dump(raw))
    told = [line for line in found(project) if line.startswith("shape warning")]
    assert len(told) == 2
    assert "128 pixels wide and 96 high, brought to 48 by 64: their shape changes by a factor of 1.8" in told[0]


def test_a_frame_listed_twice_is_told(project):
    retime(project / "data/camera", {0.166667: 0.083333})
    lines = found(project)
    assert sum("do not increase" in line and "listed twice" in line for line in lines) == 2


def test_one_side_s_errors_do_not_hide_the_other_s_pictures(project):
    (project / "motion/plain/train/0001.motion").write_bytes(b"nonsense")
    report = examine(Place(project), read_params(project / "params.yaml"), "street")
    assert report.errors == 1
    assert len(report.rows) == 3
