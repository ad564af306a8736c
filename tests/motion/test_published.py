"""Motion files as TPS, STCL and UnifiedVideoDA publish them, byte by byte."""

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from crossfade.data.manifest import Frame, Manifest, Reading, Video
from crossfade.errors import UserError
from crossfade.motion.archive_names import candidates
from crossfade.motion.estimate import estimate_data_set, read_index
from crossfade.motion.formats import read_int16x10
from crossfade.motion.parameters import MotionParameters
from crossfade.motion.published import read_published
from crossfade.motion.store import MotionArchive

SIZE = (64, 128)
STEP = (4, -2)
"""Pixels by which the picture moves right and down from frame to frame."""
FAMILIES: dict[str, tuple[str, list[str], list[str]]] = {
    "Cityscapes": (
        "train/aachen/aachen_000019_{:06d}_leftImg8bit.png",
        ["aachen_000019_000018_000017_int16_x10.npy", "aachen_000019_000019_000018_int16_x10.npy"],
        ["aachen/aachen_000019_000018_leftImg8bit", "aachen/aachen_000019_000019_leftImg8bit"],
    ),
    "VIPER": (
        "train/img/001/001_{:05d}.png",
        ["001_0001800017_int16_x10.npy", "001_0001900018_int16_x10.npy"],
        ["001/001_00018", "001/001_00019"],
    ),
    "SYNTHIA": (
        "SEQS-04-DAWN/rgb/{:06d}.png",
        ["000018_int16_x10.npy", "000019_int16_x10.npy"],
        ["000018", "000019"],
    ),
}
"""Frames 17, 18 and 19 by their names, and the files of 18→17 and 19→18: of int16x10, and the stems of the others."""


def npy(path: Path, flow: NDArray[np.float32]) -> None:
    """Version 1.0 of numpy's form, written by hand: magic, header padded to 64 bytes, int16 tenths, x before y."""
    shape = f"({flow.shape[1]}, {flow.shape[2]}, 2)"
    header = f"{{'descr': '<i2', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    code = np.trunc(flow.transpose(1, 2, 0) * 10).astype("<i2")
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + code.tobytes())


def kitti(path: Path, flow: NDArray[np.float32]) -> None:
    """Red is u, green v, each 64ths of a pixel around 2^15; blue is 1 where known. Here the first column is not."""
    image = np.empty((*flow.shape[1:], 3), np.uint16)
    image[..., 2], image[..., 1] = flow[0] * 64 + 2**15, flow[1] * 64 + 2**15
    image[..., 0] = 1
    image[:, 0] = 0
    assert cv2.imwrite(str(path), image)


def flo(path: Path, flow: NDArray[np.float32]) -> None:
    path.write_bytes(
        struct.pack("<fii", 202021.25, *flow.shape[:0:-1]) + flow.transpose(1, 2, 0).astype("<f4").tobytes()
    )


WRITERS: dict[str, tuple[Callable[[Path, NDArray[np.float32]], None], str]] = {
    "int16x10": (npy, ""),
    "kitti": (kitti, ".png"),
    "flo": (flo, ".flo"),
}


def manifest_of(root: Path, pattern: str, cut: int = 0) -> Manifest:
    """Three frames of a texture that moves by `STEP`; `cut` rows more on the disk than are read."""
    rows = SIZE[0] + cut
    noise = np.random.default_rng(0).random((rows + 40, SIZE[1] + 40, 3)).astype(np.float32)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    frames = []
    for k in range(3):
        x, y = 20 - STEP[0] * k, 20 - STEP[1] * k
        path = root / pattern.format(17 + k)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), texture[y : y + rows, x : x + SIZE[1]])
        frames.append(Frame(pattern.format(17 + k), None, k / 10))
    return Manifest("d", "none", root, (Video("v", "train", SIZE, tuple(frames)),), reading=Reading(crop_bottom=cut))


def field(size: tuple[int, int], sign: int = -1) -> NDArray[np.float32]:
    """The motion to the frame before on a grid of another size."""
    flow = np.empty((2, *size), np.float32)
    flow[0], flow[1] = sign * STEP[0] * size[1] / SIZE[1], sign * STEP[1] * size[0] / SIZE[0]
    return flow


