"""Vehicles, standing at the origin and looking along +x: cars, vans, lorries, buses, motorcycles, bicycles."""

from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from crossfade.data.street import classes as c
from crossfade.data.street.geometry import Mesh, box, disc, loft, merge, quads, tube

RUBBER = (0.03, 0.03, 0.035)
DARK = (0.05, 0.05, 0.06)
HEAD_LAMP = (1.0, 0.98, 0.9)
TAIL_LAMP = (0.75, 0.04, 0.03)
INDICATOR = (0.95, 0.45, 0.05)
PLATE = (0.85, 0.85, 0.8)


def _panel(
    x: float, y: tuple[float, ...], z: tuple[float, float], material: int, colour: ArrayLike, label: int
) -> Mesh:
    """A rectangle across the vehicle at `x`, looking away from its middle."""
    (y0, y1), (z0, z1) = y, z
    corners = [[x, y0, z0], [x, y1, z0], [x, y1, z1], [x, y0, z1]]
    return quads(corners, material, colour, label, facing=(np.sign(x), 0, 0))


def _wheels(axles: ArrayLike, track: float, radius: float, width: float, label: int) -> list[Mesh]:
    return [
        disc((x, side * track, radius), radius, width, c.TYRE, RUBBER, label)
        for x in np.atleast_1d(axles)
        for side in (-1, 1)
    ]


def _lamps(
    nose: float, tail: float, half: float, height: float, tail_height: float, size: float, label: int
) -> list[Mesh]:
    """Head lamps and grille in front, tail lamps and plate behind: the two ends are told apart at a glance."""
    parts = []
    for side in (-1, 1):
        outer, inner = side * half, side * (half - 0.36)
        y = (min(outer, inner), max(outer, inner))
        parts.append(_panel(nose, y, (height, height + size), c.LAMP, HEAD_LAMP, label))
        tall = (side * half, side * (half - 0.2))
        y = (min(tall), max(tall))
        parts.append(_panel(tail, y, (tail_height, tail_height + 1.5 * size), c.LAMP, TAIL_LAMP, label))
        parts.append(_panel(tail, y, (tail_height - 0.06, tail_height), c.LAMP, INDICATOR, label))
    grille = half - 0.38
    parts.append(_panel(nose, (-grille, grille), (height - 0.02, height + size), c.GLASS, DARK, label))
    parts.append(_panel(nose, (-half * 0.7, half * 0.7), (height - 0.3, height - 0.16), c.GLASS, DARK, label))
    parts.append(_panel(nose * 1.002, (-0.26, 0.26), (height - 0.16, height - 0.05), c.LAMP, PLATE, label))
    parts.append(_panel(tail * 1.002, (-0.26, 0.26), (tail_height - 0.2, tail_height - 0.08), c.LAMP, PLATE, label))
    return parts


def _body_section(x: float, low: float, belt: float, top: float, half: float) -> list[list[float]]:
    """A cross section: sills drawn in, widest at the belt, shoulders drawn in."""
    return [
        [x, -half * 0.93, low],
        [x, half * 0.93, low],
        [x, half, belt],
        [x, half * 0.94, top],
        [x, -half * 0.94, top],
        [x, -half, belt],
    ]


def _cabin(
    x: tuple[float, float, float, float], z: tuple[float, float], half: float, colour: ArrayLike, label: int
) -> list[Mesh]:
    """Glass house; `x` are rear foot, rear roof edge, front roof edge, front foot; `z` foot and roof."""
    (rear, rear_top, front_top, front), (z0, z1), top = x, z, half * 0.8
    low_left, low_right = [rear, half, z0], [rear, -half, z0]
    roof = [[rear_top, -top, z1], [front_top, -top, z1], [front_top, top, z1], [rear_top, top, z1]]
    parts = [
        quads(roof, c.PAINT, colour, label, facing=(0, 0, 1)),
        quads([low_left, low_right, roof[0], roof[3]], c.GLASS, DARK, label, facing=(-1, 0, 0.3)),
        quads([[front, half, z0], [front, -half, z0], roof[1], roof[2]], c.GLASS, DARK, label, facing=(1, 0, 0.3)),
    ]
    for side in (-1, 1):
        foot = [[rear, side * half, z0], [front, side * half, z0]]
        head = [[front_top, side * top, z1], [rear_top, side * top, z1]]
        texture = [[rear, 0, 0], [front, 0, 0], [front_top, 1, 0], [rear_top, 1, 0]]
        parts.append(quads([*foot, *head], c.CABIN, colour, label, texture, (0, side, 0.3)))
    return parts


