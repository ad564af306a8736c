"""How good estimated motion is: end-point error and outliers against truth."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossfade.data.manifest import Manifest, Video
from crossfade.errors import UserError
from crossfade.motion.store import MotionArchive, check_fits

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


def _distance(flow: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.hypot(*(flow - truth)), np.float32)


def _outlying(flow: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.bool_]:
    distance = _distance(flow, truth)
    return (distance > OUTLIER_PIXELS) & (distance > OUTLIER_SHARE * np.hypot(*truth))


def _mean(values: NDArray[np.float32] | NDArray[np.bool_]) -> float:
    return float(values.mean(dtype=np.float64)) if values.size else float("nan")
