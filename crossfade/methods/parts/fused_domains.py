"""The two fused video domains of STCL (arXiv 2311.13254), at the image-sequence level.

Over a source clip (S~) and over a target clip (T~) the same patches are pasted, in this order: classes of another
source clip, still patches of rare classes, sure classes of another target clip. One set of classes serves all frames;
motion, labels and weights are mixed along.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt
from torch import Tensor

from crossfade.data.clip import Clip
from crossfade.errors import UserError
from crossfade.motion.field import Motion
from crossfade.objectives.mixing import Layer, class_mask, pick_classes, present_classes
from crossfade.temporal.base import TemporalModule
from crossfade.temporal.fusion import ScoreFusion

Direction = Literal["S->S", "S->T", "T->S", "T->T"]


class MixingParameters(BaseModel):
    """Which patches go where.

    Attributes:
        directions: patches of the source (S) or the target (T) onto S~ or T~; a fused domain exists if a direction ends
            in it. Without "T->…" there are no target patches.
        templates: the other clips are those of "batch" neighbours, or of the "previous" step (published, batch 1; the
            first step then only fills them).
        source_classes: random classes of the source patch (published: 2), or "half" of those in it.
        tail_always: rare classes are always in the source patch as well (published).
        tail_classes: names of the rare classes; none: those below `tail_below` of all source pixels seen so far.
        long_tail: how many still patches of rare classes (published: 2 or 3); 0: none.
        tail_capacity: source frames kept for each rare class.
        tail_min_pixels: of the class in such a frame.
        target_classes: random classes of the target patch, other than the source patch's random ones.
        target_threshold: confidence above which target pixels are pasted.
        mix_motion: False leaves the base's motion under the patches that move; still ones are without, all the same.
        motion_mask: "now": motion mixed by the masks of the frame it lives on; "previous": of the one before
            (published).
        check_origin: motion from one patch into another is invalid.
        tail_mask: "clip01": inside still patches a frame's own logits stand in for its neighbour's; "sum": the masks
            add up and, where two overlap, extrapolate (published). For score fusion only.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    directions: tuple[Direction, ...] = ("S->S", "S->T", "T->S", "T->T")
    templates: Literal["batch", "previous"] = "batch"
    source_classes: PositiveInt | Literal["half"] = "half"
    tail_always: bool = True
    tail_classes: tuple[str, ...] = ()
    tail_below: float = Field(default=0.02, ge=0.0, le=1.0)
    long_tail: NonNegativeInt = 2
    tail_capacity: PositiveInt = 8
    tail_min_pixels: PositiveInt = 16
    target_classes: PositiveInt = 2
    target_threshold: float = 0.9
    mix_motion: bool = True
    motion_mask: Literal["now", "previous"] = "now"
    check_origin: bool = True
    tail_mask: Literal["clip01", "sum"] = "clip01"

    def onto(self, domain: Literal["S", "T"]) -> bool:
        """Whether that fused domain exists."""
        return any(direction.endswith(domain) for direction in self.directions)


@dataclass(frozen=True)
class Templates:
    """What patches are cut from: a source clip with labels, and a target clip with pseudo labels and confidences."""

    source: Clip
    target: Clip
    confidence: Tensor

    def rolled(self) -> "Templates":
        """Each sample gets its neighbour in the batch.

        Raises:
            UserError: a batch of one has no neighbour.
        """
        if len(self.confidence) < 2:
            raise UserError(
                "templates: batch needs a batch of at least 2 clips: set templates: previous, or a larger batch"
            )
        return Templates(_rolled(self.source), _rolled(self.target), self.confidence.roll(1, 0))

    def state_dict(self) -> dict[str, Any]:
        """Tensors by name."""
        return {"source": _clip_state(self.source), "target": _clip_state(self.target), "confidence": self.confidence}

    @staticmethod
    def from_state(state: dict[str, Any], device: torch.device) -> "Templates":
        """Restore what `state_dict` gave."""
        source, target = (_clip_from(state[side], device) for side in ("source", "target"))
        return Templates(source, target, state["confidence"].to(device))


