"""Meshes: triangles with texture coordinates, and the solids that everything is built from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]
UP = (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Mesh:
    """N triangles.

    Attributes:
        corners: (N, 3, 3) float32, metres; counter-clockwise seen from outside.
        texture: (N, 3, 3) float32, texture coordinates of the corners, metres; they stick to the surface.
        colour: (N, 3) float32, linear albedo in [0, 1].
        material: (N,) int32, see `classes.py`.
        label: (N,) uint8, Cityscapes class id.
        seed: (N,) int32, what makes one instance of a material differ from another.
    """

    corners: Array
    texture: Array
    colour: Array
    material: NDArray[np.int32]
    label: NDArray[np.uint8]
    seed: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.corners)

    def moved(self, offset: ArrayLike, rotation: Array | None = None) -> "Mesh":
        """Rotated by a (3, 3) matrix, then shifted; texture coordinates stay."""
        corners = self.corners if rotation is None else self.corners @ rotation.T
        return replace(self, corners=(corners + np.asarray(offset, np.float32)).astype(np.float32))

    def scaled(self, factor: ArrayLike) -> "Mesh":
        """Scaled by a positive number or by three."""
        return replace(self, corners=self.corners * np.asarray(factor, np.float32))

    def seeded(self, seed: int) -> "Mesh":
        """With another seed on every triangle."""
        return replace(self, seed=np.full(len(self), seed, np.int32))


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """All triangles of all meshes, in order."""
    return Mesh(
        np.concatenate([m.corners for m in meshes]),
        np.concatenate([m.texture for m in meshes]),
        np.concatenate([m.colour for m in meshes]),
        np.concatenate([m.material for m in meshes]),
        np.concatenate([m.label for m in meshes]),
        np.concatenate([m.seed for m in meshes]),
    )


def rotation_z(angle: float) -> Array:
    """(3, 3) rotation about z, radians, x towards y."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)


