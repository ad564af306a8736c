"""Motion: estimators, warping, and the store."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from crossfade.data.street.dataset import StreetParameters, prepare
from crossfade.motion.estimate import estimate_data_set
from crossfade.motion.estimators import build_estimator
from crossfade.motion.parameters import PRESETS, MotionParameters
from crossfade.motion.score import score_against_truth
from crossfade.motion.store import MotionArchive, MotionWriter
from crossfade.motion.validity import forward_backward_validity
from crossfade.motion.warp import warp

HEIGHT, WIDTH = 256, 512
SECONDS = 0.5
"""How long each thing is repeated."""


def seconds(work: Callable[[], Any]) -> float:
    """The least time of `work` over `SECONDS` of calls, after one that warms it up."""
    work()
    times: list[float] = []
    while sum(times) < SECONDS:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def driving_pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A textured frame, the next one, and the motion from the second to the first: driving on, and one car across."""
    rng = np.random.default_rng(0)
    octaves = [cv2.resize(rng.random((HEIGHT // s, WIDTH // s, 3), np.float32), (WIDTH, HEIGHT)) for s in (16, 8, 4, 2)]
    first = (np.mean(octaves, axis=0) * 255).astype(np.uint8)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    ground = np.maximum(y - HEIGHT / 2, 4) / HEIGHT
    flow = np.stack([(WIDTH / 2 - x) * ground * 0.06, -ground * ground * 40])
    flow[:, 140:200, 60:180] = np.array([9.0, -0.5], np.float32)[:, None, None]
    second = cv2.remap(first, x + flow[0], y + flow[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return first, second, flow


def warp_loop(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """`warp` as one would first write it: (C, H, W) and (2, H, W), pixel by pixel."""
    channels, height, width = image.shape
    out = np.empty((channels, height, width), np.float32)
    for y in range(height):
        for x in range(width):
            sx, sy = np.clip(x + flow[0, y, x], 0, width - 1), np.clip(y + flow[1, y, x], 0, height - 1)
            x0, y0 = min(int(sx), width - 2), min(int(sy), height - 2)
            a, b = sx - x0, sy - y0
            upper = (1 - a) * image[:, y0, x0] + a * image[:, y0, x0 + 1]
            lower = (1 - a) * image[:, y0 + 1, x0] + a * image[:, y0 + 1, x0 + 1]
            out[:, y, x] = (1 - b) * upper + b * lower
    return out


def estimator_rows() -> Iterator[dict[str, Any]]:
    """One motion between two frames; RAFT is left out because its weights are not shipped."""
    first, second, truth = driving_pair()
    slowest: float | None = None
    for estimator, preset in [("farneback", None), *(("dis", preset) for preset in PRESETS["dis"])]:
        built = build_estimator(MotionParameters(estimator=estimator, preset=preset))
        spent = 1e3 * seconds(lambda built=built: built.estimate(second, first))  # type: ignore[misc]
        error = float(np.hypot(*(built.estimate(second, first) - truth)).mean())
        name = f"{estimator} {preset or ''}".strip()
        row = {"what": f"{name}, {WIDTH}x{HEIGHT} (end-point error {error:.2f} px)", "value": spent, "unit": "ms"}
        yield row if slowest is None else {**row, "against": "farneback", "ratio": slowest / spent}
        slowest = slowest or spent


def warp_rows() -> Iterator[dict[str, Any]]:
    """Warping a three-channel frame."""
    first, _, flow = driving_pair()
    image = torch.from_numpy(first).permute(2, 0, 1)[None].float()
    field = torch.from_numpy(flow)[None]
    spent = seconds(lambda: warp(image, field))
    small, small_flow = image[0, :, :32, :64].numpy(), flow[:, :32, :64]
    loop = seconds(lambda: warp_loop(small, small_flow)) * (HEIGHT * WIDTH) / (32 * 64)
    what = {"what": f"warp 3 channels, {WIDTH}x{HEIGHT}", "value": 1e3 * spent, "unit": "ms"}
    yield {**what, "against": "pixel by pixel in numpy", "ratio": loop / spent}
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    planes = first.astype(np.float32)
    remap = seconds(lambda: cv2.remap(planes, x + flow[0], y + flow[1], cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE))
    yield {**what, "against": "cv2.remap (no gradients, no GPU)", "ratio": remap / spent}
    check = seconds(lambda: forward_backward_validity(field, -field))
    yield {"what": f"forward-backward check, {WIDTH}x{HEIGHT}", "value": 1e3 * check, "unit": "ms"}


def store_rows() -> Iterator[dict[str, Any]]:
    """Writing and reading estimated motion, against numpy's compressed archives of the same arrays."""
    first, second, _ = driving_pair()
    flow = build_estimator(MotionParameters(estimator="dis")).estimate(second, first)
    valid = np.hypot(*flow) < 8
    count = 4

    def write(path: Path) -> None:
        with MotionWriter(path, (HEIGHT, WIDTH)) as writer:
            for index in range(count):
                writer.add(index + 1, index, flow, valid)

    def read(path: Path) -> None:
        with MotionArchive(path) as archive:
            for pair in archive.pairs:
                archive.read(*pair)

    def load(path: Path) -> None:
        with np.load(path) as arrays:
            for name in arrays.files:
                arrays[name]

    with tempfile.TemporaryDirectory() as folder:
        own, numpys = Path(folder) / "own.motion", Path(folder) / "numpy.npz"
        fields = {f"{kind}{index}": value for index in range(count) for kind, value in (("f", flow), ("v", valid))}
        pairs = {
            "write": (seconds(lambda: write(own)), seconds(lambda: np.savez_compressed(numpys, **fields))),
            "read": (seconds(lambda: read(own)), seconds(lambda: load(numpys))),
        }
        against = "np.savez_compressed, float32"
        for name, (spent, other) in pairs.items():
            what = f"store: {name}, {WIDTH}x{HEIGHT}, DIS motion"
            yield {"what": what, "value": count / spent, "unit": "fields/s", "against": against, "ratio": other / spent}
        size, other_size = own.stat().st_size, numpys.stat().st_size
    per_pixel = size / count / (HEIGHT * WIDTH)
    what = {"what": "store: bytes a pixel, DIS motion with validity", "value": per_pixel, "unit": "B"}
    yield {**what, "against": against, "ratio": other_size / size}
    yield {**what, "against": "float32, motion alone", "ratio": 8 / per_pixel}


def street_rows() -> Iterator[dict[str, Any]]:
    """Estimators against the renderer's exact motion, over the pixels visible in both frames."""
    for look in ("plain", "camera"):
        with tempfile.TemporaryDirectory() as folder:
            splits = {"train": {"videos": 4, "frames": 3}}
            raw = {"look": look, "size": [192, 256], "seed": 9, "splits": splits}
            manifest = prepare(StreetParameters.model_validate(raw), Path(folder) / "street", workers=1)
            farneback: float | None = None
            for estimator, preset in (("farneback", None), ("dis", "fast"), ("dis", "medium")):
                motion = Path(folder) / f"{estimator}-{preset}"
                estimate_data_set(manifest, MotionParameters(estimator=estimator, preset=preset), motion)
                error = score_against_truth(manifest, motion)["end_point_error"]
                what = f"street {look}, 256x192: {estimator} {preset or ''}".strip()
                row = {"what": what, "value": error, "unit": "px end-point error"}
                yield row if farneback is None else {**row, "against": "farneback", "ratio": farneback / error}
                farneback = farneback or error


def rows() -> list[dict[str, Any]]:
    """Everything above."""
    return [*estimator_rows(), *warp_rows(), *store_rows(), *street_rows()]
