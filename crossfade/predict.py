"""`crossfade predict`: a video through a trained model, to an overlay video and label images."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from crossfade import visualise
from crossfade.data.loading import STRETCHED, stretch
from crossfade.data.video import BROWSER_CODEC, FAST_CODEC, VideoWriter, open_frames
from crossfade.device import choose_device, device_name
from crossfade.errors import UserError
from crossfade.files import atomic_folder
from crossfade.inference import MotionBetween, estimated_motion, stream
from crossfade.model_folder import load_model
from crossfade.motion.parameters import MotionParameters
from crossfade.temporal.video_network import VideoNetwork

FOLDER_RATE = 12.0
"""Frames per second of a video made from a folder of images."""


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        video: an mp4 or a folder of frames.
        model: a model folder.
        out: the overlay video, .mp4.
        labels: a folder for one PNG of class ids (255 is never written) a frame; None = not wanted.
        motion: "dis", "farneback", "none"; None = dis where the network uses motion.
        device: a torch device; None = a GPU if there is one.
        rate: frames per second of the result; None = the video's own.
        browser: write VP9, which browsers play.
    """

    video: Path
    model: Path
    out: Path
    labels: Path | None = None
    motion: str | None = None
    device: str | None = None
    rate: float | None = None
    browser: bool = False


@dataclass(frozen=True)
class Summary:
    """What was done: frames, seconds altogether and in the network, where; and what should be known of it."""

    frames: int
    seconds: float
    network_seconds: float
    device: str
    notes: list[str]


def predict_video(request: Request, progress: bool = True) -> Summary:
    """Stream the request's video through its model.

    Overlay and labels appear whole at the end, or not at all.

    Raises:
        UserError: anything the user can mend, most of it before the first frame.
    """
    frames = open_frames(request.video)
    _check_targets(request)
    device = choose_device(request.device)
    model = load_model(request.model)
    network = model.network.to(device).eval()
    motion = _motion(request.motion, network, device)
    rate = request.rate or frames.rate or FOLDER_RATE
    notes = []
    if network.uses_motion and motion is None:
        notes.append("this model reads its neighbour over motion: without motion it is not the one that was scored")
    done, network_seconds, start = 0, 0.0, time.perf_counter()
    with ExitStack() as stack:
        writer = stack.enter_context(VideoWriter(request.out, rate, BROWSER_CODEC if request.browser else FAST_CODEC))
        folder = None if request.labels is None else stack.enter_context(atomic_folder(request.labels))
        tick = stack.enter_context(_progress(frames.count, progress))
        predictions = stack.enter_context(closing(stream(network, frames, model.size, motion, device)))
        for prediction in predictions:
            if done == 0 and stretch(prediction.image.shape[:2], model.size) > STRETCHED:
                (rows, columns), (height, width) = prediction.image.shape[:2], model.size
                notes.append(
                    f"frames of {columns} by {rows} pixels were brought to the model's {width} by {height}: shapes it "
                    "never saw; crop the frames first"
                )
            writer.add(visualise.overlay(prediction.image, prediction.labels, model.colours))
            if folder is not None:
                _write_labels(folder / f"{frames.name(done)}.png", prediction.labels)
            done += 1
            network_seconds += prediction.seconds
            tick(done / (time.perf_counter() - start))
    return Summary(done, time.perf_counter() - start, network_seconds, device_name(device), notes)


def _motion(name: str | None, network: VideoNetwork, device: torch.device) -> MotionBetween | None:
    wanted = name or ("dis" if network.uses_motion else "none")
    return None if wanted == "none" else estimated_motion(MotionParameters(estimator=wanted), device)


def _check_targets(request: Request) -> None:
    if request.out.suffix.lower() != ".mp4":
        raise UserError(f"the output video must end in .mp4, not '{request.out.suffix}' ({request.out})")
    if request.out.exists() and request.out.samefile(request.video):
        raise UserError(f"{request.out} is the video to read: choose another output")
    if request.rate is not None and not 0 < request.rate <= 1000:
        raise UserError(f"the rate must lie between 0 and 1000 frames per second, not {request.rate}")
    folder = request.labels
    if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not an empty folder: choose a new one for the labels")


def _write_labels(path: Path, labels: np.ndarray) -> None:
    if not cv2.imwrite(str(path), labels):
        raise UserError(f"cannot write {path}: is there space on the disk?")


@contextmanager
def _progress(total: int | None, shown: bool) -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr; yields a function to call after each frame with the frames per second so far."""
    text = TextColumn("{task.fields[rate]:.1f} frames/s")
    columns = (TextColumn("predict"), BarColumn(), MofNCompleteColumn(), text, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as bar:
        task = bar.add_task("predict", total=total, rate=0.0)
        yield lambda rate: bar.update(task, advance=1, rate=rate)
