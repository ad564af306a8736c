"""FlowNetS at half its width: the motion network of DAVSS."""

from typing import final

import torch
from torch import Tensor, nn

from crossfade.networks.hourglass import STAGES, STRIDES, convolution, cropped, deconvolution, doubling, scaled

CHANNELS = (24, 48, 96, 96, 192, 192, 192, 192, 384, 384)
DECODED = {32: 192, 16: 96, 8: 48, 4: 24}
SIZES = {"conv1": 7, "conv2": 5, "conv3": 5}


@final
class FlowNetS(nn.Module):
    """Two frames → motion at a quarter of their size (FlowNetS, Dosovitskiy et al., ICCV 2015, with half the channels).

    Args:
        width: factor of all channels; 1 is DAVSS's (5.46 million parameters).
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        widths = dict(zip(STRIDES, (scaled(channels, width) for channels in CHANNELS), strict=True))
        inputs = 6
        for name, stride in STRIDES.items():
            self.add_module(name, convolution(inputs, widths[name], SIZES.get(name, 3), stride, norm=False))
            inputs = widths[name]
        self.predict_flow6 = nn.Conv2d(inputs, 2, 3, padding=1)
        for level, (stride, channels) in zip((5, 4, 3, 2), DECODED.items(), strict=True):
            outputs = scaled(channels, width)
            self.add_module(f"deconv{level}", deconvolution(inputs, outputs))
            self.add_module(f"upsample_flow{level + 1}to{level}", doubling(2, 2))
            inputs = widths[STAGES[stride]] + outputs + 2
            self.add_module(f"predict_flow{level}", nn.Conv2d(inputs, 2, 3, padding=1))

    def pyramid(self, now: Tensor, past: Tensor) -> list[Tensor]:
        """Motion now → past at strides 64, 32, 16, 8 and 4, each (B, 2, h, w) in units of 20 pixels of the frames.

        Args:
            now, past: (B, 3, H, W) RGB in [0, 1].
        """
        x, skips = torch.cat([now, past], 1), {}
        for name in STRIDES:
            x = self.get_submodule(name)(x)
            skips[name] = x
        motions = [self.predict_flow6(x)]
        for level, stride in zip((5, 4, 3, 2), DECODED, strict=True):
            skip = skips[STAGES[stride]]
            up = cropped(self.get_submodule(f"deconv{level}")(x), skip)
            coarse = cropped(self.get_submodule(f"upsample_flow{level + 1}to{level}")(motions[-1]), skip)
            x = torch.cat([skip, up, coarse], 1)
            motions.append(self.get_submodule(f"predict_flow{level}")(x))
        return motions

    def forward(self, now: Tensor, past: Tensor) -> Tensor:
        """Motion now → past, (B, 2, ⌈H/4⌉, ⌈W/4⌉) in pixels of that grid; frames as in `pyramid`."""
        return self.pyramid(now, past)[-1] * 5
