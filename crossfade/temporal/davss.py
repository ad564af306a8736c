"""DAVSS (Zhuang et al., "Video semantic segmentation with distortion-aware feature correction", TCSVT 2021)."""

from typing import Annotated, Literal, final

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor

from crossfade.motion.field import Motion
from crossfade.motion.warp import warp
from crossfade.networks.arguments import Factor
from crossfade.networks.base import FrameNetwork, FrameOutput
from crossfade.networks.correction import Correction
from crossfade.networks.distortion import Distortion
from crossfade.networks.flownet_s import FlowNetS
from crossfade.temporal.base import Reading, Slot, TemporalModule
from crossfade.temporal.schedule import KeyFrames


@final
class DAVSS(TemporalModule):
    """The per-frame network on key frames; in between its logits, propagated, and a light network where they distort.

    A slot is what the network said of the key frame and a small copy of it, both warped forward frame by frame at a
    quarter of the input's size, S̃ and Ĩ, and the last full frame. Read at frame I they give
    (1 − D)·S̃ + D·CF(I) at the input's size, D being the distortion between Ĩ and I; this is never fed back. A frame
    without a slot is a key frame: its own logits are the answer.
    """

    trained_by = "davss"
    schedule_arguments = frozenset({"interval", "reach", "threshold"})

    def __init__(
        self,
        frame: FrameNetwork,
        num_classes: int,
        interval: PositiveInt = 10,
        reach: PositiveInt = 2,
        threshold: Annotated[float, Field(ge=0.0, le=1.0)] | None = None,
        width: Factor = 1.0,
        motion: Literal["own", "clip"] = "own",
        align_corners: bool | None = None,
    ) -> None:
        """Build the networks beside the per-frame one.

        Args:
            frame: looks at key frames; any network will do, its logits are brought to stride 4.
            num_classes: K.
            interval: frames from one key frame to the next; 1: the per-frame network alone.
            reach: how far from its key frame "now" is where other methods than `davss` unroll a clip; at most
                `interval` - 1 counts.
            threshold: a frame whose mean distortion, in [0, 1], exceeds this becomes a key frame, too.
            width: factor of the channels of the motion and the correction network; 1 as published.
            motion: "own": a motion network of the module's own; "clip": the motion that comes with the clip.
            align_corners: how maps are resized, the logits of key frames too; True as published; None: as the per-frame
                network has it.

        Raises:
            ValueError: an interval or reach below 1.
        """
        super().__init__()
        self.schedule = KeyFrames(interval, reach, threshold)
        self.align_corners = frame.align_corners if align_corners is None else align_corners
        self.uses_motion = motion == "clip"
        self.correction = Correction(num_classes, width)
        self.motion = FlowNetS(width) if motion == "own" else None
        self.distortion = Distortion()

    @property
    def light(self) -> FrameNetwork:
        """The correction network."""
        return self.correction

    def encode(self, output: FrameOutput) -> Slot:
        """Logits and image at a quarter of the input's size, and the image itself."""
        image = output.features[1]
        small = self.quarter(image)
        return {"logits": self.resized(output.logits, _size(small)), "small": small, "image": image}

    def advance(self, slot: Slot, image: Tensor, motion: Motion | None) -> Slot:
        """Warp logits and small image. Where a clip's motion is unknown nothing moves, and the distortion tells."""
        if self.motion is not None:
            flow = self.motion(image, slot["image"])
        elif motion is None:
            flow = torch.zeros_like(slot["small"][:, :2])
        else:
            flow = motion.resized(_size(slot["small"])).flow
        logits, _ = warp(slot["logits"], flow)
        small, _ = warp(slot["small"], flow)
        return {"logits": logits, "small": small, "image": image}

    def read(self, output: FrameOutput, slots: list[Slot]) -> Reading:
        """The blend, at the input's size; its parts, at a quarter of it, as maps."""
        if not slots:
            return Reading(output.logits)
        slot, image = slots[-1], output.features[1]
        maps = {"propagated": slot["logits"], "distortion": self.distorted(slot, image), "correction": output.logits}
        return Reading(self.blend(**maps, size=_size(image)), maps=maps)

    def doubt(self, slot: Slot, image: Tensor) -> Tensor:
        """Mean distortion."""
        return self.distorted(slot, image).mean()

    def distorted(self, slot: Slot, image: Tensor) -> Tensor:
        """(B, 1, h, w) in [0, 1]: how little the slot's image looks like this one."""
        distortion: Tensor = self.distortion(self.quarter(image), slot["small"])
        return distortion

    def blend(self, propagated: Tensor, distortion: Tensor, correction: Tensor, size: tuple[int, int]) -> Tensor:
        """(1 − ↑D)·↑S̃ + ↑D·↑CF with ↑ to `size`; S̃ and CF are (B, K, h, w), D is (B, 1, h, w)."""
        share = self.resized(distortion, size)
        return torch.lerp(self.resized(propagated, size), self.resized(correction, size), share)

    def quarter(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, 3, ⌈H/4⌉, ⌈W/4⌉)."""
        height, width = _size(image)
        return self.resized(image, ((height + 3) // 4, (width + 3) // 4))

    def resized(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Bilinear: (B, C, h, w) → (B, C, *size)."""
        if _size(maps) == size:
            return maps
        return F.interpolate(maps, size, mode="bilinear", align_corners=self.align_corners)


def _size(maps: Tensor) -> tuple[int, int]:
    return maps.shape[-2], maps.shape[-1]
