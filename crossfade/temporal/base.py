"""The temporal module: what a network makes of the frames before, over opaque per-frame slots."""

from abc import ABC, abstractmethod
from typing import ClassVar, final

from torch import Tensor, nn

from crossfade.motion.field import Motion
from crossfade.networks.base import FrameOutput

Slot = dict[str, Tensor]
"""What is remembered of one frame: named tensors, opaque to everyone but the module that made them."""


class TemporalModule(nn.Module, ABC):
    """encode(frame) → slot; advance(slot, motion) → the slot brought to the next frame; read(frame, slots) → logits."""

    memory: ClassVar[int]
    """How many frames before now it reads."""

    @abstractmethod
    def encode(self, output: FrameOutput) -> Slot:
        """What to remember of a frame; depends on that frame alone."""

    @abstractmethod
    def advance(self, slot: Slot, motion: Motion | None) -> Slot:
        """Bring a slot from its frame to the next one.

        Args:
            slot: of the frame before.
            motion: next frame → slot's frame, at any size; None = unknown, nothing of the slot is valid any more.
        """

    @abstractmethod
    def read(self, output: FrameOutput, slots: list[Slot]) -> Tensor:
        """(B, K, h, w) logits of now, given the slots brought to it, oldest first; no slots: the frame's own logits."""


@final
class NoMemory(TemporalModule):
    """Every frame for itself."""

    memory = 0

    def encode(self, output: FrameOutput) -> Slot:
        """Nothing."""
        return {}

    def advance(self, slot: Slot, motion: Motion | None) -> Slot:
        """Nothing."""
        return slot

    def read(self, output: FrameOutput, slots: list[Slot]) -> Tensor:
        """The frame's own logits."""
        return output.logits
