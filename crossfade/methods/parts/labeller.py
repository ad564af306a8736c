"""Who labels the target, and how labels come over motion (STCL, TPS)."""

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from crossfade.data.augment import Placement
from crossfade.data.clip import IGNORE, Clip
from crossfade.methods.base import Guess, Method
from crossfade.methods.parts.pseudo_labels import (
    OverMotion,
    Weighting,
    combine_over_motion,
    confidence_weight,
    running_thresholds,
)
from crossfade.methods.parts.teacher import TaughtMethod, Teacher, TeacherParameters
from crossfade.methods.parts.unroll import reading_at, run_frames
from crossfade.motion.field import Motion
from crossfade.motion.warp import warp
from crossfade.temporal.video_network import VideoNetwork


class LabelParameters(BaseModel):
    """How the target's pseudo labels are made.

    Attributes:
        labeller: "ema": the teacher; "frozen": the starting network; "frozen_then_self": that, and from `switch` on the
            student itself in train mode (published); "self": the student from the start.
        switch: share of the steps after which the student labels (published: 8,000 of 40,000).
        over_motion: which prediction is believed, see `combine_over_motion` (published: "warped"; all but "now" cost
            the labeller a frame more).
        fill: where motion is not valid: with "warped" the frame's "own" prediction (one more forward), or "ignore";
            "none": motion counts as valid everywhere (published).
        mirror: probability that the labeller sees the frames mirrored (published: 0.5).
        mirror_warp: "correct": motion mirrored with its sign, the prediction un-mirrored, then warped; "legacy": motion
            mirrored as an array, and the mirrored prediction warped with motion that is not.
        conf_previous: confidence of the frame before: "softmax", or the greatest "raw_logit" as published.
        threshold: confidence above which a pixel is sure.
        class_decay: above 0, each class has a threshold of its own that follows, with this decay, how sure the labeller
            is of it, and never exceeds `threshold`, see `running_thresholds`.
        rare_below: classes with a smaller share of the source's labels are rare ("agreement_or_rare").
        weighting: of pseudo-labelled pixels, see `confidence_weight` (published: "none").
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    labeller: Literal["ema", "frozen", "frozen_then_self", "self"] = "ema"
    switch: float = Field(default=0.2, ge=0.0, le=1.0)
    over_motion: OverMotion = "now"
    fill: Literal["own", "ignore", "none"] = "own"
    mirror: float = Field(default=0.5, ge=0.0, le=1.0)
    mirror_warp: Literal["correct", "legacy"] = "correct"
    conf_previous: Literal["softmax", "raw_logit"] = "softmax"
    threshold: float = Field(default=0.9, ge=0.0, le=1.0)
    class_decay: float = Field(default=0.0, ge=0.0, lt=1.0)
    rare_below: float = Field(default=0.02, ge=0.0, le=1.0)
    weighting: Weighting = "share"

    @property
    def needs_own(self) -> bool:
        """Whether the labeller looks at "now" itself."""
        return self.over_motion != "warped" or self.fill == "own"

    def nobody_frozen(self, method: str) -> "LabelParameters":
        """The same, for a method without a frozen labeller.

        Raises:
            ValueError: the labeller is a frozen one.
        """
        if self.labeller not in ("self", "ema"):
            raise ValueError(f"{method} has no labeller '{self.labeller}': choose self or ema")
        return self

    def past(self, network_past: int) -> int:
        """How many frames before now the labeller reads."""
        return network_past + (0 if self.over_motion == "now" else 1)


@dataclass(frozen=True)
class PseudoLabels:
    """Pseudo labels of the newest frames.

    Attributes:
        labels: (B, T, H, W) int64, now last; 255 = ignore. Those of frames before now are the frames' own predictions,
            never warped.
        confidence: (B, T, H, W).
        disagreement: share of validly warped pixels that the frame itself calls differently; None where not known.
        own, warped: (B, H, W), the two that now's labels were made of, see `Guess`; None where it was not two.
    """

    labels: Tensor
    confidence: Tensor
    disagreement: Tensor | None
    own: Tensor | None = None
    warped: Tensor | None = None

    def guess(self, names: tuple[str, ...], placement: Placement) -> Guess:
        """Now's, for a diagnosis."""
        return Guess(names, self.labels[:, -1], self.confidence[:, -1], placement, self.own, self.warped)


