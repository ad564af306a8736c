"""Motion that others published, used as it is: found by name, checked, and brought onto the frames' grid.

Stands above `crossfade.data`, as `estimate.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from crossfade.data.manifest import Manifest, Video
from crossfade.errors import UserError
from crossfade.motion.archive_names import candidates, find
from crossfade.motion.field import Motion
from crossfade.motion.formats import READERS
from crossfade.motion.parameters import MotionParameters
from crossfade.motion.store import MotionWriter
from crossfade.motion.suspicion import suspicion
from crossfade.motion.validity import forward_backward_validity
from crossfade.motion.warp import inside_frame

SAME_SHAPE = 0.02
"""Files and frames have one shape if height / width differs by no more than this share: sizes are rounded."""
CHECKED = 6
"""Pairs, evenly spread over all, whose frames are looked at to tell whether the motion leads the right way."""


@dataclass(frozen=True)
class Published:
    """The published motion of one video."""

    manifest: Manifest
    video: Video
    parameters: MotionParameters

    def frames(self, i: int, j: int) -> tuple[str, str]:
        """The refs of two frames."""
        return self.video.frames[i].image, self.video.frames[j].image

    def path(self, i: int, j: int) -> Path | None:
        """The file of the motion i→j, None if there is none."""
        return find(self.parameters, *self.frames(i, j), backward=j < i)

    def read(self, i: int, j: int) -> Motion | None:
        """The motion i→j on the frames' grid, None if there is no file. Raises as `read_published`."""
        path = self.path(i, j)
        if path is None:
            return None
        return read_published(path, str(self.parameters.kind), self.video.size, self.manifest.reading.crop_bottom)

    def take(self, pairs: Sequence[tuple[int, int]], writer: MotionWriter) -> None:
        """Copy the pairs (later, earlier); where there is motion ahead too, each way is checked against the other.

        Raises:
            UserError: a file is damaged, of another kind or shape, or gone.
        """
        tolerance = (self.parameters.relative_tolerance, self.parameters.absolute_tolerance)
        for i, j in pairs:
            back, ahead = self.read(i, j), self.read(j, i)
            if back is None:
                raise UserError(f"the motion from {' to '.join(self.frames(i, j))} has gone meanwhile: start again")
            for (a, b), way, other in (((i, j), back, ahead), ((j, i), ahead, back)):
                if way is None:
                    continue
                valid = way.valid & inside_frame(way.flow)
                if other is not None:
                    valid &= forward_backward_validity(way.flow, other.flow, *tolerance)
                writer.add(a, b, way.flow[0].numpy(), valid[0, 0].numpy())


def check_published(videos: Sequence[tuple[Published, Sequence[tuple[int, int]]]]) -> None:
    """Every pair has a file, no file stands for two pairs, and the motion leads the way it should.

    Args:
        videos: each with its pairs (later, earlier).

    Raises:
        UserError: what is wrong.
    """
    missing: list[tuple[Published, int, int]] = []
    there: dict[Path, tuple[Published, int, int]] = {}
    for video, pairs in videos:
        for i, j in pairs:
            path = video.path(i, j)
            if path is None:
                missing.append((video, i, j))
                continue
            first, k, m = there.setdefault(path, (video, i, j))
            if first.frames(k, m) != video.frames(i, j):
                raise UserError(
                    f"{path} would be the motion of both {first.frames(k, m)[0]} and {video.frames(i, j)[0]}: give "
                    "'names' that tell them apart, with {folder} or {sequence}"
                )
    if missing:
        video, i, j = missing[0]
        places = candidates(video.parameters, *video.frames(i, j), backward=True)
        raise UserError(
            f"{len(missing)} of {len(missing) + len(there)} motion files are missing, first "
            f"{' or '.join(map(str, places))} (from {' to '.join(video.frames(i, j))}): unpack them there, mend 'root'"
            f", 'names' or 'spans' ({list(video.parameters.spans)}), or take the estimator 'dis', which needs no files"
        )
    _check_direction(list(there.values()))


def _check_direction(there: Sequence[tuple[Published, int, int]]) -> None:
    """Whether most of a few pairs would be explained better by one and the same other motion."""
    looked = [there[int(k)] for k in np.linspace(0, len(there) - 1, min(CHECKED, len(there))).round()]
    found = []
    for video, i, j in looked:
        motion = video.read(i, j)
        now, before = (video.manifest.image(ref) for ref in video.frames(i, j))
        found.append(None if motion is None else suspicion(now, before, motion))
    for name in {name for name in found if name is not None}:
        if 2 * found.count(name) > len(found):
            video, i, j = looked[found.index(name)]
            roots = ", ".join(map(str, video.parameters.root or ()))
            raise UserError(
                f"in {found.count(name)} of {len(found)} pairs the motion in {roots} does not bring the earlier frame "
                f"onto the later; {name} would fit better (first {video.path(i, j)}): is it the right folder, kind and "
                "span? Motion that leads ahead in time belongs in 'ahead'"
            )


def read_published(path: Path, kind: str, size: tuple[int, int], cut: int) -> Motion:
    """Read a file and bring it onto the frames' grid.

    Args:
        path: the file.
        kind: a key of `READERS`.
        size: (H, W) of the frames.
        cut: rows that were cut off below the frames; a file that still has them loses them here.

    Returns:
        (1, 2, H, W) in pixels of the frames, each component by its own ratio.

    Raises:
        UserError: it is damaged, of another kind, or of another shape than the frames.
    """
    flow, valid = READERS[kind](path)
    height, width = valid.shape
    for rows in (size[0], size[0] + cut):
        if abs(height * size[1] / (width * rows) - 1) <= SAME_SHAPE:
            whole = _resized(flow, valid, (rows, size[1]))
            return Motion(whole.flow[..., : size[0], :].contiguous(), whole.valid[..., : size[0], :].contiguous())
    raise UserError(
        f"{path} holds motion of {width}x{height}, not of the shape of frames of {size[1]}x{size[0]}: "
        "does it belong to this data set?"
    )


def _resized(flow: NDArray[np.float32], valid: NDArray[np.bool_], size: tuple[int, int]) -> Motion:
    """`Motion.resized`, but what is unknown (some formats write -512 px) does not bleed into what is known."""
    known = torch.from_numpy(valid)[None, None]
    motion = Motion(torch.from_numpy(flow)[None] * known, known)
    if motion.size == size:
        return motion
    weight = F.interpolate(known.float(), size, mode="bilinear", align_corners=False)
    resized = motion.resized(size)
    return Motion(resized.flow / weight.clamp(min=1e-6), resized.valid)
