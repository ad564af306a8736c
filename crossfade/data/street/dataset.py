"""The street as a data set on disk: a manifest, and for each video an archive of PNGs and one of exact motion."""

import io
import json
import multiprocessing
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from crossfade.data.manifest import Frame, Manifest, Video
from crossfade.data.street.render import RenderedFrame, render_video
from crossfade.errors import UserError
from crossfade.files import atomic_path
from crossfade.motion.store import MotionArchive, MotionWriter

RENDERER = 2
"""Raised when the renderer draws differently, so that videos of an earlier one are not taken for whole."""
MEMBER_DATE = (1980, 1, 1, 0, 0, 0)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class SplitParameters(BaseModel):
    """How much of a split: `videos`, each of another scene, with `frames` each."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    videos: int = Field(ge=1)
    frames: int = Field(ge=1)


class StreetParameters(BaseModel):
    """What is rendered.

    Attributes:
        look: "plain" (the simulator) or "camera" (the real thing).
        size: (H, W).
        rate: frames a second.
        seed: everything follows from it; data sets with different seeds share no scene.
        splits: by name.
        spans: motion is stored for (i, i − span) and (i − span, i).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["street"] = "street"
    look: Literal["plain", "camera"]
    size: tuple[PositiveInt, PositiveInt] = (192, 256)
    rate: float = Field(default=12.0, gt=0)
    seed: int = Field(default=1, ge=0)
    splits: dict[str, SplitParameters]
    spans: tuple[PositiveInt, ...] = (1, 2)


def prepare(parameters: StreetParameters, folder: Path, workers: int) -> Manifest:
    """Render every video that is not there yet, several at a time, and write `folder`/manifest.parquet.

    The same parameters give the same bytes, whatever the number of workers. Stopped and started again, it goes on
    where it was: a video's two archives appear whole or not at all.

    Raises:
        UserError: no space is left on the device.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    jobs = [
        (split, number, amount.frames) for split, amount in parameters.splits.items() for number in range(amount.videos)
    ]
    missing = [job for job in jobs if not _whole(parameters, folder, *job)]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("videos"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task(f"rendering {folder.name}", total=len(jobs), completed=len(jobs) - len(missing))
        for _ in _render_all(parameters, folder, missing, workers):
            progress.advance(task)
    manifest = Manifest(
        data_set=folder.name,
        labels="cityscapes19",
        root=folder,
        videos=tuple(_video(parameters, *job) for job in jobs),
    )
    manifest.save(folder)
    return manifest


Job = tuple[str, int, int]


def _render_all(parameters: StreetParameters, folder: Path, jobs: list[Job], workers: int) -> Iterator[Job]:
    """Render, yielding each job when it is done."""
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            _render(parameters, folder, *job)
            yield job
        return
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
            futures = {pool.submit(_render, parameters, folder, *job): job for job in jobs}
            try:
                for future in as_completed(futures):
                    future.result()
                    yield futures[future]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _name(number: int) -> str:
    return f"{number:04d}"


def _paths(folder: Path, split: str, number: int) -> tuple[Path, Path]:
    return folder / split / f"{_name(number)}.zip", folder / split / f"{_name(number)}.truth"


def _video(parameters: StreetParameters, split: str, number: int, frames: int) -> Video:
    base = f"{split}/{_name(number)}"
    return Video(
        name=_name(number),
        split=split,
        size=parameters.size,
        frames=tuple(
            Frame(f"{base}.zip!rgb/{i:04d}.png", f"{base}.zip!label/{i:04d}.png", round(i / parameters.rate, 6))
            for i in range(frames)
        ),
        truth=f"{base}.truth",
    )


def _origin(parameters: StreetParameters, split: str, number: int, frames: int) -> dict[str, Any]:
    """What a video's bytes depend on."""
    return {
        "renderer": RENDERER,
        "look": parameters.look,
        "size": list(parameters.size),
        "rate": parameters.rate,
        "spans": list(parameters.spans),
        "seed": list(video_seed(parameters.seed, split, number)),
        "frames": frames,
    }


def video_seed(seed: int, split: str, number: int) -> tuple[int, ...]:
    """The seed of one video: no two splits or numbers share a scene."""
    return (seed, *split.encode(), 1 << 16, number)


def _whole(parameters: StreetParameters, folder: Path, split: str, number: int, frames: int) -> bool:
    """Whether both archives are there, whole, and of these parameters."""
    pictures, truth = _paths(folder, split, number)
    if not (pictures.exists() and truth.exists()):
        return False
    try:
        with zipfile.ZipFile(pictures) as archive, MotionArchive(truth) as motion:
            origin = _origin(parameters, split, number, frames)
            return json.loads(archive.read("video.json")) == origin and motion.origin == origin
    except (UserError, OSError, KeyError, ValueError, zipfile.BadZipFile):
        return False


def _png(image: NDArray[np.uint8]) -> bytes:
    done, encoded = cv2.imencode(
        ".png", image[..., ::-1] if image.ndim == 3 else image, [cv2.IMWRITE_PNG_COMPRESSION, 3]
    )
    if not done:
        raise ValueError(f"cannot encode an image of shape {image.shape}")
    return encoded.tobytes()


def _members(frame: RenderedFrame) -> dict[str, bytes]:
    return {f"rgb/{frame.index:04d}.png": _png(frame.image), f"label/{frame.index:04d}.png": _png(frame.labels)}


def _render(parameters: StreetParameters, folder: Path, split: str, number: int, frames: int) -> None:
    """Render one video into its two archives; the pictures come last, so that they vouch for both."""
    cv2.setNumThreads(1)
    pictures, truth = _paths(folder, split, number)
    origin = _origin(parameters, split, number, frames)
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive,
        MotionWriter(truth, parameters.size, video=_name(number), frames=frames, origin=origin) as motion,
    ):
        archive.writestr(zipfile.ZipInfo("video.json", MEMBER_DATE), json.dumps(origin))
        seed = video_seed(parameters.seed, split, number)
        for frame in render_video(seed, parameters.look, frames, parameters.size, parameters.rate, parameters.spans):
            for name, content in _members(frame).items():
                archive.writestr(zipfile.ZipInfo(name, MEMBER_DATE), content)
            for (i, j), (flow, valid) in frame.motion.items():
                motion.add(i, j, flow, valid)
    with atomic_path(pictures) as temporary:
        temporary.write_bytes(buffer.getvalue())
