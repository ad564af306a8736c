"""A scene: a town with its traffic, as triangles at any time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfade.data.street import classes as c
from crossfade.data.street import people, vehicles
from crossfade.data.street.geometry import Array, Mesh, merge, rotation_z
from crossfade.data.street.ground import KERB_HEIGHT
from crossfade.data.street.layout import LENGTHS, Plan, make_plan, vehicle
from crossfade.data.street.looks import Look
from crossfade.data.street.route import Route, make_route

BEHIND, AHEAD = 25.0, 120.0
"""How far the town reaches behind the first and ahead of the last place of the car, metres."""

Pose = Callable[[float], tuple[Array, Array]]


@dataclass(frozen=True)
class Path:
    """Steady movement in (s, d): along at `speed`, across at `drift` (m/s)."""

    s: float
    d: float
    speed: float
    drift: float = 0.0
    turn: float = 0.0
    height: float = 0.0

    def frame(self, route: Route, time: float) -> tuple[Array, Array]:
        """Rotation (3, 3) and place (3,) at a time, seconds."""
        s, d = self.s + self.speed * time, self.d + self.drift * time
        return rotation_z(float(route.direction(s)) + self.turn), route.place(s, d, self.height).astype(np.float32)


@dataclass(frozen=True)
class Actor:
    """Something that moves: rigid parts along a path."""

    parts: tuple[Mesh, ...]
    path: Path
    pose: Pose

    def frames(self, route: Route, time: float) -> tuple[Array, Array]:
        """Rotations (P, 3, 3) and places (P, 3) of its parts in the world at a time, seconds."""
        turn, place = self.path.frame(route, time)
        rotations, offsets = self.pose(time)
        return turn @ rotations, offsets @ turn.T + place


def still(_: float) -> tuple[Array, Array]:
    """The pose of a single part that only follows its path."""
    return np.eye(3, dtype=np.float32)[None], np.zeros((1, 3), np.float32)


@dataclass(frozen=True)
class Scene:
    """A town with its traffic.

    Attributes:
        mesh: all triangles: what stands still first, then the actors one after another.
        starts: (O + 1,) first triangle of each object.
        static: number of triangles that stand still.
        part: (N − static,) which of all the actors' parts each other triangle belongs to.
        speed: of the camera's car, m/s.
        lane_offset: d of the camera's car.
    """

    look: Look
    route: Route
    plan: Plan
    mesh: Mesh
    starts: NDArray[np.int64]
    static: int
    part: NDArray[np.int64]
    actors: tuple[Actor, ...]
    speed: float
    lane_offset: float
    seed: int

    def corners(self, time: float) -> Array:
        """(N, 3, 3) all triangles' corners in the world at a time, seconds."""
        frames = [actor.frames(self.route, time) for actor in self.actors]
        rotations, places = (np.concatenate(parts) for parts in zip(*frames, strict=True))
        turn = rotations.transpose(0, 2, 1)[self.part]
        moving = self.mesh.corners[self.static :] @ turn + places[self.part][:, None]
        return np.concatenate([self.mesh.corners[: self.static], moving], dtype=np.float32)


def make_scene(seed: tuple[int, ...], look: Look, duration: float) -> Scene:
    """A scene that the camera's car can drive through for `duration` seconds; the same seed gives the same scene."""
    rng = np.random.default_rng([*seed, 1])
    speed = rng.uniform(5, 9)
    end = speed * duration + AHEAD
    route = make_route(rng, -BEHIND - 60, end + 90, look.town.winding)
    plan = make_plan(rng, route, look.town, -BEHIND, end, speed * duration + 14)
    ego = look.town.traffic_side * plan.lane * 0.44
    actors = tuple(
        actor for fill in (_traffic, _crossing, _cyclists, _walkers) for actor in fill(plan, speed, duration)
    )
    meshes = [*plan.objects, *(merge(actor.parts) for actor in actors)]
    starts = np.concatenate([[0], np.cumsum([len(m) for m in meshes])])
    mesh = merge(meshes)
    static = sum(len(m) for m in plan.objects)
    sizes = [len(part) for actor in actors for part in actor.parts]
    part = np.repeat(np.arange(len(sizes)), sizes)
    return Scene(look, route, plan, mesh, starts, static, part, actors, speed, ego, int(rng.integers(1 << 30)))


