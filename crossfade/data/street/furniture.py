"""Street furniture: lamps, signs, traffic lights, bollards. Local frame: foot at the origin, the road is towards −y,
drivers to be addressed come from −x."""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from crossfade.data.street import classes as c
from crossfade.data.street.geometry import Mesh, box, disc, merge, tube

BACK = (0.3, 0.3, 0.3)
"""Signs from behind."""


def _faced(plate: Mesh, centre: ArrayLike) -> Mesh:
    """Texture coordinates (x, y, z) from the middle of a sign's plate."""
    return replace(plate, texture=(plate.corners - np.asarray(centre)).astype(np.float32))


def street_lamp(rng: np.random.Generator, colour: ArrayLike) -> Mesh:
    """A lamp on a mast with an arm over the road."""
    height, arm = rng.uniform(5.5, 8), rng.uniform(1.2, 2.4)
    return merge(
        [
            tube((0, 0, 0), (0, 0, 1.2), (0.16, 0.15), c.METAL, colour, c.POLE, sides=6),
            tube((0, 0, 1.2), (0, 0, height), (0.11, 0.085), c.METAL, colour, c.POLE, sides=6),
            tube((0, 0.05, height - 0.1), (0, -arm, height + 0.35), (0.07, 0.06), c.METAL, colour, c.POLE, sides=5),
            box((-0.16, -arm - 0.6, height + 0.28), (0.16, -arm + 0.05, height + 0.44), c.METAL, colour, c.POLE),
        ]
    )


def mast(rng: np.random.Generator, colour: ArrayLike) -> Mesh:
    """A plain thick mast with a cross bar: telephone or tram line."""
    height = rng.uniform(6, 8.5)
    return merge(
        [
            tube((0, 0, 0), (0, 0, height), (0.17, 0.12), c.BARK, colour, c.POLE, sides=7, caps=True),
            box((-0.06, -0.9, height - 0.7), (0.06, 0.9, height - 0.55), c.BARK, colour, c.POLE),
        ]
    )


def bollard(colour: ArrayLike) -> Mesh:
    """A bollard."""
    return tube((0, 0, 0), (0, 0, 1.0), (0.1, 0.09), c.METAL, colour, c.POLE, sides=6, caps=True)


def road_sign(rng: np.random.Generator, colour: ArrayLike) -> Mesh:
    """One or two signs on a post: discs, triangles, rectangles, diamonds; grey from behind."""
    height, kind = rng.uniform(2.3, 2.9), int(rng.integers(4))
    size = rng.uniform(0.42, 0.58)
    parts = [tube((0, 0, 0), (0, 0, height + size), (0.055, 0.055), c.METAL, colour, c.POLE, sides=5)]
    sides = {0: 12, 1: 3, 2: 4, 3: 8}[kind]
    seed = 8 * int(rng.integers(64)) + kind
    centre = np.array((-0.08, 0, height))
    radius, turn = size * (1.25 if sides == 3 else 1.0), 0.0 if sides == 4 else 0.5
    plate = disc(centre, radius, 0.03, c.SIGN_FACE, BACK, c.SIGN, sides, "x", seed, turn)
    if sides == 3:  # stand it on its base
        x, y, z = np.moveaxis(plate.corners - centre, -1, 0)
        plate = replace(plate, corners=(np.stack([x, z, -y], -1) + centre).astype(np.float32))
    parts.append(_faced(plate, centre))
    if rng.random() < 0.45:
        low = height - size - 0.45
        board = box((-0.1, -0.38, low - 0.22), (-0.07, 0.38, low + 0.2), c.SIGN_FACE, BACK, c.SIGN, seed - kind + 4)
        parts.append(_faced(board, np.array((-0.085, 0, low))))
    return merge(parts)


def direction_sign(rng: np.random.Generator, colour: ArrayLike) -> Mesh:
    """A large board on two posts."""
    width, height, low = rng.uniform(1.6, 2.6), rng.uniform(0.9, 1.4), rng.uniform(2.0, 2.4)
    seed = 8 * int(rng.integers(64)) + 5
    board = box((-0.12, -width / 2, low), (-0.06, width / 2, low + height), c.SIGN_FACE, BACK, c.SIGN, seed)
    board = _faced(board, np.array((-0.09, 0, low + height / 2)))
    posts = [
        tube((0, y, 0), (0, y, low + height), (0.07, 0.07), c.METAL, colour, c.POLE, sides=5)
        for y in (-width / 3, width / 3)
    ]
    return merge([board, *posts])


def _head(y: float, z: float, phase: int, colour: ArrayLike, size: float) -> list[Mesh]:
    """The lamps of a traffic light; `phase` 0 green, 1 amber, 2 red is lit. The housing belongs to the light."""
    half, tall = 0.2 * size, 0.52 * size
    parts = [box((-0.16, y - half, z - tall), (0.12, y + half, z + tall), c.PLASTER, colour, c.LIGHT)]
    for k in range(3):
        lens = disc((-0.17, y, z + (k - 1) * 0.32 * size), 0.13 * size, 0.04, c.LENS, (0.5, 0.5, 0.5), c.LIGHT, 8, "x")
        parts.append(lens.seeded(2 * k + (k == phase)))
    return parts


def traffic_light(rng: np.random.Generator, colour: ArrayLike, housing: ArrayLike, phase: int, overhead: bool) -> Mesh:
    """A traffic light on a post, and on request a second one over the road."""
    size = rng.uniform(1.25, 1.6)
    parts = [tube((0, 0, 0), (0, 0, 3.0), (0.09, 0.08), c.METAL, colour, c.POLE, sides=6)]
    parts += _head(-0.3, 2.7, phase, housing, size)
    if overhead:
        parts.append(tube((0, 0, 3.0), (0, 0, 5.6), (0.08, 0.08), c.METAL, colour, c.POLE, sides=6))
        parts.append(tube((0, 0, 5.5), (0, -4.2, 5.7), (0.07, 0.06), c.METAL, colour, c.POLE, sides=5))
        parts += _head(-3.6, 5.2, phase, housing, size * 1.1)
    return merge(parts)
