"""What FlowNetS (Dosovitskiy et al., ICCV 2015) and DAVSS's correction network are both made of."""

from torch import Tensor, nn

STRIDES = {"conv1": 2, "conv2": 2, "conv3": 2, "conv3_1": 1, "conv4": 2, "conv4_1": 1} | {
    "conv5": 2,
    "conv5_1": 1,
    "conv6": 2,
    "conv6_1": 1,
}
"""The encoder's convolutions in order, under their published names."""
STAGES = {2: "conv1", 4: "conv2", 8: "conv3_1", 16: "conv4_1", 32: "conv5_1", 64: "conv6_1"}
"""Stride → the last convolution that works at it."""


def scaled(channels: int, width: float) -> int:
    """So many channels in a network `width` times as wide as published, at least 4."""
    return max(4, round(channels * width))


def convolution(inputs: int, outputs: int, size: int, stride: int, norm: bool) -> nn.Sequential:
    """Convolution (with batch norm in place of a bias, if `norm`) and leaky ReLU 0.1."""
    conv = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=not norm)
    return nn.Sequential(conv, *([nn.BatchNorm2d(outputs)] if norm else []), nn.LeakyReLU(0.1, inplace=True))


def deconvolution(inputs: int, outputs: int) -> nn.Sequential:
    """Twice the size, and leaky ReLU 0.1."""
    return nn.Sequential(doubling(inputs, outputs), nn.LeakyReLU(0.1, inplace=True))


def doubling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """4x4 transposed convolution of stride 2 without bias: (B, inputs, h, w) → (B, outputs, 2h, 2w)."""
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False)


def cropped(maps: Tensor, like: Tensor) -> Tensor:
    """The upper left part that is as large as `like`: doubling overshoots a skip of odd size by one."""
    return maps[..., : like.shape[-2], : like.shape[-1]]