def _headway(plan: Plan, speed: float, duration: float, least: float) -> tuple[float, float]:
    """Distance ahead and speed of somebody in front, never nearer than `least` to the camera."""
    other = speed * plan.rng.uniform(0.6, 1.1)
    gap = least + plan.rng.uniform(0, 22) + max(0.0, (speed - other) * duration)
    return gap, other


def _traffic(plan: Plan, speed: float, duration: float) -> list[Actor]:
    """Vehicles in both lanes."""
    rng, side, actors = plan.rng, plan.town.traffic_side, []
    at = 0.0
    if rng.random() < plan.town.traffic:
        kind, mesh = vehicle(plan)
        gap, pace = _headway(plan, speed, duration, 11 + LENGTHS[kind] / 2)
        for _ in range(2):
            actors.append(Actor((mesh,), Path(gap, side * plan.lane * 0.5, pace), still))
            kind, mesh = vehicle(plan)
            gap += 14 + LENGTHS[kind] + rng.uniform(0, 25)
    at = rng.uniform(4, 25)
    pace = rng.uniform(5, 10)
    while at < AHEAD + 40:
        kind, mesh = vehicle(plan)
        path = Path(at + LENGTHS[kind] / 2, -side * plan.lane * 0.52, -pace, turn=np.pi)
        actors.append(Actor((mesh,), path, still))
        at += LENGTHS[kind] + rng.uniform(6, 45)
    return actors


def _crossing(plan: Plan, speed: float, duration: float) -> list[Actor]:
    """Vehicles in side streets, seen from the flank: waiting, or crossing well ahead of the camera."""
    rng, actors = plan.rng, []
    for start, stop, sides in plan.junctions:
        for side in sides:
            lane = (start + stop) / 2 - side * plan.town.traffic_side * 1.7
            if rng.random() < 0.75:
                kind, mesh = vehicle(plan, {"car": 0.55, "van": 0.15, "truck": 0.15, "bus": 0.15})
                d = side * (plan.half + 0.8 + LENGTHS[kind] / 2)
                moving = start > speed * duration + 12 and rng.random() < 0.5 and len(sides) == 2
                drift = -side * rng.uniform(3, 6) if moving else 0.0
                if moving:
                    d = side * rng.uniform(0, plan.half + 8)
                actors.append(Actor((mesh,), Path(lane, d, 0.0, drift, -side * np.pi / 2), still))
            if rng.random() < 0.6:
                kind, mesh = vehicle(plan, {"car": 0.7, "van": 0.15, "truck": 0.15})
                away = (start + stop) / 2 + side * plan.town.traffic_side * 1.7
                d = side * (plan.half + plan.walk + rng.uniform(6, 25))
                actors.append(Actor((mesh,), Path(away, d, 0.0, side * rng.uniform(0, 5), side * np.pi / 2), still))
    return actors


def _riding(plan: Plan, path: Path) -> Actor:
    """A cyclist or a motorcyclist on a path."""
    rng = plan.rng
    limbs = people.figure(rng, c.RIDER, plan.town.muted_clothes, helmet=bool(rng.random() < 0.6))
    colour = plan.colour(plan.town.cars)
    if rng.random() < 0.33:
        rider = people.seated(limbs)
        machine, pose = vehicles.motorcycle(colour), lambda _: rider
    else:
        machine, phase = vehicles.bicycle(colour), rng.uniform(0, 6)
        cadence = max(abs(path.speed), abs(path.drift)) * 1.1
        pose = lambda time: people.pedalling(limbs, phase + cadence * time)  # noqa: E731

    def whole(time: float) -> tuple[Array, Array]:
        rotations, offsets = pose(time)
        return np.concatenate([still(time)[0], rotations]), np.concatenate([still(time)[1], offsets])

    return Actor((machine, *limbs.parts), path, whole)


