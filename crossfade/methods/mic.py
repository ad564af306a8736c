"""The image recipe of DAFormer (CVPR 2022), HRDA (ECCV 2022) and MIC (CVPR 2023), by Hoyer et al.

ClassMix with an EMA teacher, and what made it strong: source frames with rare classes are drawn more often
(`rare_classes`), features of things stay near those of ImageNet (`feature_distance`), hidden blocks are told from their
surroundings (`masked`). Each part can be switched off; the fourth, two resolutions at once, is a matter of the network
(`kind: hrda`). Numbers that do not depend on a frame's size are the published ones: EMA 0.999, pseudo labels sure above
0.968, rare classes at temperature 0.01, feature distance 0.005, 0.7 of the blocks hidden. Otherwise than published:
training starts from the network pretrained on the source, not from ImageNet; pseudo labels at the frame's borders weigh
like others; a rare class is not searched for with further crops. Made for per-frame networks; one with several frames
has them mixed and hidden alike.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
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
from crossfade.methods.parts.class_sampling import RareClassParameters, source_weights
from crossfade.methods.parts.feature_distance import FeatureDistanceParameters, feature_distance
from crossfade.methods.parts.figures import mixed_figure
from crossfade.methods.parts.masked_consistency import MaskedParameters, masked_terms
from crossfade.methods.parts.pseudo_labels import Weighting, confidence_weight
from crossfade.methods.parts.teacher import TaughtMethod, TeacherParameters
from crossfade.methods.parts.unroll import supervised_terms

if TYPE_CHECKING:
    from crossfade.data.loading import ClipDataset
    from crossfade.temporal.video_network import VideoNetwork


class MICParameters(BaseModel):
    """Parameters of `mic`.

    Attributes:
        teacher: the EMA teacher, its statistics, and what is deployed.
        threshold: confidence above which a pseudo label counts as sure.
        weighting: of pseudo labels, see `confidence_weight`.
        classes: how many source classes are pasted; "half" of those in the frame.
        mixed_weight: weight of the term on mixed frames.
        masked: masked consistency.
        feature_distance: to another encoder's features.
        rare_classes: sampling of the source's frames.
        class_balance: power of the inverse class frequency by which pixels with true labels weigh (published: 0).
        mix_photometric: strong colour changes of the mixed frames.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher: TeacherParameters = TeacherParameters(decay=0.999)
    threshold: float = Field(default=0.968, ge=0.0, le=1.0)
    weighting: Weighting = "share"
    classes: PositiveInt | Literal["half"] = "half"
    mixed_weight: NonNegativeFloat = 1.0
    masked: MaskedParameters = MaskedParameters()
    feature_distance: FeatureDistanceParameters = FeatureDistanceParameters()
    rare_classes: RareClassParameters = RareClassParameters()
    class_balance: float = Field(default=0.0, ge=0.0, le=1.0)
    aux_weight: NonNegativeFloat = 0.1
    student_statistics: Literal["batch", "fixed"] = "batch"
    source_geometric: GeometricParameters = GeometricParameters()
    target_geometric: GeometricParameters = GeometricParameters(scale=(1.0, 1.25))
    source_photometric: PhotometricParameters = PhotometricParameters()
    mix_photometric: PhotometricParameters = PhotometricParameters(blur=0.5)


class MIC(TaughtMethod):
    """See the module."""

    def __init__(self, parameters: MICParameters, network: "VideoNetwork", class_names: Sequence[str]) -> None:
        super().__init__(parameters.teacher, network, class_names)
        self.parameters = p = parameters
        self.distance = feature_distance(p.feature_distance, network, class_names)

    def sampling_weights(self, source: "ClipDataset") -> np.ndarray | None:
        """More of the frames that show rare classes."""
        return source_weights(source, self.parameters.rare_classes)

    def step(self, step: int, total: int, source: Clip | None, target: Clip | None, draw: bool = False) -> StepOutput:
        """One teacher forward, and student forwards of source, mixed and hidden frames."""
        assert source is not None
        assert target is not None
        p = self.parameters
        source, placement = geometric(source, p.source_geometric), draw_placement(target, p.target_geometric)
        target = transform(target, *placement)
        confidence, pseudo = self.teacher.predict(target.frames, target.motion).max(1)
        weight, sure = confidence_weight(confidence, p.threshold, p.weighting)
        train_mode(self.network, p.student_statistics)
        shown = photometric(source, p.source_photometric)
        weights = self.true_weight(source.labels_now)
        output, terms = supervised_terms(self.network, shown, "source", p.aux_weight, weights)
        if self.distance is not None:
            terms["feature_distance"] = self.distance.term(output.now, shown.now, source.labels_now)
        figures = {}
        if p.mixed_weight > 0:
            mixed = class_mix(source, target, pseudo, weight, p.classes, self.num_classes, self.true_weight)
            more, picture = mixed_terms(
                self.network, mixed, target.names, "mixed", p.mix_photometric, p.aux_weight, p.mixed_weight
            )
            terms |= more
            figures = {"mixed": mixed_figure({"mixed": picture}, self.num_classes)} if draw else {}
        terms |= masked_terms(self.network, target, pseudo, weight, p.masked, p.aux_weight)
        guess = Guess(target.names, pseudo, confidence, placement)
        return StepOutput(terms, {"sure": sure, "confidence": confidence.mean()}, figures, guess)