class Labeller:
    """Labels clips as its parameters say, and knows how far to trust each class."""

    def __init__(self, parameters: LabelParameters, method: Method) -> None:
        """Args: `method`, whose source's classes tell which are rare."""
        self.parameters, self.method = parameters, method
        device = next(method.network.parameters()).device
        self.thresholds = torch.full((method.num_classes,), parameters.threshold, device=device)

    def label(self, network: VideoNetwork, clip: Clip, frames: int) -> PseudoLabels:
        """Pseudo labels of the newest `frames` frames by a network, in the mode it is in; see `pseudo_labels`."""
        p = self.parameters
        rare = self.method.rare_classes(p.rare_below).to(self.thresholds.device)
        return pseudo_labels(network, clip, p, frames, self.thresholds, rare)

    def label_now(self, network: VideoNetwork, teacher: Teacher, clip: Clip) -> PseudoLabels:
        """Pseudo labels of "now" by the network itself or by its teacher, as `labeller` says."""
        if self.parameters.labeller == "ema":
            with teacher.following():
                return self.label(teacher.network, clip, 1)
        return self.label(network, clip, 1)

    def weigh(self, pseudo: PseudoLabels) -> tuple[Tensor, Tensor]:
        """Weights (B, H, W) of now's pseudo labels and the share of sure ones; running thresholds move on."""
        p = self.parameters
        labels, confidence = pseudo.labels[:, -1], pseudo.confidence[:, -1]
        if p.class_decay == 0:
            return confidence_weight(confidence, p.threshold, p.weighting)
        own = self.thresholds[labels.clamp(max=len(self.thresholds) - 1)]
        self.thresholds = running_thresholds(self.thresholds, labels, confidence, p.threshold, p.class_decay)
        return confidence_weight(confidence, own, p.weighting)

    def state_dict(self) -> dict[str, Tensor]:
        """The thresholds."""
        return {"thresholds": self.thresholds}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore them."""
        self.thresholds = state["thresholds"].to(self.thresholds.device)


class LabelledMethod(TaughtMethod, ABC):
    """A method with a labeller of the target, which may be its teacher."""

    def __init__(
        self, labels: LabelParameters, teacher: TeacherParameters, network: VideoNetwork, class_names: Sequence[str]
    ) -> None:
        super().__init__(teacher, network, class_names)
        self.labeller = Labeller(labels, self)

    def state_dict(self) -> dict[str, Any]:
        """The teacher and the labeller's thresholds."""
        return {**super().state_dict(), **self.labeller.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        super().load_state_dict(state)
        self.labeller.load_state_dict(state)


@torch.no_grad()
def pseudo_labels(
    network: VideoNetwork,
    clip: Clip,
    parameters: LabelParameters,
    frames: int,
    thresholds: Tensor | None = None,
    rare: Tensor | None = None,
) -> PseudoLabels:
    """Label the newest frames of a clip, now's labels over motion; each frame is encoded once.

    Args:
        network: the labeller, in the mode it should run in.
        clip: target, at least `parameters.past(network.past)` and `frames` - 1 frames before now.
        parameters: how.
        frames: how many, 1: now alone. The frame before is always labelled, those before it if the network reads them
            (the others are ignored with confidence 0: nobody looks at them).
        thresholds, rare: (K,), see `combine_over_motion`.
    """
    mirrored = bool(torch.rand(()) < parameters.mirror)
    legacy = parameters.mirror_warp == "legacy"
    seen = _mirrored(clip, legacy) if mirrored else clip
    last = clip.length - 1
    want_now, want_previous = parameters.needs_own, parameters.over_motion != "now"
    reads = (*network.offsets, 0)
    positions = {last + offset for offset in reads} if want_now else set()
    if want_previous or frames > 1:
        positions |= {last - 1 + offset for offset in (reads if want_previous else (0,))}
    if frames > 2:
        positions |= {last + offset for offset in network.offsets}
    order = sorted(positions)
    outputs = dict(zip(order, run_frames(network, [seen.frames[:, t] for t in order]), strict=True))
    size = (clip.frames.shape[-2], clip.frames.shape[-1])

    def fused(at: int) -> Tensor:
        """Logits of the frame at a position, or what the network says of it alone if not all it reads was run."""
        reading = reading_at(network, outputs, seen.frames, seen.motion, at)
        return network.enlarged(reading.logits.float(), size)

    own = warped = valid = previous = None
    if want_now:
        own = _turned(fused(last), mirrored).softmax(1)
    if want_previous or frames > 1:
        logits = fused(last - 1)
        previous = _turned(logits, mirrored)
        if want_previous:
            to_warp = logits if legacy and mirrored else previous
            motion = clip.motion[last, last - 1]
            warped, inside = warp(to_warp.softmax(1), motion.flow)
            warped = _turned(warped, legacy and mirrored)
            known = torch.ones_like(inside) if parameters.fill == "none" else motion.valid & inside
            valid = _turned(known, legacy and mirrored)
    labels, confidence = combine_over_motion(own, warped, valid, parameters.over_motion, thresholds, rare)
    disagreement = here = there = None
    if own is not None and warped is not None and valid is not None:
        here, there = own.argmax(1), warped.argmax(1).masked_fill(~valid[:, 0], IGNORE)
        disagreement = (valid[:, 0] & (here != there)).sum() / valid.sum().clamp_min(1)
    if frames == 1:
        return PseudoLabels(labels[:, None], confidence[:, None], disagreement, here, there)
    assert previous is not None
    told = [(labels, confidence)]
    for at in range(last - 1, last - frames, -1):
        if at not in outputs:
            told.append((torch.full_like(labels, IGNORE), torch.zeros_like(confidence)))
            continue
        if at < last - 1:
            previous = _turned(fused(at), mirrored)
        scores, label = (previous if parameters.conf_previous == "raw_logit" else previous.softmax(1)).max(1)
        told.append((label, scores))
    every, sure = (torch.stack(values[::-1], 1) for values in zip(*told, strict=True))
    return PseudoLabels(every, sure, disagreement, here, there)


def _turned(image: Tensor, mirrored: bool) -> Tensor:
    return image.flip(-1) if mirrored else image


def _mirrored(clip: Clip, legacy: bool) -> Clip:
    def turn(motion: Motion) -> Motion:
        return Motion(motion.flow.flip(-1), motion.valid.flip(-1)) if legacy else motion.flipped()

    return Clip(clip.frames.flip(-1), None, {pair: turn(m) for pair, m in clip.motion.items()}, clip.names)
