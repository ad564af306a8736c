"""How good estimated motion is: end-point error and outliers against truth; readers for published truth."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from crossfade.data.manifest import Manifest, Video
from crossfade.errors import UserError
from crossfade.motion.store import MotionArchive, check_fits

FLO_MAGIC = 202021.25
FLO_UNKNOWN = 1e9
OUTLIER_PIXELS, OUTLIER_SHARE = 3.0, 0.05


def end_point_error(flow: NDArray[np.float32], truth: NDArray[np.float32], valid: NDArray[np.bool_]) -> float:
    """Mean distance between estimated and true motion, in pixels, over the pixels whose truth is known.

    Args:
        flow: (2, H, W), pixels.
        truth: (2, H, W), pixels.
        valid: (H, W) bool, where the truth is known.

    Returns:
        ≥ 0; NaN where the truth is known nowhere.
    """
    return _mean(_distance(flow, truth)[valid])


def outliers(flow: NDArray[np.float32], truth: NDArray[np.float32], valid: NDArray[np.bool_]) -> float:
    """Share of pixels more than 3 px *and* more than 5 % of the true motion off: Fl of Menze and Geiger (CVPR 2015).

    Shapes as in `end_point_error`; the result is in [0, 1], NaN where the truth is known nowhere.
    """
    return _mean(_outlying(flow, truth)[valid])


def score_against_truth(manifest: Manifest, folder: Path) -> dict[str, float]:
    """Score the motion of a data set against its exact motion.

    Args:
        manifest: the data set; videos without truth are passed over.
        folder: the motion folder that `estimate_data_set` wrote.

    Returns:
        Means over the pixels visible in both frames: `end_point_error` (px), `outliers` ([0, 1]), and
        `end_point_error_valid` over those of them that the estimator calls valid; over all pixels: `valid` (the share
        called valid), `validity_precision` (the share of pixels called valid that are truly visible) and
        `validity_recall` (the share of truly visible pixels called valid); and the number of `pairs`.

    Raises:
        UserError: no video has truth; an archive is missing, damaged or of another video.
    """
    rows = [row for video in manifest.videos for row in _score_video(manifest.root, video, folder)]
    if not rows:
        raise UserError(f"data set {manifest.data_set} has no exact motion to score against")
    pixels, visible, called, both, error, error_called, outlying = np.sum(rows, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "end_point_error": float(error / visible),
            "outliers": float(outlying / visible),
            "end_point_error_valid": float(error_called / both),
            "valid": float(called / pixels),
            "validity_precision": float(both / called),
            "validity_recall": float(both / visible),
            "pairs": len(rows),
        }


def _score_video(root: Path, video: Video, folder: Path) -> list[NDArray[np.float64]]:
    """Sums over each pair: pixels, visible, called valid, both, error, error where called valid, outliers."""
    if video.truth is None:
        return []
    rows = []
    with (
        MotionArchive(root / video.truth) as truth,
        MotionArchive(folder / video.split / f"{video.name}.motion") as own,
    ):
        check_fits(truth, video)
        check_fits(own, video)
        for i, j in sorted(truth.pairs & own.pairs):
            (true_flow, visible), (flow, called) = truth.read(i, j), own.read(i, j)
            distance, both = _distance(flow, true_flow), visible & called
            sums = [visible.size, visible.sum(), called.sum(), both.sum(), distance[visible].sum()]
            sums += [distance[both].sum(), _outlying(flow, true_flow)[visible].sum()]
            rows.append(np.asarray(sums, np.float64))
    return rows


def read_kitti(path: Path) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read KITTI's 16-bit PNG of optical flow: ``u = (R - 2^15) / 64``, ``v = (G - 2^15) / 64``, known where B > 0.

    Returns:
        flow (2, H, W) float32, valid (H, W) bool.

    Raises:
        UserError: the file is missing, damaged, or not a 16-bit colour PNG.
    """
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if image is None or image.dtype != np.uint16 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"{path} is missing or is no KITTI motion (a 16-bit PNG of three channels)")
    blue, green, red = image.transpose(2, 0, 1)
    flow = (np.stack([red, green]).astype(np.float32) - 2**15) / 64
    return np.asarray(flow, np.float32), np.asarray(blue > 0)


def read_flo(path: Path) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read Middlebury's .flo (Baker et al., IJCV 2011): magic 202021.25, width, height, then u, v interleaved.

    Returns:
        flow (2, H, W) float32, zero where unknown; valid (H, W) bool, False where the file says unknown (> 1e9).

    Raises:
        UserError: the file is missing, truncated, or not a .flo.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing")
    raw = path.read_bytes()
    if len(raw) < 12 or np.frombuffer(raw, "<f4", 1)[0] != FLO_MAGIC:
        raise UserError(f"{path} is no .flo file: it does not begin with 'PIEH'")
    width, height = (int(value) for value in np.frombuffer(raw, "<i4", 2, offset=4))
    if len(raw) != 12 + 8 * width * height:
        raise UserError(f"{path} is truncated: {width}x{height} motion needs {12 + 8 * width * height} bytes")
    flow = np.frombuffer(raw, "<f4", offset=12).reshape(height, width, 2).transpose(2, 0, 1)
    valid = (np.abs(flow) <= FLO_UNKNOWN).all(axis=0)
    return np.where(valid, flow, 0).astype(np.float32), valid


def _distance(flow: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.hypot(*(flow - truth)), np.float32)


def _outlying(flow: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.bool_]:
    distance = _distance(flow, truth)
    return (distance > OUTLIER_PIXELS) & (distance > OUTLIER_SHARE * np.hypot(*truth))


def _mean(values: NDArray[np.float32] | NDArray[np.bool_]) -> float:
    return float(values.mean(dtype=np.float64)) if values.size else float("nan")
