"""Optical flow in the files that others write."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from crossfade.errors import UserError

FLO_MAGIC = 202021.25
FLO_UNKNOWN = 1e9
Field = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Motion (2, H, W) in pixels of its own grid, and where it is known (H, W)."""


def read_int16x10(path: Path) -> Field:
    """Read the .npy files of TPS and STCL: int16, (H, W, 2), x before y, tenths of a pixel of this grid.

    Returns:
        flow (2, H, W) float32, valid (H, W) bool, everywhere True: such a file does not say where it is wrong.

    Raises:
        UserError: the file is missing, damaged, or not of that form.
    """
    try:
        code = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is missing or is no whole .npy file ({error}): get it again") from error
    if not isinstance(code, np.ndarray) or code.dtype.kind != "i" or code.dtype.itemsize != 2 or code.ndim != 3:
        raise UserError(f"{path} is no int16x10 motion: expected int16 of shape (H, W, 2); choose the right 'kind'")
    if code.shape[2] != 2:
        raise UserError(f"{path} has shape {code.shape}, but int16x10 motion is (H, W, 2): choose the right 'kind'")
    flow = np.ascontiguousarray(code.transpose(2, 0, 1), np.float32) / np.float32(10)
    return flow, np.ones(code.shape[:2], bool)


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


READERS: dict[str, Callable[[Path], Field]] = {"int16x10": read_int16x10, "kitti": read_kitti, "flo": read_flo}
"""By the name params.yaml uses."""
