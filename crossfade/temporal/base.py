"""The temporal module: what a network makes of the frames before, over opaque per-frame slots."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, final

from torch import Tensor, nn

from crossfade.motion.field import Motion
from crossfade.networks.base import FrameNetwork, FrameOutput
from crossfade.temporal.schedule import Schedule, SlidingMemory

Slot = dict[str, Tensor]
"""What is remembered of one frame: named tensors, opaque to everyone but the module that made them."""


@dataclass(frozen=True)
class Reading:
    """What a temporal module says about a frame.

    Attributes:
        logits: (B, K, h, w).
        also: by name, further logits (B, K, h', w') that are supervised beside `logits`, and their weight if that of
            `logits` is 1.
        maps: by name, whatever else is worth training on or looking at; "embedding": (B, D, h', w'), the last features
            before the classifier of `logits`, of a module that has one.
    """

    logits: Tensor
    also: dict[str, tuple[Tensor, float]] = field(default_factory=dict)
    maps: dict[str, Tensor] = field(default_factory=dict)


class TemporalModule(nn.Module, ABC):
    """encode(frame) → slot; advance(slot) → the slot brought to the next frame; read(frame, slots) → logits."""

    starts_as_identity: ClassVar[bool] = False
    """Untrained it gives the frame's own logits, so that a recipe may add it to a network pretrained without it."""

    trained_by: ClassVar[str | None] = None
    """The one method that trains it, on a network that was pretrained without it."""

    learns_through_past: ClassVar[bool] = False
    """Whether, in training, gradients reach the per-frame network through the frames before now as well."""

    schedule_arguments: ClassVar[frozenset[str]] = frozenset()
    """Arguments that say which frames are read and nothing else: whatever they are, the same weights serve."""

    uses_motion: bool = False
    """Whether the motion between a clip's frames changes the result."""

    align_corners: bool | None = None
    """How the logits of a stream are enlarged, where the module enlarges some itself; None: as the frame network's."""

    schedule: Schedule
    """Which frames' slots are read and kept."""

    @property
    def light(self) -> FrameNetwork | None:
        """The network that looks at a frame in place of the per-frame one wherever slots are read (key frames)."""
        return None

    @abstractmethod
    def encode(self, output: FrameOutput) -> Slot:
        """What to remember of a frame; depends on that frame alone."""

    def advance(self, slot: Slot, image: Tensor, motion: Motion | None) -> Slot:
        """Bring a slot to the next frame; unless a module says otherwise, it stays as it is.

        Args:
            slot: of the frame before.
            image: (B, 3, H, W), the next frame.
            motion: next frame → slot's frame, at any size; None = unknown.
        """
        return slot

    @abstractmethod
    def read(self, output: FrameOutput, slots: list[Slot]) -> Reading:
        """What the module says of a frame, given the slots brought to it, oldest first.

        There may be fewer slots than the schedule wants (a video begins); each module says what it does then.
        """

    def doubt(self, slot: Slot, image: Tensor) -> Tensor:
        """How badly a slot that was brought to this frame fits it, a scalar; asked by adaptive key-frame schedules."""
        return image.new_zeros(())


@final
class NoMemory(TemporalModule):
    """Every frame for itself."""

    starts_as_identity = True

    def __init__(self, frame: FrameNetwork | None = None, num_classes: int = 0) -> None:
        super().__init__()
        self.schedule = SlidingMemory(())

    def encode(self, output: FrameOutput) -> Slot:
        """Nothing."""
        return {}

    def read(self, output: FrameOutput, slots: list[Slot]) -> Reading:
        """The frame's own logits."""
        return Reading(output.logits)
