"""Self-training: an EMA teacher's pseudo labels, and half of the source's classes pasted onto the target.

ClassMix (Olsson et al., WACV 2021) across domains as in DACS (Tranheden et al., WACV 2021), with an EMA teacher (Mean
Teacher, Tarvainen & Valpola, NeurIPS 2017). On a two-frame network both frames are mixed by one class set.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt

from crossfade.data.augment import (
    GeometricParameters,
    PhotometricParameters,
    draw_placement,
    geometric,
    photometric,
    transform,
)
from crossfade.data.clip import Clip
from crossfade.methods.base import Guess, StepOutput
from crossfade.methods.parts.batch_norm import train_mode
from crossfade.methods.parts.class_mix import class_mix, mixed_terms
from crossfade.methods.parts.figures import mixed_figure
from crossfade.methods.parts.pseudo_labels import Weighting, confidence_weight
from crossfade.methods.parts.teacher import TaughtMethod, TeacherParameters
from crossfade.methods.parts.unroll import supervised_terms

if TYPE_CHECKING:
    from crossfade.temporal.video_network import VideoNetwork


class SelfTrainingParameters(BaseModel):
    """Parameters of `self_training`.

    Attributes:
        teacher: the EMA teacher, its statistics, and what is deployed.
        threshold: confidence above which a pseudo label counts as sure.
        weighting: "share": every pseudo label weighs the share of sure pixels of its frame (DACS); "threshold": unsure
            pixels are ignored; "none": all weigh 1.
        classes: how many source classes are pasted; "half" of those in the frame.
        class_balance: power of the inverse class frequency by which pixels with true labels weigh.
        target_weight: weight of the mixed term.
        student_statistics: "batch": batch norm uses the statistics of the batch in training; "fixed": the running ones.
        source_geometric, target_geometric: mirror and zoom of each side.
        source_photometric: colour changes of the supervised source frames.
        mix_photometric: strong colour changes of the mixed frames.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher: TeacherParameters = TeacherParameters()
    threshold: float = Field(default=0.9, ge=0.0, le=1.0)
    weighting: Weighting = "share"
    classes: PositiveInt | Literal["half"] = "half"
    class_balance: float = Field(default=0.5, ge=0.0, le=1.0)
    target_weight: NonNegativeFloat = 1.0
    aux_weight: NonNegativeFloat = 0.1
    student_statistics: Literal["batch", "fixed"] = "batch"
    source_geometric: GeometricParameters = GeometricParameters()
    target_geometric: GeometricParameters = GeometricParameters(scale=(1.0, 1.25))
    source_photometric: PhotometricParameters = PhotometricParameters()
    mix_photometric: PhotometricParameters = PhotometricParameters(blur=0.5)


class SelfTraining(TaughtMethod):
    """Source cross-entropy plus cross-entropy of mixed frames against source labels and pseudo labels."""

    def __init__(self, parameters: SelfTrainingParameters, network: "VideoNetwork", class_names: Sequence[str]) -> None:
        super().__init__(parameters.teacher, network, class_names)
        self.parameters = parameters

    def step(self, step: int, total: int, source: Clip | None, target: Clip | None, draw: bool = False) -> StepOutput:
        """One teacher forward and two student forwards: source and mixed, each normalised by its own statistics."""
        assert source is not None
        assert target is not None
        p = self.parameters
        source, placement = geometric(source, p.source_geometric), draw_placement(target, p.target_geometric)
        target = transform(target, *placement)
        probabilities = self.teacher.predict(target.frames, target.motion)
        confidence, pseudo = probabilities.max(1)
        train_mode(self.network, p.student_statistics)
        _, terms = supervised_terms(
            self.network,
            photometric(source, p.source_photometric),
            "source",
            p.aux_weight,
            self.true_weight(source.labels_now),
        )
        weight, sure = confidence_weight(confidence, p.threshold, p.weighting)
        mixed = class_mix(source, target, pseudo, weight, p.classes, self.num_classes, self.true_weight)
        more, shown = mixed_terms(
            self.network, mixed, target.names, "mixed", p.mix_photometric, p.aux_weight, p.target_weight
        )
        terms |= more
        figures = {"mixed": mixed_figure({"mixed": shown}, self.num_classes)} if draw else {}
        guess = Guess(target.names, pseudo, confidence, placement)
        return StepOutput(terms, {"sure": sure, "confidence": confidence.mean()}, figures, guess)
