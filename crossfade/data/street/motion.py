"""Exact motion between two views of a scene: where a pixel's surface point is in the other, and if it is seen there."""

import numpy as np
from numpy.typing import NDArray

from crossfade.data.street.view import View

TOLERANCE = (0.004, 0.02)
"""A point counts as seen if its depth is that of what is seen there up to so much (share, metres)."""


def exact_motion(first: View, second: View) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The motion from one view to another of the same scene.

    A point keeps its barycentric coordinates on its triangle, so its place in the second view is that of the moved
    triangle's point; the sky is infinitely far away. It is valid where it falls inside the second picture and the
    surface seen there (its plane, evaluated at the exact place) has the point's own depth: nothing is in front of it,
    and the nearest pixel does not fall beyond its outline.

    Returns:
        flow (2, H, W) float32 pixels, valid (H, W) bool.
    """
    height, width = first.size
    hit, sky = np.flatnonzero(first.face >= 0), np.flatnonzero(first.face < 0)
    place = np.empty((height * width, 2))
    depth = np.full(height * width, np.inf)
    place[hit], depth[hit] = second.camera.project(first.points(hit, second.corners))
    place[sky] = second.camera.project_directions(first.rays()[sky].astype(np.float64))
    x, y = first.grid()
    flow = np.stack([place[:, 0] - x, place[:, 1] - y])
    column, row = np.rint(place[:, 0]), np.rint(place[:, 1])
    valid = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (depth > 0)
    target = np.where(valid, row * width + column, 0).astype(np.int64)
    there = second.face[target]
    plane = second.plane[target]
    nearness = plane[:, 0] * place[:, 0] + plane[:, 1] * place[:, 1] + plane[:, 2]
    share, metres = TOLERANCE
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = np.abs(depth - 1 / np.maximum(nearness, 1e-9)) <= depth * share + metres
    valid &= np.where(first.face < 0, there < 0, (there >= 0) & seen)
    flow = np.clip(flow, -4 * width, 4 * width)
    return flow.reshape(2, height, width).astype(np.float32), valid.reshape(height, width)
