"""Label spaces: an ordered list of classes with colours, and how each data set's ids map into it.

One JSON file a label space in `label_spaces/`: {"classes": [{"name", "colour"}, …], "unscored": [class name, …] or
absent, "from": {ids: {"<id>": class name or null = ignored, …}}}. An id that a table does not list is *outside* it: an
error, not a guess.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossfade.data.clip import IGNORE
from crossfade.errors import UserError, unknown_name

STRAY = 1e-3
"""Share of a colour-coded label image that may have a colour of no class."""

FOLDER = Path(__file__).parent / "label_spaces"


@dataclass(frozen=True)
class LabelSpace:
    """An ordered list of classes.

    Attributes:
        name: the file's name.
        classes: names; a class's id is its position.
        colours: (K, 3) uint8 RGB.
        tables: {name of a table of ids: {id: class id or 255}}.
        unscored: classes that are trained but left out of the mean IoU (their pixels count as errors of others).
    """

    name: str
    classes: tuple[str, ...]
    colours: np.ndarray
    tables: dict[str, dict[int, int]]
    unscored: tuple[str, ...] = ()

    def table(self, ids: str) -> np.ndarray:
        """(256,) uint8: a data set's id → class id, 255 = ignored (ids outside the table too; see `map`).

        Raises:
            UserError: this label space knows no such table.
        """
        lookup = np.full(256, IGNORE, np.uint8)
        for raw, mapped in self._known(ids).items():
            lookup[raw] = mapped
        return lookup

    def map(self, label: np.ndarray, ids: str, where: str) -> np.ndarray:
        """Map a label image into this space.

        Args:
            label: (H, W) uint8 ids as the data set wrote them.
            ids: the table they belong to.
            where: the file, for the error.

        Raises:
            UserError: an id that the table does not list.
        """
        mapped: np.ndarray = self.table(ids)[label]
        if (mapped == IGNORE).any():
            strange = np.setdiff1d(np.unique(label), [*self._known(ids), IGNORE])
            if strange.size:
                raise UserError(
                    f"label image {where} has id {int(strange[0])}, which the table '{ids}' of label space "
                    f"'{self.name}' does not list: mend the image or name the right table"
                )
        return mapped

    def colourise(self, labels: np.ndarray) -> np.ndarray:
        """(H, W) class ids → (H, W, 3) uint8 RGB; ignored pixels black."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self.classes)] = self.colours
        return palette[labels]

    def ids_of_colours(self, image: np.ndarray, where: str) -> np.ndarray:
        """The class ids that a colour-coded label image paints; a few stray pixels of other colours are ignored.

        Args:
            image: (H, W, 3) uint8 RGB in this space's colours.
            where: the file, for the error.

        Returns:
            (H, W) uint8 ids.

        Raises:
            UserError: more than one pixel in a thousand has a colour that no class has.
        """
        codes = image.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
        known = self.colours.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
        order = np.argsort(known)
        place = np.searchsorted(known, codes, sorter=order).clip(max=len(known) - 1)
        found = order[place]
        strange = known[found] != codes
        if strange.mean() > STRAY:
            colour = tuple(int(c) for c in image[strange][0])
            raise UserError(
                f"label image {where}: {100 * strange.mean():.1f} % of its pixels have colours that no class of "
                f"'{self.name}' has, first {colour}: is it the original file, not resized or compressed?"
            )
        return np.where(strange, np.uint8(IGNORE), found.astype(np.uint8))

    def _known(self, ids: str) -> dict[int, int]:
        if ids not in self.tables:
            raise UserError(
                f"label space '{self.name}' has no mapping from the ids of '{ids}' (it has: "
                f"{', '.join(sorted(self.tables))}): choose another label space for the pair or add the mapping to "
                f"crossfade/data/label_spaces/{self.name}.json"
            )
        return self.tables[ids]


def label_space_names() -> list[str]:
    """Every label space there is."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load_label_space(name: str) -> LabelSpace:
    """Read a label space by name.

    Raises:
        UserError: there is none of that name.
    """
    path = FOLDER / f"{name}.json"
    if not path.exists():
        raise unknown_name("label space", name, label_space_names())
    raw = json.loads(path.read_text())
    classes = tuple(entry["name"] for entry in raw["classes"])
    tables = {
        ids: {int(k): IGNORE if v is None else classes.index(v) for k, v in table.items()}
        for ids, table in raw["from"].items()
    }
    colours = np.array([entry["colour"] for entry in raw["classes"]], np.uint8)
    return LabelSpace(name, classes, colours, tables, tuple(raw.get("unscored", ())))
