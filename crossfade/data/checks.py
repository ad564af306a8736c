"""Cheap checks of a data set before any work is done on it: each failure is one sentence, nothing is half-used."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from crossfade.data.labels import LabelSpace
from crossfade.data.manifest import Manifest, Video, split_ref
from crossfade.errors import UserError
from crossfade.motion.store import MotionArchive, check_fits


def check_files(manifest: Manifest) -> None:
    """Every file of the manifest is there and has the size it had when it was indexed.

    Raises:
        UserError: the first one that is not.
    """
    for file, known in (manifest.files or {}).items():
        path = manifest.root / file
        if not path.is_file():
            raise UserError(
                f"{path} of data set '{manifest.data_set}' is missing: restore it, or index the data set anew"
            )
        if path.stat().st_size != known["size"]:
            raise UserError(
                f"{path} of data set '{manifest.data_set}' has {path.stat().st_size} bytes, but had {known['size']} "
                "when it was indexed: restore it, or run its download stage again (dvc repro --force)"
            )


def check_videos(manifest: Manifest, splits: tuple[str, ...]) -> None:
    """Every frame decodes, is as large as its video says, and times increase.

    Raises:
        UserError: the first frame that does not.
    """
    for video in manifest.split(*splits):
        if not video.frames:
            raise UserError(
                f"video {video.split}/{video.name} of data set '{manifest.data_set}' has no frames: remove it"
            )
        check_times(manifest, video)
        for frame in video.frames:
            size = manifest.image(frame.image).shape[:2]
            if size != tuple(video.size):
                raise UserError(
                    f"{manifest.root / split_ref(frame.image)[0]} ({frame.image}) is {size[1]}x{size[0]}, but frames "
                    f"of video {video.split}/{video.name} are {video.size[1]}x{video.size[0]}: bring them to one size"
                )


def check_times(manifest: Manifest, video: Video) -> None:
    """The times of a video's frames increase.

    Raises:
        UserError: they do not.
    """
    for before, after in pairwise(video.frames):
        if after.time <= before.time:
            raise UserError(
                f"the times of video {video.split}/{video.name} of '{manifest.data_set}' do not increase: "
                f"{after.image} is at {after.time} s, after {before.image} at {before.time} s; is a frame listed twice?"
            )


def count_classes(manifest: Manifest, splits: tuple[str, ...], space: LabelSpace) -> np.ndarray:
    """(K,) pixels of each class over all labelled frames; every label image is decoded and mapped on the way.

    Raises:
        UserError: a label image is truncated, of another size than its frame, or has an id outside the table.
    """
    counts = np.zeros(256, np.int64)
    for video in manifest.split(*splits):
        for frame in video.frames:
            if frame.label is None:
                continue
            raw = manifest.label(frame.label)
            if raw.shape != tuple(video.size):
                raise UserError(
                    f"label image {frame.label} of '{manifest.data_set}' is {raw.shape[1]}x{raw.shape[0]}, its frame "
                    f"{video.size[1]}x{video.size[0]}: bring them to one size"
                )
            mapped = space.map(raw, manifest.labels, str(manifest.root / frame.label))
            counts += np.bincount(mapped.ravel(), minlength=256)
    return counts[: len(space.classes)]


def check_motion(manifest: Manifest, splits: tuple[str, ...], folder: Path) -> None:
    """Every video's motion archive is whole and belongs to it.

    Raises:
        UserError: the first one that is missing, damaged or of another video.
    """
    for video in manifest.split(*splits):
        with MotionArchive(motion_file(folder, video)) as archive:
            check_fits(archive, video)


def check_length(manifest: Manifest, splits: tuple[str, ...], frames: int) -> None:
    """No video is shorter than what the networks read.

    Raises:
        UserError: the first one that is.
    """
    for video in manifest.split(*splits):
        if len(video.frames) < frames:
            raise UserError(
                f"video {video.split}/{video.name} of '{manifest.data_set}' has {len(video.frames)} frames, fewer than "
                f"the {frames} that are read at a time: use longer clips"
            )


def motion_file(folder: Path, video: Video) -> Path:
    """Where the motion stage puts a video's archive."""
    return folder / video.split / f"{video.name}.motion"
