"""Which triangle each pixel sees: a scan-line rasteriser without a loop over triangles.

A ray d through a pixel meets the triangle (v0, v1, v2) where d·t = Σ bᵢ vᵢ, so b/t = M⁻¹ d with the corners as columns
of M (homogeneous rasterisation, Olano & Greer 1997: no clipping at the near plane). Each bᵢ/t is affine in the pixel's
coordinates, so a row of a triangle is an interval found in closed form, and 1/depth = Σ bᵢ/t is affine too.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEAR = 0.15
"""Nothing is seen nearer than this, metres."""

Holes = Callable[[NDArray[np.int64], NDArray[np.float64]], NDArray[np.bool_]]
"""(face (n,), barycentric coordinates (n, 3)) → whether the surface is there (it has no hole there)."""


@dataclass(frozen=True)
class Triangles:
    """Triangles as affine functions of the pixel.

    Attributes:
        face: (T,) index of each in the mesh.
        edges: (T, 3, 3): bᵢ/t = edges[:, i] · (x, y, 1).
        depth: (T, 3): what orders them, largest in front: depth · (x, y, 1) (1/depth in a perspective view).
        rows: (T, 2) first and last row they may touch.
    """

    face: NDArray[np.int64]
    edges: NDArray[np.float64]
    depth: NDArray[np.float64]
    rows: NDArray[np.int64]


def perspective(
    corners: NDArray[np.float64],
    face: NDArray[np.int64],
    open_faces: NDArray[np.bool_],
    focal: float,
    picture: tuple[int, int],
    size: tuple[int, int],
    offset: float = 0.0,
) -> Triangles:
    """Triangles in a pinhole view.

    Args:
        corners: (T, 3, 3) in the camera frame.
        face: (T,) index of each in the mesh.
        open_faces: (T,) seen from both sides.
        focal: focal length, pixels.
        picture: (H, W) of the camera's picture.
        size: (H, W) of the grid of samples.
        offset: shifts the grid's first sample right and down of the picture's first pixel.
    """
    height, width = size
    centre_x, centre_y = (picture[1] - 1) / 2 - offset, (picture[0] - 1) / 2 - offset
    depth = corners[..., 2]
    clear = np.maximum(depth, NEAR)
    x = corners[..., 0] / clear * focal + centre_x
    y = corners[..., 1] / clear * focal + centre_y
    crossing = depth.min(1) < NEAR
    low, high = np.ceil(y.min(1)), np.floor(y.max(1))
    low, high = np.where(crossing, 0, np.maximum(low, 0)), np.where(crossing, height - 1, np.minimum(high, height - 1))
    seen = (depth.max(1) > NEAR) & (low <= high)
    seen &= crossing | ((np.ceil(x.min(1)) <= np.floor(x.max(1))) & (x.max(1) >= 0) & (x.min(1) <= width - 1))
    corners, face, open_faces = corners[seen], face[seen], open_faces[seen]
    v0, v1, v2 = corners[:, 0], corners[:, 1], corners[:, 2]
    edges = np.stack([np.cross(v1, v2), np.cross(v2, v0), np.cross(v0, v1)], 1)
    volume = (v0 * edges[:, 0]).sum(-1)
    keep = (volume < -1e-12) | (open_faces & (volume > 1e-12))
    edges = edges[keep] / volume[keep, None, None]
    edges[:, :, :2] /= focal
    edges[:, :, 2] -= edges[:, :, 0] * centre_x + edges[:, :, 1] * centre_y
    rows = np.stack([low[seen][keep], high[seen][keep]], 1).astype(np.int64)
    return Triangles(face[keep], edges, edges.sum(1), rows)


def parallel(corners: NDArray[np.float64], face: NDArray[np.int64], size: tuple[int, int]) -> Triangles:
    """Triangles seen along a direction; (T, 3, 3) corners as (column, row, distance), all in pixels."""
    x, y, distance = corners[..., 0], corners[..., 1], corners[..., 2]
    low, high = np.maximum(np.ceil(y.min(1)), 0), np.minimum(np.floor(y.max(1)), size[0] - 1)
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    keep = (low <= high) & (np.abs(area) > 1e-9) & (x.max(1) >= 0) & (x.min(1) <= size[1] - 1)
    x, y, distance, area = x[keep], y[keep], distance[keep], area[keep]
    edges = np.empty((len(x), 3, 3))
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        edges[:, k, 0] = (y[:, i] - y[:, j]) / area
        edges[:, k, 1] = (x[:, j] - x[:, i]) / area
        edges[:, k, 2] = (x[:, i] * y[:, j] - x[:, j] * y[:, i]) / area
    depth = -(edges * distance[:, :, None]).sum(1)
    rows = np.stack([low[keep], high[keep]], 1).astype(np.int64)
    return Triangles(face[keep], edges, depth, rows)


def spans(
    triangles: Triangles, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The rows of all triangles: index of the triangle, row, first column, number of columns (> 0)."""
    counts = triangles.rows[:, 1] - triangles.rows[:, 0] + 1
    index = np.repeat(np.arange(len(counts)), counts)
    row = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts - triangles.rows[:, 0], counts)
    left, right = np.zeros(len(index)), np.full(len(index), width - 1.0)
    for k in range(3):
        slope, by_row, constant = triangles.edges[:, k].T
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = -1 / slope
            bound = (by_row * inverse)[index] * row + (constant * inverse)[index]
        rising = (slope > 0)[index]
        np.maximum(left, bound, out=left, where=rising)
        np.minimum(right, bound, out=right, where=~rising & np.isfinite(bound))
    first = np.ceil(left).astype(np.int64)
    length = np.floor(right).astype(np.int64) - first + 1
    some = length > 0
    return index[some], row[some], first[some], length[some]


