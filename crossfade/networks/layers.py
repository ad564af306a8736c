"""Layers that several networks are made of."""

from torch import nn

from crossfade.errors import UserError


def conv_bn_relu(inputs: int, outputs: int, size: int = 1, dilation: int = 1, eps: float = 1e-5) -> nn.Sequential:
    """(B, inputs, H, W) → (B, outputs, H, W): convolution without bias, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, padding=size // 2 * dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs, eps=eps),
        nn.ReLU(inplace=True),
    )


def check_statistics(kind: str, branch: nn.Module, values: int) -> None:
    """Before a pooling branch runs: in train mode its batch norm needs more than one value a channel.

    Args:
        kind: of the network.
        branch: its layers.
        values: that they are normalised over: frames times pixels of the pooled map.

    Raises:
        UserError: a single frame pooled to a single value is to be normalised by its own statistics.
    """
    if values < 2 and any(isinstance(norm, nn.BatchNorm2d) and norm.training for norm in branch.modules()):
        raise UserError(f"network kind '{kind}' trains on two clips a step or more: raise `batch` in params.yaml")


def separable_conv_bn_relu(inputs: int, outputs: int, dilation: int = 1) -> nn.Sequential:
    """(B, inputs, H, W) → (B, outputs, H, W): 3x3 a channel, then 1x1; batch norm and ReLU after both."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=dilation, dilation=dilation, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        *conv_bn_relu(inputs, outputs),
    )
