"""TPS (Xing et al., ECCV 2022): what was seen a frame ago, brought here over motion, teaches what is seen now.

The network labels the frame before; the label is warped to now and supervises the network's prediction on strongly
changed frames. Nothing is mixed and nobody else teaches. Published and here alike: the source takes the target's
colours. Otherwise than published: the frames that label and those that learn are zoomed by one factor, the label is
warped with motion that was mirrored with its sign, and where motion is not valid the frame's own prediction stands in
(`labels`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, field_validator
from torch import Tensor

from crossfade.data.augment import (
    GeometricParameters,
    PhotometricParameters,
    draw_placement,
    geometric,
    photometric,
    photometric_frames,
    transform,
)
from crossfade.data.clip import Clip
from crossfade.methods.base import ClipNeeds, StepOutput
from crossfade.methods.parts.batch_norm import train_mode
from crossfade.methods.parts.figures import mixed_figure
from crossfade.methods.parts.labeller import LabelledMethod, LabelParameters
from crossfade.methods.parts.teacher import TeacherParameters
from crossfade.methods.parts.unroll import newest, supervised_terms
from crossfade.objectives.colour_transfer import transfer_colour

if TYPE_CHECKING:
    from crossfade.temporal.video_network import VideoNetwork


class TPSParameters(BaseModel):
    """Parameters of `tps`.

    Attributes:
        labels: pseudo labels; `labeller` is "self" (published) or "ema"; nobody is frozen here.
        teacher: with "ema", the teacher; in any case whose batch-norm statistics are deployed.
        target_weight: λ_T (published: 1 for SYNTHIA, 0.1 for VIPER).
        class_balance: power of the inverse class frequency by which pixels with true labels weigh.
        colour_transfer: source frames take the colours of a target frame, with `colour_transfer_probability`.
        target_photometric: strong colour changes of the frames that learn.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: LabelParameters = LabelParameters(labeller="self", over_motion="warped", weighting="none")
    teacher: TeacherParameters = TeacherParameters(deploy="student")
    target_weight: NonNegativeFloat = 1.0
    class_balance: float = Field(default=0.5, ge=0.0, le=1.0)
    aux_weight: NonNegativeFloat = 0.1
    colour_transfer: Literal["histogram", "mean_spread", "off"] = "histogram"
    colour_transfer_probability: float = Field(default=1.0, ge=0.0, le=1.0)
    source_geometric: GeometricParameters = GeometricParameters()
    target_geometric: GeometricParameters = GeometricParameters(scale=(1.0, 1.25))
    source_photometric: PhotometricParameters = PhotometricParameters()
    target_photometric: PhotometricParameters = PhotometricParameters(blur=0.5)

    @field_validator("labels")
    @classmethod
    def _somebody_here(cls, labels: LabelParameters) -> LabelParameters:
        return labels.nobody_frozen("tps")


class TPS(LabelledMethod):
    """Source cross-entropy, and target cross-entropy against labels over motion."""

    def __init__(self, parameters: TPSParameters, network: "VideoNetwork", class_names: Sequence[str]) -> None:
        super().__init__(parameters.labels, parameters.teacher, network, class_names)
        self.parameters = parameters

    @property
    def target_needs(self) -> ClipNeeds | None:
        """As many frames as the network and the labeller read, without labels."""
        return ClipNeeds.of(self.parameters.labels.past(self.network.past), labels=False)

    def step(self, step: int, total: int, source: Clip | None, target: Clip | None, draw: bool = False) -> StepOutput:
        """The labeller's forward without gradient, and one forward of each side."""
        assert source is not None
        assert target is not None
        p = self.parameters
        source, placement = geometric(source, p.source_geometric), draw_placement(target, p.target_geometric)
        target = transform(target, *placement)
        train_mode(self.network, "batch")
        pseudo = self.labeller.label_now(self.network, self.teacher, target)
        recoloured = transfer_colour(source.frames, target.now, p.colour_transfer, p.colour_transfer_probability)
        shown = photometric(Clip(recoloured, source.labels, source.motion, source.names), p.source_photometric)
        weights = self.true_weight(source.labels_now)
        _, terms = supervised_terms(self.network, shown, "source", p.aux_weight, weights)

        own = newest(target, self.network.past + 1)
        frames = photometric_frames(own.frames, p.target_photometric)
        labels, confidence = pseudo.labels[:, -1], pseudo.confidence[:, -1]
        weight, sure = self.labeller.weigh(pseudo)
        labelled = Clip(frames, labels[:, None].expand(-1, frames.shape[1], -1, -1), own.motion, own.names)
        _, more = supervised_terms(self.network, labelled, "target", p.aux_weight, weight, p.target_weight)
        terms |= more
        scalars: dict[str, float | Tensor] = {"sure": sure, "confidence": confidence.mean()}
        if pseudo.disagreement is not None:
            scalars["disagreement_over_motion"] = pseudo.disagreement
        figures = {}
        if draw:
            assert labelled.labels is not None
            figures = {"target": mixed_figure({"target": (frames, labelled.labels)}, self.num_classes)}
        return StepOutput(terms, scalars, figures, pseudo.guess(target.names, placement))
