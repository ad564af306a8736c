"""Data sets by name: how each is parameterised and brought into a folder with a manifest."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from crossfade.data.getting import get, getting_parameters, own_keys
from crossfade.data.manifest import Manifest
from crossfade.errors import unknown_name

DATASETS: dict[str, tuple[str, str, str]] = {
    "street": ("crossfade.data.street.dataset", "StreetParameters", "prepare"),
    "camvid": ("crossfade.data.camvid", "CamvidParameters", "prepare"),
    "cityscapes": ("crossfade.data.cityscapes", "CityscapesParameters", "prepare"),
    "synthia": ("crossfade.data.synthia", "SynthiaParameters", "prepare"),
    "viper": ("crossfade.data.viper", "ViperParameters", "prepare"),
    "vspw": ("crossfade.data.vspw", "VspwParameters", "prepare"),
    "bdd": ("crossfade.data.bdd", "BddParameters", "prepare"),
    "footage": ("crossfade.data.footage", "FootageParameters", "prepare"),
}
"""By kind: module, model of its parameters, function that prepares it. Named, so that one never imports the others."""


def data_set_parameters(raw: dict[str, Any]) -> BaseModel:
    """Check a section of `data_sets` in params.yaml.

    Raises:
        UserError: unknown kind.
        pydantic.ValidationError: an unknown key or a value out of range.
    """
    kind = str(raw.get("kind"))
    if kind not in DATASETS:
        raise unknown_name("kind of data set", kind, DATASETS)
    module, model, _ = DATASETS[kind]
    parameters: type[BaseModel] = vars(importlib.import_module(module))[model]
    getting_parameters(raw)
    return parameters.model_validate(own_keys(raw))


def prepare_data_set(raw: dict[str, Any], folder: Path, workers: int = 1) -> Manifest:
    """Render, fetch or index a data set: afterwards `folder`/manifest.parquet is there.

    Args:
        raw: its section of params.yaml.
        folder: data/<name>; its last part is the data set's name.
        workers: processes; changes no result.

    Raises:
        UserError: what the data set needs is not there.
    """
    parameters = data_set_parameters(raw)
    get(folder.name, str(raw["kind"]), parameters, getting_parameters(raw), workers)
    module, _, function = DATASETS[str(raw["kind"])]
    prepare: Callable[..., Manifest] = vars(importlib.import_module(module))[function]
    return prepare(parameters, folder, workers)
