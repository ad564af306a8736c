"""The ground: road, kerbs, sidewalks, verges and side streets, laid out in (s, d) and bent along the route."""

import numpy as np

from crossfade.data.street import classes as c
from crossfade.data.street.geometry import Mesh, merge, quads
from crossfade.data.street.looks import Town
from crossfade.data.street.route import Route

KERB_HEIGHT = 0.13
PIECE = 3.0
"""Length of the pieces that follow the road's bend, metres."""


def strip(
    route: Route,
    along: tuple[float, float],
    across: tuple[float, float],
    heights: tuple[float, float],
    material: int,
    colour: tuple[float, float, float],
    label: int,
    pieces: int = 1,
    seed: int = 0,
) -> Mesh:
    """A ribbon of ground between two distances from the centre line, looking up (or, if upright, at the road).

    Texture coordinates are (s, d, 0), so markings and slabs follow the bend.
    """
    count = max(1, int(np.ceil((along[1] - along[0]) / PIECE)))
    s, d = np.linspace(*along, count + 1), np.linspace(*across, pieces + 1)
    z = np.linspace(*heights, pieces + 1)
    low, high = np.meshgrid(s[:-1], d[:-1], indexing="ij"), np.meshgrid(s[1:], d[1:], indexing="ij")
    z0, z1 = np.broadcast_to(z[:-1], low[0].shape), np.broadcast_to(z[1:], low[0].shape)
    flat = np.stack(
        [
            np.stack([low[0], low[1], z0], -1),
            np.stack([high[0], low[1], z0], -1),
            np.stack([high[0], high[1], z1], -1),
            np.stack([low[0], high[1], z1], -1),
        ],
        -2,
    ).reshape(-1, 4, 3)
    upright = across[0] == across[1]
    texture = flat[..., [0, 2, 2]] if upright else flat.copy()
    texture[..., 2] = 0
    points = route.bend(flat)
    facing = np.array((0.0, 0.0, 1.0))
    if upright:
        middle = flat.mean(1)
        facing = route.place(middle[:, 0], 0, middle[:, 2]) - points.mean(1)
    return quads(points, material, colour, label, texture, facing, seed)


def cross_kerb(
    route: Route, s: float, across: tuple[float, float], colour: tuple[float, float, float], ahead: bool
) -> Mesh:
    """The kerb of a side street, across the main road's direction; looks along +s where `ahead`."""
    d = np.linspace(*across, 2)
    corners = route.place(np.full(4, s), np.array([d[0], d[1], d[1], d[0]]), np.array([0, 0, KERB_HEIGHT, KERB_HEIGHT]))
    texture = np.array([[d[0], 0, 0], [d[1], 0, 0], [d[1], KERB_HEIGHT, 0], [d[0], KERB_HEIGHT, 0]])
    heading = route.direction(s)
    facing = np.array((np.cos(heading), np.sin(heading), 0.0)) * (1 if ahead else -1)
    return quads([corners], c.KERB, colour, c.SIDEWALK, [texture], facing)


def carriageway(route: Route, along: tuple[float, float], half: float, zebras: list[float], town: Town) -> Mesh:
    """The main road with its markings; zebra crossings start at the given distances and are 3 m long."""
    cuts = [along[0]]
    parts = []
    for start in sorted(zebras):
        if start - cuts[-1] > 1 and start + 3 < along[1]:
            parts.append(strip(route, (cuts[-1], start), (-half, half), (0, 0), c.LANE, town.asphalt, c.ROAD, 2))
            parts.append(strip(route, (start, start + 3), (-half, half), (0, 0), c.ZEBRA, town.asphalt, c.ROAD, 2))
            cuts.append(start + 3)
    parts.append(strip(route, (cuts[-1], along[1]), (-half, half), (0, 0), c.LANE, town.asphalt, c.ROAD, 2))
    return merge(parts)


def roadside(
    route: Route, along: tuple[float, float], side: int, half: float, walk: float, verge: float, green: bool, town: Town
) -> Mesh:
    """Kerb, a `verge` of grass where it has a width, sidewalk, and what lies behind it, on one side."""
    inner, outer, k = side * half, side * (half + walk), KERB_HEIGHT
    behind = (c.GRASS, town.grass, c.TERRAIN) if green else (c.PAVING, town.paving, c.SIDEWALK)
    border = side * (half + 0.25 + verge)
    grassy = []
    if verge:
        grassy.append(strip(route, along, (inner + side * 0.25, border), (k, k), c.GRASS, town.grass, c.TERRAIN))
    slope = (k, k + 0.5) if green else (k, k)
    return merge(
        [
            *grassy,
            strip(route, along, (inner, inner), (0, k), c.KERB, town.kerb, c.SIDEWALK),
            strip(route, along, (inner, inner + side * 0.25), (k, k), c.KERB, town.kerb, c.SIDEWALK),
            strip(route, along, (border, outer), (k, k), c.PAVING, town.paving, c.SIDEWALK),
            strip(route, along, (outer, outer + side * 4), (k, slope[1]), *behind),
            strip(route, along, (outer + side * 4, side * 55), (slope[1], k), c.GRASS, town.grass, c.TERRAIN, 3),
        ]
    )


def side_street(route: Route, along: tuple[float, float], side: int, half: float, walk: float, town: Town) -> Mesh:
    """A street leading away, with a sidewalk on both of its sides."""
    (s0, s1), edge, far = along, side * half, side * 60
    k, outer = KERB_HEIGHT, side * (half + walk)
    parts = [strip(route, (s0 + walk, s1 - walk), (edge, far), (0, 0), c.ASPHALT, town.asphalt, c.ROAD, 6)]
    for a, b, corner, ahead in ((s0, s0 + walk, s0 + walk, True), (s1 - walk, s1, s1 - walk, False)):
        parts.append(strip(route, (a, b), (edge, far), (k, k), c.PAVING, town.paving, c.SIDEWALK, 6))
        parts.append(strip(route, (a, b), (edge, edge), (0, k), c.KERB, town.kerb, c.SIDEWALK))
        parts.append(cross_kerb(route, corner, (edge, outer), town.kerb, ahead))
        parts.append(cross_kerb(route, corner, (outer, far), town.kerb, ahead))
    return merge(parts)


def horizon(route: Route, town: Town) -> Mesh:
    """A wide plain under everything."""
    size, z = 1500.0, -2.5
    corners = [[-size, -size, z], [size, -size, z], [size, size, z], [-size, size, z]]
    return quads([corners], c.GRASS, town.grass, c.TERRAIN, facing=(0, 0, 1))
