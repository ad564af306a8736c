"""The distortion network of DAVSS: how much does a propagated frame differ from the real one, pixel by pixel?"""

from typing import final

import torch.nn.functional as F
from torch import Tensor, nn


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """A separable 3x3 convolution, each half with batch norm and ReLU, and batch norm and ReLU once more."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs),
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(inputs, outputs, 1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


@final
class Distortion(nn.Module):
    """½ − ½·cos of what 764 parameters see in either image (Zhuang et al., TCSVT 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(_block(3, 4), _block(4, 8), _block(8, 16), nn.Conv2d(16, 16, 1))

    def forward(self, real: Tensor, propagated: Tensor) -> Tensor:
        """Two images (B, 3, h, w), RGB in [0, 1] → (B, 1, h, w) in [0, 1], 0 where they look alike."""
        likeness = F.cosine_similarity(self.layers(real), self.layers(propagated), dim=1)[:, None]
        return (0.5 - 0.5 * likeness).clamp(0, 1)