def _cyclists(plan: Plan, speed: float, duration: float) -> list[Actor]:
    """Cyclists and motorcyclists at the edge of both lanes and in the side streets."""
    rng, side, actors = plan.rng, plan.town.traffic_side, []
    for _ in range(rng.integers(2, 5)):
        gap, pace = _headway(plan, speed, duration, 5.0)
        actors.append(_riding(plan, Path(gap, side * (plan.lane + rng.uniform(-0.35, 0.2)), pace)))
    for _ in range(rng.integers(2, 5)):
        s, d = rng.uniform(8, 60), -side * (plan.lane + rng.uniform(-0.3, 0.2))
        actors.append(_riding(plan, Path(s, d, -rng.uniform(3, 6), turn=np.pi)))
    for start, stop, sides in plan.junctions:
        if start > speed * duration + 8 and rng.random() < 0.6:
            way, s = int(rng.choice([-1, 1])), rng.uniform(start + 3, stop - 3)
            d = -way * rng.uniform(-2, plan.half) if len(sides) == 2 else sides[0] * rng.uniform(1, plan.half + 4)
            actors.append(_riding(plan, Path(s, d, 0.0, way * rng.uniform(2.5, 4), way * np.pi / 2)))
    return actors


def _walker(plan: Plan, path: Path) -> Actor:
    rng = plan.rng
    limbs = people.figure(rng, c.PERSON, plan.town.muted_clothes)
    pace, phase = float(np.hypot(path.speed, path.drift)), rng.uniform(0, 6)
    stride = min(1.0, pace / 1.2)
    return Actor((*limbs.parts,), path, lambda time: people.walking(limbs, phase + 4.3 * pace * time, stride))


def _walkers(plan: Plan, speed: float, duration: float) -> list[Actor]:
    """People on the sidewalks, at the crossings and in the side streets."""
    rng, actors = plan.rng, []
    for side in (-1, 1):
        at = rng.uniform(2, 9)
        while at < 75:
            if rng.random() < plan.town.pedestrians and plan.free(at, side, 0):
                pace = 0.0 if rng.random() < 0.2 else float(rng.choice([-1, 1]) * rng.uniform(0.8, 1.7))
                turn = rng.uniform(0, 6) if pace == 0 else (0.0 if pace > 0 else np.pi)
                for _ in range(rng.choice([1, 1, 2, 3])):
                    d = side * (plan.half + rng.uniform(0.5, plan.walk - 0.2))
                    place = Path(at + rng.uniform(-0.6, 0.6), d, pace, turn=turn, height=KERB_HEIGHT)
                    actors.append(_walker(plan, place))
            at += rng.uniform(2, 6.5)
    for start in plan.zebras:
        if start > speed * duration + 6:
            for _ in range(rng.integers(1, 5)):
                way = int(rng.choice([-1, 1]))
                d, s = rng.uniform(-plan.half, plan.half), start + rng.uniform(0.4, 2.6)
                actors.append(_walker(plan, Path(s, d, 0.0, way * rng.uniform(0.9, 1.6), way * np.pi / 2)))
    for start, stop, sides in plan.junctions:
        for side in sides:
            for _ in range(rng.integers(0, 3)):
                s = rng.choice([start + rng.uniform(0.3, 1.2), stop - rng.uniform(0.3, 1.2)])
                d, way = side * rng.uniform(plan.half + 2, 20), int(rng.choice([-1, 1]))
                place = Path(s, d, 0.0, way * 1.3, way * np.pi / 2, KERB_HEIGHT)
                actors.append(_walker(plan, place))
    return actors
