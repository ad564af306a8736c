"""The correction network of DAVSS: a light per-frame network in the shape of FlowNetS."""

from typing import final

import torch
from torch import Tensor, nn

from crossfade.networks.arguments import Factor
from crossfade.networks.base import Edits, FrameNetwork, FrameOutput
from crossfade.networks.hourglass import STAGES, STRIDES, convolution, cropped, deconvolution, scaled

CHANNELS = (32, 64, 128, 128, 256, 256, 256, 256, 512, 512)
DECODED = {32: 256, 16: 128, 8: 64, 4: 32}


@final
class Correction(FrameNetwork):
    """Down to stride 64 and up again; logits at stride 4. RGB in [0, 1] is not normalised.

    Args:
        num_classes: K.
        width: factor of all channels; 1 is DAVSS's (9.49 million parameters).
    """

    def __init__(self, num_classes: int, width: Factor = 1.0) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.widths = dict(zip(STRIDES, (scaled(channels, width) for channels in CHANNELS), strict=True))
        inputs = 3
        for name, stride in STRIDES.items():
            self.add_module(name, convolution(inputs, self.widths[name], 3, stride, norm=True))
            inputs = self.widths[name]
        for level, (stride, channels) in zip((5, 4, 3, 2), DECODED.items(), strict=True):
            outputs = scaled(channels, width)
            self.add_module(f"deconv{level}", deconvolution(inputs, outputs))
            inputs = self.widths[STAGES[stride]] + outputs
        self.predict_cc = nn.Conv2d(inputs, num_classes, 1)

    @property
    def channels(self) -> dict[int, int]:
        """See FrameNetwork."""
        return {stride: self.widths[name] for stride, name in STAGES.items()}

    @property
    def embedding_channels(self) -> int:
        """See FrameNetwork."""
        return self.predict_cc.in_channels

    def encode(self, image: Tensor, edits: Edits | None = None) -> dict[int, Tensor]:
        """See FrameNetwork."""
        edits = edits or {}
        if set(edits) - set(STAGES):
            raise ValueError(f"the encoder has no stride {sorted(set(edits) - set(STAGES))}; it has {sorted(STAGES)}")
        strides = {name: stride for stride, name in STAGES.items()}
        x, features = image, {}
        for name in STRIDES:
            x = self.get_submodule(name)(x)
            if name in strides:
                stride = strides[name]
                x = edits[stride](x) if stride in edits else x
                features[stride] = x
        return features

    def decode(self, features: dict[int, Tensor]) -> FrameOutput:
        """See FrameNetwork."""
        x = features[64]
        for level, stride in zip((5, 4, 3, 2), DECODED, strict=True):
            up = self.get_submodule(f"deconv{level}")(x)
            x = torch.cat([features[stride], cropped(up, features[stride])], 1)
        return FrameOutput(self.predict_cc(x), features, x)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """See FrameNetwork. Nothing is pretrained."""
        return {"encoder": [], "head": list(self.parameters())}
