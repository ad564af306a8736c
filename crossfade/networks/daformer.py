"""DAFormer (Hoyer et al., CVPR 2022): the levels of a pyramid at one size, then a separable ASPP over all of them."""

from collections.abc import Sequence
from typing import Annotated, final

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from crossfade.networks.arguments import Dropout
from crossfade.networks.base import FrameOutput
from crossfade.networks.encoders import Encoder, EncoderNetwork
from crossfade.networks.layers import conv_bn_relu, separable_conv_bn_relu
from crossfade.networks.segformer import at_one_size


@final
class DAFormer(EncoderNetwork):
    """MiT (or any timm encoder without dilation) + context-aware fusion; logits at stride 4."""

    def __init__(
        self,
        num_classes: int,
        encoder: str = "mit_b5",
        pretrained: bool = False,
        channels: PositiveInt = 256,
        dilations: Annotated[Sequence[PositiveInt], Field(min_length=1)] = (1, 6, 12, 18),
        dropout: Dropout = 0.1,
        align_corners: bool = False,
    ) -> None:
        """Build it.

        Args:
            num_classes: K.
            encoder: mit_b0 … mit_b5, or timm's name of another.
            pretrained: ImageNet weights; there are none for MiT.
            channels: width of the head.
            dilations: of the branches; 1 stands for a 1x1 convolution, every other for a separable 3x3.
            dropout: of whole channels, before the classifier.
            align_corners: how its logits are enlarged; True as STCL was published.
        """
        super().__init__()
        self.num_classes = num_classes
        self.align_corners = align_corners
        self.encoder = Encoder(encoder, 32, pretrained)
        self.levels = sorted(stride for stride in self.encoder.channels if stride >= 4)
        width = channels * len(self.levels)
        self.embed = nn.ModuleList([nn.Conv2d(self.encoder.channels[stride], channels, 1) for stride in self.levels])
        self.branches = nn.ModuleList(
            [conv_bn_relu(width, channels) if d == 1 else separable_conv_bn_relu(width, channels, d) for d in dilations]
        )
        self.fuse = conv_bn_relu(channels * len(dilations), channels, 3)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def decode(self, features: dict[int, Tensor]) -> FrameOutput:
        """See FrameNetwork."""
        maps = at_one_size([embed(features[s]) for embed, s in zip(self.embed, self.levels, strict=True)])
        levels = torch.cat(maps, 1)
        fused = self.fuse(torch.cat([branch(levels) for branch in self.branches], 1))
        return FrameOutput(self.classifier(self.dropout(fused)), features, fused)
