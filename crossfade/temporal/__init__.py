"""Temporal modules by name, and the video network they make with a per-frame network."""

from collections.abc import Callable

import torch
from pydantic import BaseModel, ConfigDict

from crossfade.errors import unknown_name
from crossfade.networks import NetworkParameters, build_frame_network
from crossfade.temporal.base import NoMemory, TemporalModule
from crossfade.temporal.fusion import ScoreFusion
from crossfade.temporal.video_network import VideoNetwork

TEMPORAL: dict[str, Callable[[int], TemporalModule]] = {"none": lambda _: NoMemory(), "fusion": ScoreFusion}
"""Name → temporal module for a number of classes."""


class ModelParameters(BaseModel):
    """What a video network is made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    network: NetworkParameters
    temporal: str = "none"


def build_video_network(parameters: ModelParameters, num_classes: int) -> VideoNetwork:
    """Build a video network, its convolutions in channels-last layout: less than half the time of the default on a CPU.

    Raises:
        UserError: an unknown network kind, encoder or temporal module.
    """
    if parameters.temporal not in TEMPORAL:
        raise unknown_name("temporal module", parameters.temporal, TEMPORAL)
    frame = build_frame_network(parameters.network, num_classes)
    network = VideoNetwork(frame, TEMPORAL[parameters.temporal](num_classes))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
