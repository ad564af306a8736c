"""Data sets by name: how each is parameterised and brought into a folder with a manifest."""

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from crossfade.data.getting import KEYS, GettingParameters, get, getting_parameters, own_keys
from crossfade.data.manifest import Manifest
from crossfade.errors import UserError, unknown_name

HOME = Path("data")
"""Where the graph keeps data sets, a folder each, which is deleted whenever it is made anew."""

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
        UserError: unknown kind; `archives` or `fetch` for a kind that has no root to put files in.
        pydantic.ValidationError: an unknown key or a value out of range.
    """
    kind = str(raw.get("kind"))
    if kind not in DATASETS:
        raise unknown_name("kind of data set", kind, DATASETS)
    module, model, _ = DATASETS[kind]
    parameters: type[BaseModel] = vars(importlib.import_module(module))[model]
    given = sorted(KEYS & raw.keys())
    if given and "root" not in parameters.model_fields:
        raise UserError(f"a data set of kind '{kind}' has no root to put files in: leave out {', '.join(given)}")
    getting_parameters(raw)
    return parameters.model_validate(own_keys(raw))


def check_places(data_sets: Mapping[str, Mapping[str, Any]]) -> None:
    """Nothing that a person put somewhere lies where the graph deletes before it writes.

    Args:
        data_sets: the section of params.yaml, every entry checked by `data_set_parameters`.

    Raises:
        UserError: a path of a data set is `HOME`/<name>, of this or another data set, or below it.
    """
    made = {name: HOME / name for name in data_sets}
    for name, raw in data_sets.items():
        for key, path in _places(data_set_parameters(dict(raw)), getting_parameters(raw)):
            for other, folder in made.items():
                if _is_below(path, folder):
                    raise UserError(
                        f"data_sets.{name}.{key}: {path} lies in {folder}, which is deleted before data set '{other}' "
                        f"is made anew: put it under {HOME}/raw/…"
                    )


def _places(parameters: BaseModel, getting: GettingParameters) -> Iterator[tuple[str, Path]]:
    """(key, path) of all that a data set reads; what is relative to its root, from there."""
    values = vars(parameters)
    root = values.get("root", Path())
    if "root" in values:
        yield "root", root.expanduser()
    for key, value in values.items():
        if key == "videos" and not isinstance(value, Path):  # patterns of footage
            yield from ((key, Path(pattern).expanduser()) for pattern in ([value] if isinstance(value, str) else value))
        elif key == "labels" and isinstance(value, BaseModel):
            yield from ((f"labels.{k}", Path(vars(value)[k]).expanduser()) for k in ("folder", "table"))
        elif isinstance(value, dict):
            yield from ((f"{key}.{k}", _from(root, path)) for k, path in value.items() if isinstance(path, Path))
        elif isinstance(value, Path) and key != "root":
            yield key, _from(root, value)
    yield from (("archives", path.expanduser()) for path in getting.archives)
    yield from (("fetch", file.path(root.expanduser())) for file in getting.fetch)


def _from(root: Path, path: Path) -> Path:
    return root.expanduser() / path.expanduser()


def _is_below(path: Path, folder: Path) -> bool:
    """Whether `path` is `folder` or in it, by name or where links lead to."""
    return any(find(path).is_relative_to(find(folder)) for find in (_absolute, Path.resolve))


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 (".." by name: Path.resolve follows links)


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
