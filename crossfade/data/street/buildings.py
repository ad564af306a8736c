"""Buildings, walls and fences. Local frame: the front runs along +x from the origin and looks along −y."""

import numpy as np
from numpy.typing import ArrayLike

from crossfade.data.street import classes as c
from crossfade.data.street.geometry import Mesh, box, merge, quads


def _gable(
    width: float, depth: float, eaves: float, rise: float, colour: ArrayLike, wall: ArrayLike, seed: int
) -> list[Mesh]:
    """A pitched roof with its ridge along x and the two gables under it."""
    over, ridge = 0.3, depth / 2
    front = [
        [-over, -over, eaves - 0.1],
        [width + over, -over, eaves - 0.1],
        [width + over, ridge, eaves + rise],
        [-over, ridge, eaves + rise],
    ]
    back = [[-over, depth + over, eaves - 0.1], [width + over, depth + over, eaves - 0.1], *front[2:]]
    texture = [[0, 0, 0], [width, 0, 0], [width, depth, 0], [0, depth, 0]]
    parts = [
        quads(np.array(front), c.ROOF, colour, c.BUILDING, np.array(texture), (0, -1, 1), seed),
        quads(np.array(back), c.ROOF, colour, c.BUILDING, np.array(texture), (0, 1, 1), seed),
    ]
    for x, away in ((0.0, -1.0), (width, 1.0)):
        triangle = [[x, 0, eaves], [x, depth, eaves], [x, ridge, eaves + rise * 0.97], [x, ridge, eaves + rise * 0.97]]
        flat = [[0, 0, 0], [depth, 0, 0], [ridge, rise, 0], [ridge, rise, 0]]
        parts.append(quads(np.array(triangle), c.PLASTER, wall, c.BUILDING, np.array(flat), (away, 0, 0), seed))
    return parts


def house(
    rng: np.random.Generator,
    width: float,
    depth: float,
    height: float,
    colour: ArrayLike,
    roof: ArrayLike,
    pitched: bool,
    detail: bool,
) -> Mesh:
    """A building: windowed walls, a pitched or flat roof, and where asked cornice, balconies, awnings, chimneys."""
    seed = int(rng.integers(1 << 20))
    wall = np.asarray(colour)
    parts = [box((0, 0, 0), (width, depth, height), c.FACADE, wall, c.BUILDING, seed)]
    if pitched:
        parts += _gable(width, depth, height, rng.uniform(1.5, 3.2), roof, wall, seed)
        if rng.random() < 0.7:
            x = rng.uniform(1, max(1.2, width - 1.5))
            parts.append(
                box(
                    (x, depth / 2 - 0.4, height),
                    (x + 0.7, depth / 2 + 0.4, height + 4.2),
                    c.BRICK,
                    wall * 0.7,
                    c.BUILDING,
                )
            )
    else:
        parts.append(
            box((-0.15, -0.2, height), (width + 0.15, depth, height + 0.45), c.PLASTER, wall * 0.8, c.BUILDING)
        )
        if rng.random() < 0.5:
            parts.append(
                box(
                    (width * 0.3, depth * 0.4, height),
                    (width * 0.6, depth * 0.8, height + 2.2),
                    c.PLASTER,
                    wall * 0.6,
                    c.BUILDING,
                )
            )
    if detail:
        parts.append(
            box((-0.02, -0.16, 3.0), (width + 0.02, 0, 3.3), c.PLASTER, np.clip(wall * 1.15, 0, 1), c.BUILDING)
        )
        if rng.random() < 0.4:
            awning = [[0.6, 0, 2.9], [width * 0.6, 0, 2.9], [width * 0.6, -1.3, 2.3], [0.6, -1.3, 2.3]]
            paint = rng.uniform(0.1, 0.8, 3)
            parts += [quads([awning], c.CLOTH, paint, c.BUILDING, facing=(0, -s, s)) for s in (1, -1)]
    if height > 8 and rng.random() < 0.35:
        for z in np.arange(4.2, height - 2, 3.0):
            x = width * 0.5
            parts.append(box((x - 1.3, -0.9, z - 0.12), (x + 1.3, 0, z + 0.9), c.PLASTER, wall * 0.75, c.BUILDING))
    return merge(parts)


def wall(length: float, height: float, colour: ArrayLike, material: int, seed: int) -> Mesh:
    """A free-standing wall with a coping."""
    body = box((0, -0.15, 0), (length, 0.15, height), material, colour, c.WALL, seed)
    cap = box(
        (-0.03, -0.21, height), (length + 0.03, 0.21, height + 0.1), c.PLASTER, np.asarray(colour) * 0.8 + 0.1, c.WALL
    )
    return merge([body, cap])


def fence(length: float, height: float, colour: ArrayLike, style: int) -> Mesh:
    """A fence: style 0 pickets, 1 railings, 2 boards (nearly closed), with posts."""
    corners = [[0, 0, 0.03], [length, 0, 0.03], [length, 0, height], [0, 0, height]]
    texture = [[0, 0, style], [length, 0, style], [length, height, style], [0, height, style]]
    parts = [quads(np.array(corners), c.RAILING, colour, c.FENCE, np.array(texture))]
    for x in (0.0, length):
        parts.append(
            box((x - 0.05, -0.05, 0), (x + 0.05, 0.05, height + 0.08), c.PLASTER, np.asarray(colour) * 0.85, c.FENCE)
        )
    return merge(parts)


def guard_rail(length: float, colour: ArrayLike) -> Mesh:
    """A pedestrian guard rail or crash barrier of two thick rails."""
    parts = [
        box((0, -0.05, z), (length, 0.05, z + t), c.METAL, colour, c.FENCE) for z, t in ((0.45, 0.14), (0.85, 0.14))
    ]
    for x in np.arange(0.1, length, 1.8):
        parts.append(box((x - 0.06, -0.06, 0), (x + 0.06, 0.06, 1.0), c.METAL, np.asarray(colour) * 0.9, c.FENCE))
    return merge(parts)
