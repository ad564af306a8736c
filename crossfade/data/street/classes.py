"""The ids of Cityscapes' 19 classes, in which the street is labelled, and the ids of its materials."""

ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE, LIGHT, SIGN, VEGETATION, TERRAIN, SKY = range(11)
PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE = range(11, 19)

CLASS_NAMES = [
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "light",
    "sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
]

(
    PLASTER,
    FACADE,
    ROOF,
    BRICK,
    LANE,
    ASPHALT,
    ZEBRA,
    PAVING,
    KERB,
    GRASS,
    LEAF,
    BARK,
    RAILING,
    METAL,
    PAINT,
    CABIN,
    GLASS,
    LAMP,
    TYRE,
    SIGN_FACE,
    LENS,
    CLOTH,
    SKIN,
    COACH,
) = range(24)
"""Materials; `materials.py` has the texture of each."""

CUTOUT = (LEAF, RAILING)
"""Materials with holes, seen from both sides."""
