"""The video network: a per-frame network, a temporal module and a schedule, unrolled over clips or streamed."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from crossfade.motion.field import Motion
from crossfade.networks.base import Edits, FrameNetwork, FrameOutput
from crossfade.temporal.base import Slot, TemporalModule
from crossfade.temporal.schedule import SlidingMemory


@dataclass(frozen=True)
class VideoOutput:
    """What a video network says about a clip.

    Attributes:
        now: the per-frame output of the newest frame.
        past: those of the frames before, oldest first.
        logits: (B, K, h, w) after the temporal module.
    """

    now: FrameOutput
    past: list[FrameOutput]
    logits: Tensor


@final
class VideoNetwork(nn.Module):
    """Per-frame network + temporal module + schedule."""

    def __init__(self, frame: FrameNetwork, temporal: TemporalModule) -> None:
        super().__init__()
        self.frame = frame
        self.temporal = temporal
        self.schedule = SlidingMemory(temporal.memory)

    @property
    def past(self) -> int:
        """How many frames before now are read."""
        return self.schedule.length

    @property
    def uses_motion(self) -> bool:
        """Whether motion changes the result."""
        return self.past > 0

    def forward(self, frames: Tensor, motion: dict[tuple[int, int], Motion]) -> VideoOutput:
        """Same as `unroll`."""
        return self.unroll(frames, motion)

    def unroll(
        self,
        frames: Tensor,
        motion: dict[tuple[int, int], Motion],
        edits: Edits | None = None,
        no_grad_past: bool = True,
        keep: Tensor | None = None,
    ) -> VideoOutput:
        """Run over a clip.

        Args:
            frames: (B, T, 3, H, W) RGB in [0, 1], oldest first; only the newest `past` + 1 are read.
            motion: {(i, i - 1): Motion i → i - 1} by positions in `frames`; a missing one is unknown.
            edits: replacements of encoder features of the newest frame, by stride.
            no_grad_past: no gradients through the frames before now (as published).
            keep: (B, 1, H, W) bool; True where nothing may be propagated into now.
        """
        length = frames.shape[1]
        slots: list[Slot] = []
        past: list[FrameOutput] = []
        for t in range(max(0, length - 1 - self.past), length - 1):
            with torch.set_grad_enabled(torch.is_grad_enabled() and not no_grad_past):
                output = self.frame(frames[:, t])
                past.append(output)
                slots = [*slots, self.temporal.encode(output)]
                slots = [self.temporal.advance(slot, motion.get((t + 1, t))) for slot in slots]
        now = self.frame(frames[:, -1], edits)
        if keep is not None:
            slots = [_without(slot, keep) for slot in slots]
        return VideoOutput(now, past, self.temporal.read(now, slots))

    def stream(self) -> "Stream":
        """A fresh stream over one video."""
        return Stream(self)


@final
class Stream:
    """A video network walking along a video: every frame is encoded once."""

    def __init__(self, network: VideoNetwork) -> None:
        self.network = network
        self.slots: list[Slot] = []

    def step(self, frame: Tensor, motion: Motion | None) -> Tensor:
        """The next frame.

        Args:
            frame: (B, 3, H, W) RGB in [0, 1].
            motion: this frame → the one before; None at the start of a video or where it is unknown.

        Returns:
            (B, K, h, w) logits.
        """
        temporal, schedule = self.network.temporal, self.network.schedule
        brought = [temporal.advance(slot, motion) for slot in self.slots]
        output = self.network.frame(frame)
        logits = temporal.read(output, brought)
        slots = [*brought, temporal.encode(output)] if schedule.length else []
        self.slots = slots[len(slots) - schedule.kept(len(slots)) :]
        return logits


def _without(slot: Slot, keep: Tensor) -> Slot:
    """The slot with nothing valid where `keep` is True."""
    if "valid" not in slot:
        return slot
    small = nn.functional.interpolate(keep.float(), slot["valid"].shape[-2:], mode="nearest-exact") > 0.5
    return {**slot, "valid": slot["valid"] & ~small}
