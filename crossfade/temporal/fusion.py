"""Two-frame score fusion (ACCEL's form, shared by DA-VSN, TPS and STCL)."""

from typing import Literal, final

import torch
from torch import Tensor, nn

from crossfade.motion.field import Motion
from crossfade.motion.splat import splat
from crossfade.motion.warp import warp
from crossfade.networks.base import FrameNetwork, FrameOutput
from crossfade.temporal.base import Reading, Slot, TemporalModule
from crossfade.temporal.schedule import SlidingMemory


@final
class ScoreFusion(TemporalModule):
    """p_t = sf([z_t ; warp(z_{t-1}, F)]): a 1x1 convolution 2K → K without bias, initialised to [identity | 0].

    Untrained it is the frame's own logits. Where the motion is not valid the frame's own logits stand in for the
    neighbour's. Without a slot the frame's own logits are the answer. Motion that is valid nowhere is unknown.
    """

    starts_as_identity = True
    uses_motion = True

    def __init__(
        self,
        frame: FrameNetwork,
        num_classes: int,
        validity: bool = True,
        propagate: Literal["warp", "splat"] = "warp",
    ) -> None:
        """Build it around a per-frame network.

        Args:
            frame: the network.
            num_classes: K.
            validity: whether the neighbour's logits count only where the motion is valid; False as published.
            propagate: how they are brought here: "warp": backwards over the motion; "splat": forwards to the nearest
                pixel, 0 where that leaves a hole (as DA-VSN was published), see `splat`.
        """
        super().__init__()
        self.validity, self.propagate = validity, propagate
        self.schedule = SlidingMemory((-1,))
        self.sf_layer = nn.Conv2d(2 * num_classes, num_classes, 1, bias=False)
        with torch.no_grad():
            self.sf_layer.weight.zero_()
            self.sf_layer.weight[:, :num_classes, 0, 0] = torch.eye(num_classes)

    def encode(self, output: FrameOutput) -> Slot:
        """The frame's logits."""
        return {"logits": output.logits, "valid": torch.ones_like(output.logits[:, :1], dtype=torch.bool)}

    def advance(self, slot: Slot, image: Tensor, motion: Motion | None) -> Slot:
        """Bring the logits to the next frame, and remember where that is valid."""
        logits = slot["logits"]
        if motion is None:
            return {"logits": logits, "valid": torch.zeros_like(slot["valid"])}
        on_grid = motion.resized((logits.shape[-2], logits.shape[-1]))
        if self.propagate == "splat":
            brought, reached = splat(logits, on_grid.flow)
        else:
            brought, reached = warp(logits, on_grid.flow)
        valid = on_grid.valid & reached if self.validity else on_grid.valid.flatten(1).any(1).view(-1, 1, 1, 1)
        return {"logits": brought, "valid": valid & slot["valid"]}

    def read(self, output: FrameOutput, slots: list[Slot]) -> Reading:
        """Fuse the newest slot with the frame's own logits."""
        if not slots:
            return Reading(output.logits)
        slot = slots[-1]
        neighbour = torch.where(slot["valid"], slot["logits"], output.logits)
        return Reading(self.sf_layer(torch.cat([output.logits, neighbour], 1)))
