"""A video through a network, frame by frame: memory does not grow with the video's length."""

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from crossfade.data.loading import frame_to_tensor
from crossfade.motion.estimators import build_estimator
from crossfade.motion.field import Motion
from crossfade.motion.parameters import MotionParameters
from crossfade.motion.validity import forward_backward_validity
from crossfade.networks.base import upsample
from crossfade.temporal.video_network import Stream, VideoNetwork

Item = TypeVar("Item")

MotionBetween = Callable[[np.ndarray, np.ndarray], Motion]
"""(now, previous) → motion now → previous; both images (H, W, 3) uint8 RGB at the network's size."""


@dataclass(frozen=True)
class Prediction:
    """What the network says about one frame.

    Attributes:
        image: (H, W, 3) uint8 RGB, the frame as it came.
        labels: (H, W) uint8 class ids at the frame's own size.
        seconds: what the network took, transfers to and from the device and upsampling included.
    """

    image: np.ndarray
    labels: np.ndarray
    seconds: float


def stream(
    network: VideoNetwork,
    frames: Iterable[np.ndarray],
    size: tuple[int, int],
    motion: MotionBetween | None = None,
    device: torch.device | str = "cpu",
    ahead: int = 3,
) -> Generator[Prediction, None, None]:
    """Predict every frame of a video in order.

    Decoding, resizing and motion estimation run in a thread, `ahead` frames before the network.

    Args:
        network: in eval mode already, on `device`.
        frames: (H, W, 3) uint8 RGB, oldest first.
        size: (H, W) the network works at.
        motion: estimates motion between neighbours; None for a network that looks at one frame only.
        device: where the network lives.
        ahead: how many frames may wait for the network.
    """
    state = network.stream()
    for image, tensor, displacement in prefetched(_prepared(frames, size, motion), ahead):
        start = time.perf_counter()
        labels = predict_frame(state, tensor, displacement, (image.shape[0], image.shape[1]), device)
        result = labels[0].to("cpu", torch.uint8).numpy()
        yield Prediction(image, result, time.perf_counter() - start)


@torch.inference_mode()
def predict_frame(
    state: Stream, frame: Tensor, motion: Motion | None, size: tuple[int, int], device: torch.device | str
) -> Tensor:
    """One step of a stream: (1, 3, h, w) frame → (1, H, W) int64 class ids at `size`."""
    return labels_at(frame_logits(state, frame, motion, device), size, state.network.align_corners)


@torch.inference_mode()
def frame_logits(state: Stream, frame: Tensor, motion: Motion | None, device: torch.device | str) -> Tensor:
    """One step of a stream: (1, 3, h, w) frame → (1, K, h', w') logits on the network's own grid."""
    return state.step(frame.to(device), None if motion is None else motion.to(device))


@torch.inference_mode()
def labels_at(logits: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    """(B, K, h, w) logits → (B, H, W) int64 class ids at `size`; `align_corners` is the video network's."""
    return upsample(logits, size, align_corners).argmax(1)


def estimated_motion(parameters: MotionParameters, device: torch.device | str) -> MotionBetween:
    """A function (now, previous) → motion now → previous with forward-backward validity, of the estimator named.

    Where the estimator is a network it works on `device`; the motion is on the CPU.

    Raises:
        UserError: it looks at no frame, or its weights are missing.
    """
    found = build_estimator(parameters, device)
    tolerance = (parameters.relative_tolerance, parameters.absolute_tolerance)

    def between(now: np.ndarray, previous: np.ndarray) -> Motion:
        forward = torch.from_numpy(found.estimate(now, previous))[None]
        backward = torch.from_numpy(found.estimate(previous, now))[None]
        return Motion(forward, forward_backward_validity(forward, backward, *tolerance))

    return between


def prefetched(items: Iterable[Item], ahead: int) -> Iterator[Item]:
    """The same items, produced in a thread at most `ahead` items early; an error there is raised here."""
    waiting: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(maxsize=max(1, ahead))
    stop = threading.Event()

    def put(entry: tuple[Item | None, BaseException | None]) -> bool:
        while not stop.is_set():
            try:
                waiting.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
        except BaseException as error:
            put((None, error))
        else:
            put((None, StopIteration()))

    thread = threading.Thread(target=produce, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()


def _prepared(
    frames: Iterable[np.ndarray], size: tuple[int, int], motion: MotionBetween | None
) -> Iterator[tuple[np.ndarray, Tensor, Motion | None]]:
    previous: np.ndarray | None = None
    for image in frames:
        small, tensor = frame_to_tensor(image, size)
        displacement = None if motion is None or previous is None else motion(small, previous)
        yield image, tensor, displacement
        previous = small
