"""Who labels the target, and how labels come over motion (STCL, TPS)."""

from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from crossfade.data.clip import Clip
from crossfade.methods.pseudo_labels import OverMotion, Weighting, combine_over_motion
from crossfade.methods.unroll import run_frames
from crossfade.motion.field import Motion
from crossfade.motion.warp import warp
from crossfade.networks.base import FrameOutput, upsample
from crossfade.temporal.video_network import VideoNetwork


class LabelParameters(BaseModel):
    """How the target's pseudo labels are made.

    Attributes:
        labeller: "ema": the teacher; "frozen": the starting network; "frozen_then_self": that, and from `switch` on the
            student itself in train mode (published); "self": the student from the start.
        switch: share of the steps after which the student labels (published: 8,000 of 40,000).
        over_motion: which prediction is believed, see `combine_over_motion` (published: "warped"; all but "now" cost
            the labeller a frame more).
        fill: with "warped", where motion is not valid: the frame's "own" prediction (one more forward), or "ignore".
        mirror: probability that the labeller sees the frames mirrored (published: 0.5).
        mirror_warp: "correct": motion mirrored with its sign, the prediction un-mirrored, then warped; "legacy": motion
            mirrored as an array, and the mirrored prediction warped with motion that is not.
        conf_previous: confidence of the frame before: "softmax", or the greatest "raw_logit" as published.
        threshold: confidence above which a pixel is sure.
        weighting: of pseudo-labelled pixels, see `confidence_weight` (published: "none").
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    labeller: Literal["ema", "frozen", "frozen_then_self", "self"] = "ema"
    switch: float = Field(default=0.2, ge=0.0, le=1.0)
    over_motion: OverMotion = "now"
    fill: Literal["own", "ignore"] = "own"
    mirror: float = Field(default=0.5, ge=0.0, le=1.0)
    mirror_warp: Literal["correct", "legacy"] = "correct"
    conf_previous: Literal["softmax", "raw_logit"] = "softmax"
    threshold: float = Field(default=0.9, ge=0.0, le=1.0)
    weighting: Weighting = "share"

    @property
    def needs_own(self) -> bool:
        """Whether the labeller looks at "now" itself."""
        return self.over_motion != "warped" or self.fill == "own"

    def past(self, network_past: int) -> int:
        """How many frames before now the labeller reads."""
        return network_past + (0 if self.over_motion == "now" else 1)


@dataclass(frozen=True)
class PseudoLabels:
    """Pseudo labels of the two newest frames (or of now alone).

    Attributes:
        labels: (B, T, H, W) int64, T = 1 or 2, now last; 255 = ignore.
        confidence: (B, T, H, W).
        disagreement: share of validly warped pixels that the frame itself calls differently; None where not known.
    """

    labels: Tensor
    confidence: Tensor
    disagreement: Tensor | None


@torch.no_grad()
def pseudo_labels(network: VideoNetwork, clip: Clip, parameters: LabelParameters, frames: int) -> PseudoLabels:
    """Label the newest `frames` (1 or 2) frames of a clip, over motion; all predictions come from one forward.

    Args:
        network: the labeller, in the mode it should run in.
        clip: target, at least `parameters.past(network.past)` frames before now.
        parameters: how.
        frames: 2 if labels of the frame before are wanted too (they are never warped).
    """
    mirrored = bool(torch.rand(()) < parameters.mirror)
    legacy = parameters.mirror_warp == "legacy"
    seen = _mirrored(clip, legacy) if mirrored else clip
    last = clip.length - 1
    want_now, want_previous = parameters.needs_own, parameters.over_motion != "now"
    reads = (*network.offsets, 0)
    positions = {last + offset for offset in reads} if want_now else set()
    if want_previous or frames == 2:
        positions |= {last - 1 + offset for offset in (reads if want_previous else (0,))}
    order = sorted(positions)
    outputs = dict(zip(order, run_frames(network, [seen.frames[:, t] for t in order]), strict=True))
    size = (clip.frames.shape[-2], clip.frames.shape[-1])

    own = warped = valid = previous = None
    if want_now:
        own = _turned(upsample(_fused(network, outputs, seen, last).float(), size), mirrored).softmax(1)
    if want_previous or frames == 2:
        logits = upsample(_fused(network, outputs, seen, last - 1).float(), size)
        previous = _turned(logits, mirrored)
        if want_previous:
            to_warp = logits if legacy and mirrored else previous
            motion = clip.motion[last, last - 1]
            warped, inside = warp(to_warp.softmax(1), motion.flow)
            warped = _turned(warped, legacy and mirrored)
            valid = motion.valid & inside
    labels, confidence = combine_over_motion(own, warped, valid, parameters.over_motion)
    disagreement = None
    if own is not None and warped is not None and valid is not None:
        differ = valid[:, 0] & (own.argmax(1) != warped.argmax(1))
        disagreement = differ.sum() / valid.sum().clamp_min(1)
    if frames == 1:
        return PseudoLabels(labels[:, None], confidence[:, None], disagreement)
    assert previous is not None
    scores = previous if parameters.conf_previous == "raw_logit" else previous.softmax(1)
    before_confidence, before = scores.max(1)
    both = torch.stack([before, labels], 1), torch.stack([before_confidence, confidence], 1)
    return PseudoLabels(*both, disagreement)


def _fused(network: VideoNetwork, outputs: dict[int, FrameOutput], clip: Clip, at: int) -> Tensor:
    """Fused logits of the frame at a position, or what the network says of it alone if not all it reads was run."""
    whole = all(at + offset in outputs for offset in network.offsets)
    past = {offset: outputs[at + offset] for offset in network.offsets} if whole else {}
    return network.reading(outputs[at], past, clip.frames[:, : at + 1], clip.motion).logits


def _turned(image: Tensor, mirrored: bool) -> Tensor:
    return image.flip(-1) if mirrored else image


def _mirrored(clip: Clip, legacy: bool) -> Clip:
    def turn(motion: Motion) -> Motion:
        return Motion(motion.flow.flip(-1), motion.valid.flip(-1)) if legacy else motion.flipped()

    return Clip(clip.frames.flip(-1), None, {pair: turn(m) for pair, m in clip.motion.items()}, clip.names)
