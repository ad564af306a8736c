"""QuadMix on images (DA-STC v2 and later, arXiv 2311.13254; TPAMI 2025): two mixed batches that share their patches.

Until the switch, ClassMix with an EMA teacher (`self_training`). From then on two batches replace it, each with half
the weight: the source (S~) and the target (T~), onto both of which are pasted, in this order, two classes of the
previous source batch, two classes of the previous target batch where its pseudo labels are sure, and two patches of
rare classes. No motion, no blend of features, no alignment: its form on video is STCL's own fusion, a preset of
`stcl`. Published and here alike: orders, counts, threshold 0.9, EMA 0.999, 0.968 for sure pixels, weights of 0.5, the
switch at 6,000 (GTA) or 10,001 (SYNTHIA) of 40,000 steps. Otherwise than published: the target patch never has the
source patch's classes (published: class ids are compared with list positions), rare classes come from a bank of frames
seen so far and have the network's range of values, and their pixels weigh as true ones.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from crossfade.data.augment import (
    GeometricParameters,
    PhotometricParameters,
    draw_placement,
    geometric,
    photometric,
    transform,
)
from crossfade.data.clip import Clip
from crossfade.methods.base import ClipNeeds, Guess, StepOutput
from crossfade.methods.parts.batch_norm import train_mode
from crossfade.methods.parts.class_mix import class_mix, mixed_terms
from crossfade.methods.parts.class_sampling import RareClassParameters, source_weights
from crossfade.methods.parts.feature_distance import FeatureDistanceParameters, feature_distance
from crossfade.methods.parts.figures import mixed_figure
from crossfade.methods.parts.fused_domains import MixingParameters, Templates, choose_patches
from crossfade.methods.parts.long_tail import LongTailBank, class_ids
from crossfade.methods.parts.masked_consistency import MaskedParameters, masked_terms
from crossfade.methods.parts.pseudo_labels import Weighting, confidence_weight
from crossfade.methods.parts.teacher import TaughtMethod, TeacherParameters
from crossfade.methods.parts.unroll import supervised_terms
from crossfade.objectives.mixing import Layer, Mixed, compose

if TYPE_CHECKING:
    from crossfade.data.loading import ClipDataset
    from crossfade.temporal.video_network import VideoNetwork


class QuadMixParameters(BaseModel):
    """Parameters of `quadmix`.

    Attributes:
        teacher: the EMA teacher, its statistics, and what is deployed.
        threshold: confidence above which a pseudo label counts as sure (published: 0.968).
        weighting: of pseudo labels, see `confidence_weight`.
        switch: share of the steps with ordinary ClassMix (published: 0.15 for GTA, 0.25 for SYNTHIA).
        classes: how many source classes ClassMix pastes; "half" of those in the frame.
        templates: patches come out of the "previous" batches (published), or of "batch" neighbours.
        source_classes, target_classes: random classes of the source and of the target patch.
        target_threshold: confidence above which target pixels are pasted.
        long_tail: how many patches of rare classes; 0: none.
        tail_classes: their names; none: those below `tail_below` of all source pixels seen so far.
        tail_capacity: source frames kept for each rare class.
        tail_min_pixels: of the class in such a frame.
        source_fused, target_fused: weights of the terms on S~ and T~; ClassMix has the sum of both.
        masked, feature_distance, rare_classes: of the image recipe of MIC, on which the published form is built (see
            `mic`); off, unless named.
        class_balance: power of the inverse class frequency by which pixels with true labels weigh.
        mix_photometric: strong colour changes of the mixed frames.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher: TeacherParameters = TeacherParameters(decay=0.999)
    threshold: float = Field(default=0.968, ge=0.0, le=1.0)
    weighting: Weighting = "share"
    switch: float = Field(default=0.15, ge=0.0, le=1.0)
    classes: PositiveInt | Literal["half"] = "half"
    templates: Literal["previous", "batch"] = "previous"
    source_classes: PositiveInt | Literal["half"] = 2
    target_classes: PositiveInt = 2
    target_threshold: float = Field(default=0.9, ge=0.0, le=1.0)
    long_tail: NonNegativeInt = 2
    tail_classes: tuple[str, ...] = ()
    tail_below: float = Field(default=0.02, ge=0.0, le=1.0)
    tail_capacity: PositiveInt = 8
    tail_min_pixels: PositiveInt = 16
    source_fused: NonNegativeFloat = 0.5
    target_fused: NonNegativeFloat = 0.5
    masked: MaskedParameters = MaskedParameters(weight=0.0)
    feature_distance: FeatureDistanceParameters = FeatureDistanceParameters(weight=0.0)
    rare_classes: RareClassParameters = RareClassParameters(on=False)
    class_balance: float = Field(default=0.0, ge=0.0, le=1.0)
    aux_weight: NonNegativeFloat = 0.1
    student_statistics: Literal["batch", "fixed"] = "batch"
    source_geometric: GeometricParameters = GeometricParameters()
    target_geometric: GeometricParameters = GeometricParameters(scale=(1.0, 1.25))
    source_photometric: PhotometricParameters = PhotometricParameters()
    mix_photometric: PhotometricParameters = PhotometricParameters(blur=0.5)

    @property
    def mixing(self) -> MixingParameters:
        """What `choose_patches` is to choose."""
        return MixingParameters(
            templates=self.templates,
            source_classes=self.source_classes,
            tail_always=False,
            target_classes=self.target_classes,
            target_threshold=self.target_threshold,
        )