def car(rng: np.random.Generator, colour: ArrayLike) -> Mesh:
    """A hatchback, saloon, estate or off-roader, 3.7 to 4.8 m long."""
    shape = rng.choice(["hatch", "saloon", "estate", "tall"])
    half_length = {"hatch": 1.9, "saloon": 2.3, "estate": 2.3, "tall": 2.25}[shape] * rng.uniform(0.95, 1.05)
    half, raised = rng.uniform(0.84, 0.93), 0.12 if shape == "tall" else 0.0
    low, belt = 0.24 + raised, 0.62 + raised
    bonnet, boot = 0.86 + raised + rng.uniform(0, 0.08), 0.95 + raised + rng.uniform(0, 0.1)
    roof = {"hatch": 1.47, "saloon": 1.44, "estate": 1.48, "tall": 1.72}[shape] + rng.uniform(-0.04, 0.05)
    n = half_length
    sections = [
        _body_section(-n, low + 0.1, belt, boot - 0.12, half * 0.93),
        _body_section(-n + 0.12, low, belt, boot, half),
        _body_section(-0.2, low, belt, boot, half),
        _body_section(n * 0.38, low, belt, bonnet + 0.06, half),
        _body_section(n - 0.3, low, belt, bonnet - 0.08, half * 0.98),
        _body_section(n, low + 0.08, belt - 0.02, bonnet - 0.2, half * 0.88),
    ]
    rear = {"hatch": -n + 0.1, "saloon": -n * 0.62, "estate": -n + 0.1, "tall": -n + 0.08}[shape]
    slope = {"hatch": 0.5, "saloon": 0.75, "estate": 0.25, "tall": 0.25}[shape]
    windscreen = n * rng.uniform(0.4, 0.5)
    parts = [loft(sections, c.PAINT, colour, c.CAR)]
    parts += _cabin(
        (rear, rear + slope, windscreen - 0.75, windscreen), (boot - 0.06, roof), half * 0.92, colour, c.CAR
    )
    parts += _wheels([-n * 0.62, n * 0.64], half - 0.1, 0.32 + raised / 4, 0.22, c.CAR)
    parts += _lamps(n + 0.012, -n - 0.012, half * 0.84, bonnet - 0.34, boot - 0.33, 0.14, c.CAR)
    for side in (-1, 1):
        x, y = windscreen - 0.25, side * (half + 0.08)
        parts.append(box((x - 0.05, y - 0.08, boot - 0.02), (x + 0.08, y + 0.08, boot + 0.11), c.PAINT, colour, c.CAR))
    return merge(parts)


def van(rng: np.random.Generator, colour: ArrayLike) -> Mesh:
    """A delivery van (a car to Cityscapes)."""
    n, half, roof = rng.uniform(2.3, 2.7), 0.97, rng.uniform(1.9, 2.3)
    sections = [
        _body_section(-n, 0.35, 1.0, roof, half),
        _body_section(n * 0.4, 0.3, 1.0, roof, half),
        _body_section(n * 0.72, 0.3, 0.8, 1.15, half),
        _body_section(n, 0.35, 0.7, 0.95, half * 0.92),
    ]
    parts = [loft(sections, c.PAINT, colour, c.CAR), *_wheels([-n * 0.6, n * 0.66], 0.88, 0.34, 0.24, c.CAR)]
    parts += _lamps(n + 0.012, -n - 0.012, half * 0.85, 0.66, 0.95, 0.16, c.CAR)
    glass = [[n * 0.41, -0.84, roof - 0.1], [n * 0.41, 0.84, roof - 0.1], [n * 0.71, 0.84, 1.2], [n * 0.71, -0.84, 1.2]]
    parts.append(quads(np.add(glass, (0.03, 0, 0.03)), c.GLASS, DARK, c.CAR, facing=(1, 0, 0.5)))
    for side in (-1, 1):
        y = side * (half + 0.01)
        window = [[n * 0.1, y, 1.15], [n * 0.6, y, 1.15], [n * 0.45, y, roof - 0.2], [n * 0.1, y, roof - 0.2]]
        parts.append(quads(window, c.GLASS, DARK, c.CAR, facing=(0, side, 0)))
        parts.append(
            _panel(-n - 0.02, tuple(sorted((side * 0.12, side * 0.8))), (1.2, roof - 0.25), c.GLASS, DARK, c.CAR)
        )
    return merge(parts)


