"""PixMatch (Melas-Kyriazi & Manrai, CVPR 2021): what is said of a target frame holds for a perturbed view of it, too.

The network labels the clean view; where it is sure, that supervises its prediction on the perturbed one. Of the
paper's perturbations, the Fourier one (target frames in the style of source frames, FDA) is the default: the plain
augmentation it reports best results with. Numbers are as the authors' configurations are remembered, not checked
against them: threshold 0.9, β 0.01, weight 0.1 (0.5 of the frame for CutMix is that of French et al., BMVC 2020).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
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
from crossfade.errors import UserError
from crossfade.methods.base import ClipNeeds, StepOutput
from crossfade.methods.parts.batch_norm import train_mode
from crossfade.methods.parts.figures import mixed_figure
from crossfade.methods.parts.labeller import LabelledMethod, LabelParameters
from crossfade.methods.parts.teacher import TeacherParameters
from crossfade.methods.parts.unroll import newest, supervised_terms
from crossfade.motion.field import Motion
from crossfade.objectives.fourier import swap_amplitude
from crossfade.objectives.mixing import Layer, Mixed, box_mask, compose

if TYPE_CHECKING:
    from crossfade.temporal.video_network import VideoNetwork


class PixMatchParameters(BaseModel):
    """Parameters of `pixmatch`.

    Attributes:
        labels: pseudo labels of the clean view; `labeller` is "self" (published) or "ema".
        teacher: with "ema", the teacher; in any case whose batch-norm statistics are deployed.
        perturbation: "fourier": the low-frequency amplitudes of a source frame; "photometric": `target_photometric`;
            "cutmix": a box of another target clip, with its labels; "fourier_cutmix": both.
        beta: half-width of the square of swapped frequencies, as a share of the frame's shorter side.
        box: share of the frame that a box covers.
        target_weight: weight of the consistency term.
        class_balance: power of the inverse class frequency by which pixels with true labels weigh.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: LabelParameters = LabelParameters(labeller="self", mirror=0.0, weighting="threshold")
    teacher: TeacherParameters = TeacherParameters(deploy="student")
    perturbation: Literal["fourier", "photometric", "cutmix", "fourier_cutmix"] = "fourier"
    beta: float = Field(default=0.01, ge=0.0, le=0.5)
    box: float = Field(default=0.5, gt=0.0, le=1.0)
    target_weight: NonNegativeFloat = 0.1
    class_balance: float = Field(default=0.5, ge=0.0, le=1.0)
    aux_weight: NonNegativeFloat = 0.1
    source_geometric: GeometricParameters = GeometricParameters()
    target_geometric: GeometricParameters = GeometricParameters(scale=(1.0, 1.25))
    source_photometric: PhotometricParameters = PhotometricParameters()
    target_photometric: PhotometricParameters = PhotometricParameters(blur=0.5)

    @field_validator("labels")
    @classmethod
    def _somebody_here(cls, labels: LabelParameters) -> LabelParameters:
        return labels.nobody_frozen("pixmatch")


class PixMatch(LabelledMethod):
    """Source cross-entropy, and cross-entropy of the perturbed target against the labels of the clean one."""

    def __init__(self, parameters: PixMatchParameters, network: "VideoNetwork", class_names: Sequence[str]) -> None:
        super().__init__(parameters.labels, parameters.teacher, network, class_names)
        self.parameters = parameters

    @property
    def target_needs(self) -> ClipNeeds | None:
        """As many frames as the network and the labeller read, without labels."""
        labels, network = self.parameters.labels, self.network
        return ClipNeeds.of(labels.past(network.past), False, network.uses_motion or labels.over_motion != "now")

    def step(self, step: int, total: int, source: Clip | None, target: Clip | None, draw: bool = False) -> StepOutput:
        """The labeller's forward without gradient, and one forward of the source and of the perturbed view."""
        assert source is not None
        assert target is not None
        p = self.parameters
        source, placement = geometric(source, p.source_geometric), draw_placement(target, p.target_geometric)
        target = transform(target, *placement)
        train_mode(self.network, "batch")
        pseudo = self.labeller.label_now(self.network, self.teacher, target)
        labels, confidence = pseudo.labels[:, -1], pseudo.confidence[:, -1]
        weight, sure = self.labeller.weigh(pseudo)
        shown = photometric(source, p.source_photometric)
        weights = self.true_weight(source.labels_now)
        _, terms = supervised_terms(self.network, shown, "source", p.aux_weight, weights)

        view = self._perturbed(newest(target, self.network.past + 1), source.now, labels, weight)
        labelled = Clip(view.frames, view.labels, view.motion, target.names)
        weights = view.weight[:, -1]
        _, more = supervised_terms(self.network, labelled, "consistency", p.aux_weight, weights, p.target_weight)
        terms |= more
        scalars: dict[str, float | Tensor] = {"sure": sure, "confidence": confidence.mean()}
        figures = {"view": mixed_figure({"view": (view.frames, view.labels)}, self.num_classes)} if draw else {}
        return StepOutput(terms, scalars, figures, pseudo.guess(target.names, placement))

    def _perturbed(self, target: Clip, style: Tensor, labels: Tensor, weight: Tensor) -> Mixed:
        """The perturbed view: frames, labels, motion and weights; all frames of a clip are perturbed alike."""
        p, frames = self.parameters, target.frames
        if p.perturbation.startswith("fourier"):
            frames = swap_amplitude(frames, style, p.beta)
        elif p.perturbation == "photometric":
            frames = photometric_frames(frames, p.target_photometric)
        shape = (-1, target.length, -1, -1)
        labels, weight = labels[:, None].expand(shape), weight[:, None].expand(shape)
        base = Layer(frames, labels, torch.ones_like(labels, dtype=torch.bool), target.motion, weight)
        return compose(base, [self._box(base)] if p.perturbation.endswith("cutmix") else [])

    def _box(self, base: Layer) -> Layer:
        """A box out of each sample's neighbour in the batch, at the same place in all frames.

        Raises:
            UserError: a batch of one has no neighbour.
        """
        batch, size = len(base.frames), (base.frames.shape[-2], base.frames.shape[-1])
        if batch < 2:
            raise UserError("perturbation: cutmix needs a batch of at least 2 clips: choose fourier, or a larger batch")
        assert base.motion is not None
        assert base.weight is not None
        mask = box_mask(batch, size, self.parameters.box).to(base.frames.device)[:, None].expand_as(base.labels)
        motion = {pair: Motion(m.flow.roll(1, 0), m.valid.roll(1, 0)) for pair, m in base.motion.items()}
        frames, labels, weight = (value.roll(1, 0) for value in (base.frames, base.labels, base.weight))
        return Layer(frames, labels, mask, motion, weight)
