"""Temporal modules by name, and the video network they make with a per-frame network."""

from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, model_validator

from crossfade.errors import UserError, unknown_name
from crossfade.networks import NetworkParameters, build_frame_network
from crossfade.networks.arguments import argument_names, checked_arguments
from crossfade.temporal.base import NoMemory, TemporalModule
from crossfade.temporal.davss import DAVSS
from crossfade.temporal.dtern import DTERN
from crossfade.temporal.fusion import ScoreFusion
from crossfade.temporal.tmanet import TMANet
from crossfade.temporal.video_network import VideoNetwork

TEMPORAL: dict[str, type[TemporalModule]] = {
    "none": NoMemory,
    "fusion": ScoreFusion,
    "tmanet": TMANet,
    "dtern": DTERN,
    "davss": DAVSS,
}
"""By kind; each is built around a per-frame network for a number of classes, with arguments of its own."""


GIVEN = 2
"""The first two are not told: per-frame network, number of classes."""


class TemporalParameters(BaseModel):
    """A temporal module: `kind` names the class, everything else is its arguments. A mere name is a kind."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: str = "none"

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, raw: Any) -> Any:
        return {"kind": raw} if isinstance(raw, str) else raw

    @property
    def arguments(self) -> dict[str, Any]:
        """All but `kind`."""
        return dict(self.model_extra or {})

    def checked(self) -> dict[str, Any]:
        """All arguments, those that were not told at their defaults.

        Raises:
            UserError: an unknown key or a value that is not allowed; `kind` has to be a known one.
        """
        return checked_arguments(TEMPORAL[self.kind], GIVEN, self.arguments)

    def differs_in(self, other: "TemporalParameters") -> list[str]:
        """By what arguments two modules of one kind are different modules: the schedule's do not count."""
        mine, theirs = self.checked(), other.checked()
        free = TEMPORAL[self.kind].schedule_arguments
        return [name for name, value in mine.items() if name not in free and theirs[name] != value]


def temporal_arguments(kind: str) -> list[str]:
    """What a kind of temporal module can be told."""
    return argument_names(TEMPORAL[kind], GIVEN)


class ModelParameters(BaseModel):
    """What a video network is made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    network: NetworkParameters
    temporal: TemporalParameters = TemporalParameters()

    def untrained(self) -> "ModelParameters":
        """The same without pretrained weights: all weights follow."""
        return self.model_copy(update={"network": self.network.untrained()})


def build_video_network(parameters: ModelParameters, num_classes: int) -> VideoNetwork:
    """Build a video network, its convolutions in channels-last layout: less than half the time of the default on a CPU.

    Raises:
        UserError: an unknown network kind, encoder or temporal module, an argument it does not have, or a value that is
            not allowed.
    """
    kind = parameters.temporal.kind
    if kind not in TEMPORAL:
        raise unknown_name("temporal module", kind, TEMPORAL)
    frame = build_frame_network(parameters.network, num_classes)
    try:
        temporal: Any = TEMPORAL[kind](frame, num_classes, **parameters.temporal.checked())
    except (UserError, ValueError) as error:
        raise UserError(f"temporal module '{kind}' in params.yaml: {error}; mend the key") from error
    network = VideoNetwork(frame, temporal)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