class QuadMix(TaughtMethod):
    """See the module."""

    single_frames = True

    def __init__(self, parameters: QuadMixParameters, network: "VideoNetwork", class_names: Sequence[str]) -> None:
        super().__init__(parameters.teacher, network, class_names)
        self.parameters = p = parameters
        listed = class_ids(p.tail_classes, self.class_names, "tail_classes")
        self.bank = LongTailBank(self.num_classes, listed, p.tail_below, p.tail_capacity, p.tail_min_pixels)
        self.distance = feature_distance(p.feature_distance, network, class_names)
        self.templates: Templates | None = None

    @property
    def source_needs(self) -> ClipNeeds | None:
        """Single frames, labelled."""
        return ClipNeeds(labels=True)

    @property
    def target_needs(self) -> ClipNeeds | None:
        """Single frames, without labels."""
        return ClipNeeds()

    def sampling_weights(self, source: "ClipDataset") -> np.ndarray | None:
        """More of the frames that show rare classes, if asked."""
        return source_weights(source, self.parameters.rare_classes)

    def step(self, step: int, total: int, source: Clip | None, target: Clip | None, draw: bool = False) -> StepOutput:
        """One teacher forward, one student forward of the source, and one or two of mixed frames."""
        assert source is not None
        assert target is not None
        p = self.parameters
        source, placement = geometric(source, p.source_geometric), draw_placement(target, p.target_geometric)
        target = transform(target, *placement)
        confidence, pseudo = self.teacher.predict(target.frames, target.motion).max(1)
        weight, sure = confidence_weight(confidence, p.threshold, p.weighting)
        self.bank.update(source.now, source.labels_now)
        train_mode(self.network, p.student_statistics)
        shown = photometric(source, p.source_photometric)
        weights = self.true_weight(source.labels_now)
        output, terms = supervised_terms(self.network, shown, "source", p.aux_weight, weights)
        if self.distance is not None:
            terms["feature_distance"] = self.distance.term(output.now, shown.now, source.labels_now)

        labelled = replace(target, labels=pseudo[:, None])
        templates = self._templates(Templates(source, labelled, confidence[:, None]))
        factors = {"source_fused": p.source_fused, "target_fused": p.target_fused}
        if step < p.switch * total or templates is None:
            mix = class_mix(source, target, pseudo, weight, p.classes, self.num_classes, self.true_weight)
            batches, factors = {"mixed": mix}, {"mixed": p.source_fused + p.target_fused}
        else:
            batches = self._fused(templates, source, labelled, weight)
        pictures = {}
        for name, mixed in batches.items():
            if factors[name] == 0:
                continue
            more, pictures[name] = mixed_terms(
                self.network, mixed, target.names, name, p.mix_photometric, p.aux_weight, factors[name]
            )
            terms |= more
        terms |= masked_terms(self.network, target, pseudo, weight, p.masked, p.aux_weight)
        figures = {"mixed": mixed_figure(pictures, self.num_classes)} if draw and pictures else {}
        guess = Guess(target.names, pseudo, confidence, placement)
        return StepOutput(terms, {"sure": sure, "confidence": confidence.mean()}, figures, guess)

    def _templates(self, now: Templates) -> Templates | None:
        """What patches are cut from; None in the first step with previous ones."""
        if self.parameters.templates == "batch":
            return now.rolled()
        before, self.templates = self.templates, now
        return before

    def _fused(self, templates: Templates, source: Clip, target: Clip, weight: Tensor) -> dict[str, Mixed]:
        """S~ and T~."""
        p = self.parameters
        drawn = self.bank.draw(len(source.frames), p.long_tail)
        patches = choose_patches(templates, p.mixing, self.bank.tail(), drawn)
        trust = confidence_weight(templates.confidence[:, -1], p.threshold, p.weighting)[0]
        layers = [
            replace(patches.source, weight=self.true_weight(patches.source.labels)),
            replace(patches.target, weight=trust[:, None]),
            *(replace(layer, weight=self.true_weight(layer.labels)) for layer in patches.still),
        ]
        assert source.labels is not None
        assert target.labels is not None
        true = self.true_weight(source.labels)
        everywhere = torch.ones_like(source.labels, dtype=torch.bool)
        bases = {
            "source_fused": Layer(source.frames, source.labels, everywhere, {}, true),
            "target_fused": Layer(target.frames, target.labels, everywhere, {}, weight[:, None]),
        }
        return {name: compose(base, layers) for name, base in bases.items()}

    def state_dict(self) -> dict[str, Any]:
        """Teacher, bank, templates."""
        kept = None if self.templates is None else self.templates.state_dict()
        return {**super().state_dict(), "bank": self.bank.state_dict(), "templates": kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        super().load_state_dict(state)
        self.bank.load_state_dict(state["bank"])
        kept, device = state["templates"], next(self.network.parameters()).device
        self.templates = None if kept is None else Templates.from_state(kept, device)
