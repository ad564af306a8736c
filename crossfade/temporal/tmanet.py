"""TMANet (Wang et al., ICIP 2021): the present attends over the keys and values of the frames before."""

from typing import final

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from crossfade.networks.arguments import Dropout
from crossfade.networks.base import FrameNetwork, FrameOutput
from crossfade.networks.layers import conv_bn_relu
from crossfade.temporal.base import Reading, Slot, TemporalModule
from crossfade.temporal.schedule import SlidingMemory

FRAME_WEIGHT = 0.4
"""Of the frame's own logits in training, as published for the auxiliary head."""


@final
class TMANet(TemporalModule):
    """Temporal memory attention on the deepest features of any per-frame network; logits at their stride.

    With q, v of now and k_i, v_i of the T frames before: [v; softmax(q·k) v_i] → 3x3 → 1x1, the softmax over all
    positions of all T frames, without scaling. The memory's encoders are its place's own, so the order of the frames
    matters. A slot is a frame's deepest features: what a place makes of them cannot be kept, because a frame changes
    its place with every step.

    Where a video begins, the oldest frame there is stands in for those that are missing; the very first for itself.
    """

    learns_through_past = True

    def __init__(
        self,
        frame: FrameNetwork,
        num_classes: int,
        frames: PositiveInt = 2,
        key_channels: PositiveInt = 64,
        value_channels: PositiveInt = 256,
        dropout: Dropout = 0.1,
    ) -> None:
        """Build it around a per-frame network.

        Args:
            frame: the network.
            num_classes: K.
            frames: T; published: 2 for Cityscapes, 4 for CamVid.
            key_channels, value_channels: widths of keys and values.
            dropout: of whole channels, before the classifier.
        """
        super().__init__()
        self.schedule = SlidingMemory(range(-frames, 0))
        self.stride = max(frame.channels)
        width = frame.channels[self.stride]
        self.query_key, self.query_value = _encoder(width, key_channels), _encoder(width, value_channels)
        self.memory_keys = nn.ModuleList([_encoder(width, key_channels) for _ in range(frames)])
        self.memory_values = nn.ModuleList([_encoder(width, value_channels) for _ in range(frames)])
        self.bottleneck = conv_bn_relu(2 * value_channels, 2 * value_channels, 3)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(2 * value_channels, num_classes, 1)

    def encode(self, output: FrameOutput) -> Slot:
        """The deepest features."""
        return {"features": output.features[self.stride]}

    def read(self, output: FrameOutput, slots: list[Slot]) -> Reading:
        """See the class."""
        places = len(self.memory_keys)
        slots = slots or [self.encode(output)]
        memory = [slot["features"] for slot in [slots[0]] * (places - len(slots)) + slots]
        now = output.features[self.stride]
        keys = [_tokens(encode(m)) for encode, m in zip(self.memory_keys, memory, strict=True)]
        values = [_tokens(encode(m)) for encode, m in zip(self.memory_values, memory, strict=True)]
        query, value = _tokens(self.query_key(now)), self.query_value(now)
        # Zeros change no product, and at one width nothing of size N x T·N is ever held (0.7 GB at 769²).
        wider = (0, max(0, value.shape[1] - query.shape[-1]))
        query, key = F.pad(query, wider), F.pad(torch.cat(keys, 2), wider)
        read = F.scaled_dot_product_attention(query, key, torch.cat(values, 2), scale=1.0)
        read = read[:, 0].transpose(1, 2).reshape(value.shape)
        embedding = self.bottleneck(torch.cat([value, read], 1))
        logits = self.classifier(self.dropout(embedding))
        return Reading(logits, also={"frame": (output.logits, FRAME_WEIGHT)}, maps={"embedding": embedding})


def _encoder(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(conv_bn_relu(inputs, outputs), conv_bn_relu(outputs, outputs, 3))


def _tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) → (B, 1, H·W, C)."""
    return x.flatten(2).transpose(1, 2)[:, None]
