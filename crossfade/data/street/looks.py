"""The two looks: not one town under two filters but two towns, two lights and two cameras."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from crossfade.errors import unknown_name

Colour = tuple[float, float, float]
LOOKS = ("plain", "camera")


@dataclass(frozen=True)
class Town:
    """What is built and who moves. Colours are linear albedos; pairs are ranges in metres or chances.

    Attributes:
        traffic_side: −1 where one drives on the right, +1 on the left.
    """

    traffic_side: int
    winding: float
    lane: tuple[float, float]
    parking: tuple[float, float]
    parking_lanes: float
    verges: float
    rails: float
    sidewalk: tuple[float, float]
    setback: tuple[float, float]
    storeys: tuple[int, int]
    width: tuple[float, float]
    pitched: float
    blocks: dict[str, float]
    walls: tuple[Colour, ...]
    roofs: tuple[Colour, ...]
    cars: tuple[Colour, ...]
    leaves: tuple[Colour, ...]
    trunk: Colour
    fences: tuple[Colour, ...]
    garden_walls: tuple[Colour, ...]
    metal: tuple[Colour, ...]
    light_housing: Colour
    trees: dict[str, float]
    parked: float
    traffic: float
    pedestrians: float
    muted_clothes: float
    asphalt: Colour
    paint: Colour
    paving: Colour
    kerb: Colour
    grass: Colour


@dataclass(frozen=True)
class Light:
    """Sun, sky and air. Colours are linear.

    Attributes:
        sun: (3,) unit vector towards it.
        haze: distance over which the air takes away all but 1/e of the contrast, metres.
        shadows: whether the sun casts any.
        texture: contrast of the surfaces' textures, 1 as in nature.
    """

    sun: NDArray[np.float64]
    sun_colour: Colour
    ambient: Colour
    zenith: Colour
    horizon: Colour
    clouds: float
    haze: float
    haze_colour: Colour
    shadows: bool
    texture: float


@dataclass(frozen=True)
class Sensor:
    """The camera. Strengths of 0 switch an effect off.

    Attributes:
        field_of_view: horizontal, degrees.
        height: above the road, metres.
        pitch: upwards, radians.
        shake: amplitude of the car's movements, radians.
        shutter: share of a frame's time that the shutter is open.
        blur: standard deviation of the lens' blur, pixels at 256 wide.
        target: mean linear brightness that the exposure aims at; 0: the exposure is fixed.
        quality: step of the block code's quantisation relative to JPEG's tables at quality 50.
    """

    field_of_view: float
    height: float
    pitch: float
    shake: float
    exposure: float
    gamma: float
    balance: Colour
    saturation: float
    shutter: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    vignette: float = 0.0
    dirt: float = 0.0
    flare: float = 0.0
    quality: float = 0.0
    drift: float = 0.0
    target: float = 0.0


@dataclass(frozen=True)
class Look:
    """Town, light and sensor of one video."""

    town: Town
    light: Light
    sensor: Sensor
    name: str = field(default="plain")


PLAIN_TOWN = Town(
    traffic_side=-1,
    winding=1 / 70,
    lane=(3.1, 3.7),
    parking=(2.2, 2.5),
    parking_lanes=0.45,
    verges=0.5,
    rails=0.38,
    sidewalk=(2.6, 3.8),
    setback=(0.0, 1.5),
    storeys=(2, 7),
    width=(8, 18),
    pitched=0.2,
    blocks={"houses": 0.25, "garden": 0.45, "park": 0.18, "yard": 0.12},
    walls=(
        (0.75, 0.28, 0.18),
        (0.85, 0.68, 0.35),
        (0.35, 0.48, 0.75),
        (0.75, 0.72, 0.68),
        (0.55, 0.22, 0.4),
        (0.8, 0.8, 0.75),
    ),
    roofs=((0.6, 0.16, 0.1), (0.3, 0.3, 0.34)),
    cars=(
        (0.85, 0.05, 0.05),
        (0.06, 0.16, 0.8),
        (0.9, 0.75, 0.06),
        (0.9, 0.9, 0.9),
        (0.05, 0.5, 0.18),
        (0.1, 0.1, 0.12),
    ),
    leaves=((0.08, 0.36, 0.05), (0.15, 0.45, 0.08), (0.1, 0.3, 0.12), (0.12, 0.22, 0.06)),
    trunk=(0.32, 0.17, 0.08),
    fences=((0.75, 0.6, 0.4), (0.85, 0.85, 0.82), (0.15, 0.35, 0.2)),
    garden_walls=((0.65, 0.62, 0.58), (0.7, 0.5, 0.35)),
    metal=((0.42, 0.44, 0.46), (0.6, 0.6, 0.6)),
    light_housing=(0.7, 0.55, 0.05),
    trees={"broad": 0.5, "bare": 0.2, "column": 0.15, "conifer": 0.15},
    parked=0.5,
    traffic=0.75,
    pedestrians=0.8,
    muted_clothes=0.0,
    asphalt=(0.11, 0.11, 0.125),
    paint=(0.9, 0.9, 0.9),
    paving=(0.42, 0.36, 0.3),
    kerb=(0.62, 0.62, 0.6),
    grass=(0.13, 0.36, 0.07),
)

CAMERA_TOWN = Town(
    traffic_side=1,
    winding=1 / 55,
    lane=(2.8, 3.3),
    parking=(2.0, 2.2),
    parking_lanes=0.5,
    verges=0.4,
    rails=0.45,
    sidewalk=(1.7, 3.0),
    setback=(0.0, 0.6),
    storeys=(2, 5),
    width=(5, 11),
    pitched=0.65,
    blocks={"houses": 0.32, "garden": 0.42, "park": 0.18, "yard": 0.08},
    walls=(
        (0.27, 0.17, 0.12),
        (0.4, 0.34, 0.24),
        (0.2, 0.18, 0.17),
        (0.45, 0.42, 0.37),
        (0.3, 0.24, 0.18),
        (0.55, 0.54, 0.5),
    ),
    roofs=((0.14, 0.09, 0.075), (0.1, 0.1, 0.11), (0.2, 0.15, 0.12)),
    cars=(
        (0.02, 0.02, 0.025),
        (0.3, 0.31, 0.32),
        (0.5, 0.5, 0.5),
        (0.05, 0.06, 0.09),
        (0.16, 0.03, 0.03),
        (0.04, 0.08, 0.17),
        (0.62, 0.61, 0.58),
    ),
    leaves=((0.09, 0.12, 0.045), (0.13, 0.15, 0.06), (0.07, 0.1, 0.05)),
    trunk=(0.09, 0.075, 0.06),
    fences=((0.03, 0.03, 0.035), (0.22, 0.17, 0.12), (0.05, 0.09, 0.07)),
    garden_walls=((0.26, 0.17, 0.12), (0.33, 0.31, 0.27), (0.4, 0.37, 0.33)),
    metal=((0.06, 0.07, 0.07), (0.2, 0.21, 0.21), (0.12, 0.14, 0.13)),
    light_housing=(0.02, 0.02, 0.02),
    trees={"broad": 0.5, "bare": 0.35, "column": 0.1, "conifer": 0.05},
    parked=0.7,
    traffic=0.8,
    pedestrians=0.9,
    muted_clothes=0.6,
    asphalt=(0.12, 0.118, 0.115),
    paint=(0.5, 0.5, 0.47),
    paving=(0.2, 0.19, 0.175),
    kerb=(0.3, 0.29, 0.27),
    grass=(0.12, 0.14, 0.05),
)


def make_look(name: str, rng: np.random.Generator) -> Look:
    """The look called `name`, with this video's weather and camera.

    Raises:
        UserError: no such look.
    """
    if name == "plain":
        return Look(_plain_town(rng), _plain_light(rng), _plain_sensor(rng), name)
    if name == "camera":
        weather = str(rng.choice(["sunny", "hazy", "overcast", "dusk"], p=[0.35, 0.2, 0.2, 0.25]))
        return Look(CAMERA_TOWN, _camera_light(rng, weather), _camera_sensor(rng, weather), name)
    raise unknown_name("look", name, LOOKS)


def _towards(azimuth: float, elevation: float) -> NDArray[np.float64]:
    return np.array((np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)))


def _plain_town(rng: np.random.Generator) -> Town:
    """The plain town with this video's ground: of one colour, colour is all one would learn."""
    pavings = ((0.42, 0.36, 0.3), (0.5, 0.3, 0.22), (0.3, 0.3, 0.3), (0.17, 0.17, 0.175))
    red, green, blue = PLAIN_TOWN.asphalt
    worn = rng.uniform(0.7, 1.6)
    asphalt = (red * worn, green * worn, blue * worn)
    return replace(PLAIN_TOWN, paving=pavings[rng.integers(len(pavings))], asphalt=asphalt)