def bus(rng: np.random.Generator, colour: ArrayLike) -> Mesh:
    """A city bus, 10 to 12 m; rows of windows, doors, a destination sign in front."""
    n, half, roof = rng.uniform(5.0, 6.0), 1.25, rng.uniform(2.95, 3.2)
    body = box((-n, -half, 0.35), (n, half, roof), c.COACH, colour, c.BUS)
    parts = [body, *_wheels([-n * 0.6, n * 0.62], half - 0.12, 0.48, 0.3, c.BUS)]
    parts.append(_panel(n + 0.02, (-1.1, 1.1), (1.1, roof - 0.55), c.GLASS, DARK, c.BUS))
    parts.append(_panel(n + 0.02, (-0.8, 0.8), (roof - 0.45, roof - 0.15), c.LAMP, (0.95, 0.65, 0.1), c.BUS))
    parts.append(_panel(-n - 0.02, (-0.9, 0.9), (1.5, roof - 0.6), c.GLASS, DARK, c.BUS))
    parts += _lamps(n + 0.03, -n - 0.03, half - 0.08, 0.65, 0.9, 0.2, c.BUS)
    return merge(parts)


def truck(rng: np.random.Generator, colour: ArrayLike) -> Mesh:
    """A lorry: cab, gap, box body or flat bed with a load."""
    n, half = rng.uniform(3.2, 4.2), 1.2
    cab = [
        _body_section(n - 1.7, 0.5, 1.3, 2.6, half),
        _body_section(n - 0.25, 0.5, 1.3, 2.5, half),
        _body_section(n, 0.45, 1.1, 1.45, half * 0.97),
    ]
    load = np.clip(np.asarray(colour) * 0.3 + rng.uniform(0.25, 0.7, 3) * 0.8, 0, 0.95)
    top = rng.uniform(2.8, 3.5)
    parts = [
        loft(cab, c.PAINT, colour, c.TRUCK),
        box((-n, -half, 0.95), (n - 1.9, half, top), c.PLASTER, load, c.TRUCK),
        box((-n, -0.5, 0.55), (n - 1, 0.5, 0.95), c.PLASTER, DARK, c.TRUCK),
        *_wheels([-n * 0.75, -n * 0.45, n * 0.68], half - 0.14, 0.47, 0.3, c.TRUCK),
        *_lamps(n + 0.02, -n - 0.02, half - 0.1, 0.72, 0.8, 0.18, c.TRUCK),
    ]
    glass = [[n - 0.22, -1.05, 2.4], [n - 0.22, 1.05, 2.4], [n + 0.01, 1.05, 1.5], [n + 0.01, -1.05, 1.5]]
    parts.append(quads(glass, c.GLASS, DARK, c.TRUCK, facing=(1, 0, 0.3)))
    for side in (-1, 1):
        y = side * (half + 0.012)
        window = [[n - 1.2, y, 1.55], [n - 0.25, y, 1.55], [n - 0.4, y, 2.3], [n - 1.2, y, 2.3]]
        parts.append(quads(window, c.GLASS, DARK, c.TRUCK, facing=(0, side, 0)))
    return merge(parts)


