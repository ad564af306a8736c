"""Supervised training on one side: `source_only` (also the pretraining) and the `oracle`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from crossfade.data.augment import GeometricParameters, PhotometricParameters, geometric, photometric
from crossfade.data.clip import Clip
from crossfade.methods.base import ClipNeeds, Method, StepOutput
from crossfade.methods.parts.batch_norm import train_only
from crossfade.methods.parts.unroll import needs_of, supervised_terms
from crossfade.objectives.cross_entropy import Denominator

if TYPE_CHECKING:
    from crossfade.temporal.video_network import VideoNetwork


class SupervisedParameters(BaseModel):
    """Parameters of `supervised`.

    Attributes:
        domain: whose labels: "source", or "target" for the oracle (the upper bound).
        class_balance: power of the inverse class frequency by which labelled pixels weigh (`balanced_weights`).
        aux_weight: weight of the auxiliary head's cross-entropy, where the network has one.
        denominator: of the cross-entropy's mean: pixels with a label ("valid"), or "all" (published for DTERN, TMANet).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    domain: Literal["source", "target"] = "source"
    geometric: GeometricParameters = GeometricParameters()
    photometric: PhotometricParameters = PhotometricParameters()
    class_balance: float = Field(default=0.5, ge=0.0, le=1.0)
    aux_weight: float = 0.1
    denominator: Denominator = "valid"


class Supervised(Method):
    """Cross-entropy on one side's labels, under augmentation.

    With key frames the light network and the distortion learn; the per-frame network stays as it is, statistics too.
    """

    trains_key_frames = True

    def __init__(self, parameters: SupervisedParameters, network: "VideoNetwork", class_names: Sequence[str]) -> None:
        super().__init__(network, class_names)
        self.parameters = parameters
        self._needs = needs_of(network, labels=True)

    @property
    def source_needs(self) -> ClipNeeds | None:
        """The source's pairs with labels, unless this is the oracle."""
        return self._needs if self.parameters.domain == "source" else None

    @property
    def target_needs(self) -> ClipNeeds | None:
        """The target's pairs with labels, if this is the oracle."""
        return self._needs if self.parameters.domain == "target" else None

    def step(self, step: int, total: int, source: Clip | None, target: Clip | None, draw: bool = False) -> StepOutput:
        """Cross-entropy of the fused logits of "now", and of the auxiliary ones."""
        clip = source if self.parameters.domain == "source" else target
        assert clip is not None
        p = self.parameters
        train_only(self.network, self.network.learners)
        clip = photometric(geometric(clip, p.geometric), p.photometric)
        weights = self.true_weight(clip.labels_now)
        _, terms = supervised_terms(self.network, clip, "supervised", p.aux_weight, weights, denominator=p.denominator)
        return StepOutput(terms)