@dataclass(frozen=True)
class Patches:
    """What may be pasted onto the fused domains; `directions` say which of it is.

    Attributes:
        source, target: layers of the other clips; their masks are empty where there is no such patch.
        still: layers of rare classes, pasted onto both.
        target_classes: (B, K) bool, the classes of the target patch.
    """

    source: Layer
    still: list[Layer]
    target: Layer
    target_classes: Tensor

    def onto(self, domain: Literal["S", "T"], directions: tuple[Direction, ...]) -> list[Layer]:
        """The layers of a fused domain, bottom to top."""
        layers = [self.source] if f"S->{domain}" in directions else []
        layers += self.still
        return [*layers, self.target] if f"T->{domain}" in directions else layers

    def shared(self, directions: tuple[Direction, ...]) -> list[Layer]:
        """The layers that both fused domains have, bottom to top."""
        others = {id(layer) for layer in self.onto("T", directions)}
        return [layer for layer in self.onto("S", directions) if id(layer) in others]

    def still_sum(self) -> Tensor:
        """(B, 1, H, W) float, how many still patches cover each pixel."""
        return torch.stack([layer.mask[:, -1:] for layer in self.still]).sum(0).float()


def check_fusion(parameters: MixingParameters, temporal: TemporalModule) -> None:
    """What hides a neighbour under a patch is heeded by the temporal module that reads the fused domains.

    Raises:
        UserError: it would not be.
    """
    fusion = temporal if isinstance(temporal, ScoreFusion) else None
    if parameters.tail_mask == "sum" and temporal.schedule.past > 0 and fusion is None:
        raise UserError("method stcl: tail_mask: sum is for temporal: fusion alone; set tail_mask: clip01")
    hides = parameters.check_origin or (parameters.long_tail > 0 and parameters.tail_mask != "sum")
    if fusion is not None and not fusion.validity and hides:
        raise UserError(
            "method stcl: the network's fusion has validity: false, so it would fuse what patches hide: set mixing: "
            "{check_origin: false, tail_mask: sum} (as published)"
        )


def choose_patches(
    templates: Templates,
    parameters: MixingParameters,
    tail: Tensor,
    drawn: list[tuple[Tensor, Tensor, Tensor]],
) -> Patches:
    """Draw the classes and cut the patches.

    Args:
        templates: clips of as many frames as the fused domains have.
        parameters: how many of what.
        tail: (K,) bool, the rare classes.
        drawn: still patches, from the long-tail bank.
    """
    source, target = templates.source, templates.target
    assert source.labels is not None
    assert target.labels is not None
    device, count = source.frames.device, source.length
    present = present_classes(source.labels[:, -1], len(tail))
    picked = pick_classes(present, parameters.source_classes)
    classes = picked | tail.to(device) if parameters.tail_always else picked
    patch = Layer(source.frames, source.labels, class_mask(source.labels, classes), source.motion)
    still = []
    for images, masks, ids in drawn:
        labels = ids.to(device)[:, None, None, None].expand_as(source.labels)
        frames = images.to(device)[:, None].expand(-1, count, -1, -1, -1)
        still.append(Layer(frames, labels, masks.to(device)[:, None].expand_as(labels), None))
    sure = templates.confidence > parameters.target_threshold
    shown = present_classes(target.labels[:, -1].masked_fill(~sure[:, -1], 255), len(tail))
    target_classes = pick_classes(shown & ~picked, parameters.target_classes)
    mask = class_mask(target.labels, target_classes) & sure
    return Patches(patch, still, Layer(target.frames, target.labels, mask, target.motion), target_classes)


def _rolled(clip: Clip) -> Clip:
    return Clip(
        clip.frames.roll(1, 0),
        None if clip.labels is None else clip.labels.roll(1, 0),
        {pair: Motion(m.flow.roll(1, 0), m.valid.roll(1, 0)) for pair, m in clip.motion.items()},
        (clip.names[-1], *clip.names[:-1]),
    )


def _clip_state(clip: Clip) -> dict[str, Any]:
    motion = [{"pair": list(pair), "flow": m.flow, "valid": m.valid} for pair, m in clip.motion.items()]
    return {"frames": clip.frames, "labels": clip.labels, "motion": motion, "names": list(clip.names)}


def _clip_from(state: dict[str, Any], device: torch.device) -> Clip:
    motion = {(m["pair"][0], m["pair"][1]): Motion(m["flow"], m["valid"]) for m in state["motion"]}
    return Clip(state["frames"], state["labels"], motion, tuple(state["names"])).to(device)
