"""PSPNet (Zhao et al., CVPR 2017) on any timm encoder; on ResNet-18 it is ETC's network."""

from collections.abc import Sequence
from typing import Annotated, final

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from crossfade.networks.arguments import Dropout, OutputStride
from crossfade.networks.base import FrameOutput
from crossfade.networks.encoders import Encoder, EncoderNetwork
from crossfade.networks.layers import check_statistics, conv_bn_relu


@final
class PSPNet(EncoderNetwork):
    """Pyramid pooling on the encoder's last stage, an auxiliary head on the one before; logits at the output stride.

    In the basic blocks of a dilated ResNet only the second 3x3 convolution is dilated, as in ETC (Liu et al., ECCV
    2020); in timm's both are. Other encoders stay as timm makes them.
    """

    def __init__(
        self,
        num_classes: int,
        encoder: str = "resnet18",
        pretrained: bool = True,
        output_stride: OutputStride = 8,
        channels: PositiveInt = 256,
        bins: Annotated[Sequence[PositiveInt], Field(min_length=1)] = (1, 2, 3, 6),
        dropout: Dropout = 0.1,
        align_corners: bool = False,
    ) -> None:
        """Build the network.

        Args:
            num_classes: K.
            encoder: a timm model.
            pretrained: with its ImageNet weights.
            output_stride: of the encoder.
            channels: of either head before its classifier.
            bins: sides of the pooled maps.
            dropout: of whole channels before either classifier.
            align_corners: how pooled maps and its logits are enlarged; True as published.
        """
        super().__init__()
        self.num_classes = num_classes
        self.align_corners = align_corners
        self.bins = tuple(bins)
        self.encoder = Encoder(encoder, output_stride, pretrained, before_last=True)
        _undilate_first(self.encoder.body)
        self.deep = max(self.encoder.channels)
        deep = self.encoder.channels[self.deep]
        branch = deep // len(bins)
        self.pyramid = nn.ModuleList(
            [nn.Sequential(nn.AdaptiveAvgPool2d(side), *conv_bn_relu(deep, branch, 1)) for side in bins]
        )
        self.project = conv_bn_relu(deep + branch * len(bins), channels, 3)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        self.aux = nn.Sequential(
            *conv_bn_relu(self.encoder.before_last, channels, 3),
            nn.Dropout2d(dropout),
            nn.Conv2d(channels, num_classes, 1),
        )

    def pooled(self, deep: Tensor) -> Tensor:
        """(B, C, h, w) → (B, 2C, h, w): itself and its pooled, projected and enlarged forms.

        Raises:
            UserError: a single frame is to be normalised by its own statistics, and its coarsest form has none.
        """
        for side, branch in zip(self.bins, self.pyramid, strict=True):
            check_statistics("psp", branch, len(deep) * side**2)
        size = (deep.shape[-2], deep.shape[-1])
        parts = [
            F.interpolate(branch(deep), size, mode="bilinear", align_corners=self.align_corners)
            for branch in self.pyramid
        ]
        return torch.cat([deep, *parts], 1)

    def decode(self, features: dict[int, Tensor]) -> FrameOutput:
        """See FrameNetwork."""
        embedding = self.dropout(self.project(self.pooled(features[self.deep])))
        strided = {stride: value for stride, value in features.items() if stride}
        return FrameOutput(self.classifier(embedding), strided, embedding, self.aux(features[0]))


def _undilate_first(body: nn.Module) -> None:
    from timm.models.resnet import BasicBlock  # here, because it takes seconds and most stages build no network

    for block in body.modules():
        if isinstance(block, BasicBlock):
            block.conv1.dilation = block.conv1.padding = (1, 1)
