"""Writers of tiny data sets in the layouts that are published, byte-faithful."""

import cv2
import numpy as np
import pytest
from PIL import Image

from crossfade.data import prepare_data_set
from crossfade.data.manifest import Manifest
from crossfade.errors import UserError

SIZE = (40, 64)


def photo(seed: int, rows: int = SIZE[0]) -> np.ndarray:
    """Something with texture."""
    small = np.random.default_rng(seed).integers(0, 255, (8, 12, 3), np.uint8)
    return cv2.resize(small, (SIZE[1], rows), interpolation=cv2.INTER_CUBIC)


def ids(values: list[int], rows: int = SIZE[0]) -> np.ndarray:
    """Columns of ids."""
    return np.repeat(np.repeat(np.array(values), SIZE[1] // len(values))[None], rows, 0)


def write(path, image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def write_palette(path, label, palette=None) -> None:
    """An indexed PNG; by default every index has the same colour, so that only the index tells classes apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(label.astype(np.uint8), "P")
    image.putpalette((np.zeros((256, 3), np.uint8) if palette is None else palette).ravel().tolist())
    image.save(path)


def index(raw, tmp_path, name="data_set") -> Manifest:
    return prepare_data_set(raw, tmp_path / "data" / name)


def refusal(raw, tmp_path) -> str:
    """The sentence a data set is refused with."""
    with pytest.raises(UserError) as caught:
        index(raw, tmp_path)
    assert "\n" not in str(caught.value)
    return str(caught.value)
