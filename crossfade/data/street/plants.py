"""Plants: broad trees, columns, conifers, bare trees, hedges and bushes, made of leafy cards around branches."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossfade.data.street import classes as c
from crossfade.data.street.geometry import Mesh, merge, quads, tube

Floats = NDArray[np.floating]


def _cards(
    rng: np.random.Generator, centres: Floats, size: Floats, colour: ArrayLike, heart: Floats, density: float
) -> Mesh:
    """Square leafy cards turned at random; texture z tells height in the crown (0 … 1) and the density of leaves."""
    count = len(centres)
    a = rng.normal(size=(count, 3))
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b = np.cross(a, rng.normal(size=(count, 3)))
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    signs = np.array([(-1, -0.6), (0.3, -1), (1, 0.5), (-0.4, 1)])
    corners = centres[:, None] + size[:, None, None] * (signs[:, 0, None] * a[:, None] + signs[:, 1, None] * b[:, None])
    shift = rng.uniform(0, 10, (count, 1, 2))
    level = (corners[..., 2] - centres[:, 2].min() + size.mean()) / (np.ptp(centres[:, 2]) + 2 * size.mean())
    texture = np.concatenate([signs * size[:, None, None] + shift, np.clip(level, 0, 0.99)[..., None]], -1)
    texture[..., 2] += 10 * round(density * 10)
    tint = np.asarray(colour) * rng.uniform(0.75, 1.2, (count, 1)) * (1 + 0.1 * rng.normal(size=(count, 3)))
    facing = centres - heart + (0, 0, 0.5 * size.mean())
    return quads(corners, c.LEAF, np.clip(tint, 0, 1), c.VEGETATION, texture, facing)


def _branches(
    rng: np.random.Generator, fork: float, reach: ArrayLike, trunk: ArrayLike, width: float, count: int
) -> list[Mesh]:
    """Branches from the fork up and outwards, each with a few twigs."""
    parts = []
    spread, rise = np.asarray(reach, float)
    for k in range(count):
        angle = 2 * np.pi * (k + rng.uniform(-0.3, 0.3)) / count
        end = np.array((np.cos(angle) * spread, np.sin(angle) * spread, fork + rise * rng.uniform(0.6, 1.0)))
        start = np.array((0, 0, fork * rng.uniform(0.75, 1.0)))
        parts.append(tube(start, end, (width * 0.55, width * 0.18), c.BARK, trunk, c.VEGETATION, sides=4))
        for _ in range(2):
            root = start + (end - start) * rng.uniform(0.4, 0.8)
            tip = root + (end - start) * 0.4 + rng.normal(size=3) * 0.25 * spread
            parts.append(tube(root, tip, (width * 0.25, width * 0.1), c.BARK, trunk, c.VEGETATION, sides=4))
    return parts


def broad_tree(rng: np.random.Generator, leaf: ArrayLike, trunk: ArrayLike, bare: bool = False) -> Mesh:
    """A street tree, 5 to 9 m: an irregular crown of several lobes, or in winter its branches and a haze of twigs."""
    height, fork, width = rng.uniform(5, 9), rng.uniform(1.8, 2.8), rng.uniform(0.14, 0.26)
    spread = rng.uniform(1.4, 2.5)
    parts = [tube((0, 0, 0), (0, 0, fork), (width, width * 0.75), c.BARK, trunk, c.VEGETATION, sides=6)]
    parts += _branches(rng, fork, (spread * 0.75, (height - fork) * 0.85), trunk, width, 7 if bare else 4)
    lobes = rng.normal(size=(rng.integers(4, 8), 3)) * (spread * 0.5, spread * 0.5, (height - fork) * 0.2)
    lobes[:, 2] += (fork + height) / 2 + 0.2
    which = rng.integers(len(lobes), size=22 if bare else 44)
    push = rng.normal(size=(len(which), 3))
    push *= (spread * 0.48 / np.linalg.norm(push, axis=1))[:, None] * (1, 1, 0.8)
    centres = lobes[which] + push
    heart = lobes.mean(0)
    size = rng.uniform(0.45, 0.9, len(which)) * spread / 2
    tint = np.asarray(trunk) * 1.1 if bare else leaf
    parts.append(_cards(rng, centres, size, tint, heart, 0.3 if bare else 0.8))
    return merge(parts)


def column_tree(rng: np.random.Generator, leaf: ArrayLike, trunk: ArrayLike) -> Mesh:
    """A slim tree: poplar or cypress."""
    height, radius = rng.uniform(5, 9), rng.uniform(0.55, 0.95)
    level = rng.uniform(0, 1, 30)
    angle = rng.uniform(0, 2 * np.pi, 30)
    out = radius * np.sin(np.pi * (0.12 + 0.86 * level)) * 0.8
    centres = np.stack([np.cos(angle) * out, np.sin(angle) * out, 0.9 + level * (height - 1.2)], 1)
    cards = _cards(rng, centres, rng.uniform(0.5, 0.8, 30), leaf, np.array((0, 0, height / 2)), 0.9)
    return merge([tube((0, 0, 0), (0, 0, height * 0.8), (0.12, 0.04), c.BARK, trunk, c.VEGETATION), cards])


def conifer(rng: np.random.Generator, leaf: ArrayLike, trunk: ArrayLike) -> Mesh:
    """A conifer: skirts of branches, narrower towards the top."""
    height, radius = rng.uniform(5, 10), rng.uniform(1.1, 1.8)
    parts = [tube((0, 0, 0), (0, 0, height * 0.9), (0.14, 0.03), c.BARK, trunk, c.VEGETATION, sides=5)]
    for level in np.linspace(0.1, 0.85, 6):
        z, r, sides = level * height, radius * (1.05 - level), 7
        angle = np.arange(sides + 1) * 2 * np.pi / sides + rng.uniform(0, 1)
        rim = np.stack([np.cos(angle) * r, np.sin(angle) * r, np.full_like(angle, z)], 1)
        rim[:-1, 2] += rng.uniform(-0.2, 0.2, sides)
        rim[-1] = rim[0]
        top = np.array((0, 0, z + height * 0.25))
        corners = np.stack(
            [rim[:-1], rim[1:], np.broadcast_to(top, rim[1:].shape), np.broadcast_to(top, rim[1:].shape)], 1
        )
        texture = corners[..., [0, 2, 2]] + corners[..., [1, 1, 1]]
        texture[..., 2] = 70 + 0.99 * np.clip((corners[..., 2] - z) / (height * 0.25) * 0.6 + 0.2, 0, 1)
        parts.append(quads(corners, c.LEAF, np.asarray(leaf) * rng.uniform(0.8, 1.1), c.VEGETATION, texture))
    return merge(parts)


def hedge(rng: np.random.Generator, length: float, height: float, leaf: ArrayLike) -> Mesh:
    """A clipped hedge along +x, 0.8 m deep."""
    steps = max(2, int(length / 1.5) + 1)
    x = np.linspace(0, length, steps)
    bulge = rng.uniform(0.85, 1.1, (steps, 1))
    ring = np.array([(-0.4, 0), (-0.45, 0.7), (-0.25, 1.0), (0.25, 1.0), (0.45, 0.7), (0.4, 0)])
    sections = np.stack([np.broadcast_to(x[:, None], (steps, 6)), ring[:, 0] * bulge, ring[:, 1] * height * bulge], -1)
    rings, following = sections[:-1], sections[1:]
    corners = np.stack([rings[:, :-1], rings[:, 1:], following[:, 1:], following[:, :-1]], 2).reshape(-1, 4, 3)
    ends = np.stack([sections[[0, -1], 0], sections[[0, -1], 1], sections[[0, -1], 4], sections[[0, -1], 5]], 1)
    corners = np.concatenate([corners, ends])
    texture = np.stack(
        [corners[..., 0] + corners[..., 1] * 0.7, corners[..., 2] + corners[..., 1] * 0.7, np.zeros(corners.shape[:2])],
        -1,
    )
    texture[..., 2] = 100 + 0.9 * np.clip(corners[..., 2] / height, 0, 1)
    facing = corners.mean(1) - np.array((length / 2, 0, height * 0.3)) * (0, 1, 1)
    facing[-2:] = [(-1, 0, 0), (1, 0, 0)]
    return quads(corners, c.LEAF, leaf, c.VEGETATION, texture, facing)


def bush(rng: np.random.Generator, leaf: ArrayLike) -> Mesh:
    """A bush of about a metre."""
    centres = rng.normal(size=(9, 3)) * (0.35, 0.35, 0.2) + (0, 0, 0.45)
    return _cards(rng, centres, rng.uniform(0.3, 0.5, 9), leaf, np.array((0, 0, 0.3)), 0.9)
