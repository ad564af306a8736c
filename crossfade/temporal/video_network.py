"""The video network: a per-frame network, a temporal module and its schedule, unrolled over clips or streamed."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from crossfade.motion.field import Motion
from crossfade.networks.base import Edits, FrameNetwork, FrameOutput, upsample
from crossfade.temporal.base import Reading, Slot, TemporalModule


@dataclass(frozen=True)
class VideoOutput:
    """What a video network says about a clip.

    Attributes:
        now: the per-frame output of the newest frame.
        past: those of the frames that were read, by offset (-1: the frame before now).
        reading: what the temporal module makes of them.
    """

    now: FrameOutput
    past: dict[int, FrameOutput]
    reading: Reading

    @property
    def logits(self) -> Tensor:
        """(B, K, h, w) of now."""
        return self.reading.logits


@final
class VideoNetwork(nn.Module):
    """Per-frame network + temporal module + schedule."""

    def __init__(self, frame: FrameNetwork, temporal: TemporalModule) -> None:
        super().__init__()
        self.frame = frame
        self.temporal = temporal

    @property
    def offsets(self) -> tuple[int, ...]:
        """The frames before now that are read, oldest first: (-1,)."""
        return self.temporal.schedule.steady

    @property
    def past(self) -> int:
        """How many frames before now a clip has to hold."""
        return self.temporal.schedule.past

    @property
    def uses_motion(self) -> bool:
        """Whether motion changes the result."""
        return self.temporal.uses_motion

    @property
    def align_corners(self) -> bool:
        """How its logits are enlarged to an image's size, those of key frames and all others alike."""
        own = self.temporal.align_corners
        return self.frame.align_corners if own is None else own

    def enlarged(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Its logits (B, K, h, w) at another size, (B, K, H, W), as they are deployed: see `align_corners`."""
        return upsample(logits, size, self.align_corners)

    @property
    def light(self) -> FrameNetwork:
        """The network that looks at a frame where slots are read: the per-frame one, unless there is a lighter one."""
        return self.frame if self.temporal.light is None else self.temporal.light

    @property
    def learners(self) -> list[nn.Module]:
        """What gradients reach when it is unrolled: all, but no per-frame network that sees key frames alone."""
        aside = self.light is not self.frame and self.past > 0 and not self.temporal.learns_through_past
        return [self.temporal] if aside else [self]

    def forward(self, frames: Tensor, motion: dict[tuple[int, int], Motion]) -> VideoOutput:
        """Same as `unroll`."""
        return self.unroll(frames, motion)

    def unroll(
        self,
        frames: Tensor,
        motion: dict[tuple[int, int], Motion],
        edits: Edits | None = None,
        no_grad_past: bool | None = None,
        offsets: Sequence[int] | None = None,
    ) -> VideoOutput:
        """Run over a clip.

        Args:
            frames: (B, T, 3, H, W) RGB in [0, 1], consecutive, oldest first. A clip that is shorter than the memory is
                the beginning of a video.
            motion: {(i, i - 1): Motion i → i - 1} by positions in `frames`; a missing one is unknown.
            edits: replacements of encoder features of the newest frame, by stride.
            no_grad_past: no gradients through the frames before now; None: as the temporal module is trained.
            offsets: read these frames, not those of the schedule.
        """
        last = frames.shape[1] - 1
        if offsets is None:
            offsets = self._offsets_at(last)
        past = {}
        for offset in offsets:
            with self._past_grad(no_grad_past):
                past[offset] = self.frame(frames[:, last + offset])
        now = (self.light if past else self.frame)(frames[:, -1], edits)
        return VideoOutput(now, past, self.reading(now, past, frames, motion, no_grad_past))

    def reading(
        self,
        now: FrameOutput,
        past: Mapping[int, FrameOutput],
        frames: Tensor,
        motion: Mapping[tuple[int, int], Motion],
        no_grad_past: bool | None = None,
    ) -> Reading:
        """The temporal part of `unroll`: encode the frames before, bring their slots to now, read them.

        Args:
            now: per-frame output of the newest frame.
            past: those of the frames that are read, by offset, oldest first.
            frames, motion, no_grad_past: as in `unroll`.
        """
        last = frames.shape[1] - 1
        slots: list[Slot] = []
        with self._past_grad(no_grad_past):
            for t in range(last + min(past, default=0), last):
                if t - last in past:
                    slots.append(self.temporal.encode(past[t - last]))
                here = motion.get((t + 1, t))
                slots = [self.temporal.advance(slot, frames[:, t + 1], here) for slot in slots]
        return self.temporal.read(now, slots)

    def stream(self) -> "Stream":
        """A fresh stream over one video."""
        return Stream(self)

    def _past_grad(self, no_grad_past: bool | None) -> torch.set_grad_enabled:
        """The context in which frames before now are run and brought here."""
        learns = self.temporal.learns_through_past if no_grad_past is None else not no_grad_past
        return torch.set_grad_enabled(torch.is_grad_enabled() and learns)

    def _offsets_at(self, last: int) -> list[int]:
        """What is read at the end of a clip: in the midst of a video, or `last` frames after its beginning."""
        schedule = self.temporal.schedule
        if last >= schedule.past:
            return list(schedule.steady)
        stored: list[int] = []
        read: list[int] = []
        for t in range(last + 1):
            read = schedule.reads(t, stored, lambda _: 0.0)
            stored = schedule.keeps(t, stored, read)
        return [k - last for k in read]


@final
class Stream:
    """A video network walking along a video: every frame is encoded once."""

    def __init__(self, network: VideoNetwork) -> None:
        self.network = network
        self.position = 0
        self.slots: dict[int, Slot] = {}

    def step(self, frame: Tensor, motion: Motion | None) -> Tensor:
        """The next frame.

        Args:
            frame: (B, 3, H, W) RGB in [0, 1].
            motion: this frame → the one before; None at the start of a video or where it is unknown.

        Returns:
            (B, K, h, w) logits.
        """
        network, temporal, t = self.network, self.network.temporal, self.position

        @functools.cache
        def brought(k: int) -> Slot:  # only what is read or kept: a key frame looks at nothing that came before
            return temporal.advance(self.slots[k], frame, motion)

        stored = sorted(self.slots)
        read = temporal.schedule.reads(t, stored, lambda k: float(temporal.doubt(brought(k), frame)))
        output = (network.light if read else network.frame)(frame)
        logits = temporal.read(output, [brought(k) for k in read]).logits
        kept = temporal.schedule.keeps(t, stored, read)
        self.slots = {k: brought(k) if k in self.slots else temporal.encode(output) for k in kept}
        self.position += 1
        return logits
