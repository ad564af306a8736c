import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from crossfade.data.manifest import Manifest
from crossfade.data.street.dataset import StreetParameters, prepare
from crossfade.errors import UserError
from crossfade.motion.estimate import estimate_data_set
from crossfade.motion.estimators import build_estimator
from crossfade.motion.formats import read_flo, read_kitti
from crossfade.motion.parameters import MotionParameters
from crossfade.motion.score import end_point_error, outliers, score_against_truth

PAIRS = Path(__file__).resolve().parents[2] / "../shared/data/motion_pairs"


def test_end_point_error_and_outliers_by_hand() -> None:
    truth = np.zeros((2, 1, 6), np.float32)
    truth[0] = [0, 0, 100, 100, 0, 0]
    flow = truth.copy()
    flow[:, 0, 0] = (3, 4)  # 5 px off: an outlier
    flow[1, 0, 1] = 2.9  # below 3 px
    flow[1, 0, 2] = 4.9  # above 3 px, below 5 %
    flow[1, 0, 3] = 5.1  # above both
    flow[1, 0, 5] = 1000  # truth unknown
    valid = np.array([[True] * 5 + [False]])
    assert end_point_error(flow, truth, valid) == pytest.approx((5 + 2.9 + 4.9 + 5.1 + 0) / 5)
    assert outliers(flow, truth, valid) == pytest.approx(2 / 5)
    assert np.isnan(end_point_error(flow, truth, np.zeros_like(valid)))


def test_kitti_reader(tmp_path: Path) -> None:
    flow = np.array([[[1.5, -3.25]], [[0.0, 511.984375]]], np.float32)
    red, green = (flow * 64 + 2**15).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), np.stack([np.array([[1, 0]], np.uint16), green, red], -1))  # BGR
    read, valid = read_kitti(tmp_path / "a.png")
    assert np.array_equal(read, flow)
    assert valid.tolist() == [[True, False]]
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((2, 2, 3), np.uint8))
    for wrong in ("b.png", "none.png"):
        with pytest.raises(UserError, match="no KITTI motion"):
            read_kitti(tmp_path / wrong)


def test_flo_reader(tmp_path: Path) -> None:
    numbers = [1.0, 2.0, 3.0, -4.0, 1e10, 1e10]  # u, v of three pixels; the last is unknown
    raw = struct.pack("<fii6f", 202021.25, 3, 1, *numbers)
    (tmp_path / "a.flo").write_bytes(raw)
    flow, valid = read_flo(tmp_path / "a.flo")
    assert flow.tolist() == [[[1, 3, 0]], [[2, -4, 0]]]
    assert valid.tolist() == [[True, True, False]]
    assert np.array_equal(flow, np.where(valid, cv2.readOpticalFlow(str(tmp_path / "a.flo")).transpose(2, 0, 1), 0))
    (tmp_path / "b.flo").write_bytes(raw[:-1])
    with pytest.raises(UserError, match="truncated"):
        read_flo(tmp_path / "b.flo")
    (tmp_path / "c.flo").write_bytes(b"\x89PNG" + raw[4:])
    with pytest.raises(UserError, match=r"no .flo file"):
        read_flo(tmp_path / "c.flo")


@pytest.mark.skipif(not PAIRS.is_dir(), reason="the real pairs with true motion are not beside the project")
@pytest.mark.parametrize(
    ("pair", "first", "second", "truth", "error", "share"),
    [
        ("kitti15", "frame1.png", "frame2.png", "flow_gt.png", 38.5, 0.55),
        ("kitti12_000045", "000045_10.png", "000045_11.png", "flow_noc.png", 0.90, 0.073),
        ("mb_rubberwhale", "frame10.png", "frame11.png", "flow10.flo", 0.225, 0.002),
    ],
)
def test_dis_on_real_pairs(pair: str, first: str, second: str, truth: str, error: float, share: float) -> None:
    """The numbers measured independently when the pairs were gathered (DIS medium)."""
    frames = [cv2.cvtColor(cv2.imread(str(PAIRS / pair / name)), cv2.COLOR_BGR2RGB) for name in (first, second)]
    flow = build_estimator(MotionParameters(estimator="dis")).estimate(*frames)
    known, valid = (read_flo if truth.endswith(".flo") else read_kitti)(PAIRS / pair / truth)
    assert end_point_error(flow, known, valid) == pytest.approx(error, rel=0.05)
    assert outliers(flow, known, valid) == pytest.approx(share, rel=0.1, abs=0.002)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    parameters = {"look": "camera", "size": [96, 128], "seed": 6, "splits": {"train": {"videos": 3, "frames": 3}}}
    return prepare(StreetParameters.model_validate(parameters), tmp_path_factory.mktemp("data") / "street", workers=1)


def scores(manifest: Manifest, folder: Path, estimator: str) -> dict[str, float]:
    estimate_data_set(manifest, MotionParameters(estimator=estimator), folder / estimator)
    return score_against_truth(manifest, folder / estimator)


def test_estimators_on_the_renderer(street: Manifest, tmp_path: Path) -> None:
    exact, dis, farneback = (scores(street, tmp_path, name) for name in ("exact", "dis", "farneback"))
    assert exact["end_point_error"] < 1 / 64
    assert exact["outliers"] == 0
    assert exact["validity_precision"] > 0.99
    assert dis["end_point_error"] < farneback["end_point_error"]
    # What the forward-backward check keeps is better than what it drops, and visible more often than any pixel is.
    assert dis["end_point_error_valid"] < 0.8 * dis["end_point_error"]
    assert dis["validity_precision"] > exact["valid"] + 0.02
