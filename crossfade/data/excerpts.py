"""Frames taken out of a video file around stills that were published by number, and the check that they line up.

A still says "frame 390 of this sequence"; which frame of the decoded file that is differs by a shift that no file
states. The shift is known from what was published, and it is checked: a still must be nearer to its own frame than to
those around it.
"""

import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np

from crossfade.data.video import FrameSource
from crossfade.errors import UserError
from crossfade.files import atomic_path

MEMBER_DATE = (1980, 1, 1, 0, 0, 0)
"""Of everything in a zip, so that the same input gives the same bytes."""

AROUND = 3
"""How many frames before and after a still its true place is looked for."""

LOOK = (120, 90)
"""Width and height at which stills and frames are compared, pixels."""

NEAR = 12.0
"""A frame that differs from its still by more grey levels than this, on average, is not of the same picture."""


def jpeg(image: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB as a JPEG of quality 95."""
    return _encoded(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])


def png(label: np.ndarray) -> bytes:
    """(H, W) uint8 ids as a PNG."""
    return _encoded(".png", label, [])


def write_archive(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """A zip of (name, content), whole or not at all, one member in memory; the same members give the same bytes."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, MEMBER_DATE), content)


def take_frames(
    source: FrameSource,
    wanted: Collection[int],
    path: Path,
    shape: Callable[[np.ndarray], np.ndarray] = lambda image: image,
) -> set[int]:
    """Write the wanted frames of a video into one zip, "000123.jpg" each; one pass, one frame in memory.

    Args:
        source: the video.
        wanted: indices of frames, 0-based.
        path: the zip.
        shape: what is done to each frame before it is written.

    Returns:
        The indices that the video has.
    """
    written = set()
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for k, _, frame in source.picked(wanted):
            archive.writestr(zipfile.ZipInfo(f"{k:06d}.jpg", MEMBER_DATE), jpeg(shape(frame)))
            written.add(k)
    return written


def check_shift(where: str, source: FrameSource, stills: Mapping[int, np.ndarray], mend: Callable[[int], str]) -> None:
    """Every still is nearer to the frame it should be than to those around it, all stills taken together.

    Args:
        where: the video, for the error.
        source: it, decoded.
        stills: {index of the frame it should be: (H, W, 3) uint8 RGB}; a few will do.
        mend: what to do if not, given what must be added to the indices.

    Raises:
        UserError: another shift fits clearly better, or none does.
    """
    seen = {k: _look(still) for k, still in stills.items()}
    shifts = range(-AROUND, AROUND + 1)
    wanted = {k + s for k in seen for s in shifts if k + s >= 0}
    looks = {k: _look(frame) for k, _, frame in source.picked(wanted)}
    gaps = {
        s: float(np.mean([np.abs(looks[k + s] - look).mean() for k, look in seen.items() if k + s in looks]))
        for s in shifts
        if any(k + s in looks for k in seen)
    }
    if not gaps:
        raise UserError(f"{where} ends before the first of its stills (frame {min(seen)}): is it the right video?")
    best = min(gaps, key=lambda s: (gaps[s], abs(s)))
    if gaps[best] > NEAR:
        raise UserError(
            f"{where}: none of the frames near {min(seen)} shows what its still shows (the nearest differs by "
            f"{gaps[best]:.0f} grey levels): is it the right video, and whole?"
        )
    if best != 0 and gaps.get(0, np.inf) > 1.2 * gaps[best]:
        raise UserError(f"{where}: its stills are nearer to frames {best:+d} from where they should be: {mend(best)}")


def _look(image: np.ndarray) -> np.ndarray:
    small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), LOOK, interpolation=cv2.INTER_AREA)
    return small.astype(np.float32)


def _encoded(ending: str, image: np.ndarray, options: list[int]) -> bytes:
    done, encoded = cv2.imencode(ending, image, options)
    if not done:
        raise ValueError(f"cannot encode an image of shape {image.shape}")
    return encoded.tobytes()
