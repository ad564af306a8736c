"""STCL / DA-STC (arXiv 2311.13254): bidirectional fusion of source and target video, labels over motion, alignment.

A step: the labeller names the target's pixels over motion; the student sees the source clip (supervised), the fused
source domain S~ and the fused target domain T~, each in a forward of its own, so that batch norm normalises each by its
own statistics. Where the published code also forwards the pure target twice (its self-training term and the second
span), the alignment here reads the target's own pixels out of T~: two graphs less for one backward; `self_training`
above 0 brings that term back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat
from torch import Tensor

from crossfade.data.augment import (
    GeometricParameters,
    PhotometricParameters,
    as_input,
    draw_placement,
    geometric,
    photometric,
    photometric_frames,
    transform,
    wrapped,
)
from crossfade.data.clip import IGNORE, Clip
from crossfade.data.loading import ClipDataset
from crossfade.methods.base import ClipNeeds, StepOutput
from crossfade.methods.parts.batch_norm import copy_statistics, train_mode
from crossfade.methods.parts.category_alignment import AlignmentParameters, CategoryAlignment, View
from crossfade.methods.parts.class_sampling import RareClassParameters, source_weights
from crossfade.methods.parts.feature_blend import BlendParameters, blend_edits
from crossfade.methods.parts.feature_distance import FeatureDistanceParameters, feature_distance
from crossfade.methods.parts.figures import mixed_figure
from crossfade.methods.parts.fused_domains import MixingParameters, Patches, Templates, check_fusion, choose_patches
from crossfade.methods.parts.labeller import LabelledMethod, LabelParameters, PseudoLabels
from crossfade.methods.parts.long_tail import LongTailBank, class_ids
from crossfade.methods.parts.masked_consistency import MaskedParameters, masked_terms
from crossfade.methods.parts.teacher import TeacherParameters, frozen_copy
from crossfade.methods.parts.unroll import enlarged_cross_entropy, fuse, newest, run, supervised_terms
from crossfade.networks.base import Edits, FrameOutput
from crossfade.objectives.colour_transfer import transfer_colour
from crossfade.objectives.consistency import temporal_consistency
from crossfade.objectives.mixing import Layer, Mixed, class_mask, compose, within_origin
from crossfade.temporal.video_network import VideoNetwork, VideoOutput


class ConsistencyParameters(BaseModel):
    """Temporal consistency of T~ over its mixed motion: fused logits now against the frame's own logits before."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: NonNegativeFloat = 0.0
    distance: Literal["squared", "kl"] = "squared"


