"""Noise that surfaces are textured with: tiles made once, each with its coarser copies, read with one look-up."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

SIZE = 512
TEXEL = 0.02
"""Metres a texel; a tile repeats after 10 m."""
LEVELS = 9
GRAIN, BLOTCH, CLUMP = range(3)
"""Fine grain; large soft blotches; clumps of the size of a few leaves."""
OFFSETS = np.array([sum((SIZE >> k) ** 2 for k in range(level)) for level in range(LEVELS)], np.int32)
OCTAVES = {
    GRAIN: ((1, 1.0), (2, 0.8), (4, 0.7), (8, 0.5)),
    BLOTCH: ((16, 0.5), (32, 0.8), (64, 1.0), (128, 0.8)),
    CLUMP: ((8, 1.0), (4, 0.3)),
}


def _smooth(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Periodic linear interpolation of a grid, `factor` times finer."""
    for axis in (0, 1):
        following = np.roll(values, -1, axis)
        steps = [values + (following - values) * (k / factor) for k in range(factor)]
        values = np.stack(steps, axis + 1).reshape(
            *values.shape[:axis], values.shape[axis] * factor, *values.shape[axis + 1 :]
        )
    return values


@cache
def tiles() -> NDArray[np.float32]:
    """(3, …) the three tiles, mean 0 and standard deviation 1, all levels one after another."""
    rng = np.random.default_rng(20240229)
    kinds = []
    for octaves in OCTAVES.values():
        tile = np.zeros((SIZE, SIZE), np.float32)
        for factor, weight in octaves:
            grid = rng.standard_normal((SIZE // factor, SIZE // factor), dtype=np.float32)
            tile += np.float32(weight) * _smooth(grid, factor)
        tile = (tile - tile.mean()) / tile.std()
        levels = []
        for _ in range(LEVELS):
            levels.append(tile.ravel())
            tile = (tile[::2, ::2] + tile[1::2, ::2] + tile[::2, 1::2] + tile[1::2, 1::2]) / 4
        kinds.append(np.concatenate(levels))
    return np.stack(kinds)


def noise(
    kind: int, u: NDArray[np.floating], v: NDArray[np.floating], footprint: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Noise at the texture coordinates (u, v), smoothed over a pixel's footprint (all in metres)."""
    level = np.log2(np.maximum(footprint, TEXEL) * (1 / TEXEL)).astype(np.int32)
    np.minimum(level, LEVELS - 1, out=level)
    size = SIZE >> level
    column = (np.floor(u * (1 / TEXEL)).astype(np.int32) >> level) & (size - 1)
    row = (np.floor(v * (1 / TEXEL)).astype(np.int32) >> level) & (size - 1)
    return tiles()[kind][OFFSETS[level] + row * size + column]


def clumps(u: NDArray[np.floating], v: NDArray[np.floating]) -> NDArray[np.float32]:
    """Clumps, never smoothed: a hole in the foliage stays where it is."""
    column = np.floor(u * (1 / TEXEL)).astype(np.int32) & (SIZE - 1)
    row = np.floor(v * (1 / TEXEL)).astype(np.int32) & (SIZE - 1)
    return tiles()[CLUMP][row * SIZE + column]


@cache
def table() -> NDArray[np.float32]:
    """(1024, 8) uniform random numbers: the character of instance `seed` is row `seed % 1024`."""
    return np.random.default_rng(7).random((1024, 8), dtype=np.float32)


def hashed(a: NDArray[np.integer], b: NDArray[np.integer], c: NDArray[np.integer] | int) -> NDArray[np.float32]:
    """A number in [0, 1) for every triple of whole numbers."""
    h = a.astype(np.uint32) * np.uint32(0x8DA6B343) ^ b.astype(np.uint32) * np.uint32(0xD8163841)
    h ^= np.asarray(c).astype(np.uint32) * np.uint32(0xCB1AB31F)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h ^= h >> np.uint32(12)
    h *= np.uint32(0x297A2D39)
    h ^= h >> np.uint32(15)
    return (h >> np.uint32(8)).astype(np.float32) * np.float32(1 / 16777216)
