"""DTERN: the frames before now, each remembered as two small sets of exemplars."""

from collections.abc import Sequence
from typing import Annotated, final

import torch
import torch.nn.functional as F
from pydantic import Field, NegativeInt, PositiveInt
from torch import Tensor, nn

from crossfade.networks.arguments import Dropout, OddSide
from crossfade.networks.base import FrameNetwork, FrameOutput, upsample
from crossfade.networks.layers import conv_bn_relu
from crossfade.temporal.base import Reading, Slot, TemporalModule
from crossfade.temporal.exemplars import GlobalExemplarModule, LocalExemplarLayer, gather
from crossfade.temporal.schedule import SlidingMemory

FRAME_WEIGHT, EXEMPLAR_WEIGHT = 2.0, 1.0
"""Of the frame's own and of the class keys' logits in training: 1/2 : 1/4 : 1/4 with the result, as published."""


@final
class DTERN(TemporalModule):
    """Local and global temporal exemplars on the pyramid of any per-frame network; logits at that network's size.

    The trunk X is the pyramid (strides from 4 on) at the second level's size. A frame before now matters only through
    the exemplars of two layers, both taken from its own X: a slot is these 2·K·C numbers, and every frame of a stream
    passes through the encoder once.

    Without a slot (a video's first frames, see `SlidingMemory` "spread") the frame's own logits are the answer.
    """

    learns_through_past = True
    schedule_arguments = frozenset({"offsets"})

    def __init__(
        self,
        frame: FrameNetwork,
        num_classes: int,
        exemplars: PositiveInt = 150,
        channels: PositiveInt = 256,
        offsets: Annotated[Sequence[NegativeInt], Field(min_length=1)] = (-9, -6, -3),
        heads: Annotated[Sequence[PositiveInt], Field(min_length=2, max_length=2)] = (2, 4),
        kernels: Sequence[OddSide] = (11, 9, 7, 5),
        dropout: Dropout = 0.1,
    ) -> None:
        """Build it around a per-frame network.

        Args:
            frame: the network.
            num_classes: of the label space.
            exemplars: K; published: 250, 200, 150, 124 with MiT-B0, B1, B2, B5.
            channels: C.
            offsets: of the frames before now, oldest first.
            heads: of the attention in each of the two layers.
            kernels: of their context, odd; published: 13, 11, 9, 7 with MiT-B0 and for Cityscapes.
            dropout: of whole channels, before the classifier.

        Raises:
            ValueError: the network has no pyramid, or the numbers do not fit.
        """
        super().__init__()
        widths = frame.channels
        self.levels = [s for s in sorted(widths) if s >= 4] if sum(s >= 4 for s in widths) >= 2 else sorted(widths)
        if len(self.levels) < 2:
            raise ValueError(f"it needs features at two strides at least, and the network has {sorted(widths)}")
        if any(channels % h for h in heads):
            raise ValueError(f"heads are two numbers that divide channels ({channels}), not {list(heads)}")
        self.schedule = SlidingMemory(tuple(offsets), start="spread")
        self.embed = nn.ModuleList([conv_bn_relu(widths[stride], channels) for stride in self.levels])
        self.fuse = conv_bn_relu(channels * len(self.levels), channels)
        self.first = LocalExemplarLayer(channels, exemplars, heads[0], kernels, fuses=False)
        self.second = LocalExemplarLayer(channels, exemplars, heads[1], kernels, fuses=True)
        self.overall = GlobalExemplarModule(channels, num_classes)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(frame.embedding_channels + channels, num_classes, 1)

    def encode(self, output: FrameOutput) -> Slot:
        """The exemplars of both layers, (B, K, C) each, from the frame's raw trunk."""
        trunk = self._trunk(output)
        first = self.first.assign(trunk)
        second = self.second.assign(trunk, first)
        return {"first": gather(trunk, first), "second": gather(trunk, second)}

    def read(self, output: FrameOutput, slots: list[Slot]) -> Reading:
        """See the class."""
        if not slots:
            return Reading(output.logits)
        x = self._trunk(output)
        first = self.first.assign(x)
        x = self.first(x, gather(x, first), [slot["first"] for slot in slots])
        second = self.second.assign(x, first)
        x = self.second(x, gather(x, second), [slot["second"] for slot in slots])
        x, of_classes = self.overall(x)
        both = torch.cat([upsample(output.embedding, (x.shape[-2], x.shape[-1])), x], 1)
        logits = self.classifier(self.dropout(both))
        return Reading(
            upsample(logits, (output.logits.shape[-2], output.logits.shape[-1])),
            also={"frame": (output.logits, FRAME_WEIGHT), "exemplar": (of_classes, EXEMPLAR_WEIGHT)},
            maps={"embedding": both},
        )

    def _trunk(self, output: FrameOutput) -> Tensor:
        """(B, C, H, W) at the second level's size."""
        size = output.features[self.levels[1]].shape[-2:]
        maps = [embed(output.features[s]) for embed, s in zip(self.embed, self.levels, strict=True)]
        maps = [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in maps]
        trunk: Tensor = self.fuse(torch.cat(maps[::-1], 1))  # deepest first, as published
        return trunk
