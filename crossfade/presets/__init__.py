"""Whole settings, one file each: sections for params.yaml, and the results that were published with them.

`python -m stages.switch NAME data_set=folder …` puts a preset's sections in place of params.yaml's own, which stay as
comments at its top; switching to anything else takes it out again. What a preset does not say stays in force.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crossfade.errors import UserError, unknown_name
from crossfade.params_text import merged_in, pair_names, parse, switched, taken_out

FOLDER = Path(__file__).parent


class PublishedResult(BaseModel):
    """One published number.

    Attributes:
        miou: %, as printed.
        note: what a reader must know of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    miou: float = Field(ge=0.0, le=100.0)
    note: str = ""


class Published(BaseModel):
    """What was published for a setting.

    Attributes:
        source: where the numbers stand.
        rule: how the evaluated checkpoint was chosen there.
        results: {recipe or method: its number}; a recipe's name stands for that recipe.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    rule: str
    results: dict[str, PublishedResult] = Field(min_length=1)


def preset_names() -> list[str]:
    """Every preset there is."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def preset_text(name: str) -> str:
    """A preset's file.

    Raises:
        UserError: there is none of that name.
    """
    if name not in preset_names():
        raise unknown_name("preset", name, preset_names())
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def read_published(name: str | None) -> Published | None:
    """The published results of a preset; None if it has none, or there is no preset.

    Raises:
        UserError: there is none of that name, or its results are not written as they should be.
    """
    if name is None:
        return None
    raw: dict[str, Any] = parse(preset_text(name))
    if "published" not in raw:
        return None
    try:
        return Published.model_validate(raw["published"])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"crossfade/presets/{name}.yaml: published.{place}: {first['msg']}") from error


def switched_to(text: str, name: str) -> str:
    """The text of params.yaml with one pair active: one of its own, or a preset's (merged in, unless it already is).

    Raises:
        UserError: neither has that name, or a section is written in a way that cannot be put aside.
    """
    own = taken_out(text)
    if name in pair_names(own):
        return switched(own, name)
    if name not in preset_names():
        raise unknown_name("pair or preset", name, [*pair_names(own), *preset_names()])
    return text if name in pair_names(text) else merged_in(own, name, preset_text(name))
