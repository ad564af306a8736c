"""DeepLabv3+ (Chen et al., ECCV 2018) on the modified aligned Xception-65: the key-frame network of DAVSS."""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossfade.networks.arguments import Dropout
from crossfade.networks.base import Edits, FrameNetwork, FrameOutput
from crossfade.networks.encoders import create_body, encoder_groups
from crossfade.networks.layers import check_statistics, conv_bn_relu, separable_conv_bn_relu

LOW, DEEP = 256, 2048
"""Channels of the low-level and of the last feature map."""


@final
class XceptionDeepLab(FrameNetwork):
    """Output stride 16, dilations 6, 12 and 18, one skip at stride 4; logits there. RGB in [0, 1] is not normalised.

    The skip is the second separable convolution of the second block, before its ReLU.
    """

    def __init__(
        self, num_classes: int, pretrained: bool = True, dropout: Dropout = 0.1, align_corners: bool = False
    ) -> None:
        """Build the network.

        Args:
            num_classes: K.
            pretrained: with timm's ImageNet weights of `xception65`.
            dropout: of whole channels after the pyramid.
            align_corners: how the pyramid's output and its logits are enlarged; True as published.
        """
        super().__init__()
        self.num_classes = num_classes
        self.align_corners = align_corners
        self.body = create_body("xception65", 16, pretrained, num_classes=0)
        self.body.blocks[1].stack.act3.inplace = False  # it would overwrite the skip
        self.plain = conv_bn_relu(DEEP, 256)
        self.dilated = nn.ModuleList([separable_conv_bn_relu(DEEP, 256, dilation) for dilation in (6, 12, 18)])
        self.pool = conv_bn_relu(DEEP, 256)
        self.project = conv_bn_relu(5 * 256, 256)
        self.dropout = nn.Dropout2d(dropout)
        self.lateral = conv_bn_relu(LOW, 48, eps=1e-3)
        self.refine = nn.Sequential(separable_conv_bn_relu(256 + 48, 256), separable_conv_bn_relu(256, 256))
        self.classifier = nn.Conv2d(256, num_classes, 1)

    @property
    def channels(self) -> dict[int, int]:
        """See FrameNetwork."""
        return {4: LOW, 16: DEEP}

    @property
    def embedding_channels(self) -> int:
        """See FrameNetwork."""
        return 256

    def encode(self, image: Tensor, edits: Edits | None = None) -> dict[int, Tensor]:
        """See FrameNetwork. Strides 4 (the skip) and 16."""
        edits = edits or {}
        if set(edits) - {4, 16}:
            raise ValueError(f"the encoder has no stride {sorted(set(edits) - {4, 16})}; it has [4, 16]")
        first, second, *others = self.body.blocks
        entry = first(self.body.stem(image))
        stack = second.stack
        low = stack.conv2(stack.act2(stack.conv1(stack.act1(entry))))
        low = edits[4](low) if 4 in edits else low
        x = stack.conv3(stack.act3(low)) + second.shortcut(entry)
        for block in others:
            x = block(x)
        return {4: low, 16: edits[16](x) if 16 in edits else x}

    def decode(self, features: dict[int, Tensor]) -> FrameOutput:
        """See FrameNetwork.

        Raises:
            UserError: a single frame is to be normalised by its own statistics, and its pooled form has none.
        """
        deep, low = features[16], features[4]
        check_statistics("deeplab_xception", self.pool, len(deep))
        pooled = self.pool(deep.mean((2, 3), keepdim=True)).expand(-1, -1, *deep.shape[-2:])
        x = self.project(torch.cat([pooled, self.plain(deep), *(branch(deep) for branch in self.dilated)], 1))
        x = F.interpolate(self.dropout(x), low.shape[-2:], mode="bilinear", align_corners=self.align_corners)
        x = self.refine(torch.cat([x, self.lateral(low)], 1))
        return FrameOutput(self.classifier(x), features, x)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """See FrameNetwork."""
        return encoder_groups(self, self.body)