def rotation_y(angle: float) -> Array:
    """(3, 3) rotation about y, radians; positive swings what hangs down (−z) backwards (−x)."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)


def quads(
    corners: ArrayLike,
    material: int,
    colour: ArrayLike,
    label: int,
    texture: ArrayLike | None = None,
    facing: ArrayLike | None = None,
    seed: int = 0,
) -> Mesh:
    """Quadrilaterals.

    Args:
        corners: (Q, 4, 3) or (4, 3), in order around.
        material: id of the material.
        colour: (3,) or (Q, 3).
        label: class id.
        texture: like `corners`; the corners themselves where not given.
        facing: (3,) or (Q, 3): each is turned so that its outside looks this way.
        seed: see `Mesh`.
    """
    points = np.asarray(corners, np.float32).reshape(-1, 4, 3)
    coordinates = points if texture is None else np.asarray(texture, np.float32).reshape(-1, 4, 3)
    count = len(points)
    if facing is not None:
        (ax, ay, az), (bx, by, bz) = (points[:, 2] - points[:, 0]).T, (points[:, 3] - points[:, 1]).T
        fx, fy, fz = np.asarray(facing, np.float32).T
        away = (fx * (ay * bz - az * by) + fy * (az * bx - ax * bz) + fz * (ax * by - ay * bx) < 0)[:, None, None]
        points = np.where(away, points[:, ::-1], points)
        coordinates = np.where(away, coordinates[:, ::-1], coordinates)
    pick = np.array([[0, 1, 2], [0, 2, 3]])
    paint = np.broadcast_to(np.asarray(colour, np.float32), (count, 3))
    return Mesh(
        points[:, pick].reshape(-1, 3, 3),
        coordinates[:, pick].reshape(-1, 3, 3),
        np.repeat(paint, 2, axis=0),
        np.full(2 * count, material, np.int32),
        np.full(2 * count, label, np.uint8),
        np.full(2 * count, seed, np.int32),
    )


def loft(sections: ArrayLike, material: int, colour: ArrayLike, label: int, caps: bool = True, seed: int = 0) -> Mesh:
    """The solid through a row of cross sections, each seen from its own middle (so each should be star-shaped).

    Args:
        sections: (S, K, 3): S polygons of K corners.
        material: id of the material.
        colour: (3,).
        label: class id.
        caps: close both ends.
        seed: see `Mesh`.
    """
    rings = np.asarray(sections, np.float32)
    middles = rings.mean(axis=1)
    following = np.roll(rings, -1, axis=1)
    sides = np.stack([rings[:-1], following[:-1], following[1:], rings[1:]], axis=2)  # (S-1, K, 4, 3)
    outward = sides.mean(axis=2) - ((middles[:-1] + middles[1:]) / 2)[:, None]
    parts = [sides.reshape(-1, 4, 3)]
    directions = [outward.reshape(-1, 3)]
    if caps:
        for end, inner in ((0, 1), (-1, -2)):
            middle = np.broadcast_to(middles[end], rings[end].shape)
            fans = np.stack([rings[end], following[end], middle, middle], axis=1)
            parts.append(fans)
            directions.append(np.broadcast_to(middles[end] - middles[inner], middle.shape))
    return quads(np.concatenate(parts), material, colour, label, facing=np.concatenate(directions), seed=seed)


def box(low: ArrayLike, high: ArrayLike, material: int, colour: ArrayLike, label: int, seed: int = 0) -> Mesh:
    """An upright box between two corners; texture coordinates run along and up each face."""
    (x0, y0, z0), (x1, y1, z1) = np.asarray(low, float), np.asarray(high, float)
    ring = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    length = np.array([0, x1 - x0, x1 - x0 + y1 - y0, 2 * (x1 - x0) + y1 - y0, 2 * (x1 - x0 + y1 - y0)])
    faces, texture, facing = [], [], []
    for k in range(4):
        (ax, ay), (bx, by) = ring[k], ring[(k + 1) % 4]
        faces.append([[ax, ay, z0], [bx, by, z0], [bx, by, z1], [ax, ay, z1]])
        u0, u1 = length[k], length[k + 1]
        texture.append([[u0, 0, 0], [u1, 0, 0], [u1, z1 - z0, 0], [u0, z1 - z0, 0]])
        facing.append([by - ay, ax - bx, 0.0])
    for z, up in ((z0, -1.0), (z1, 1.0)):
        faces.append([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]])
        texture.append([[x0, y0, 9], [x1, y0, 9], [x1, y1, 9], [x0, y1, 9]])
        facing.append([0.0, 0.0, up])
    return quads(faces, material, colour, label, texture, facing, seed)


def tube(
    start: ArrayLike,
    end: ArrayLike,
    radii: tuple[float, float],
    material: int,
    colour: ArrayLike,
    label: int,
    sides: int = 6,
    caps: bool = False,
    flatten: float = 1.0,
) -> Mesh:
    """A (tapering) tube between two points; `flatten` scales the cross section's second axis."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    axis = (b - a) / np.sqrt((b - a) @ (b - a))
    p, q, r = axis
    side = np.array((-r, 0, p) if abs(q) < 0.9 else (0, r, -q))
    side /= np.sqrt(side @ side)
    other = np.array((q * side[2] - r * side[1], r * side[0] - p * side[2], p * side[1] - q * side[0]))
    angle = (np.arange(sides) + 0.5) * 2 * np.pi / sides
    ring = np.cos(angle)[:, None] * side + flatten * np.sin(angle)[:, None] * other
    return loft([a + ring * radii[0], b + ring * radii[1]], material, colour, label, caps)


def ball(
    centre: ArrayLike, radii: ArrayLike, material: int, colour: ArrayLike, label: int, rings: int = 4, sides: int = 6
) -> Mesh:
    """An ellipsoid of few faces."""
    polar = np.linspace(0.12, np.pi - 0.12, rings)
    angle = np.arange(sides) * 2 * np.pi / sides
    unit = np.stack(
        [
            np.sin(polar)[:, None] * np.cos(angle),
            np.sin(polar)[:, None] * np.sin(angle),
            np.broadcast_to(np.cos(polar)[:, None], (rings, sides)),
        ],
        -1,
    )
    return loft(unit * np.asarray(radii) + np.asarray(centre), material, colour, label)


def disc(
    centre: ArrayLike,
    radius: float,
    width: float,
    material: int,
    colour: ArrayLike,
    label: int,
    sides: int = 10,
    axis: str = "y",
    seed: int = 0,
    turn: float = 0.5,
) -> Mesh:
    """A flat cylinder about the x or y axis, turned by a share of a side; texture coordinates from its centre."""
    angle = (np.arange(sides) + turn) * 2 * np.pi / sides
    rings = np.zeros((2, sides, 3))
    across, along = (0, 1) if axis == "y" else (1, 0)
    rings[:, :, across] = radius * np.cos(angle)
    rings[:, :, 2] = radius * np.sin(angle)
    rings[:, :, along] = np.array([[-width / 2], [width / 2]])
    return loft(rings, material, colour, label, seed=seed).moved(centre)