def rasterise(
    triangles: Triangles,
    size: tuple[int, int],
    cutout: NDArray[np.bool_] | None = None,
    holes: Holes | None = None,
    background: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """What each pixel sees.

    Args:
        triangles: from `perspective` or `parallel`.
        size: (H, W).
        cutout: (T,) which triangles have holes.
        holes: where they are.
        background: (H·W,) depth order of what is there already.

    Returns:
        (H·W,) index of the triangle (−1: none), (H·W,) its depth order (0 or the background's where none).
    """
    height, width = size
    front = np.full(height * width, -np.inf) if background is None else background.copy()
    seen = np.full(height * width, -1, np.int64)
    index, row, first, length = spans(triangles, width)
    if cutout is None or holes is None:
        groups = [np.ones(len(index), bool)]
    else:
        groups = [~cutout[index], cutout[index]]
    for number, group in enumerate(groups):
        i, y, x0, n = index[group], row[group], first[group], length[group]
        slope, by_row, constant = triangles.depth.T
        begin = by_row[i] * y + constant[i]
        start = np.cumsum(n) - n
        x = np.arange(n.sum()) + np.repeat(x0 - start, n)
        key = np.repeat(begin, n) + np.repeat(slope[i], n) * x
        pixel = np.repeat(y * width, n) + x
        who = np.repeat(i, n)
        if number == 1 and holes is not None:
            hopeful = np.flatnonzero(key > front[pixel])
            x, key, pixel, who = x[hopeful], key[hopeful], pixel[hopeful], who[hopeful]
            weights = barycentric(triangles, who, x, pixel // width)
            there = holes(triangles.face[who], weights)
            key, pixel, who = key[there], pixel[there], who[there]
        np.maximum.at(front, pixel, key)
        winner = key >= front[pixel]
        seen[pixel[winner]] = who[winner]
    return seen, front


def barycentric(
    triangles: Triangles, index: NDArray[np.int64], x: NDArray[np.int64], y: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n, 3) barycentric coordinates of the pixels (x, y) on the triangles `index`."""
    e = triangles.edges[index]
    weights = e[:, :, 0] * x[:, None] + e[:, :, 1] * y[:, None] + e[:, :, 2]
    return weights / weights.sum(1, keepdims=True)
