"""METHODS: what can be trained, by name."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from crossfade.errors import unknown_name
from crossfade.methods.adabn import AdaBN, AdaBNParameters
from crossfade.methods.base import ClipNeeds, Method, StepOutput
from crossfade.methods.self_training import SelfTraining, SelfTrainingParameters
from crossfade.methods.supervised import Supervised, SupervisedParameters

if TYPE_CHECKING:
    from crossfade.temporal.video_network import VideoNetwork

METHODS: dict[str, tuple[type[BaseModel], type[Method]]] = {
    "supervised": (SupervisedParameters, Supervised),
    "adabn": (AdaBNParameters, AdaBN),
    "self_training": (SelfTrainingParameters, SelfTraining),
}
"""By name: the model of its parameters, and the method."""


def method_parameters(name: str, raw: Mapping[str, Any]) -> BaseModel:
    """Check the parameters of a method.

    Raises:
        UserError: no such method.
        pydantic.ValidationError: an unknown key or a value out of range.
    """
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    return METHODS[name][0].model_validate(dict(raw))


def build_method(name: str, raw: Mapping[str, Any], network: "VideoNetwork", class_names: Sequence[str]) -> Method:
    """Build a method around a network that is already on its device.

    Args:
        name: a key of METHODS.
        raw: its parameters as read from params.yaml, without the name.
        network: what is trained.
        class_names: the pair's classes in order.

    Raises:
        UserError: no such method, or a class name it does not know.
        pydantic.ValidationError: an unknown key or a value out of range.
    """
    parameters = method_parameters(name, raw)
    return METHODS[name][1](parameters, network, class_names)  # type: ignore[arg-type]


__all__ = ["METHODS", "ClipNeeds", "Method", "StepOutput", "build_method", "method_parameters"]
