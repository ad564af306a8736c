"""Whole settings, one file each: sections for params.yaml, and the results that were published with them.

`python -m stages.switch NAME data_set=folder …` puts a preset's sections in place of params.yaml's own, which stay as
comments at its top; switching to anything else takes it out again. What a preset does not say stays in force.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crossfade.errors import UserError, unknown_name
from crossfade.params_text import merged_in, pair_names, parse, preset_in, switched, taken_out, with_values

FOLDER = Path(__file__).parent
GIVEN = ("root", "archives", "fetch")
"""Keys of a data set that say where it lies, and no more."""


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


def switched_to(text: str, name: str, discard: bool = False) -> str:
    """The text of params.yaml with one pair active: one of its own, or a preset's (merged in, unless it already is).

    A preset's data sets lie where params.yaml's own of the same names do, if it has such in force (`GIVEN`).

    Args:
        text: params.yaml.
        name: the pair's or the preset's.
        discard: what was changed within a preset that is taken out may be lost; the one that is in is read anew.

    Raises:
        UserError: neither has that name, a section is written in a way that cannot be put aside, or a change would be
            lost.
    """
    own = taken_out(text)
    if name not in (known := [*pair_names(own), *preset_names()]):
        raise unknown_name("pair or preset", name, known)
    if name in pair_names(text) and name not in pair_names(own) and not discard:
        return text
    if not discard:
        _check_unchanged(text)
    if name in pair_names(own):
        return switched(own, name)
    merged = merged_in(own, name, preset_text(name))
    places = parse(own).get("data_sets") or {}
    for data_set in parse(preset_text(name)).get("data_sets", {}):
        given = {key: value for key, value in places.get(data_set, {}).items() if key in GIVEN}
        if given:
            merged = with_values(merged, "data_sets", data_set, given)
    return merged


def _check_unchanged(text: str) -> None:
    """No value of the preset that is merged in was changed, but where its data lie.

    Raises:
        UserError: the first that was.
    """
    name, sections = preset_in(text)
    if name not in preset_names():
        return
    preset = parse(preset_text(str(name)))
    for section, now in sections.items():
        here, then = _without_places(section, now), _without_places(section, preset.get(section))
        if here != then:
            both = isinstance(here, dict) and isinstance(then, dict)
            entry = next((f".{e}" for e in {**then, **here} if here.get(e) != then.get(e)), "") if both else ""
            raise UserError(
                f"params.yaml: {section}{entry} is not as in crossfade/presets/{name}.yaml, and would be lost: copy "
                "what you changed to another place, or give --discard"
            )


def _without_places(section: str, content: Any) -> Any:
    if section != "data_sets" or not isinstance(content, dict):
        return content
    return {
        name: {key: value for key, value in entry.items() if key not in GIVEN} if isinstance(entry, dict) else entry
        for name, entry in content.items()
    }
