"""A DeepLabv3+-style network on any timm encoder: separable ASPP, skips at strides 8 and 4 for thin classes."""

from collections.abc import Sequence
from typing import final

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from crossfade.networks.arguments import Dropout, OutputStride
from crossfade.networks.base import FrameOutput
from crossfade.networks.encoders import Encoder, EncoderNetwork
from crossfade.networks.layers import conv_bn_relu, separable_conv_bn_relu


@final
class DeepLab(EncoderNetwork):
    """DeepLabv3+ (Chen et al., ECCV 2018) with depthwise separable convolutions and two skips; logits at stride 4."""

    def __init__(
        self,
        num_classes: int,
        encoder: str = "tf_efficientnet_lite0",
        pretrained: bool = True,
        output_stride: OutputStride = 16,
        channels: PositiveInt = 96,
        skip_channels: PositiveInt = 32,
        dilations: Sequence[PositiveInt] = (3, 6),
        dropout: Dropout = 0.0,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.encoder = Encoder(encoder, output_stride, pretrained)
        widths = self.encoder.channels
        self.deep = max(widths)
        deep = widths[self.deep]
        self.branches = nn.ModuleList(
            [conv_bn_relu(deep, channels), *(separable_conv_bn_relu(deep, channels, d) for d in dilations)]
        )
        self.pooled = nn.Sequential(nn.Conv2d(deep, channels, 1), nn.ReLU(inplace=True))
        self.project = conv_bn_relu(channels * (len(dilations) + 2), channels)
        self.skips = tuple(stride for stride in (8, 4) if stride in widths and stride < self.deep)
        self.lateral = nn.ModuleList([conv_bn_relu(widths[stride], skip_channels) for stride in self.skips])
        self.refine = nn.ModuleList([separable_conv_bn_relu(channels + skip_channels, channels) for _ in self.skips])
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def decode(self, features: dict[int, Tensor]) -> FrameOutput:
        """See FrameNetwork."""
        deep = features[self.deep]
        pooled = self.pooled(deep.mean((2, 3), keepdim=True)).expand(-1, -1, *deep.shape[-2:])
        x = self.project(torch.cat([*(branch(deep) for branch in self.branches), pooled], 1))
        for stride, lateral, refine in zip(self.skips, self.lateral, self.refine, strict=True):
            skip = lateral(features[stride])
            x = F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False)
            x = refine(torch.cat([x, skip], 1))
        x = self.dropout(x)
        return FrameOutput(self.classifier(x), features, x)

    def published_encoder(self) -> Encoder:
        """See FrameNetwork.

        Raises:
            UserError: its weights cannot be had.
        """
        return Encoder(self.encoder.name, self.encoder.output_stride, pretrained=True)