def _plain_light(rng: np.random.Generator) -> Light:
    return Light(
        sun=_towards(rng.uniform(0, 2 * np.pi), rng.uniform(0.9, 1.2)),
        sun_colour=(0.62, 0.61, 0.58),
        ambient=(0.5, 0.51, 0.53),
        zenith=(0.05, 0.2, 0.75),
        horizon=(0.45, 0.68, 0.95),
        clouds=0.25,
        haze=1500.0,
        haze_colour=(0.6, 0.75, 0.95),
        shadows=False,
        texture=0.45,
    )


def _plain_sensor(rng: np.random.Generator) -> Sensor:
    return Sensor(64.0, 1.65, -0.02 + rng.uniform(-0.01, 0.01), 0.0, 1.0, 2.2, (1, 1, 1), 1.15)


def _camera_light(rng: np.random.Generator, weather: str) -> Light:
    azimuth, elevation = rng.choice([0.0, np.pi]) + rng.normal(0, 0.7), rng.uniform(0.3, 0.8)
    warm = np.array((1.0, rng.uniform(0.8, 0.94), rng.uniform(0.55, 0.8)))
    strength = {"sunny": 1.9, "hazy": 0.8, "overcast": 0.0, "dusk": 0.0}[weather] * rng.uniform(0.85, 1.1)
    dim = {"sunny": 0.34, "hazy": 0.5, "overcast": 0.62, "dusk": 0.5}[weather] * rng.uniform(0.85, 1.15)
    cast = {"dusk": (0.72, 0.86, 1.3)}.get(weather, (0.9, 1.0, 1.12))
    grey = 0.64 * rng.uniform(0.8, 1.15)
    sky: dict[str, tuple[Colour, Colour]] = {
        "sunny": ((0.2, 0.34, 0.6), (0.68, 0.74, 0.8)),
        "hazy": ((0.45, 0.53, 0.64), (0.8, 0.81, 0.81)),
        "overcast": ((0.97 * grey, grey, 1.03 * grey), (1.11 * grey, 1.15 * grey, 1.19 * grey)),
        "dusk": ((0.2, 0.24, 0.4), (0.62, 0.5, 0.44)),
    }
    zenith, horizon = sky[weather]
    low, high = {"sunny": (160, 400), "hazy": (60, 120), "overcast": (100, 250), "dusk": (120, 300)}[weather]
    return Light(
        sun=_towards(azimuth, elevation),
        sun_colour=tuple(warm * strength),
        ambient=tuple(np.array(cast) * dim),
        zenith=zenith,
        horizon=horizon,
        clouds={"sunny": 0.5, "hazy": 0.4, "overcast": 0.25, "dusk": 0.5}[weather],
        haze=rng.uniform(low, high),
        haze_colour=tuple(np.array(horizon) * 0.92),
        shadows=strength > 0,
        texture=1.0,
    )


def _camera_sensor(rng: np.random.Generator, weather: str) -> Sensor:
    tint, green = rng.uniform(-0.2, 0.14), rng.uniform(0.0, 0.08)
    dark = weather == "dusk"
    return Sensor(
        field_of_view=rng.uniform(50, 58),
        height=rng.uniform(1.2, 1.45),
        pitch=rng.uniform(-0.03, 0.03),
        shake=rng.uniform(0.002, 0.007),
        exposure=rng.uniform(0.65, 1.4),
        target=0.2 if dark else 0.3,
        gamma=rng.uniform(1.8, 2.3),
        balance=(1 + tint, 1.0 + green, 1 - tint),
        saturation=rng.uniform(0.4, 0.8),
        shutter=rng.uniform(0.25, 0.7),
        blur=rng.uniform(0.4, 0.65),
        noise=rng.uniform(0.012, 0.035) * (1.4 if dark else 1.0),
        vignette=rng.uniform(0.2, 0.5),
        dirt=rng.uniform(0.0, 1.0),
        flare=rng.uniform(0.05, 0.3),
        quality=rng.uniform(0.8, 2.0),
        drift=rng.uniform(0.0, 0.06),
    )