class STCLParameters(BaseModel):
    """Parameters of `stcl`.

    Attributes:
        teacher: the EMA teacher, its statistics, and what is deployed.
        labels: pseudo labels.
        mixing: the fused domains.
        feature_blend: fusion at the feature level.
        alignment: of the categories.
        consistency: over time.
        masked, feature_distance, rare_classes: what the image recipe of MIC has to offer (see `mic`); off, unless
            named.
        source_fused, target_fused, self_training: weights of the terms on S~, T~ and on the pure, augmented target.
        class_balance: power of the inverse class frequency by which pixels with true labels weigh.
        target_weight: λ_T, a further factor of the target's two.
        colour_transfer: source frames take the colours of a target frame (published: "histogram"), with
            `colour_transfer_probability`.
        augment: strong colour changes of the "mix" (both fused domains) or of the target "base" alone (published).
        strong_aug: "legacy_wrap": the published range bug on the target base, see `wrapped`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher: TeacherParameters = TeacherParameters()
    labels: LabelParameters = LabelParameters()
    mixing: MixingParameters = MixingParameters()
    feature_blend: BlendParameters = BlendParameters()
    alignment: AlignmentParameters = AlignmentParameters()
    consistency: ConsistencyParameters = ConsistencyParameters()
    masked: MaskedParameters = MaskedParameters(weight=0.0)
    feature_distance: FeatureDistanceParameters = FeatureDistanceParameters(weight=0.0)
    rare_classes: RareClassParameters = RareClassParameters(on=False)
    source_fused: NonNegativeFloat = 1.0
    target_fused: NonNegativeFloat = 1.0
    self_training: NonNegativeFloat = 0.0
    class_balance: float = Field(default=0.5, ge=0.0, le=1.0)
    target_weight: NonNegativeFloat = 1.0
    aux_weight: NonNegativeFloat = 0.1
    colour_transfer: Literal["histogram", "mean_spread", "off"] = "histogram"
    colour_transfer_probability: float = Field(default=0.5, ge=0.0, le=1.0)
    augment: Literal["mix", "base"] = "mix"
    strong_aug: Literal["correct", "legacy_wrap"] = "correct"
    student_statistics: Literal["batch", "fixed"] = "batch"
    source_geometric: GeometricParameters = GeometricParameters()
    target_geometric: GeometricParameters = GeometricParameters(scale=(1.0, 1.25))
    source_photometric: PhotometricParameters = PhotometricParameters()
    mix_photometric: PhotometricParameters = PhotometricParameters(blur=0.5)


class STCL(LabelledMethod):
    """See the module."""

    def __init__(self, parameters: STCLParameters, network: VideoNetwork, class_names: Sequence[str]) -> None:
        super().__init__(parameters.labels, parameters.teacher, network, class_names)
        self.parameters = p = parameters
        check_fusion(p.mixing, network.temporal)
        self.frozen = frozen_copy(network) if p.labels.labeller.startswith("frozen") else None
        self.distance = feature_distance(p.feature_distance, network, class_names)
        self.aligner = CategoryAlignment(p.alignment, self.num_classes)
        m = p.mixing
        listed = class_ids(m.tail_classes, self.class_names, "mixing.tail_classes")
        self.bank = LongTailBank(self.num_classes, listed, m.tail_below, m.tail_capacity, m.tail_min_pixels)
        self.templates: Templates | None = None
        self.past = max(network.past, 1 if p.consistency.weight > 0 else 0)
        self.spans = p.alignment.spans if p.alignment.on and network.past > 0 else ()
        self.source_fused = m.onto("S") and p.source_fused > 0
        self.target_fused = m.onto("T") and p.target_fused * p.target_weight > 0

    @property
    def source_needs(self) -> ClipNeeds | None:
        """As many frames as are mixed, labelled."""
        return ClipNeeds.of(self.past, labels=True)

    @property
    def target_needs(self) -> ClipNeeds | None:
        """As many frames as are mixed, labelled by the labeller, or reached by a span; no labels."""
        wide = 2 in self.spans
        past = max(self.past, self.parameters.labels.past(self.network.past), 2 if wide else 0)
        needs = ClipNeeds.of(past, labels=False)
        return ClipNeeds(needs.offsets, (*needs.motion, (past, past - 2)), labels=False) if wide else needs

    def sampling_weights(self, source: ClipDataset) -> np.ndarray | None:
        """More of the frames that show rare classes, if asked."""
        return source_weights(source, self.parameters.rare_classes)

    def prepare(self, source: Iterable[Clip] | None, target: Iterable[Clip] | None) -> None:
        """Start from the batch-norm statistics of the target, if asked."""
        super().prepare(source, target)
        if self.frozen is not None:
            copy_statistics(self.frozen, self.teacher.network)

    def step(self, step: int, total: int, source: Clip | None, target: Clip | None, draw: bool = False) -> StepOutput:
        """All terms of a step; the fused domains' are absent in the first one with `templates: previous`."""
        assert source is not None
        assert target is not None
        p = self.parameters
        source, placement = geometric(source, p.source_geometric), draw_placement(target, p.target_geometric)
        target = transform(target, *placement)
        pseudo = self._label(step, total, target)
        weight, sure = self.labeller.weigh(pseudo)
        scalars: dict[str, float | Tensor] = {"sure": sure, "confidence": pseudo.confidence[:, -1].mean()}
        if pseudo.disagreement is not None:
            scalars["disagreement_over_motion"] = pseudo.disagreement
        self.bank.update(source.now, source.labels_now)

        train_mode(self.network, p.student_statistics)
        recoloured = transfer_colour(source.frames, target.now, p.colour_transfer, p.colour_transfer_probability)
        source = Clip(recoloured, source.labels, source.motion, source.names)
        shown = photometric(source, p.source_photometric)
        output, terms = supervised_terms(
            self.network, shown, "source", p.aux_weight, self.true_weight(source.labels_now)
        )
        if self.distance is not None:
            terms["feature_distance"] = self.distance.term(output.now, shown.now, source.labels_now)
        source_view = self._source_view(output, shown)

        own = newest(target, self.past + 1)
        steps = {pair: own.motion[pair] for pair in source.motion}  # what is mixed has the same motion on either side
        labelled = Clip(own.frames, pseudo.labels, steps, own.names)
        templates = self._templates(Templates(source, labelled, pseudo.confidence))
        figures = {}
        target_view: View | None = None
        if templates is not None:
            fused = _Fused(self, step / max(1, total), templates, pseudo)
            more, target_view, pictures = fused.terms(source, target, labelled, weight)
            terms |= more
            if draw and pictures:
                figures = {"mixed": mixed_figure(pictures, self.num_classes)}
        if p.self_training * p.target_weight > 0 or (p.alignment.on and target_view is None):
            more, target_view = self._pure_target(target, pseudo.labels[:, -1], weight)
            terms |= more
        clean = newest(target, self.network.past + 1)
        terms |= masked_terms(self.network, clean, pseudo.labels[:, -1], weight, p.masked, p.aux_weight)
        if p.alignment.on and target_view is not None:
            terms |= self.aligner.terms(self.network, source_view, target_view)
        return StepOutput(terms, scalars, figures, pseudo.guess(target.names, placement))

    def state_dict(self) -> dict[str, Any]:
        """Teacher, thresholds, frozen labeller, bank, remembered centroids, templates."""
        return {
            **super().state_dict(),
            "frozen": None if self.frozen is None else self.frozen.state_dict(),
            "bank": self.bank.state_dict(),
            "centroids": dict(self.aligner.memory),
            "templates": None if self.templates is None else self.templates.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        super().load_state_dict(state)
        if self.frozen is not None:
            self.frozen.load_state_dict(state["frozen"])
        self.bank.load_state_dict(state["bank"])
        device = next(self.network.parameters()).device
        self.aligner.memory = {name: value.to(device) for name, value in state["centroids"].items()}
        kept = state["templates"]
        self.templates = None if kept is None else Templates.from_state(kept, device)

    def _label(self, step: int, total: int, target: Clip) -> PseudoLabels:
        """Pseudo labels of as many frames as are mixed, by whoever labels at this step."""
        p, count = self.parameters.labels, self.past + 1
        if p.labeller == "ema":
            with self.teacher.following():
                return self.labeller.label(self.teacher.network, target, count)
        if self.frozen is not None and (p.labeller == "frozen" or step < p.switch * total):
            return self.labeller.label(self.frozen, target, count)
        train_mode(self.network, self.parameters.student_statistics)
        return self.labeller.label(self.network, target, count)

    def _templates(self, now: Templates) -> Templates | None:
        if self.parameters.mixing.templates == "batch":
            return now.rolled() if self.source_fused or self.target_fused else None
        before, self.templates = self.templates, now
        return before

    def _source_view(self, output: VideoOutput, shown: Clip) -> View:
        last, neighbours = shown.length - 1, []
        if self.parameters.alignment.on and self.network.past > 0:
            neighbours = [(self.seen(output, shown.frames, 1), shown.motion[last, last - 1])]
        return View(output.now, neighbours, shown.labels_now, trusted=True)

    def target_view(
        self, output: VideoOutput, labels: Tensor, mixed: Mixed | None, target: Clip, frames: Tensor
    ) -> View:
        """The target's own pixels of an output, over the temporal spans.

        Args:
            output: of T~ or of the pure target.
            labels: (B, H, W) pseudo labels of the target.
            mixed: T~; None: the pure target.
            target: the clip itself, for its motion.
            frames: (B, T, 3, H, W), the clip's frames in the colours of `output`'s.
        """
        last = target.length - 1
        near = target.motion if mixed is None else mixed.motion
        here = last if mixed is None else mixed.frames.shape[1] - 1
        if mixed is not None:
            labels = torch.where(mixed.origin[:, -1] == 0, labels, IGNORE)
        neighbours = []
        for span in self.spans:
            motion = near[here, here - 1] if span == 1 else target.motion[last, last - span]
            if mixed is not None and 1 < span <= here:
                motion = within_origin(motion, mixed.origin[:, here], mixed.origin[:, here - span])
            neighbours.append((self.seen(output, frames, span), motion))
        return View(output.now, neighbours, labels, trusted=False)

    def _pure_target(self, target: Clip, labels: Tensor, weight: Tensor) -> tuple[dict[str, Tensor], View]:
        """The self-training term of TPS, on the augmented target without patches."""
        p = self.parameters
        frames = self.strong(target.frames)
        output = run(self.network, frames, target.motion)
        factor = p.self_training * p.target_weight
        terms = {}
        if factor > 0:
            terms["self_training"] = factor * enlarged_cross_entropy(self.network, output.logits, labels, weight)
            if output.now.aux is not None and p.aux_weight > 0:
                aux = enlarged_cross_entropy(self.network, output.now.aux, labels, weight)
                terms["self_training_aux"] = factor * p.aux_weight * aux
        return terms, self.target_view(output, labels, None, target, frames)

    def seen(self, output: VideoOutput, frames: Tensor, span: int) -> FrameOutput:
        """What the per-frame network says of the frame `span` before the last of `frames`, run anew if it was not."""
        if -span in output.past:
            return output.past[-span]
        with torch.no_grad():
            return self.network.frame(frames[:, frames.shape[1] - 1 - span])

    def strong(self, frames: Tensor) -> Tensor:
        """Strong colour changes; of the bytes that the published range bug makes, if asked."""
        if self.parameters.strong_aug == "legacy_wrap":
            return as_input(photometric_frames(wrapped(frames), self.parameters.mix_photometric))
        return photometric_frames(frames, self.parameters.mix_photometric)


class _Fused:
    """The two fused domains of one step."""

    def __init__(self, method: STCL, progress: float, templates: Templates, pseudo: PseudoLabels) -> None:
        self.method, self.parameters, self.network = method, method.parameters, method.network
        m = self.parameters.mixing
        blend = self.parameters.feature_blend
        self.blends = blend.level != "off" and blend.weight > 0 and progress >= blend.start
        drawn = method.bank.draw(len(pseudo.labels), m.long_tail)
        tail = method.bank.tail()
        patches = choose_patches(templates, m, tail, drawn)
        weighted = [replace(x, weight=method.true_weight(x.labels)) for x in (patches.source, *patches.still)]
        self.patches: Patches = replace(patches, source=weighted[0], still=weighted[1:])
        self.pseudo = pseudo

    def terms(
        self, source: Clip, target: Clip, labelled: Clip, weight: Tensor
    ) -> tuple[dict[str, Tensor], View | None, dict[str, tuple[Tensor, Tensor]]]:
        """Terms of S~ and T~, the target's view out of T~, and what was mixed."""
        p, method = self.parameters, self.method
        terms: dict[str, Tensor] = {}
        pictures: dict[str, tuple[Tensor, Tensor]] = {}
        view = None
        source_out: VideoOutput | None = None
        if method.source_fused:
            mixed = self._mix(source, "S", method.true_weight(source.labels_now))
            frames = photometric_frames(mixed.frames, p.mix_photometric) if p.augment == "mix" else mixed.frames
            source_out, logits = self._run(frames, mixed, None)
            pictures["source_fused"] = (frames, mixed.labels)
            terms["source_fused"] = p.source_fused * self._cross_entropy(logits, mixed)
        if method.target_fused:
            mixed, frames, colours = self._target_frames(target, labelled, weight)
            output, logits = self._run(frames, mixed, self._edits(source_out))
            pictures["target_fused"] = (frames, mixed.labels)
            terms["target_fused"] = p.target_fused * p.target_weight * self._cross_entropy(logits, mixed)
            if p.consistency.weight > 0:
                terms["consistency"] = p.consistency.weight * self._consistency(output, logits, mixed, frames)
            if p.alignment.on and p.self_training * p.target_weight == 0:
                view = method.target_view(output, self.pseudo.labels[:, -1], mixed, target, colours)
        return terms, view, pictures

    def _target_frames(self, target: Clip, labelled: Clip, weight: Tensor) -> tuple[Mixed, Tensor, Tensor]:
        """T~, its frames under strong colour changes, and the whole clip's frames under the same."""
        p, count = self.parameters, labelled.length
        published = p.augment == "base" or p.strong_aug == "legacy_wrap"
        if published:
            colours = self.method.strong(target.frames)
            base = Clip(colours[:, -count:], labelled.labels, labelled.motion, labelled.names)
            mixed = self._mix(base, "T", weight)
            return mixed, mixed.frames, colours
        mixed = self._mix(labelled, "T", weight)
        older = target.frames[:, : target.length - count]
        changed = photometric_frames(torch.cat([older, mixed.frames], 1), p.mix_photometric)
        return mixed, changed[:, older.shape[1] :], changed

    def _mix(self, base: Clip, domain: Literal["S", "T"], weight: Tensor | None) -> Mixed:
        m = self.parameters.mixing
        assert base.labels is not None
        spread = None if weight is None else weight[:, None].expand(-1, base.length, -1, -1)
        lowest = Layer(base.frames, base.labels, torch.ones_like(base.labels, dtype=torch.bool), base.motion, spread)
        layers = self.patches.onto(domain, m.directions)
        return compose(lowest, layers, m.mix_motion, m.motion_mask, m.check_origin)

    def _run(self, frames: Tensor, mixed: Mixed, edits: Edits | None) -> tuple[VideoOutput, Tensor]:
        """The network's output, and its fused logits under the still patches' rule."""
        output = run(self.network, frames, mixed.motion, edits)
        summed = self.parameters.mixing.tail_mask == "sum" and bool(self.patches.still) and -1 in output.past
        if not summed:
            return output, output.logits
        last = frames.shape[1] - 1
        motion = mixed.motion[last, last - 1]
        return output, fuse(self.network, output.now, output.past[-1], motion, self.patches.still_sum())

    def _cross_entropy(self, logits: Tensor, mixed: Mixed) -> Tensor:
        return enlarged_cross_entropy(self.network, logits, mixed.labels[:, -1], mixed.weight[:, -1])

    def _edits(self, source_out: VideoOutput | None) -> Edits | None:
        """The blend of S~'s features into T~'s (with gradients to both)."""
        if source_out is None or not self.blends:
            return None
        return blend_edits(self.parameters.feature_blend, source_out.now.features, self._union())

    def _union(self) -> Tensor:
        """(B, 1, H, W) float, where any patch that lies on both fused domains is now."""
        patches, m = self.patches, self.parameters.mixing
        union = torch.zeros_like(patches.source.mask[:, -1])
        for layer in patches.shared(m.directions):
            mask = layer.mask[:, -1]
            if layer is patches.target and self.parameters.feature_blend.mask == "current":
                sure = self.pseudo.confidence[:, -1] > m.target_threshold
                mask = class_mask(self.pseudo.labels[:, -1], patches.target_classes) & sure
            union = union | mask
        return union[:, None].float()

    def _consistency(self, output: VideoOutput, logits: Tensor, mixed: Mixed, frames: Tensor) -> Tensor:
        last = frames.shape[1] - 1
        grid = (logits.shape[-2], logits.shape[-1])
        past = self.network.enlarged(self.method.seen(output, frames, 1).logits, grid)
        distance = self.parameters.consistency.distance
        return temporal_consistency(logits, past, mixed.motion[last, last - 1], distance)
