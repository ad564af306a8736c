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
        edges: (3, 3, T): bᵢ/t = edges[i] · (x, y, 1).
        depth: (3, T): what orders them, largest in front: depth · (x, y, 1) (1/depth in a perspective view).
        rows: (2, T) the first and last y they may touch, not rounded.
    """

    face: NDArray[np.int64]
    edges: NDArray[np.float64]
    depth: NDArray[np.float64]
    rows: NDArray[np.float64]

    def shifted(self, offset: float) -> "Triangles":
        """Seen on a grid of samples whose origin lies `offset` pixels right and down."""
        if offset == 0:
            return self
        edges, depth = self.edges.copy(), self.depth.copy()
        edges[:, 2] += offset * (edges[:, 0] + edges[:, 1])
        depth[2] += offset * (depth[0] + depth[1])
        return Triangles(self.face, edges, depth, self.rows - offset)


def _extent(a: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest and largest of three rows."""
    return np.minimum(np.minimum(a[0], a[1]), a[2]), np.maximum(np.maximum(a[0], a[1]), a[2])


def perspective(
    corners: NDArray[np.float64],
    face: NDArray[np.int64],
    open_faces: NDArray[np.bool_],
    focal: float,
    size: tuple[int, int],
) -> Triangles:
    """Triangles in a pinhole view; those that hold no multiple of half a pixel are left out.

    Args:
        corners: (T, 3, 3) in the camera frame.
        face: (T,) index of each in the mesh.
        open_faces: (T,) seen from both sides.
        focal: focal length, pixels.
        size: (H, W).
    """
    height, width = size
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    x, y, z = (np.ascontiguousarray(corners[:, :, k].T) for k in range(3))
    scale = focal / np.maximum(z, NEAR)
    left, right = _extent(x * scale + centre_x)
    top, bottom = _extent(y * scale + centre_y)
    nearest, farthest = _extent(z)
    crossing = nearest < NEAR
    top, bottom = np.where(crossing, -1, top), np.where(crossing, height, bottom)
    seen = (farthest > NEAR) & (np.ceil(2 * top) <= np.floor(2 * bottom)) & (bottom >= -0.5) & (top <= height - 0.5)
    seen &= crossing | ((np.ceil(2 * left) <= np.floor(2 * right)) & (right >= -0.5) & (left <= width - 0.5))
    x, y, z = x[:, seen], y[:, seen], z[:, seen]
    edges = np.empty((3, 3, x.shape[1]))
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        edges[k] = y[i] * z[j] - z[i] * y[j], z[i] * x[j] - x[i] * z[j], x[i] * y[j] - y[i] * x[j]
    volume = x[0] * edges[0, 0] + y[0] * edges[0, 1] + z[0] * edges[0, 2]
    keep = (volume < -1e-12) | (open_faces[seen] & (volume > 1e-12))
    edges = edges[:, :, keep] / volume[keep]
    edges[:, :2] /= focal
    edges[:, 2] -= edges[:, 0] * centre_x + edges[:, 1] * centre_y
    rows = np.stack([top[seen][keep], bottom[seen][keep]])
    return Triangles(face[seen][keep], edges, edges.sum(0), rows)


def parallel(corners: NDArray[np.float64], face: NDArray[np.int64], size: tuple[int, int]) -> Triangles:
    """Triangles seen along a direction; (T, 3, 3) corners as (column, row, distance), columns and rows in pixels."""
    x, y, distance = (np.ascontiguousarray(corners[:, :, k].T) for k in range(3))
    left, right = _extent(x)
    top, bottom = _extent(y)
    area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
    keep = (np.abs(area) > 1e-9) & (np.ceil(left) <= np.floor(right)) & (right >= 0) & (left <= size[1] - 1)
    keep &= (np.ceil(top) <= np.floor(bottom)) & (bottom >= 0) & (top <= size[0] - 1)
    x, y, distance, area = x[:, keep], y[:, keep], distance[:, keep], area[keep]
    edges = np.empty((3, 3, x.shape[1]))
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        edges[k] = (y[i] - y[j]) / area, (x[j] - x[i]) / area, (x[i] * y[j] - x[j] * y[i]) / area
    depth = -(edges * distance[:, None]).sum(0)
    return Triangles(face[keep], edges, depth, np.stack([top[keep], bottom[keep]]))


def spans(
    triangles: Triangles, size: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The rows of all triangles: index of the triangle, row, first column, number of columns (> 0)."""
    height, width = size
    begin = np.maximum(np.ceil(triangles.rows[0]), 0).astype(np.int64)
    end = np.minimum(np.floor(triangles.rows[1]), height - 1).astype(np.int64)
    counts = np.maximum(end - begin + 1, 0)
    index = np.repeat(np.arange(len(counts)), counts)
    row = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts - begin, counts)
    left, right = np.zeros(len(index)), np.full(len(index), width - 1.0)
    for slope, by_row, constant in triangles.edges:
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = -1 / slope
            bound = np.repeat(by_row * inverse, counts) * row + np.repeat(constant * inverse, counts)
        rising = np.repeat(slope > 0, counts)
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
        (H·W,) index of the triangle (−1: none), (H·W,) its depth order (the background's or −∞ where none).
    """
    height, width = size
    front = np.full(height * width, -np.inf) if background is None else background.copy()
    seen = np.full(height * width, -1, np.int64)
    index, row, first, length = spans(triangles, size)
    perforated = np.zeros(len(index), bool) if cutout is None else cutout[index]
    for group in (~perforated, perforated):
        if not group.any():
            continue
        i, y, x0, n = index[group], row[group], first[group], length[group]
        slope, by_row, constant = triangles.depth
        begin = np.cumsum(n) - n
        x = np.arange(n.sum()) + np.repeat(x0 - begin, n)
        key = np.repeat(by_row[i] * y + constant[i], n) + np.repeat(slope[i], n) * x
        pixel = np.repeat(y * width, n) + x
        who = np.repeat(i, n)
        if holes is not None and group is perforated:
            hopeful = np.flatnonzero(key > front[pixel])
            x, key, pixel, who = x[hopeful], key[hopeful], pixel[hopeful], who[hopeful]
            there = holes(triangles.face[who], barycentric(triangles, who, x, pixel // width))
            key, pixel, who = key[there], pixel[there], who[there]
        np.maximum.at(front, pixel, key)
        winner = key >= front[pixel]
        seen[pixel[winner]] = who[winner]
    return seen, front


def barycentric(
    triangles: Triangles, index: NDArray[np.int64], x: NDArray[np.int64], y: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n, 3) barycentric coordinates of the pixels (x, y) on the triangles `index`."""
    e = triangles.edges[:, :, index]
    weights = e[:, 0] * x + e[:, 1] * y + e[:, 2]
    return (weights / (weights[0] + weights[1] + weights[2])).T
