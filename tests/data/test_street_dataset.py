"""The street on disk: readable through its manifest, resumable, independent of the number of workers."""

from pathlib import Path

import numpy as np
import pydantic
import pytest

from crossfade.data.manifest import Manifest, read_image, read_label
from crossfade.data.street.dataset import StreetParameters, prepare
from crossfade.files import sha256
from crossfade.motion.store import MotionArchive

PARAMETERS = StreetParameters.model_validate(
    {
        "look": "camera",
        "size": [48, 64],
        "seed": 4,
        "splits": {"train": {"videos": 2, "frames": 3}, "val": {"videos": 1, "frames": 3}},
        "spans": [1, 2],
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "street_camera"
    prepare(PARAMETERS, folder, workers=1)
    return folder


def hashes(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_manifest_leads_to_frames_labels_and_truth(folder: Path) -> None:
    manifest = Manifest.load(folder)
    assert manifest.labels == "cityscapes19"
    assert [(v.split, len(v.frames)) for v in manifest.videos] == [("train", 3), ("train", 3), ("val", 3)]
    video = manifest.split("val")[0]
    assert [frame.time for frame in video.frames] == pytest.approx([0, 1 / 12, 2 / 12], abs=1e-5)
    image = read_image(manifest.root, video.frames[1].image)
    assert image.shape == (48, 64, 3)
    assert image.std() > 10
    assert video.frames[1].label is not None
    labels = read_label(manifest.root, video.frames[1].label)
    assert labels.shape == (48, 64)
    assert labels.max() <= 18
    assert video.truth is not None
    truth = MotionArchive(manifest.root / video.truth)
    assert truth.size == video.size
    assert set(truth.pairs) == {(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)}
    flow, valid = truth.read(1, 0)
    assert flow.shape == (2, 48, 64)
    assert valid.mean() > 0.5


def test_videos_show_different_scenes(folder: Path) -> None:
    manifest = Manifest.load(folder)
    first = [read_label(manifest.root, str(v.frames[0].label)) for v in manifest.videos]
    for a in range(3):
        for b in range(a):
            assert (first[a] != first[b]).mean() > 0.15


def test_workers_change_no_byte(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "street_camera"
    prepare(PARAMETERS, again, workers=2)
    assert hashes(again) == hashes(folder)


def test_resumes_what_is_missing_damaged_or_of_other_parameters(folder: Path, tmp_path: Path) -> None:
    here = tmp_path / "street_camera"
    prepare(PARAMETERS, here, workers=1)
    kept = here / "train" / "0000.zip"
    stamp = kept.stat().st_mtime_ns
    (here / "train" / "0001.truth").write_bytes(b"PK half")
    (here / "val" / "0000.zip").unlink()
    prepare(PARAMETERS, here, workers=1)
    assert hashes(here) == hashes(folder)
    assert kept.stat().st_mtime_ns == stamp
    prepare(PARAMETERS.model_copy(update={"seed": 5}), here, workers=1)
    assert kept.stat().st_mtime_ns != stamp
    assert sha256(kept) != sha256(folder / "train" / "0000.zip")


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="lok"):
        StreetParameters.model_validate({"lok": "plain", "look": "plain", "splits": {}})
    with pytest.raises(pydantic.ValidationError, match="plain"):
        StreetParameters.model_validate({"look": "plane", "splits": {}})


def test_pictures_are_stored_as_eight_bit_images(folder: Path) -> None:
    manifest = Manifest.load(folder)
    frame = manifest.videos[0].frames[0]
    assert read_image(manifest.root, frame.image).dtype == np.uint8
    assert read_label(manifest.root, str(frame.label)).dtype == np.uint8
