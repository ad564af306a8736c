"""People: jointed bodies that walk, pedal or sit. Local frame: feet at the origin, looking along +x."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from crossfade.data.street import classes as c
from crossfade.data.street.geometry import Array, Mesh, ball, box, loft, merge, rotation_y, tube

THIGH, SHIN, UPPER_ARM, FOREARM = 0.44, 0.44, 0.29, 0.27
HIP, SHOULDER = 0.9, 1.43
SKINS = ((0.62, 0.44, 0.34), (0.48, 0.32, 0.24), (0.27, 0.17, 0.12), (0.7, 0.52, 0.43))


@dataclass(frozen=True)
class Limbs:
    """A jointed figure: part 0 is the trunk, then for each side thigh, shin, upper arm, forearm.

    Attributes:
        parts: meshes, each with its joint at the origin and hanging down.
        scale: height relative to 1.75 m.
    """

    parts: tuple[Mesh, ...]
    scale: float


SKIN_SLOT, SHIRT_SLOT, TROUSERS_SLOT, HAIR_SLOT, SHOE_SLOT, BAG_SLOT = range(6)
"""What a body's colours are for; bodies are made once, with the slot's number in place of the colour."""


def _slot(number: int) -> tuple[float, float, float]:
    return (float(number), 0.0, 0.0)


def _trunk(label: int, skirt: bool, helmet: bool, bag: bool) -> Mesh:
    """Torso, neck, head, hair or helmet, and on request a rucksack."""

    def section(z: float, depth: float, half: float) -> list[list[float]]:
        corner = 0.6 * half
        front, back = [[depth, -corner, z], [depth, corner, z]], [[-depth, corner, z], [-depth, -corner, z]]
        return [*front, [depth * 0.3, half, z], *back, [depth * 0.3, -half, z]]

    hem = (0.62, 0.19, 0.27) if skirt else (0.84, 0.12, 0.17)
    sections = [section(*hem), section(1.02, 0.11, 0.155), section(1.3, 0.13, 0.2), section(1.46, 0.1, 0.19)]
    head = (0.14, 0.125, 0.15) if helmet else (0.105, 0.085, 0.12)
    parts = [
        loft(sections, c.CLOTH, _slot(SHIRT_SLOT), label),
        tube((0, 0, 1.44), (0.01, 0, 1.56), (0.055, 0.05), c.SKIN, _slot(SKIN_SLOT), label, sides=5),
        ball((0.015, 0, 1.64), (0.1, 0.08, 0.125), c.SKIN, _slot(SKIN_SLOT), label),
        ball((-0.015, 0, 1.69), head, c.CLOTH, _slot(HAIR_SLOT), label),
    ]
    if bag:
        parts.append(box((-0.3, -0.15, 1.0), (-0.11, 0.15, 1.42), c.CLOTH, _slot(BAG_SLOT), label))
    return merge(parts)


@cache
def _body(label: int, skirt: bool, helmet: bool, bag: bool) -> tuple[Mesh, ...]:
    """The parts of a figure, coloured by slot."""
    trousers, shirt = _slot(TROUSERS_SLOT), _slot(SHIRT_SLOT)
    thigh = tube((0, 0, 0.03), (0, 0, -THIGH), (0.1, 0.072), c.CLOTH, trousers, label, sides=6)
    shin = tube((0, 0, 0.02), (0, 0, -SHIN + 0.06), (0.072, 0.055), c.CLOTH, trousers, label, sides=6)
    foot = box((-0.07, -0.045, -SHIN - 0.02), (0.18, 0.045, -SHIN + 0.07), c.CLOTH, _slot(SHOE_SLOT), label)
    upper = tube((0, 0, 0.02), (0, 0, -UPPER_ARM), (0.062, 0.05), c.CLOTH, shirt, label, sides=5)
    lower = tube((0, 0, 0.02), (0, 0, -FOREARM), (0.048, 0.038), c.CLOTH, shirt, label, sides=5)
    hand = ball((0, 0, -FOREARM - 0.05), (0.045, 0.035, 0.07), c.SKIN, _slot(SKIN_SLOT), label)
    side = (thigh, merge([shin, foot]), upper, merge([lower, hand]))
    return (_trunk(label, skirt, helmet, bag), *side, *side)


def figure(rng: np.random.Generator, label: int = c.PERSON, muted: float = 0.0, helmet: bool = False) -> Limbs:
    """Somebody, clothed at random; `muted` pulls the colours of the clothes towards grey."""
    shirt, trousers = rng.uniform(0.04, 0.85, 3), rng.uniform(0.03, 0.4, 3)
    shirt = shirt * (1 - muted) + muted * 0.6 * shirt.mean()
    trousers = trousers * (1 - muted) + muted * 0.7 * trousers.mean()
    hair = rng.uniform(0.05, 0.9, 3) if helmet else np.array((0.12, 0.08, 0.05)) * rng.uniform(0.3, 2.5)
    skin, bag = SKINS[rng.integers(len(SKINS))], rng.uniform(0.03, 0.5, 3)
    walks = label == c.PERSON
    body = _body(label, walks and bool(rng.random() < 0.2), helmet, walks and bool(rng.random() < 0.35))
    palette = np.array([skin, shirt, trousers, hair, (0.05, 0.04, 0.04), bag], np.float32)
    scale = float(rng.uniform(0.9, 1.07)) if walks else 1.0
    parts = tuple(replace(m, colour=palette[m.colour[:, 0].astype(int)]).scaled(scale) for m in body)
    return Limbs(parts, scale)


def _chain(joint: Array, angles: tuple[float, float], length: float) -> tuple[list[Array], list[Array]]:
    """Rotations and joints of a limb of two segments; `angles` are absolute, positive backwards."""
    upper, lower = rotation_y(angles[0]), rotation_y(angles[1])
    return [upper, lower], [joint, joint + upper @ np.array((0, 0, -length), np.float32)]


def _pose(
    limbs: Limbs, angles: list[tuple[tuple[float, float], tuple[float, float]]], hip: Array, lean: float
) -> tuple[Array, Array]:
    """Rotations (P, 3, 3) and offsets (P, 3): for each side ((thigh, shin), (upper arm, forearm))."""
    trunk = rotation_y(lean)
    origin = hip - trunk @ np.array((0, 0, HIP), np.float32)
    rotations, offsets = [trunk], [origin]
    for side, (leg, arm) in zip((-1, 1), angles, strict=True):
        for joint, pair, length in (
            (hip + np.array((0, side * 0.09, 0), np.float32), leg, THIGH),
            (origin + trunk @ np.array((0, side * 0.235, SHOULDER), np.float32), arm, UPPER_ARM),
        ):
            turn, place = _chain(joint, pair, length)
            rotations += turn
            offsets += place
    return np.stack(rotations), np.stack(offsets).astype(np.float32) * np.float32(limbs.scale)


def walking(limbs: Limbs, phase: float, stride: float = 1.0) -> tuple[Array, Array]:
    """The pose at a phase of the gait (radians); `stride` 0 stands still."""
    angles = []
    for side in (-1, 1):
        swing = -0.5 * stride * np.sin(phase + (0 if side < 0 else np.pi))
        knee = 0.15 + 0.75 * stride * max(0.0, float(np.cos(phase + (0 if side < 0 else np.pi)))) * 0.9
        arm = 0.45 * stride * np.sin(phase + (0 if side < 0 else np.pi))
        angles.append(((swing, swing + knee), (arm, arm - 0.35)))
    drop = 0.03 * stride * abs(np.sin(phase))
    return _pose(limbs, angles, np.array((0, 0, HIP - drop), np.float32), 0.04)


def _reach(hip: Array, foot: Array) -> tuple[float, float]:
    """Thigh and shin angles that put the ankle at `foot` with the knee in front."""
    x, z = float(foot[0] - hip[0]), float(foot[2] - hip[2])
    distance = min(float(np.hypot(x, z)), THIGH + SHIN - 1e-3)
    straight = np.arctan2(-x, -z)
    bend = np.arccos(distance / (THIGH + SHIN))
    return straight - bend, straight + bend


def pedalling(limbs: Limbs, phase: float) -> tuple[Array, Array]:
    """The pose on a bicycle (`vehicles.bicycle`) at a phase of the crank."""
    hip = np.array((-0.2, 0, 1.02), np.float32)
    angles = []
    for side in (-1, 1):
        turn = phase + (0 if side < 0 else np.pi)
        foot = np.array((-0.02 + 0.17 * np.cos(turn), 0, 0.38 - 0.17 * np.sin(turn)), np.float32)
        angles.append((_reach(hip, foot), (-0.95, -1.25)))
    return _pose(limbs, angles, hip, 0.45)


def seated(limbs: Limbs) -> tuple[Array, Array]:
    """The pose on a motorcycle."""
    hip = np.array((-0.3, 0, 0.92), np.float32)
    angles = [((-1.1, 0.35), (-0.9, -1.2)) for _ in (-1, 1)]
    return _pose(limbs, angles, hip, 0.3)
