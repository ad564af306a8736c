"""The road's centre line: places are given as (s, d), metres along it and to the left of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossfade.data.street.geometry import Mesh, rotation_z

STEP = 0.5


@dataclass(frozen=True)
class Route:
    """A smooth curve, sampled every half metre.

    Attributes:
        s: (N,) metres along.
        x, y, z: (N,) world coordinates.
        heading: (N,) radians.
    """

    s: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    z: NDArray[np.float64]
    heading: NDArray[np.float64]

    def direction(self, s: ArrayLike) -> NDArray[np.float64]:
        """Heading at s."""
        return np.interp(np.asarray(s, float), self.s, self.heading)

    def place(self, s: ArrayLike, d: ArrayLike, z: ArrayLike = 0.0) -> NDArray[np.float64]:
        """World coordinates (..., 3) of (s, d) and a height above the road."""
        s, d, z = np.broadcast_arrays(np.asarray(s, float), np.asarray(d, float), np.asarray(z, float))
        heading = self.direction(s)
        x = np.interp(s, self.s, self.x) - d * np.sin(heading)
        y = np.interp(s, self.s, self.y) + d * np.cos(heading)
        return np.stack([x, y, np.interp(s, self.s, self.z) + z], -1)

    def put(self, mesh: Mesh, s: float, d: float, turn: float = 0.0, z: float = 0.0) -> Mesh:
        """A mesh moved to (s, d), turned from the road's direction by `turn` radians."""
        return mesh.moved(self.place(s, d, z), rotation_z(float(self.direction(s)) + turn))

    def bend(self, mesh_sd: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points given as (s, d, height), (..., 3), to the world."""
        return self.place(mesh_sd[..., 0], mesh_sd[..., 1], mesh_sd[..., 2])


def make_route(rng: np.random.Generator, start: float, end: float, winding: float) -> Route:
    """A road of straights and bends with gentle slopes; `winding` is the sharpest curvature, 1/m."""
    s = np.arange(start, end, STEP)
    curvature = np.zeros_like(s)
    at = rng.uniform(start, start + 40)
    while at < end:
        length = rng.uniform(25, 60)
        bump = np.clip((s - at) / length, 0, 1)
        curvature += rng.choice([-1, 1]) * rng.uniform(0.3, 1.0) * winding * np.sin(np.pi * bump) ** 2
        at += length + rng.uniform(0, 40)
    heading = np.cumsum(curvature) * STEP
    heading -= np.interp(0.0, s, heading)
    x, y = np.cumsum(np.cos(heading)) * STEP, np.cumsum(np.sin(heading)) * STEP
    height = rng.uniform(0, 1.2) * np.sin(2 * np.pi * s / rng.uniform(90, 160) + rng.uniform(0, 6))
    return Route(s, x, y, height, heading)
