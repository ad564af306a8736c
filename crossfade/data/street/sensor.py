"""From linear light to the file's pixels: optics, exposure, noise, and a block code like that of a cheap camera."""

import numpy as np
from numpy.typing import NDArray

from crossfade.data.street.looks import Sensor
from crossfade.data.street.noise import BLOTCH, noise

Image = NDArray[np.floating]

QUANTISATION_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)
"""ITU-T T.81, table K.1 (quality 50), in units of 1/255."""
QUANTISATION_CHROMA = np.full((8, 8), 99, np.float32)
QUANTISATION_CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
"""ITU-T T.81, table K.2."""

_K = np.arange(8)
COSINES = (
    np.cos((2 * _K[None] + 1) * _K[:, None] * np.pi / 16) * np.where(_K == 0, np.sqrt(1 / 8), 0.5)[:, None]
).astype(np.float32)
"""The orthonormal 8-point cosine transform."""


def blur(image: Image, sigma: float) -> Image:
    """A Gaussian of `sigma` pixels (below 1) over the first two axes, as three taps."""
    if sigma <= 0:
        return image
    side = float(np.exp(-0.5 / sigma**2))
    middle, side = 1 / (1 + 2 * side), side / (1 + 2 * side)
    for axis in (0, 1):
        padded = np.concatenate([image.take([0], axis), image, image.take([-1], axis)], axis)
        n = image.shape[axis]
        left, centre, right = (padded.take(range(k, k + n), axis) for k in range(3))
        image = np.float32(middle) * centre + np.float32(side) * (left + right)
    return image


def smear(image: Image, flow: NDArray[np.float32], shutter: float, taps: int = 5) -> Image:
    """Motion blur: the mean over the motion during the exposure; `flow` (2, H, W) to the next frame, pixels."""
    if shutter <= 0:
        return image
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    flat, total = image.reshape(-1, 3), image.copy()
    for k in range(1, taps):
        part = np.float32(shutter * (k / (taps - 1) - 0.5))
        column = np.clip(np.rint(x + part * flow[0]), 0, width - 1).astype(np.int32)
        row = np.clip(np.rint(y + part * flow[1]), 0, height - 1).astype(np.int32)
        total += flat[row * width + column]
    return total / np.float32(taps)


def _blocks(plane: Image) -> Image:
    """(H, W) → (H/8, W/8, 8, 8), the last rows and columns repeated to fill."""
    height, width = plane.shape
    plane = np.pad(plane, ((0, -height % 8), (0, -width % 8)), mode="edge")
    return plane.reshape(plane.shape[0] // 8, 8, plane.shape[1] // 8, 8).swapaxes(1, 2)


def _coded(plane: Image, table: Image) -> Image:
    """A plane of 0 … 255 after rounding its blocks' cosine coefficients to multiples of the table."""
    coefficients = COSINES @ _blocks(plane - 128) @ COSINES.T
    coarse = COSINES.T @ (np.rint(coefficients / table) * table) @ COSINES
    rows, columns = coarse.shape[:2]
    return coarse.swapaxes(1, 2).reshape(rows * 8, columns * 8)[: plane.shape[0], : plane.shape[1]] + 128


def block_code(image: Image, step: float) -> Image:
    """What coding in 8x8 blocks with halved colour resolution does to an image in [0, 1]; no codec involved."""
    if step <= 0:
        return image
    height, width = image.shape[:2]
    r, g, b = np.moveaxis(image * np.float32(255), -1, 0)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    luma, chroma = _coded(luma, QUANTISATION_LUMA * np.float32(step)), []
    for plane in (
        128 + 0.564 * (b - (0.299 * r + 0.587 * g + 0.114 * b)),
        128 + 0.713 * (r - (0.299 * r + 0.587 * g + 0.114 * b)),
    ):
        even = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
        half = (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
        full = _coded(half, QUANTISATION_CHROMA * np.float32(step)).repeat(2, 0).repeat(2, 1)
        chroma.append(full[:height, :width] - 128)
    cb, cr = chroma
    out = np.stack([luma + 1.402 * cr, luma - 0.344 * cb - 0.714 * cr, luma + 1.772 * cb], -1) / np.float32(255)
    return np.clip(out, 0, 1).astype(np.float32)


def _dirt(size: tuple[int, int], amount: float, seed: int) -> Image:
    """(H, W, 1) how much dust and drops on the glass veil, in [0, 1]; the same in every frame of a video."""
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32) * np.float32(256 / width)
    veil = 0.1 * np.clip(noise(BLOTCH, x * 0.02, y * 0.02 + seed % 7, np.full_like(x, 0.02)), 0, 2)
    for _ in range(int(14 * amount)):
        cx, cy, radius = rng.uniform(0, 256), rng.uniform(0, 256 * height / width), rng.uniform(1.5, 7)
        veil += rng.uniform(0.1, 0.4) * np.clip((radius - np.hypot(x - cx, y - cy)) * 0.5 + 0.5, 0, 1)
    return (np.clip(veil * amount, 0, 0.55))[..., None]


def develop(light: Image, sensor: Sensor, flow: NDArray[np.float32] | None, seed: int, index: int) -> NDArray[np.uint8]:
    """The frame (H, W, 3) uint8 that the sensor makes of linear light (H, W, 3).

    Args:
        light: from `shading.shade`.
        sensor: what it does; effects of strength 0 are left out.
        flow: (2, H, W) motion to the next frame, pixels; None: nothing is blurred by motion.
        seed: of the video.
        index: of the frame.
    """
    height, width = light.shape[:2]
    rng = np.random.default_rng([seed, index])
    image = blur(light if flow is None else smear(light, flow, sensor.shutter), sensor.blur)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    exposure = sensor.exposure * (1 + sensor.drift * np.sin(0.35 * index + seed % 7))
    if sensor.target > 0:
        exposure *= sensor.target / float(np.minimum(image, 1).mean())
    image = image * np.float32(exposure) * np.array(sensor.balance, np.float32)
    if sensor.vignette > 0:
        image *= (1 - sensor.vignette * (x * x + y * y) / 2)[..., None]
    if sensor.flare > 0:
        image = image * (1 - sensor.flare) + sensor.flare * image.mean((0, 1))
    if sensor.dirt > 0:
        veil = _dirt((height, width), sensor.dirt, seed)
        image = image * (1 - veil) + veil * (0.35 * image.mean() + 0.3 * image)
    grey = image @ np.array((0.3, 0.6, 0.1), np.float32)
    image = grey[..., None] + sensor.saturation * (image - grey[..., None])
    image = np.clip(image, 0, None)
    if sensor.noise > 0:
        scale = sensor.noise * (0.35 + np.sqrt(image))
        image = image + rng.standard_normal(image.shape, np.float32) * scale.astype(np.float32)
    bright = np.clip(image, 0, None)
    image = np.where(bright > 0.8, 1 - 0.2 * np.exp(-(np.maximum(bright, 0.8) - 0.8) / 0.2), bright)
    image = np.clip(image, 0, 1) ** np.float32(1 / sensor.gamma)
    return (block_code(image.astype(np.float32), sensor.quality) * 255 + 0.5).astype(np.uint8)
