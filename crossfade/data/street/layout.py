"""Town planning: blocks along both sides of the road, and what stands in them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from crossfade.data.street import buildings, furniture, ground, plants, vehicles
from crossfade.data.street import classes as c
from crossfade.data.street.geometry import Mesh, rotation_z
from crossfade.data.street.looks import Town
from crossfade.data.street.route import Route

VEHICLES = {"car": 0.6, "van": 0.12, "truck": 0.15, "bus": 0.13}
LENGTHS = {"car": 4.8, "van": 5.4, "truck": 8.4, "bus": 12.0}


@dataclass
class Plan:
    """A town being built.

    Attributes:
        reach: no tall vehicle is parked beside the camera's lane before this s.
        lane: width of one lane; `half` of the whole carriageway, `walk` of the sidewalk,
            `verge` of the grass between them (part of `walk`), metres.
        parking: whether vehicles are parked along the kerb.
        junctions: (first s, last s, sides it opens to).
        zebras: where crossings start.
        objects: what stands still, in world coordinates.
    """

    rng: np.random.Generator
    route: Route
    town: Town
    start: float
    end: float
    reach: float
    lane: float
    half: float
    walk: float
    verge: float
    parking: bool
    junctions: list[tuple[float, float, tuple[int, ...]]] = field(default_factory=list)
    zebras: list[float] = field(default_factory=list)
    objects: list[Mesh] = field(default_factory=list)

    def choose(self, options: dict[str, float]) -> str:
        """A key, with a chance in proportion to its value."""
        weights = np.array(list(options.values()))
        return str(self.rng.choice(list(options), p=weights / weights.sum()))

    def colour(self, palette: tuple[tuple[float, float, float], ...]) -> np.ndarray:
        """One of the colours, a little varied."""
        base = np.array(palette[self.rng.integers(len(palette))])
        return np.clip(base * self.rng.uniform(0.85, 1.15) + self.rng.normal(0, 0.01, 3), 0.01, 0.95)

    def add(self, mesh: Mesh, s: float, d: float, turn: float = 0.0, z: float = 0.0) -> None:
        """Put a mesh at (s, d)."""
        self.objects.append(self.route.put(mesh, s, d, turn, z))

    def front(self, mesh: Mesh, s: float, length: float, d: float, side: int, z: float = 0.0) -> None:
        """Put something `length` long (see `buildings`) beside the road, `d` > 0 from its middle, facing it."""
        ends = self.route.place([s, s + length], side * d, z)[::side]
        chord = ends[1] - ends[0]
        middle, turn = ends.mean(0), rotation_z(float(np.arctan2(chord[1], chord[0])))
        self.objects.append(mesh.moved(middle - turn @ np.array((length / 2, 0, 0)), turn))

    def follow(self, make: Callable[[float], Mesh], s: float, length: float, d: float, side: int, step: float) -> None:
        """Put pieces of a wall or fence one after another along the bend; `make` gives one of a length."""
        count = max(1, round(length / step))
        for k in range(count):
            at, part = s + k * length / count, length / count
            ends = self.route.place([at, at + part], side * d)
            self.front(make(float(np.hypot(*(ends[1] - ends[0])[:2]))), at, part, d, side, ground.KERB_HEIGHT)

    def kerbside(self, mesh: Mesh, s: float, side: int, inset: float = 0.5) -> None:
        """Put street furniture near the kerb, addressed to the traffic of its side of the road."""
        along = side == self.town.traffic_side
        mirror = (
            mesh
            if (side > 0) == along
            else Mesh(
                mesh.corners[:, ::-1] * np.array((1, -1, 1), np.float32),
                mesh.texture[:, ::-1],
                mesh.colour,
                mesh.material,
                mesh.label,
                mesh.seed,
            )
        )
        self.add(mirror, s, side * (self.half + inset), 0.0 if along else np.pi, ground.KERB_HEIGHT)

    def free(self, s: float, side: int, margin: float) -> bool:
        """Whether (s, side) is clear of junctions and crossings by `margin`."""
        junction = any(a - margin < s < b + margin and side in sides for a, b, sides in self.junctions)
        return not junction and not any(a - margin < s < a + 3 + margin for a in self.zebras)


def make_plan(rng: np.random.Generator, route: Route, town: Town, start: float, end: float, reach: float) -> Plan:
    """Widths, junctions and crossings, then everything that stands still."""
    lane = rng.uniform(*town.lane)
    parking = bool(rng.random() < town.parking_lanes)
    half = lane + (rng.uniform(*town.parking) if parking else rng.uniform(0.3, 0.8))
    verge = 1.4 if rng.random() < town.verges else 0.0
    plan = Plan(*(rng, route, town, start, end, reach, lane, half, rng.uniform(*town.sidewalk) + verge, verge, parking))
    at = rng.uniform(12, 45)
    while at < end - 30:
        width = rng.uniform(6.5, 8.5) + 2 * plan.walk
        sides = ((-1, 1), (-1,), (1,))[rng.choice(3, p=[0.4, 0.3, 0.3])]
        plan.junctions.append((at, at + width, sides))
        plan.zebras.append(at - 4.5)
        at += width + rng.uniform(38, 65)
    plan.objects.append(ground.horizon(route, town))
    for begin in np.arange(start, end, 30):
        stretch = (begin, min(begin + 30, end))
        zebras = [z for z in plan.zebras if stretch[0] < z and z + 3 < stretch[1]]
        plan.objects.append(ground.carriageway(route, stretch, plan.half, zebras, town))
    for side in (-1, 1):
        _line_side(plan, side)
        _furnish(plan, side)
        _park(plan, side)
    _close_view(plan)
    return plan


def _line_side(plan: Plan, side: int) -> None:
    """Blocks and side streets along one side."""
    openings = [(a, b) for a, b, sides in plan.junctions if side in sides]
    at = plan.start
    for a, b in [*openings, (plan.end, plan.end)]:
        while at < a - 0.5:
            kind = plan.choose(plan.town.blocks)
            length = plan.rng.uniform(18, 34) if kind != "houses" else plan.rng.uniform(28, 50)
            stop = a if a - at - length < 12 else at + length
            _block(plan, kind, at, stop, side)
            at = stop
        if b > a:
            _side_street(plan, a, b, side)
            at = b


def _block(plan: Plan, kind: str, s0: float, s1: float, side: int) -> None:
    green = kind in ("garden", "park")
    plan.objects.append(ground.roadside(plan.route, (s0, s1), side, plan.half, plan.walk, plan.verge, green, plan.town))
    edge = plan.half + plan.walk
    {"houses": _houses, "garden": _garden, "park": _park_land, "yard": _yard}[kind](plan, s0, s1, side, edge)


def _row_of_houses(plan: Plan, s0: float, s1: float, side: int, d: float, detail: bool) -> None:
    town, rng = plan.town, plan.rng
    at = s0
    while s1 - at > 3:
        width = min(rng.uniform(*town.width), s1 - at)
        if s1 - at - width < 4:
            width = s1 - at
        height = 3.0 * rng.integers(town.storeys[0], town.storeys[1] + 1) + rng.uniform(0.4, 1.2)
        pitched = rng.random() < town.pitched
        built = buildings.house(
            rng, width, rng.uniform(8, 12), height, plan.colour(town.walls), plan.colour(town.roofs), pitched, detail
        )
        plan.front(built, at, width, d + rng.uniform(*town.setback), side, 0.05)
        at += width + (rng.uniform(0, 2.5) if rng.random() < 0.25 else 0)


def _houses(plan: Plan, s0: float, s1: float, side: int, edge: float) -> None:
    _row_of_houses(plan, s0, s1, side, edge + 0.1, detail=True)


def _boundary(plan: Plan, s0: float, s1: float, side: int, d: float, kinds: dict[str, float]) -> None:
    """A wall, fence or hedge along the back of the sidewalk."""
    town, rng = plan.town, plan.rng
    kind = plan.choose(kinds)
    if kind == "wall":
        material = c.BRICK if rng.random() < 0.6 else c.PLASTER
        height, colour, seed = rng.uniform(1.4, 3.0), plan.colour(town.garden_walls), int(rng.integers(1 << 20))
        plan.follow(lambda n: buildings.wall(n, height, colour, material, seed), s0, s1 - s0, d, side, 4.0)
    elif kind == "fence":
        height, colour, style = rng.uniform(1.1, 1.9), plan.colour(town.fences), int(rng.integers(3))
        plan.follow(lambda n: buildings.fence(n, height, colour, style), s0, s1 - s0, d, side, 2.4)
    else:
        height, colour = rng.uniform(1.0, 1.8), plan.colour(town.leaves)
        plan.follow(lambda n: plants.hedge(rng, n, height, colour), s0, s1 - s0, d, side, 4.0)


def _garden(plan: Plan, s0: float, s1: float, side: int, edge: float) -> None:
    """Front gardens behind a wall or fence, houses set back."""
    rng = plan.rng
    _boundary(plan, s0 + 0.3, s1 - 0.3, side, edge + 0.25, {"wall": 0.52, "fence": 0.36, "hedge": 0.12})
    _row_of_houses(plan, s0 + 1, s1 - 1, side, edge + rng.uniform(4, 7), detail=False)
    for s in np.arange(s0 + 2, s1 - 2, 5.0):
        d = edge + rng.uniform(1.5, 3)
        if rng.random() < 0.5:
            plan.add(_tree(plan), s, side * d)
        elif rng.random() < 0.5:
            plan.add(plants.bush(rng, plan.colour(plan.town.leaves)), s, side * d, 0.0, 0.2)


def _park_land(plan: Plan, s0: float, s1: float, side: int, edge: float) -> None:
    """Grass and trees, open or behind a fence."""
    rng = plan.rng
    if rng.random() < 0.75:
        _boundary(plan, s0 + 0.3, s1 - 0.3, side, edge + 0.25, {"wall": 0.4, "fence": 0.45, "hedge": 0.15})
    for s in np.arange(s0 + 2, s1 - 1, 5.5):
        for depth in (rng.uniform(2, 5), rng.uniform(8, 12), rng.uniform(15, 24)):
            plan.add(_tree(plan), s + rng.uniform(-2, 2), side * (edge + depth), rng.uniform(0, 6), 0.2)
        if rng.random() < 0.4:
            plan.add(plants.bush(rng, plan.colour(plan.town.leaves)), s, side * (edge + rng.uniform(2, 9)), 0.0, 0.3)
    _row_of_houses(plan, s0, s1, side, edge + 28, detail=False)


def _yard(plan: Plan, s0: float, s1: float, side: int, edge: float) -> None:
    """A car park: vehicles side by side, seen from the flank, a wall or houses behind."""
    rng = plan.rng
    for s in np.arange(s0 + 2, s1 - 2, 3.0):
        if rng.random() < 0.65:
            turn = np.pi / 2 * rng.choice([-1, 1]) + rng.uniform(-0.05, 0.05)
            plan.add(_vehicle(plan, "van" if rng.random() < 0.15 else "car"), s, side * (edge + 3.2), turn, 0.13)
    if rng.random() < 0.5:
        _boundary(plan, s0, s1, side, edge + 7, {"wall": 0.6, "fence": 0.4})
        for s in np.arange(s0 + 2, s1, 6.0):
            plan.add(_tree(plan), s, side * (edge + rng.uniform(9, 13)))
    _row_of_houses(plan, s0, s1, side, edge + 16, detail=False)


def _side_street(plan: Plan, s0: float, s1: float, side: int) -> None:
    """A street leading away: houses on its far side face us, one closes its end."""
    rng, town = plan.rng, plan.town
    plan.objects.append(ground.side_street(plan.route, (s0, s1), side, plan.half, plan.walk, town))
    at = plan.half + plan.walk + 13
    while at < 52:
        width = rng.uniform(*town.width)
        for s, turn in ((s1 + 0.3, -np.pi / 2), (s0 - 0.3, np.pi / 2)):
            height = 3.0 * rng.integers(town.storeys[0], town.storeys[1] + 1) + 0.5
            mesh = buildings.house(
                rng,
                width,
                9,
                height,
                plan.colour(town.walls),
                plan.colour(town.roofs),
                rng.random() < town.pitched,
                False,
            )
            starts_near = (side > 0) == (turn > 0)
            plan.add(mesh, s, side * (at if starts_near else at + width), turn, 0.05)
        at += width + 0.5
    mesh = buildings.house(rng, s1 - s0 + 8, 9, 9.5, plan.colour(town.walls), plan.colour(town.roofs), True, False)
    plan.front(mesh, s0 - 4, s1 - s0 + 8, 58, side)
    if rng.random() < 0.8:
        for s in (s0 + 0.5, s1 - 0.5):
            if rng.random() < 0.7:
                rail = buildings.guard_rail(5.0, plan.colour(town.fences))
                plan.front(rail, s - 5.5 if s < s0 + 1 else s + 0.5, 5.0, plan.half + 0.4, side, ground.KERB_HEIGHT)


def _tree(plan: Plan) -> Mesh:
    rng, town = plan.rng, plan.town
    kind, leaf = plan.choose(town.trees), plan.colour(town.leaves)
    if kind == "column":
        return plants.column_tree(rng, leaf, town.trunk)
    if kind == "conifer":
        return plants.conifer(rng, leaf, town.trunk)
    return plants.broad_tree(rng, leaf, town.trunk, bare=kind == "bare")


def _vehicle(plan: Plan, kind: str) -> Mesh:
    colour = plan.colour(plan.town.cars)
    if kind == "truck" or kind == "bus":
        colour = np.clip(colour * 0.8 + plan.rng.uniform(0, 0.3, 3), 0, 0.95)
    make = {"car": vehicles.car, "van": vehicles.van, "bus": vehicles.bus, "truck": vehicles.truck}[kind]
    return make(plan.rng, colour)


def vehicle(plan: Plan, options: dict[str, float] = VEHICLES) -> tuple[str, Mesh]:
    """A vehicle of a random kind: its kind and its mesh."""
    kind = plan.choose(options)
    return kind, _vehicle(plan, kind)


def _furnish(plan: Plan, side: int) -> None:
    """Lamps, masts, signs, traffic lights, bollards and street trees along one side."""
    rng, town = plan.rng, plan.town
    metal = plan.colour(town.metal)
    masts = rng.random() < 0.4
    for s in np.arange(plan.start + rng.uniform(0, 10), plan.end, rng.uniform(15, 20)):
        if plan.free(s, side, 0.5):
            post = furniture.mast(rng, np.array(town.trunk) * 1.3) if masts else furniture.street_lamp(rng, metal)
            plan.kerbside(post, s, side, 0.45)
    for s in np.arange(plan.start + rng.uniform(0, 7), plan.end, 7.5):
        if rng.random() < 0.68 and plan.free(s, side, 0.5):
            make = furniture.direction_sign if rng.random() < 0.15 else furniture.road_sign
            plan.kerbside(make(rng, metal), s + rng.uniform(-2, 2), side, 0.7)
    lined = rng.random() < 0.75
    for s in np.arange(plan.start + 3.5, plan.end, rng.uniform(8, 12)):
        if lined and rng.random() < 0.7 and plan.free(s, side, 1.0):
            plan.add(_tree(plan), s, side * (plan.half + 0.85), rng.uniform(0, 6), ground.KERB_HEIGHT)
    _rails(plan, side)
    phase = int(rng.integers(3))
    for start, stop, _ in plan.junctions:
        if rng.random() < 0.9:
            for s in (start - 1.0, stop + 1.0):
                light = furniture.traffic_light(rng, metal, town.light_housing, phase, bool(rng.random() < 0.5))
                plan.kerbside(light, s, side, 0.5)
        for s in np.arange(start - 9, start - 5, 1.3):
            if rng.random() < 0.5:
                plan.kerbside(furniture.bollard(metal), s, side, 0.35)
    for start in plan.zebras:
        if rng.random() < 0.75:
            light = furniture.traffic_light(rng, metal, town.light_housing, phase, False)
            plan.kerbside(light, start - 0.4, side, 0.4)


def _rails(plan: Plan, side: int) -> None:
    """Rails and fences along the kerb, in stretches clear of junctions."""
    rng, at = plan.rng, plan.start
    colour, style = plan.colour(plan.town.fences), int(rng.integers(4))
    while at < plan.end - 16:
        length = 2.4 * int(rng.integers(3, 8))
        clear = all(plan.free(s, side, 2.0) for s in (at, at + length / 2, at + length))
        if clear and rng.random() < plan.town.rails:
            height = rng.uniform(0.9, 1.2)

            def piece(n: float, height: float = height) -> Mesh:
                if style == 3:
                    return buildings.guard_rail(n, colour)
                return buildings.fence(n, height, colour, min(style, 1))

            plan.follow(piece, at, length, plan.half + 0.3, side, 2.4)
        at += length + 1


def _park(plan: Plan, side: int) -> None:
    """Vehicles parked along the kerb, bicycles and motorcycles on the sidewalk."""
    rng = plan.rng
    at = plan.start if plan.parking else plan.end
    while at < plan.end - 12:
        beside = side == plan.town.traffic_side and at < plan.reach
        kind = plan.choose({"car": 1.0} if beside else {"car": 0.7, "van": 0.1, "truck": 0.12, "bus": 0.08})
        length = LENGTHS[kind]
        middle = at + length / 2
        clear = all(plan.free(s, side, 1.5) for s in (at, middle, at + length))
        if clear and rng.random() < plan.town.parked:
            turn = 0.0 if (side == plan.town.traffic_side) != (rng.random() < 0.12) else np.pi
            width = 1.3 if kind in ("truck", "bus") else 1.0
            mesh = _vehicle(plan, kind)
            plan.add(mesh, middle, side * (plan.half - width - 0.08), turn + rng.uniform(-0.03, 0.03))
            at += length + rng.uniform(0.6, 1.6)
        else:
            at += rng.uniform(3, 8)
    for s in np.arange(plan.start, plan.end, 8.0):
        if rng.random() < 0.6 and plan.free(s, side, 0.5):
            make = vehicles.motorcycle if rng.random() < 0.4 else vehicles.bicycle
            for k in range(rng.integers(1, 6)):
                d = side * (plan.half + (0.9 if rng.random() < 0.5 else plan.walk - 0.4))
                turn = rng.uniform(-0.4, 0.4) + (np.pi / 2 if rng.random() < 0.4 else 0)
                plan.add(make(plan.colour(plan.town.cars)), s + 0.9 * k, d, turn, ground.KERB_HEIGHT)


def _close_view(plan: Plan) -> None:
    """What closes the view at the road's end, and a few towers behind the first rows."""
    rng, town = plan.rng, plan.town
    at = -45.0
    while at < 45:
        width = rng.uniform(10, 20)
        height = rng.uniform(8, 18)
        mesh = buildings.house(
            rng, width, 10, height, plan.colour(town.walls), plan.colour(town.roofs), rng.random() < town.pitched, False
        )
        plan.add(mesh, plan.end + rng.uniform(2, 12), at + width, -np.pi / 2)
        at += width + rng.uniform(0, 3)
