"""What is wrong with a section of params.yaml, as a sentence that names the key and the nearest valid one."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from crossfade.errors import unknown_key


def problem(error: ValidationError, prefix: str = "", more: Iterable[str] = ()) -> str:
    """The first problem of a validation, as a sentence with the nearest valid key, `more` being valid on top."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in ([prefix] if prefix else []) + list(first["loc"]))
    if first["type"] != "extra_forbidden":
        return f"{place}: {first['msg'].removeprefix('Value error, ')} (it is {first['input']!r:.80})"
    known = _fields_beside(error, first["loc"])
    on_top = more if "root" in known and len(first["loc"]) == 1 else ()
    return unknown_key(place, [*known, *on_top])


def _fields_beside(error: ValidationError, place: tuple[int | str, ...]) -> list[str]:
    """The keys that are valid where an unknown one stood, found by walking the models."""
    models = {model.__name__: model for model in _all_models(BaseModel)}
    model: Any = models.get(error.title)
    for part in place[:-1]:
        if model is None:
            return []
        fields = getattr(model, "model_fields", {})
        if str(part) in fields:
            model = _model_in(fields[str(part)].annotation)
    return sorted(model.model_fields) if model is not None else []


def _all_models(base: type[BaseModel]) -> list[type[BaseModel]]:
    return [base, *(m for child in base.__subclasses__() for m in _all_models(child))]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [m for m in map(_model_in, getattr(annotation, "__args__", ())) if m is not None]
    return found[0] if found else None
