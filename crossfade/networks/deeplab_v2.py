"""DeepLab-v2 on ResNet-101 in the form of ADVENT, DA-VSN, TPS and STCL: the published setting.

Module names are those of the published checkpoints (`layer1.0.conv1.weight`, `layer5.conv2d_list.0.weight`, …), so
their state dicts load without renaming. The caffe-style bottleneck has its stride on the first 1x1 convolution, the
max-pool rounds up, layer3 and layer4 are dilated by 2 and 4: output stride 8, 512x1024 → 65x129.
"""

from typing import Literal, final

import torch
from torch import Tensor, nn

from crossfade.networks.base import Edits, FrameNetwork, FrameOutput
from crossfade.networks.encoders import create_body

MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)


class Bottleneck(nn.Module):
    """ResNet bottleneck, stride on conv1 (caffe)."""

    def __init__(self, inputs: int, width: int, stride: int, dilation: int, project: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, stride=stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, 4 * width, 1, stride=stride, bias=False), nn.BatchNorm2d(4 * width))
            if project
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, 4 * width, H / stride, W / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        result: Tensor = self.relu(y + (x if self.downsample is None else self.downsample(x)))
        return result


class DilatedSum(nn.Module):
    """Sum of four 3x3 convolutions with dilations 6, 12, 18, 24 (DeepLab-v2's ASPP)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv2d_list = nn.ModuleList(
            [nn.Conv2d(inputs, outputs, 3, padding=d, dilation=d) for d in (6, 12, 18, 24)]
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H, W)."""
        return torch.stack([conv(x) for conv in self.conv2d_list]).sum(0)


class DeepHead(DilatedSum):
    """STCL's `layer7`: 256 summed channels, dropout, 1x1 classifier without bias."""

    def __init__(self, inputs: int, num_classes: int) -> None:
        super().__init__(inputs, 256)
        self.head = nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(256, num_classes, 1, bias=False))


@final
class DeepLabV2(FrameNetwork):
    """ResNet-101 DeepLab-v2 with auxiliary head `layer5` and main head `layer6` (TPS) or `layer7` (STCL)."""

    def __init__(
        self,
        num_classes: int,
        head: Literal["layer6", "layer7"] = "layer7",
        pretrained: bool = False,
        freeze_bn: bool = True,
        align_corners: bool = False,
    ) -> None:
        """Build the network.

        Args:
            num_classes: K.
            head: the main one.
            pretrained: the encoder starts from torchvision's ImageNet weights, fetched once; False: from N(0, 0.01).
            freeze_bn: scales and shifts of batch norm are not learned.
            align_corners: how its logits are enlarged; True as published.
        """
        super().__init__()
        self.num_classes = num_classes
        self.align_corners = align_corners
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1, ceil_mode=True)
        self.layer1 = _layer(64, 64, 3, 1, 1)
        self.layer2 = _layer(256, 128, 4, 2, 1)
        self.layer3 = _layer(512, 256, 23, 1, 2)
        self.layer4 = _layer(1024, 512, 3, 1, 4)
        self.layer5 = DilatedSum(1024, num_classes)
        if head == "layer6":
            self.layer6 = DilatedSum(2048, num_classes)
        else:
            self.layer7 = DeepHead(2048, num_classes)
        self.head = head
        self.register_buffer("mean", torch.tensor(MEAN_BGR).view(1, 3, 1, 1), persistent=False)
        self.mean: Tensor
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
            elif isinstance(module, nn.BatchNorm2d) and freeze_bn:
                module.weight.requires_grad_(False)
                module.bias.requires_grad_(False)
        if pretrained:
            self.load_state_dict(self.state_dict() | _imagenet_weights())

    @property
    def channels(self) -> dict[int, int]:
        """See FrameNetwork."""
        return {4: 256, 8: 2048}

    @property
    def embedding_channels(self) -> int:
        """See FrameNetwork."""
        return 2048 if self.head == "layer6" else 256

    def encode(self, image: Tensor, edits: Edits | None = None) -> dict[int, Tensor]:
        """See FrameNetwork. Strides 4 (layer1) and 8 (layer4); layer3 goes to the auxiliary head under key 0."""
        edits = edits or {}
        if set(edits) - {4, 8}:
            raise ValueError(f"the encoder has no stride {sorted(set(edits) - {4, 8})}; it has [4, 8]")
        bgr = image.flip(1) * 255 - self.mean
        x = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(bgr)))))
        low = edits[4](x) if 4 in edits else x
        middle = self.layer3(self.layer2(low))
        deep = self.layer4(middle)
        return {4: low, 0: middle, 8: edits[8](deep) if 8 in edits else deep}

    def decode(self, features: dict[int, Tensor]) -> FrameOutput:
        """See FrameNetwork. The embedding is layer7's 256 channels, or layer4's 2048 with layer6."""
        deep, aux = features[8], self.layer5(features[0])
        strided = {stride: value for stride, value in features.items() if stride}
        if self.head == "layer6":
            return FrameOutput(self.layer6(deep), strided, deep, aux)
        embedding = self.layer7.head[0](self.layer7(deep))
        return FrameOutput(self.layer7.head[1](embedding), strided, embedding, aux)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """See FrameNetwork."""
        heads = [self.layer5, self.layer6 if self.head == "layer6" else self.layer7]
        head = [p for module in heads for p in module.parameters()]
        new = set(map(id, head))
        return {"encoder": [p for p in self.parameters() if id(p) not in new], "head": head}


def _layer(inputs: int, width: int, blocks: int, stride: int, dilation: int) -> nn.Sequential:
    first = Bottleneck(inputs, width, stride, dilation, project=True)
    return nn.Sequential(first, *(Bottleneck(4 * width, width, 1, dilation, project=False) for _ in range(blocks - 1)))


def _imagenet_weights() -> dict[str, Tensor]:
    """torchvision's ResNet-101, its first layer turned to BGR in 0…255; it was trained with strides on the 3x3."""
    body = create_body("resnet101.tv_in1k", 32, pretrained=True)
    weights = {key: value for key, value in body.state_dict().items() if not key.startswith("fc.")}
    deviation = torch.tensor(body.default_cfg["std"]).view(1, 3, 1, 1)
    weights["conv1.weight"] = (weights["conv1.weight"] / (255 * deviation)).flip(1)
    return weights
