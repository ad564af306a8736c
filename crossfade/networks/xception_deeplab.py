"""DeepLabv3+ (Chen et al., ECCV 2018) on the modified aligned Xception-65: the key-frame network of DAVSS."""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossfade.networks.base import Edits, FrameNetwork, FrameOutput
from crossfade.networks.encoders import create_body

LOW, DEEP = 256, 2048
"""Channels of the low-level and of the last feature map."""


def _conv(inputs: int, outputs: int, eps: float = 1e-5) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs, eps=eps), nn.ReLU(inplace=True)
    )


def _separable(inputs: int, outputs: int, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=dilation, dilation=dilation, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        *_conv(inputs, outputs),
    )


@final
class XceptionDeepLab(FrameNetwork):
    """Output stride 16, dilations 6, 12 and 18, one skip at stride 4; logits there. RGB in [0, 1] is not normalised.

    The skip is the second separable convolution of the second block, before its ReLU.
    """

    def __init__(
        self, num_classes: int, pretrained: bool = True, dropout: float = 0.1, align_corners: bool = False
    ) -> None:
        """Build the network.

        Args:
            num_classes: K.
            pretrained: with timm's ImageNet weights of `xception65`.
            dropout: of whole channels after the pyramid.
            align_corners: how its output is enlarged; True as published.
        """
        super().__init__()
        self.num_classes = num_classes
        self.align_corners = align_corners
        self.body = create_body("xception65", 16, pretrained, num_classes=0)
        self.body.blocks[1].stack.act3.inplace = False  # it would overwrite the skip
        self.plain = _conv(DEEP, 256)
        self.dilated = nn.ModuleList([_separable(DEEP, 256, dilation) for dilation in (6, 12, 18)])
        self.pool = _conv(DEEP, 256)
        self.project = _conv(5 * 256, 256)
        self.dropout = nn.Dropout2d(dropout)
        self.lateral = _conv(LOW, 48, eps=1e-3)
        self.refine = nn.Sequential(_separable(256 + 48, 256), _separable(256, 256))
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
        """See FrameNetwork."""
        deep, low = features[16], features[4]
        pooled = self.pool(deep.mean((2, 3), keepdim=True)).expand(-1, -1, *deep.shape[-2:])
        x = self.project(torch.cat([pooled, self.plain(deep), *(branch(deep) for branch in self.dilated)], 1))
        x = F.interpolate(self.dropout(x), low.shape[-2:], mode="bilinear", align_corners=self.align_corners)
        x = self.refine(torch.cat([x, self.lateral(low)], 1))
        return FrameOutput(self.classifier(x), features, x)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """See FrameNetwork."""
        encoder = list(self.body.parameters())
        pretrained = set(map(id, encoder))
        return {"encoder": encoder, "head": [p for p in self.parameters() if id(p) not in pretrained]}
