"""SegFormer (Xie et al., NeurIPS 2021): a pyramid, each level brought to one width, fused at the finest one's size."""

from typing import final

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from crossfade.networks.arguments import Dropout
from crossfade.networks.base import FrameOutput
from crossfade.networks.encoders import Encoder, EncoderNetwork
from crossfade.networks.layers import conv_bn_relu


@final
class SegFormer(EncoderNetwork):
    """MiT (or any timm encoder without dilation) + the MLP head; logits at stride 4. The embedding is the fused map."""

    def __init__(
        self,
        num_classes: int,
        encoder: str = "mit_b0",
        pretrained: bool = False,
        channels: PositiveInt = 256,
        dropout: Dropout = 0.1,
    ) -> None:
        """Build it.

        Args:
            num_classes: K.
            encoder: mit_b0 … mit_b5, or timm's name of another.
            pretrained: ImageNet weights; there are none for MiT.
            channels: width of the head; published: 256 for b0 and b1, 768 for the larger ones, 256 for all in DTERN.
            dropout: of whole channels, before the classifier.
        """
        super().__init__()
        self.num_classes = num_classes
        self.encoder = Encoder(encoder, 32, pretrained)
        self.levels = sorted(stride for stride in self.encoder.channels if stride >= 4)
        self.embed = nn.ModuleList([nn.Conv2d(self.encoder.channels[stride], channels, 1) for stride in self.levels])
        self.fuse = conv_bn_relu(channels * len(self.levels), channels)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def decode(self, features: dict[int, Tensor]) -> FrameOutput:
        """See FrameNetwork."""
        maps = at_one_size([embed(features[s]) for embed, s in zip(self.embed, self.levels, strict=True)])
        fused = self.fuse(torch.cat(maps[::-1], 1))  # deepest first, as published
        return FrameOutput(self.classifier(self.dropout(fused)), features, fused)


def at_one_size(maps: list[Tensor]) -> list[Tensor]:
    """Every map, (B, C, h, w), at the size of the first, bilinear (align_corners False)."""
    return [F.interpolate(x, maps[0].shape[-2:], mode="bilinear", align_corners=False) for x in maps]
