"""Feature distance (DAFormer, Hoyer et al., CVPR 2022): on things, do not forget what the encoder knew before."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat
from torch import Tensor, nn

from crossfade.errors import UserError
from crossfade.methods.parts.long_tail import class_ids
from crossfade.methods.parts.teacher import frozen_copy
from crossfade.networks.base import FrameOutput
from crossfade.temporal.video_network import VideoNetwork

THINGS = frozenset(
    ("traffic light", "traffic sign", "sign", "person", "pedestrian", "rider", "bicyclist", "car", "truck", "bus")
) | {"train", "motorcycle", "bicycle"}
"""Classes that ImageNet knows: the published list, and the names that other label spaces have for them."""


class FeatureDistanceParameters(BaseModel):
    """Parameters of the feature distance.

    Attributes:
        weight: of the term (published: 0.005); 0: off.
        to: whose features: those of the encoder with its published ("imagenet") weights, or of the network that
            training "start"ed from.
        things: names of the classes on whose pixels it counts; none: those of `THINGS` that the pair has.
        ratio: share of a feature's pixels that have to be of one such class (published: 0.75).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: NonNegativeFloat = 0.005
    to: Literal["imagenet", "start"] = "imagenet"
    things: tuple[str, ...] = ()
    ratio: float = Field(default=0.75, gt=0.0, le=1.0)


class FeatureDistance:
    """The distance of a network's deepest encoder features from those of a frozen encoder."""

    def __init__(
        self, parameters: FeatureDistanceParameters, network: VideoNetwork, class_names: Sequence[str]
    ) -> None:
        """Freeze the other encoder.

        Raises:
            UserError: no class is a thing, or the network's kind has no published encoder.
        """
        named = parameters.things or tuple(name for name in class_names if name.lower() in THINGS)
        if not named:
            raise UserError(
                f"feature_distance knows no thing among the classes {', '.join(class_names)}: name some in "
                "feature_distance.things, or set feature_distance.weight: 0"
            )
        self.parameters = parameters
        self.things = class_ids(named, class_names, "feature_distance.things")
        self.stride = max(network.frame.channels)
        anchor = network.frame.published_encoder() if parameters.to == "imagenet" else frozen_copy(network.frame)
        if anchor is None:
            raise UserError(
                "this kind of network has no encoder with published weights to keep a feature distance from: set "
                "feature_distance.to: start, or feature_distance.weight: 0"
            )
        self.anchor = anchor.to(next(network.parameters()).device).eval().requires_grad_(False)

    def term(self, output: FrameOutput, image: Tensor, labels: Tensor) -> Tensor:
        """weight · mean over things of ‖F(x) − F₀(x)‖₂, the norm taken over channels.

        Args:
            output: of the network on `image`.
            image: (B, 3, H, W) source frames as the network saw them.
            labels: (B, H, W) true labels.

        Returns:
            A scalar; 0 where there is no thing.
        """
        features = output.features[self.stride]
        with torch.no_grad():
            known = _features(self.anchor, image)[self.stride]
            things = torch.stack([labels == k for k in self.things], 1).float()
            share = F.adaptive_avg_pool2d(things, (features.shape[-2], features.shape[-1]))
            mask = (share >= self.parameters.ratio).any(1).float()
        distance = torch.linalg.vector_norm(features.float() - known.float(), dim=1)
        return self.parameters.weight * (distance * mask).sum() / mask.sum().clamp_min(1)


def feature_distance(
    parameters: FeatureDistanceParameters, network: VideoNetwork, class_names: Sequence[str]
) -> FeatureDistance | None:
    """The feature distance of a method, or None if it is off; raises as `FeatureDistance` does."""
    return FeatureDistance(parameters, network, class_names) if parameters.weight > 0 else None


def _features(encoder: nn.Module, image: Tensor) -> dict[int, Tensor]:
    """Features by stride, of an encoder or of a whole per-frame network."""
    output = encoder(image)
    return output.features if isinstance(output, FrameOutput) else output
