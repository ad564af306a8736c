"""What surfaces look like before light falls on them: for each material, texture from coordinates that stick to it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfade.data.street import classes as c
from crossfade.data.street.noise import BLOTCH, GRAIN, clumps, hashed, noise, table

Floats = NDArray[np.floating]


@dataclass
class Surface:
    """Points on surfaces of one material.

    Attributes:
        u, v, w: (n,) texture coordinates, metres.
        colour: (n, 3) the paint; textures change it in place.
        gloss: (n,) how much they mirror, in [0, 1]; changed in place.
        glow: (n,) how much light they send out themselves; changed in place.
        seed: (n,) instance.
        footprint: (n,) size of a pixel on the surface, metres.
        upright: (n,) whether the surface is steep.
        contrast: of textures, 1 as in nature.
        half: half the carriageway's width; `lane` one lane's, metres.
    """

    u: Floats
    v: Floats
    w: Floats
    colour: Floats
    gloss: Floats
    glow: Floats
    seed: NDArray[np.int32]
    footprint: Floats
    upright: NDArray[np.bool_]
    contrast: float
    half: float
    lane: float

    def grain(self, amount: float, scale: float = 1.0) -> Floats:
        """Fine noise around 1."""
        u = (self.u + 0.6 * self.w + 0.37 * (self.seed & 255)) * np.float32(scale)
        v = (self.v + 0.8 * self.w) * np.float32(scale)
        return 1 + amount * self.contrast * noise(GRAIN, u, v, self.footprint * np.float32(scale))

    def blotches(self, amount: float, scale: float = 1.0) -> Floats:
        """Large soft noise around 1."""
        u = (self.u + 0.6 * self.w + 0.73 * (self.seed & 255)) * np.float32(scale)
        v = (self.v + 0.8 * self.w) * np.float32(scale)
        return 1 + amount * self.contrast * noise(BLOTCH, u, v, self.footprint * np.float32(scale))

    def tint(self, factor: Floats) -> None:
        """Multiply the colour."""
        self.colour *= np.maximum(factor, 0.05)[:, None]

    def paint(self, where: NDArray[np.bool_], colour: tuple[float, float, float], opacity: float = 1.0) -> None:
        """Paint over."""
        self.colour[where] = (1 - opacity) * self.colour[where] + opacity * np.array(colour, np.float32)

    def line(self, position: Floats, width: float) -> Floats:
        """Coverage in [0, 1] of a line of `width` at position 0, smoothed over the footprint."""
        soft = np.maximum(self.footprint, 0.01)
        cover = np.clip((width / 2 - np.abs(position)) / soft + 0.5, 0, 1)
        return cover * np.minimum(1, width / soft)

    def joints(
        self, u: Floats, v: Floats, size: tuple[float, float], width: float, amount: float, bond: float = 0.0
    ) -> None:
        """Dark joints of slabs or bricks; rows are shifted by `bond` of a length each."""
        row = np.floor(v / size[1])
        across = (u + row * (bond * size[0])) / size[0]
        du, dv = (across - np.rint(across)) * size[0], (v / size[1] - np.rint(v / size[1])) * size[1]
        cover = np.maximum(self.line(du, width), self.line(dv, width))
        stone = hashed(np.floor(across).astype(np.int32), row.astype(np.int32), 3) - np.float32(0.5)
        fade = np.clip(1.5 - self.footprint / size[1], 0, 1)
        self.tint((1 - amount * self.contrast * cover) * (1 + 0.3 * self.contrast * stone * fade))


def _plaster(p: Surface) -> None:
    p.tint(p.grain(0.06) * p.blotches(0.1))


def _brick(p: Surface) -> None:
    p.joints(p.u, p.v, (0.44, 0.16), 0.025, 0.3, 0.5)
    p.tint(p.blotches(0.14) * p.grain(0.08))


def _roof(p: Surface) -> None:
    p.joints(p.u, p.v, (0.3, 0.35), 0.05, 0.3, 0.5)
    p.tint(p.blotches(0.15))
    p.gloss += 0.03


def _facade(p: Surface) -> None:
    """Walls with windows; the seed decides rhythm, frames, shops on the ground floor, brick or plaster."""
    look = table()[p.seed & 1023]
    u, v, wall = p.u, p.v, p.upright
    bricked = (look[:, 0] < 0.45) & wall
    rows = np.floor(v / 0.2)
    course = np.abs(v / 0.2 - np.rint(v / 0.2)) * 0.2 < 0.02
    stone = hashed(np.floor(u / 0.45 + 0.5 * rows).astype(np.int32), rows.astype(np.int32), p.seed) - 0.5
    fade = np.clip(1.6 - p.footprint / 0.2, 0, 1) * p.contrast
    p.tint(np.where(bricked, 1 + fade * (0.35 * stone - 0.18 * course), 1))
    p.tint(p.blotches(0.12, 0.5) * p.grain(0.05) * (1 - 0.25 * p.contrast * np.exp(-v / 1.2)))
    pitch, storey = 1.7 + 1.6 * look[:, 1], np.float32(3.0)
    column, floor = np.floor(u / pitch), np.floor((v - 0.25) / storey)
    fu, fv = u / pitch - column, (v - 0.25) / storey - floor
    margin = 0.16 + 0.16 * look[:, 2]
    sill = 0.24 + 0.1 * look[:, 3]
    opening = wall & (fu > margin) & (fu < 1 - margin) & (fv > sill) & (fv < 0.84) & (v > 0.3)
    trim = wall & (fu > margin - 0.05) & (fu < 1.05 - margin) & (fv > sill - 0.05) & (fv < 0.88) & ~opening
    shop = wall & (v < 3.1) & (look[:, 4] < 0.5)
    glass = shop & (v > 0.5) & (v < 2.5) & (np.abs(u / (pitch * 1.6) % 1 - 0.5) < 0.44)
    fascia = shop & (v > 2.55)
    cross = opening & ((np.abs(fu - 0.5) < 0.03) | (np.abs(fv - 0.6) < 0.02)) & (look[:, 5] < 0.6)
    pane = (opening & ~shop & ~cross) | glass
    lit = hashed(column.astype(np.int32), floor.astype(np.int32), p.seed)
    white = look[:, 6] < 0.6
    p.colour[trim & ~shop] = np.where(white, 0.62, 0.12)[trim & ~shop, None] * np.array((1, 0.98, 0.94), np.float32)
    p.colour[cross & ~shop] = np.where(white, 0.6, 0.1)[cross & ~shop, None]
    p.colour[shop] = (0.08 + 0.4 * look[:, 7:8] * np.stack([look[:, 2], look[:, 3], look[:, 5]], -1))[shop]
    p.colour[fascia] = np.stack([0.1 + 0.6 * look[:, 5], 0.1 + 0.5 * look[:, 1], 0.1 + 0.5 * look[:, 3]], -1)[fascia]
    p.colour[pane] = (0.02 + 0.1 * lit**2)[pane, None] * np.array((0.9, 1.0, 1.15), np.float32)
    curtain = pane & ~glass & (lit > 0.6) & (fv > 0.84 - 0.5 * lit)
    p.colour[curtain] = np.array((0.45, 0.43, 0.38), np.float32)
    p.gloss[pane] = 0.75
    flat = ~wall
    p.colour[flat] = 0.6 * p.colour[flat]


def _asphalt(p: Surface) -> None:
    p.tint(p.blotches(0.13, 0.7) * p.blotches(0.08, 0.17) * p.grain(0.13))
    cracks = noise(BLOTCH, p.u * 0.5 + 3, p.v * 0.9, p.footprint * 0.5)
    fade = np.clip(1.5 - p.footprint / 0.1, 0, 1)
    p.tint(1 - 0.3 * p.contrast * fade * (np.abs(cracks) < 0.035))
    patch = noise(BLOTCH, np.floor(p.u / 3.7) * 1.7, np.floor(p.v / 1.9) * 2.3, np.full_like(p.u, 0.02))
    p.tint(1 - 0.16 * p.contrast * (patch > 1.1))
    p.gloss += 0.04


def _worn(p: Surface, cover: Floats) -> None:
    """Lay road paint, worn where the noise says."""
    wear = np.clip(1 - 0.22 * p.contrast * (1 + noise(GRAIN, p.u, p.v, p.footprint)), 0.25, 1)
    a = (cover * wear)[:, None]
    bright = np.float32(0.85 - 0.3 * p.contrast)
    p.colour[:] = p.colour * (1 - a) + a * bright


def _lane(p: Surface) -> None:
    """The carriageway: tracks of wheels, dashed middle, parking bays, edge lines."""
    _asphalt(p)
    d = np.abs(p.v)
    track = np.exp(-(((np.abs(d - p.lane / 2) - 0.75) / 0.3) ** 2))
    p.tint(1 - 0.12 * p.contrast * track)
    stain = np.exp(-((d - p.lane / 2) ** 2) / 0.1) * np.clip(p.blotches(0.6), 0, 1)
    p.tint(1 - 0.15 * p.contrast * stain)
    cover = p.line(p.v, 0.13) * (np.mod(p.u, 6) < 3)
    cover = np.maximum(cover, p.line(d - p.half + 0.3, 0.1))
    cover = np.maximum(cover, p.line(d - p.lane - 0.1, 0.1) * (np.mod(p.u, 2) < 1))
    _worn(p, cover)
    gutter = np.clip((d - p.half + 0.22) / 0.2, 0, 1)
    p.tint(1 - 0.3 * p.contrast * gutter)


def _zebra(p: Surface) -> None:
    _asphalt(p)
    _worn(p, (np.mod(p.v, 1.1) < 0.55).astype(np.float32))


def _paving(p: Surface) -> None:
    p.joints(p.u, p.v, (0.9, 0.6), 0.025, 0.35, 0.5)
    p.tint(p.blotches(0.1) * p.grain(0.09))


def _kerb(p: Surface) -> None:
    p.tint((1 - 0.35 * p.contrast * p.line(p.u - np.rint(p.u), 0.03)) * p.grain(0.08) * p.blotches(0.08))


def _grass(p: Surface) -> None:
    p.tint(p.grain(0.22) * p.blotches(0.22) * p.blotches(0.15, 0.2))
    dry = np.clip(noise(BLOTCH, p.u * 0.3, p.v * 0.3, p.footprint * 0.3) * 0.35 * p.contrast, 0, 0.6)[:, None]
    p.colour[:] = p.colour * (1 - dry) + dry * np.array((0.3, 0.24, 0.13), np.float32)


def _leaf(p: Surface) -> None:
    level = np.mod(p.w, 10)
    p.tint((0.55 + 0.6 * level) * p.grain(0.28) * (1 + 0.15 * p.contrast * clumps(p.u * 0.5, p.v * 0.5)))


def _bark(p: Surface) -> None:
    p.tint(p.grain(0.2, 1.0) * p.blotches(0.15))


def _railing(p: Surface) -> None:
    boards = hashed(np.floor(p.u / 0.16).astype(np.int32), p.seed, 5) - np.float32(0.5)
    p.tint((1 + 0.3 * p.contrast * boards) * p.grain(0.1))


def _metal(p: Surface) -> None:
    p.tint(p.grain(0.05) * p.blotches(0.06))
    p.gloss += 0.12


def _paint(p: Surface) -> None:
    p.tint(p.blotches(0.05) * p.grain(0.02))
    p.gloss += 0.32


def _cabin(p: Surface) -> None:
    """Side windows between pillars; v runs from the belt (0) to the roof (1)."""
    pillar = (p.v < 0.06) | (p.v > 0.93) | (np.abs(p.u + 0.25) < 0.06)
    p.colour[~pillar] = 0.03
    p.gloss += np.where(pillar, 0.3, 0.6).astype(np.float32)


def _glass(p: Surface) -> None:
    p.tint(p.blotches(0.1))
    p.gloss += 0.6


def _lamp(p: Surface) -> None:
    p.tint(p.grain(0.08))
    p.gloss += 0.3
    p.glow += 0.12


def _tyre(p: Surface) -> None:
    hub = np.hypot(p.u, p.w) < 0.2
    p.colour[hub & p.upright] = np.array((0.33, 0.33, 0.34), np.float32)
    p.tint(p.grain(0.15))


def _sign(p: Surface) -> None:
    """Faces by kind (seed modulo 8): 0 disc with a red rim, 1 triangle, 2 diamond, 3 octagon, 4 and 5 boards."""
    kind, style = p.seed & 7, table()[(p.seed >> 3) & 1023]
    front = p.u < 0
    y, z = p.v, p.w
    radius = np.hypot(y, z)
    red, white, blue = (0.62, 0.03, 0.03), (0.78, 0.78, 0.76), (0.03, 0.13, 0.5)
    disc, triangle, diamond, stop, board = (kind == k for k in range(5))
    board |= kind >= 5
    p.paint(front, white)
    ring = (radius > 0.3) & disc
    p.paint(front & disc & (style[:, 1] < 0.35), blue)
    p.paint(front & ring, red)
    p.paint(front & disc & ~ring & (style[:, 1] > 0.7), red)
    p.paint(front & disc & (np.abs(z) < 0.07) & (radius < 0.24), white)
    p.paint(
        front & disc & (style[:, 1] > 0.35) & (style[:, 1] < 0.7) & (np.abs(y) < 0.07) & (radius < 0.22),
        (0.04, 0.04, 0.04),
    )
    p.paint(front & triangle & (radius > 0.26), red)
    p.paint(front & triangle & (np.abs(y) < 0.04) & (radius < 0.16), (0.04, 0.04, 0.04))
    p.paint(front & diamond & (np.abs(y) + np.abs(z) < 0.33), (0.85, 0.55, 0.04))
    p.paint(front & stop, red)
    p.paint(front & stop & (np.abs(z) < 0.09) & (np.abs(y) < 0.26), white)
    p.paint(front & board & (style[:, 2] < 0.4), blue)
    p.paint(front & board & (style[:, 2] > 0.75), (0.05, 0.3, 0.1))
    text = (np.mod(z, 0.3) < 0.13) & (
        hashed(np.floor(y / 0.09).astype(np.int32), np.floor(z / 0.3).astype(np.int32), p.seed) < 0.7
    )
    p.paint(front & board & text, (0.75, 0.75, 0.74))
    p.paint(front & board & text & (style[:, 2] >= 0.4) & (style[:, 2] <= 0.75), (0.05, 0.05, 0.06))
    p.tint(p.grain(0.05))
    p.gloss += 0.08


LENSES = np.array([(0.03, 0.95, 0.4), (1.0, 0.6, 0.05), (1.0, 0.06, 0.04)], np.float32)


def _lens(p: Surface) -> None:
    colour = LENSES[np.clip(p.seed >> 1, 0, 2)]
    lit = (p.seed & 1).astype(np.float32)
    p.colour[:] = colour * (0.1 + 0.9 * lit)[:, None]
    p.glow += lit * 0.9


def _cloth(p: Surface) -> None:
    p.tint(p.grain(0.14) * p.blotches(0.12))


def _skin(p: Surface) -> None:
    p.tint(p.grain(0.06))


def _coach(p: Surface) -> None:
    """A bus: a band of windows, a stripe, a darker skirt."""
    window = (p.v > 1.0) & (p.v < 2.05) & (np.mod(p.u, 1.5) > 0.1) & p.upright
    door = (np.mod(p.u, 6.2) < 1.2) & (p.v > 0.15) & (p.v < 2.15) & (np.abs(np.mod(p.u, 0.6) - 0.3) > 0.03) & p.upright
    glass = window | door
    p.tint(p.blotches(0.05))
    p.tint(np.where((p.v < 0.35) & p.upright, np.float32(0.55), np.float32(1)))
    p.colour[glass] = 0.03
    p.gloss += np.where(glass, 0.55, 0.25).astype(np.float32)


TEXTURES: dict[int, Callable[[Surface], None]] = {
    c.PLASTER: _plaster,
    c.FACADE: _facade,
    c.ROOF: _roof,
    c.BRICK: _brick,
    c.LANE: _lane,
    c.ASPHALT: _asphalt,
    c.ZEBRA: _zebra,
    c.PAVING: _paving,
    c.KERB: _kerb,
    c.GRASS: _grass,
    c.LEAF: _leaf,
    c.BARK: _bark,
    c.RAILING: _railing,
    c.METAL: _metal,
    c.PAINT: _paint,
    c.CABIN: _cabin,
    c.GLASS: _glass,
    c.LAMP: _lamp,
    c.TYRE: _tyre,
    c.SIGN_FACE: _sign,
    c.LENS: _lens,
    c.CLOTH: _cloth,
    c.SKIN: _skin,
    c.COACH: _coach,
}


def solid(material: NDArray[np.int32], texture: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Whether surfaces of `CUTOUT` materials (n,) are there at texture coordinates (n, 3), or have a hole."""
    u, v, w = texture.T
    leaf = material == c.LEAF
    density = np.floor(w / 10) / 10
    there = clumps(u, v) < np.where(leaf, 2.2 * density - 1.0, 9)
    bars = ~leaf
    if bars.any():
        u, v, style = u[bars], v[bars], np.rint(w[bars])
        rail = np.abs(np.mod(v, 0.8) - 0.35) < 0.05
        gap = np.choose(
            style.astype(np.int64) % 3, (np.mod(u, 0.17) < 0.1, np.mod(u, 0.16) < 0.05, np.mod(u, 0.3) < 0.28)
        )
        there[bars] = rail | gap
    return there