def publish(folder: Path, family: str, kind: str, flow: NDArray[np.float32]) -> None:
    write, ending = WRITERS[kind]
    for name in FAMILIES[family][1 if kind == "int16x10" else 2]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write(folder / f"{name}{ending}", flow)


def parameters(folder: Path, kind: str, **more: object) -> MotionParameters:
    return MotionParameters.model_validate({"estimator": "archive", "kind": kind, "root": folder, "spans": (1,)} | more)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("size", [SIZE, (32, 64)])
def test_every_form_and_naming_is_read_and_scaled(tmp_path, family, kind, size):
    manifest = manifest_of(tmp_path / "data", FAMILIES[family][0])
    publish(tmp_path / "published", family, kind, field(size))
    estimate_data_set(manifest, parameters(tmp_path / "published", kind), tmp_path / "motion")
    with MotionArchive(tmp_path / "motion/train/v.motion") as archive:
        assert archive.pairs == {(1, 0), (2, 1)}
        for pair in archive.pairs:
            flow, valid = archive.read(*pair)
            assert np.allclose(flow[0][valid], -STEP[0], atol=1 / 64)
            assert np.allclose(flow[1][valid], -STEP[1], atol=1 / 64)
            x, y = np.meshgrid(np.arange(SIZE[1]) - STEP[0], np.arange(SIZE[0]) - STEP[1])
            assert np.array_equal(valid, (x >= 0) & (y < SIZE[0]))  # where it leads out of the frame it is not valid
    assert read_index(tmp_path / "motion")["videos"]["train/v"]["pairs"] == 2
    assert str(tmp_path) not in (tmp_path / "motion/index.json").read_text()


def test_both_components_have_their_own_ratio_and_the_unknown_does_not_bleed(tmp_path):
    """A file of 341x683 for frames of 640x1280, as the published command makes them."""
    flow = np.stack([np.full((341, 683), 3.0), np.full((341, 683), -2.0)]).astype(np.float32)
    kitti(tmp_path / "a.png", flow)
    motion = read_published(tmp_path / "a.png", "kitti", (640, 1280), 0)
    known = motion.valid.expand_as(motion.flow)
    assert torch.allclose(motion.flow[:, 0][known[:, 0]], torch.tensor(3.0 * 1280 / 683), atol=1e-4)
    assert torch.allclose(motion.flow[:, 1][known[:, 1]], torch.tensor(-2.0 * 640 / 341), atol=1e-4)
    assert 0.99 < motion.valid.float().mean() < 1


def test_the_splits_may_lie_in_folders_of_their_own(tmp_path):
    """As TPS and STCL publish Cityscapes: …_train and …_val."""
    manifest = manifest_of(tmp_path / "data", FAMILIES["Cityscapes"][0])
    publish(tmp_path / "all", "Cityscapes", "int16x10", field(SIZE))
    files = sorted((tmp_path / "all").iterdir())
    for folder, file in zip(("a_train", "a_val"), files, strict=True):
        (tmp_path / folder).mkdir()
        file.rename(tmp_path / folder / file.name)
    both = parameters(tmp_path / "a_train", "int16x10", root=[str(tmp_path / "a_train"), str(tmp_path / "a_val")])
    estimate_data_set(manifest, both, tmp_path / "motion")
    assert read_index(tmp_path / "motion")["videos"]["train/v"]["pairs"] == 2
    assert str(tmp_path) not in (tmp_path / "motion/index.json").read_text()
    with pytest.raises(UserError, match=r"1 of 2 motion files are missing, first .*a_train"):
        estimate_data_set(manifest, parameters(tmp_path / "a_train", "int16x10"), tmp_path / "other")
    with pytest.raises(ValueError, match="root"):
        parameters(tmp_path, "int16x10", root=[])