def _ring(x: float, radius: float, width: float, label: int, tyre: float = 0.05) -> Mesh:
    """A spoked wheel: its tyre and two crossed bars."""
    angle = np.linspace(0, 2 * np.pi, 15)
    around = np.stack([np.cos(angle), np.zeros_like(angle), np.sin(angle)], -1)
    outer, inner = around * radius, around * (radius - tyre)
    corners = np.stack([outer[:-1], outer[1:], inner[1:], inner[:-1]], 1)
    sides = [quads(corners + np.array((0, s * width, 0)), c.TYRE, RUBBER, label, facing=(0, s, 0)) for s in (-1, 1)]
    across = np.array((0, width, 0))
    edge = np.stack([outer[:-1] - across, outer[1:] - across, outer[1:] + across, outer[:-1] + across], 1)
    sides.append(quads(edge, c.TYRE, RUBBER, label, facing=edge.mean(1)))
    for start, end in ((outer[0], outer[7]), (outer[3], outer[10])):
        sides.append(tube(start, end, (0.012, 0.012), c.METAL, (0.4, 0.4, 0.4), label, sides=4))
    return merge(sides).moved((x, 0, radius))


PAINTED = (-1.0, 0.0, 0.0)
"""Stands for the colour that a model of which there is only one gets later."""


def _painted(model: Mesh, colour: ArrayLike) -> Mesh:
    return replace(model, colour=np.where(model.colour[:, :1] < 0, np.asarray(colour, np.float32), model.colour))


def bicycle(colour: ArrayLike) -> Mesh:
    """A bicycle: spoked wheels, diamond frame, handlebar, saddle."""
    return _painted(_bicycle(), colour)


@cache
def _bicycle() -> Mesh:
    crank, seat, head = (-0.02, 0, 0.32), (-0.2, 0, 0.92), (0.36, 0, 0.9)
    rear, front = (-0.52, 0, 0.34), (0.54, 0, 0.34)
    bars = [(crank, seat), (crank, head), (seat, head), (rear, seat), (rear, crank), (head, front)]
    parts = [_ring(-0.52, 0.34, 0.022, c.BICYCLE), _ring(0.54, 0.34, 0.022, c.BICYCLE)]
    parts += [tube(a, b, (0.028, 0.028), c.PAINT, PAINTED, c.BICYCLE, sides=4) for a, b in bars]
    parts.append(tube((0.34, -0.27, 1.02), (0.34, 0.27, 1.02), (0.022, 0.022), c.METAL, DARK, c.BICYCLE, sides=4))
    parts.append(box((-0.34, -0.07, 0.92), (-0.08, 0.07, 0.98), c.PLASTER, DARK, c.BICYCLE))
    return merge(parts)


def motorcycle(colour: ArrayLike) -> Mesh:
    """A motorcycle: thick wheels, tank, seat, engine, lamps at both ends."""
    return _painted(_motorcycle(), colour)


@cache
def _motorcycle() -> Mesh:
    grey = (0.25, 0.25, 0.26)
    parts = [
        disc((-0.68, 0, 0.31), 0.31, 0.16, c.TYRE, RUBBER, c.MOTORCYCLE),
        disc((0.72, 0, 0.31), 0.31, 0.13, c.TYRE, RUBBER, c.MOTORCYCLE),
        box((-0.3, -0.17, 0.25), (0.32, 0.17, 0.62), c.METAL, grey, c.MOTORCYCLE),
        tube((-0.1, 0, 0.82), (0.42, 0, 0.88), (0.15, 0.19), c.PAINT, PAINTED, c.MOTORCYCLE, caps=True),
        tube((-0.95, 0, 0.88), (0.0, 0, 0.76), (0.1, 0.15), c.PLASTER, DARK, c.MOTORCYCLE, caps=True),
        tube((0.5, -0.36, 1.05), (0.5, 0.36, 1.05), (0.025, 0.025), c.METAL, DARK, c.MOTORCYCLE, sides=4),
        tube((0.72, -0.09, 0.31), (0.46, -0.09, 1.02), (0.035, 0.035), c.METAL, grey, c.MOTORCYCLE, sides=4),
        tube((0.72, 0.09, 0.31), (0.46, 0.09, 1.02), (0.035, 0.035), c.METAL, grey, c.MOTORCYCLE, sides=4),
        _panel(0.62, (-0.11, 0.11), (0.8, 1.0), c.LAMP, HEAD_LAMP, c.MOTORCYCLE),
        _panel(-0.97, (-0.09, 0.09), (0.76, 0.88), c.LAMP, TAIL_LAMP, c.MOTORCYCLE),
    ]
    return merge(parts)
