"""METHODS: what can be trained, by name."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from crossfade.errors import UserError, unknown_name
from crossfade.methods.adabn import AdaBN, AdaBNParameters
from crossfade.methods.advent import Advent, AdventParameters
from crossfade.methods.base import ClipNeeds, Method, StepOutput
from crossfade.methods.da_vsn import DAVSN, DAVSNParameters
from crossfade.methods.davss import DAVSSParameters, TrainDAVSS
from crossfade.methods.etc import ETC, ETCParameters
from crossfade.methods.mic import MIC, MICParameters
from crossfade.methods.pixmatch import PixMatch, PixMatchParameters
from crossfade.methods.quadmix import QuadMix, QuadMixParameters
from crossfade.methods.self_training import SelfTraining, SelfTrainingParameters
from crossfade.methods.stcl import STCL, STCLParameters
from crossfade.methods.supervised import Supervised, SupervisedParameters
from crossfade.methods.tps import TPS, TPSParameters
from crossfade.objectives.cross_entropy import balanced_weights

if TYPE_CHECKING:
    from crossfade.temporal.video_network import VideoNetwork

METHODS: dict[str, tuple[type[BaseModel], type[Method]]] = {
    "supervised": (SupervisedParameters, Supervised),
    "adabn": (AdaBNParameters, AdaBN),
    "self_training": (SelfTrainingParameters, SelfTraining),
    "stcl": (STCLParameters, STCL),
    "tps": (TPSParameters, TPS),
    "advent": (AdventParameters, Advent),
    "da_vsn": (DAVSNParameters, DAVSN),
    "pixmatch": (PixMatchParameters, PixMatch),
    "mic": (MICParameters, MIC),
    "quadmix": (QuadMixParameters, QuadMix),
    "etc": (ETCParameters, ETC),
    "davss": (DAVSSParameters, TrainDAVSS),
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


def build_method(
    name: str,
    raw: Mapping[str, Any],
    network: "VideoNetwork",
    class_names: Sequence[str],
) -> Method:
    """Build a method around a network that is already on its device.

    Args:
        name: a key of METHODS.
        raw: its parameters as read from params.yaml, without the name.
        network: what is trained.
        class_names: the pair's classes in order.

    Raises:
        UserError: no such method, a class name it does not know, or a network it cannot train.
        pydantic.ValidationError: an unknown key or a value out of range.
    """
    parameters = method_parameters(name, raw)
    build: Callable[..., Method] = METHODS[name][1]
    if network.temporal.light is not None and not METHODS[name][1].trains_key_frames:
        raise UserError(trains_no_key_frames(name))
    if network.past > 0 and METHODS[name][1].single_frames:
        raise UserError(reads_too_much(name))
    return build(parameters, network, class_names)


def reads_too_much(name: str) -> str:
    """What is wrong with a network of several frames for a method that trains on single ones, in a sentence."""
    return f"method '{name}' trains on single frames: leave the network's `temporal` out, or choose another method"


def trains_no_key_frames(name: str) -> str:
    """What is wrong with a network with key frames for a method that cannot train one, in a sentence."""
    able = ", ".join(known for known, (_, method) in METHODS.items() if method.trains_key_frames)
    return (
        f"method '{name}' cannot train a network with key frames: adapt the network without its temporal module "
        f"and add that afterwards, or choose one of {able}"
    )


def weigh_classes(method: Method, raw: Mapping[str, Any], class_pixels: Sequence[int]) -> None:
    """Tell a method how frequent classes are; rare ones count more by the power `class_balance` says, where it has one.

    Args:
        method: gets its `class_pixels` and `class_weights`.
        raw: its parameters as read from params.yaml, with the name.
        class_pixels: how often the labels that it is trained on show each class.
    """
    method.class_pixels = tuple(class_pixels)
    values = {key: value for key, value in raw.items() if key != "name"}
    balance = method_parameters(str(raw["name"]), values).model_dump().get("class_balance", 0.0)
    if balance > 0:
        method.class_weights = balanced_weights(class_pixels, balance)


__all__ = [
    "METHODS",
    "ClipNeeds",
    "Method",
    "StepOutput",
    "build_method",
    "method_parameters",
    "reads_too_much",
    "trains_no_key_frames",
    "weigh_classes",
]