def test_rows_that_were_cut_off_the_frames_are_cut_off_the_motion(tmp_path):
    """SYNTHIA: 640 of 760 rows. A file of the whole frame has the motion of the kept rows at its top."""
    manifest = manifest_of(tmp_path / "data", FAMILIES["SYNTHIA"][0], cut=12)
    flow = np.zeros((2, 38, 64), np.float32)
    flow[0], flow[1] = -STEP[0] / 2, -STEP[1] / 2
    flow[:, 33:] = 30  # of the rows that are cut off
    publish(tmp_path / "whole", "SYNTHIA", "flo", flow)
    publish(tmp_path / "cut", "SYNTHIA", "flo", field((32, 64)))
    for name in ("whole", "cut"):
        estimate_data_set(manifest, parameters(tmp_path / name, "flo"), tmp_path / f"motion_{name}")
        read, _ = MotionArchive(tmp_path / f"motion_{name}/train/v.motion").read(1, 0)
        assert np.allclose(read[:, :60], np.array([-4.0, 2.0])[:, None, None], atol=1 / 32)


def test_the_frame_number_may_be_the_sequence_s(tmp_path):
    """Replacing "000019" by "000018" in aachen_000019_000019 leads to sequence 18."""
    frames = [f"leftImg8bit_sequence/train/aachen/aachen_000019_{k:06d}_leftImg8bit.png" for k in (18, 19)]
    (path,) = candidates(parameters(tmp_path, "int16x10"), frames[1], frames[0], backward=True)
    assert path == tmp_path / "aachen_000019_000019_000018_int16_x10.npy"
    zipped = [f"data.zip!{frame}" for frame in frames]
    assert candidates(parameters(tmp_path, "int16x10"), zipped[1], zipped[0], backward=True) == [path]


def test_motion_ahead_is_taken_and_checked_against_motion_back(tmp_path):
    manifest = manifest_of(tmp_path / "data", FAMILIES["Cityscapes"][0])
    back, ahead = field(SIZE), field(SIZE, 1)
    ahead[:, :, :40] += 9  # of another surface: leads elsewhere
    publish(tmp_path / "back", "Cityscapes", "kitti", back)
    for name in ("aachen_000019_000017_leftImg8bit", "aachen_000019_000018_leftImg8bit"):
        (tmp_path / "ahead/aachen").mkdir(parents=True, exist_ok=True)
        kitti(tmp_path / f"ahead/aachen/{name}.png", ahead)
    chosen = parameters(tmp_path / "back", "kitti", ahead=tmp_path / "ahead")
    estimate_data_set(manifest, chosen, tmp_path / "motion")
    with MotionArchive(tmp_path / "motion/train/v.motion") as archive:
        assert archive.pairs == {(1, 0), (0, 1), (2, 1), (1, 2)}
        _, valid = archive.read(2, 1)
        assert not valid[:, :36].any()
        assert valid[:-4, 50:].all()
    npy(tmp_path / "a_000001_000002_int16_x10.npy", ahead)  # a name that tells both frames needs no other folder
    found = candidates(
        parameters(tmp_path, "int16x10"), "x/a_000001_leftImg8bit.png", "x/a_000002_leftImg8bit.png", False
    )
    assert found == [tmp_path / "a_000001_000002_int16_x10.npy"]


def refused(manifest: Manifest, chosen: MotionParameters, folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        estimate_data_set(manifest, chosen, folder)
    assert not (folder / "index.json").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda flow: -flow, "the opposite direction"),
        (lambda flow: flow[::-1], "x and y exchanged"),
        (lambda flow: flow / 2, "twice the length"),
    ],
)
def test_motion_that_leads_elsewhere_is_refused_before_any_work(tmp_path, change, what):
    manifest = manifest_of(tmp_path / "data", FAMILIES["VIPER"][0])
    publish(tmp_path / "published", "VIPER", "int16x10", change(field(SIZE)))
    said = refused(manifest, parameters(tmp_path / "published", "int16x10"), tmp_path / "motion")
    assert f"in 2 of 2 pairs the motion in {tmp_path / 'published'}" in said
    assert what in said


def test_a_scene_at_rest_is_not_suspected(tmp_path):
    manifest = manifest_of(tmp_path / "data", FAMILIES["VIPER"][0])
    still = (tmp_path / "data" / manifest.videos[0].frames[0].image).read_bytes()
    for frame in manifest.videos[0].frames:
        (tmp_path / "data" / frame.image).write_bytes(still)
    publish(tmp_path / "published", "VIPER", "int16x10", np.zeros((2, *SIZE), np.float32))
    estimate_data_set(manifest, parameters(tmp_path / "published", "int16x10"), tmp_path / "motion")


