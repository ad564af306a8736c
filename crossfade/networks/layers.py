"""Layers that several networks are made of."""

from torch import nn


def conv_bn_relu(inputs: int, outputs: int, size: int = 1, dilation: int = 1, eps: float = 1e-5) -> nn.Sequential:
    """(B, inputs, H, W) → (B, outputs, H, W): convolution without bias, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, padding=size // 2 * dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs, eps=eps),
        nn.ReLU(inplace=True),
    )


def separable_conv_bn_relu(inputs: int, outputs: int, dilation: int = 1) -> nn.Sequential:
    """(B, inputs, H, W) → (B, outputs, H, W): 3x3 a channel, then 1x1; batch norm and ReLU after both."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=dilation, dilation=dilation, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        *conv_bn_relu(inputs, outputs),
    )
