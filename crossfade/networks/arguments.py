"""What networks and temporal modules can be told: arguments of their constructors, checked by their annotations."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, ValidationError, create_model

from crossfade.errors import UserError, unknown_key


def _odd(side: int) -> int:
    if side % 2 == 0:
        raise ValueError("Input should be odd, so that a kernel has a middle")
    return side


Factor = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
"""Of channels: above 0."""
Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]
"""Share of what is dropped in training: from 0 to below 1."""
OutputStride = Literal[2, 4, 8, 16, 32]
"""Of an encoder; not every encoder has every one of them."""
OddSide = Annotated[PositiveInt, AfterValidator(_odd)]
"""Of a kernel: 1, 3, 5, …"""


def argument_names(build: Callable[..., object], given: int) -> list[str]:
    """What a constructor can be told in params.yaml: its parameters but for the first `given`."""
    return [*inspect.signature(build).parameters][given:]


def checked_arguments(build: Callable[..., object], given: int, raw: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of a constructor, those that were not told at their defaults; lists become tuples.

    Args:
        build: a network's or temporal module's class, its arguments annotated with what is allowed.
        given: how many of its first parameters do not come from params.yaml.
        raw: as read.

    Raises:
        UserError: an unknown key or a value that is not allowed, as "key: what is allowed (it is …)".
    """
    try:
        checked = _model(build, given).model_validate(dict(raw))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise UserError(unknown_key(place, argument_names(build, given))) from error
        said = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{place}: {said} (it is {first['input']!r:.80})") from error
    return {name: tuple(value) if isinstance(value, list) else value for name, value in vars(checked).items()}


@functools.cache
def _model(build: Callable[..., object], given: int) -> type[BaseModel]:
    parameters = list(inspect.signature(build, eval_str=True).parameters.values())[given:]
    fields: dict[str, Any] = {
        p.name: (
            Any if p.annotation is p.empty else p.annotation,
            Field() if p.default is p.empty else Field(default=p.default),
        )
        for p in parameters
    }
    config = ConfigDict(extra="forbid", strict=True)
    model: type[BaseModel] = create_model(f"{build.__name__}Arguments", __config__=config, **fields)
    return model
