"""From what each pixel sees to linear light: textures, sun, shadows, sky, mirrors, air."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from crossfade.data.street.classes import CUTOUT
from crossfade.data.street.materials import TEXTURES, Surface
from crossfade.data.street.noise import BLOTCH, noise
from crossfade.data.street.raster import parallel, rasterise
from crossfade.data.street.scene import Scene
from crossfade.data.street.view import View

SHADOW_TEXEL = 0.16
SHADOW_LIMIT = 900
"""Texels along one side of the shadow map, at most."""


@dataclass(frozen=True)
class ShadowMap:
    """How far from the sun the first surface is, seen along its light.

    Attributes:
        axes: (3, 3) rows: right, down, away from the sun.
        corner: (2,) coordinates of the first texel, metres.
        distance: (H·W,) minus infinity where nothing stands; the negative distance (the nearest is the largest).
        size: (H, W).
    """

    axes: NDArray[np.float64]
    corner: NDArray[np.float64]
    distance: NDArray[np.float64]
    size: tuple[int, int]

    def texels(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (..., 3) as (column, row, distance in metres)."""
        seen = points @ self.axes.T
        seen[..., :2] = (seen[..., :2] - self.corner) / SHADOW_TEXEL
        return seen

    def with_mesh(self, corners: NDArray[np.floating]) -> "ShadowMap":
        """The map with more triangles (N, 3, 3) in it."""
        triangles = parallel(self.texels(corners.astype(np.float64)), np.arange(len(corners)), self.size)
        _, distance = rasterise(triangles, self.size, background=self.distance)
        return ShadowMap(self.axes, self.corner, distance, self.size)

    def lit(self, points: NDArray[np.floating], facing: NDArray[np.floating]) -> NDArray[np.float32]:
        """Share of sunlight, (n,), that reaches points (n, 3); `facing` is the cosine to the sun."""
        x, y, distance = self.texels(points).T
        bias = 0.12 + 0.25 * np.sqrt(np.maximum(1 - facing**2, 0))
        share = np.zeros(len(points), np.float32)
        for dx, dy in ((-0.45, -0.2), (0.2, -0.45), (0.45, 0.2), (-0.2, 0.45)):
            column = np.clip(np.rint(x + dx).astype(np.int64), 0, self.size[1] - 1)
            row = np.clip(np.rint(y + dy).astype(np.int64), 0, self.size[0] - 1)
            share += -self.distance[row * self.size[1] + column] > distance - bias
        return share * np.float32(0.25)


def shadow_map(scene: Scene, duration: float) -> ShadowMap:
    """The shadows of everything that stands still, along the stretch that a video passes."""
    away = -scene.look.light.sun
    right = np.cross((0, 0, 1.0), away)
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(away, right), away])
    s, d = np.meshgrid(np.linspace(-4, scene.speed * duration + 60, 12), (-14, 14))
    ground = scene.route.place(s.ravel(), d.ravel()) @ axes.T
    corner = ground[:, :2].min(0)
    extent = np.ceil((ground[:, :2].max(0) - corner) / SHADOW_TEXEL).astype(int)
    width, height = (int(n) for n in np.minimum(extent, SHADOW_LIMIT))
    empty = np.full(height * width, -np.inf)
    fixed = scene.mesh.corners[: scene.static]
    return ShadowMap(axes, corner, empty, (height, width)).with_mesh(fixed)


def sky_light(scene: Scene, directions: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 3) the sky's light along unit world directions (n, 3)."""
    light = scene.look.light
    rise = np.clip(directions[:, 2], 0, 1)
    blend = (1 - (1 - rise) ** 3)[:, None].astype(np.float32)
    colour = np.array(light.horizon, np.float32) * (1 - blend) + np.array(light.zenith, np.float32) * blend
    plane = directions[:, :2] / np.maximum(rise, 0.08)[:, None]
    fine = np.full(len(rise), 0.02, np.float32)
    shift = np.float32(scene.seed % 97)
    cover = noise(BLOTCH, plane[:, 0] * 1.3 + shift, plane[:, 1] * 1.3, fine) * 0.65
    cover += noise(BLOTCH, plane[:, 0] * 4.1, plane[:, 1] * 4.1 + shift, fine) * 0.35
    amount = (light.clouds * np.clip(0.35 + 0.55 * cover, 0, 1) * np.clip(rise * 5, 0, 1))[:, None]
    white = np.array(light.horizon, np.float32).max() * np.array((1.05, 1.05, 1.06), np.float32)
    colour = colour * (1 - amount) + white * amount
    if light.shadows:
        towards = np.clip(directions @ light.sun.astype(np.float32), 0, 1)
        colour += (0.35 * towards**12 + 3 * towards**400)[:, None] * np.array(light.sun_colour, np.float32)
    return colour.astype(np.float32)