def test_what_is_wrong_with_the_files_is_one_sentence(tmp_path):
    pattern, names, _ = FAMILIES["VIPER"]
    manifest, folder = manifest_of(tmp_path / "data", pattern), tmp_path / "published"
    publish(folder, "VIPER", "int16x10", field(SIZE))
    (folder / names[1]).unlink()
    said = refused(manifest, parameters(folder, "int16x10"), tmp_path / "motion")
    assert f"1 of 2 motion files are missing, first {folder / names[1]} (from train/img/001/001_00019.png to" in said
    said = refused(manifest, parameters(folder, "int16x10", spans=(1, 2)), tmp_path / "motion")
    assert "2 of 3 motion files are missing" in said
    npy(folder / names[1], field((64, 100)))
    assert "not of the shape of frames of 128x64" in refused(manifest, parameters(folder, "int16x10"), tmp_path / "m")
    (folder / names[1]).write_bytes((folder / names[0]).read_bytes()[:-9])
    assert "is no whole .npy file" in refused(manifest, parameters(folder, "int16x10"), tmp_path / "m")
    np.save(folder / names[1], np.zeros((64, 128, 2), np.float32))
    with pytest.raises(UserError, match="expected int16"):
        read_int16x10(folder / names[1])
    np.save(folder / names[1], np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"no whole \.npy"):
        read_int16x10(folder / names[1])


def test_names_that_do_not_tell_pairs_apart_are_refused(tmp_path):
    manifest, folder = manifest_of(tmp_path / "data", FAMILIES["SYNTHIA"][0]), tmp_path / "published"
    publish(folder, "SYNTHIA", "int16x10", field(SIZE))
    assert "of one span only: set spans: [1]" in refused(
        manifest, parameters(folder, "int16x10", spans=(1, 2)), tmp_path / "m"
    )
    other = manifest_of(tmp_path / "data", "SEQS-05/rgb/{:06d}.png")
    two = replace(manifest, videos=(*manifest.videos, replace(other.videos[0], name="w")))
    assert "would be the motion of both SEQS-04" in refused(two, parameters(folder, "int16x10"), tmp_path / "m")
    assert "is no pattern" in refused(manifest, parameters(folder, "flo", names="{city}_{t}.flo"), tmp_path / "m")
    for number in (18, 19):
        flo(folder / f"f-{number}-to-{number - 1}.flo", field(SIZE))
    chosen = parameters(folder, "flo", names="f-{t}-to-{s}.flo")
    estimate_data_set(manifest, chosen, tmp_path / "motion")


def test_finished_videos_are_kept_and_other_files_make_them_anew(tmp_path):
    manifest, folder = manifest_of(tmp_path / "data", FAMILIES["VIPER"][0]), tmp_path / "published"
    publish(folder, "VIPER", "int16x10", field(SIZE))
    made = tmp_path / "motion/train/v.motion"
    estimate_data_set(manifest, parameters(folder, "int16x10"), tmp_path / "motion")
    before = made.stat().st_mtime_ns
    folder.rename(tmp_path / "elsewhere")  # the same files in another place
    estimate_data_set(manifest, parameters(tmp_path / "elsewhere", "int16x10"), tmp_path / "motion")
    assert made.stat().st_mtime_ns == before
    changed = field(SIZE)
    changed[0, 0, 0] += 1
    npy(tmp_path / "elsewhere" / FAMILIES["VIPER"][1][0], changed)
    estimate_data_set(manifest, parameters(tmp_path / "elsewhere", "int16x10"), tmp_path / "motion")
    assert made.stat().st_mtime_ns != before


def test_keys_of_archives(tmp_path):
    with pytest.raises(UserError, match=r"'dis' has no kind, root"):
        MotionParameters(estimator="dis", kind="flo", root=tmp_path)
    with pytest.raises(UserError, match="needs 'kind'"):
        MotionParameters(estimator="archive", root=tmp_path)
    with pytest.raises(UserError, match="did you mean 'kitti'"):
        MotionParameters(estimator="archive", kind="kiti", root=tmp_path)
