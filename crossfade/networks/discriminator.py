"""The discriminator of ADVENT and its descendants: from which domain is this map of predictions?"""

from itertools import pairwise
from typing import final

from torch import Tensor, nn

SMALLEST = 32
"""Height and width that leave one judgement."""


@final
class Discriminator(nn.Module):
    """Five 4x4 convolutions of stride 2, leaky ReLU 0.2 between (DCGAN's form, as in ADVENT, CVPR 2019).

    Args:
        channels: of the map.
        width: channels of the first layer; published: 64.
    """

    def __init__(self, channels: int, width: int = 64) -> None:
        super().__init__()
        sizes = [channels, width, 2 * width, 4 * width, 8 * width, 1]
        layers: list[nn.Module] = []
        for k, (inner, outer) in enumerate(pairwise(sizes)):
            layers.append(nn.Conv2d(inner, outer, 4, 2, 1))
            if k < len(sizes) - 2:
                layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, channels, H, W), H and W at least `SMALLEST` → (B, 1, H / 32, W / 32) logits."""
        judged: Tensor = self.layers(maps)
        return judged