def _textured(
    scene: Scene, view: View, hit: NDArray[np.int64], normal: NDArray[np.float32], footprint: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Colour (n, 3), gloss (n,) and glow (n,) of the pixels `hit`."""
    mesh, face = scene.mesh, view.face[hit]
    texture = np.einsum("nk,nkc->nc", view.weights[hit].astype(np.float32), mesh.texture[face])
    colour, seed, material = mesh.colour[face].copy(), mesh.seed[face], mesh.material[face]
    gloss, glow = np.zeros(len(hit), np.float32), np.zeros(len(hit), np.float32)
    upright = np.abs(normal[:, 2]) < 0.6
    order = np.argsort(material, kind="stable")
    cuts = np.searchsorted(material[order], np.arange(len(TEXTURES) + 1))
    for kind, (start, stop) in enumerate(pairwise(cuts)):
        if start == stop:
            continue
        where = order[start:stop]
        u, v, w = texture[where].T
        surface = Surface(
            *(u, v, w, colour[where], gloss[where], glow[where], seed[where], footprint[where], upright[where]),
            contrast=scene.look.light.texture,
            half=scene.plan.half,
            lane=scene.plan.lane,
        )
        TEXTURES[kind](surface)
        colour[where], gloss[where], glow[where] = surface.colour, surface.gloss, surface.glow
    return colour, gloss, glow


def _normals(view: View, face: NDArray[np.int64], ray: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 3) unit normals of the triangles `face`, on the side that the rays (n, 3) come from."""
    corners = view.corners[face]
    (ax, ay, az), (bx, by, bz) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    normal = np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], 1)
    normal /= np.maximum(np.sqrt((normal * normal).sum(1, keepdims=True)), 1e-12)
    return np.where((normal * ray).sum(1, keepdims=True) > 0, -normal, normal)


def shade(scene: Scene, view: View, shadows: ShadowMap | None) -> NDArray[np.float32]:
    """Linear light (H, W, 3) that reaches the camera."""
    light = scene.look.light
    ray = view.rays()
    length = np.sqrt((ray * ray).sum(1, keepdims=True))
    unit = ray / length
    out = np.empty_like(ray)
    sky = view.face < 0
    out[sky] = sky_light(scene, unit[sky])
    hit = np.flatnonzero(~sky)
    towards, distance = unit[hit], (view.depth[hit] * length[hit, 0]).astype(np.float32)
    normal = _normals(view, view.face[hit], towards)
    slant = np.maximum(-(normal * towards).sum(1), 0.12)
    footprint = distance / np.float32(view.focal) / np.sqrt(slant)
    colour, gloss, glow = _textured(scene, view, hit, normal, footprint)
    facing = normal @ light.sun.astype(np.float32)
    leafy = np.isin(scene.mesh.material[view.face[hit]], CUTOUT)
    facing = np.where(leafy, 0.25 + 0.5 * np.abs(facing), np.clip(facing, 0, 1)).astype(np.float32)
    sunlit = facing
    if shadows is not None:
        sunlit = facing * shadows.lit(view.points(hit), facing)
    ambient = np.array(light.ambient, np.float32) * (0.72 + 0.28 * normal[:, 2:])
    sun = np.array(light.sun_colour, np.float32)
    seen = colour * (ambient + sun * sunlit[:, None]) + colour * glow[:, None]
    shiny = np.flatnonzero(gloss > 0.02)
    n, t = normal[shiny], towards[shiny]
    mirrored = t - 2 * (t * n).sum(1, keepdims=True) * n
    fresnel = (gloss[shiny] * (0.12 + 0.88 * (1 - slant[shiny]) ** 3))[:, None]
    around = np.where(
        mirrored[:, 2:] > 0.05, np.array(light.horizon, np.float32) * 0.8, np.array((0.1, 0.1, 0.1), np.float32)
    )
    seen[shiny] = seen[shiny] * (1 - fresnel) + fresnel * around
    glint = np.clip(mirrored @ light.sun.astype(np.float32), 0, 1) ** 50 * (sunlit[shiny] > 0.02) * gloss[shiny]
    seen[shiny] += glint[:, None] * sun * 0.8
    air = np.exp(-distance / np.float32(light.haze))[:, None]
    out[hit] = seen * air + np.array(light.haze_colour, np.float32) * (1 - air)
    return out.reshape(*view.size, 3)
