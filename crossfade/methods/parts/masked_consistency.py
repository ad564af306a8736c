"""Masked image consistency (MIC, Hoyer et al., CVPR 2023): what is hidden has to be told from what surrounds it.

The network sees target frames of which blocks are hidden, and learns the pseudo labels that its teacher gave the whole
frames.
"""

import math
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat
from torch import Tensor

from crossfade.data.augment import PhotometricParameters, photometric_frames
from crossfade.data.clip import Clip
from crossfade.methods.parts.unroll import supervised_terms
from crossfade.temporal.video_network import VideoNetwork

HIDDEN_RGB = (0.485, 0.456, 0.406)
"""What hidden pixels show: ImageNet's mean colour, which networks normalise to 0 (published: 0 after normalisation)."""


class MaskedParameters(BaseModel):
    """Parameters of masked consistency.

    Attributes:
        weight: of the term (published: 1); 0: off.
        block: side of a block as a share of the frame's shorter side (published: 64 pixels of crops of 1,024).
        ratio: share of the blocks that are hidden (published: 0.7).
        frames: "all": the same blocks of all frames of a clip; "now": of the newest alone, so that a network with
            several frames may look at the ones before.
        photometric: strong colour changes before hiding.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: NonNegativeFloat = 1.0
    block: float = Field(default=1 / 16, gt=0.0, le=1.0)
    ratio: float = Field(default=0.7, ge=0.0, le=1.0)
    frames: Literal["all", "now"] = "all"
    photometric: PhotometricParameters = PhotometricParameters(blur=0.5)


def hide(frames: Tensor, parameters: MaskedParameters) -> Tensor:
    """Hide random blocks.

    Args:
        frames: (B, T, 3, H, W) in [0, 1].
        parameters: how large, how many, in which frames.

    Returns:
        The same shape; hidden pixels have `HIDDEN_RGB`.
    """
    height, width = frames.shape[-2:]
    side = max(1, round(parameters.block * min(height, width)))
    grid = (math.ceil(height / side), math.ceil(width / side))
    hidden = torch.rand(len(frames), 1, *grid) < parameters.ratio
    hidden = hidden.repeat_interleave(side, 2).repeat_interleave(side, 3)[..., :height, :width].to(frames.device)
    colour = torch.tensor(HIDDEN_RGB, dtype=frames.dtype, device=frames.device).view(3, 1, 1)
    if parameters.frames == "all":
        return torch.where(hidden[:, None], colour, frames)
    return torch.cat([frames[:, :-1], torch.where(hidden[:, None], colour, frames[:, -1:])], 1)


def masked_terms(
    network: VideoNetwork, target: Clip, labels: Tensor, weight: Tensor, parameters: MaskedParameters, aux_weight: float
) -> dict[str, Tensor]:
    """Cross-entropy of a forward on hidden frames against pseudo labels, as terms `masked` and `masked_aux`.

    Args:
        network: in train mode.
        target: clean frames.
        labels: (B, H, W) int64 pseudo labels of "now".
        weight: (B, H, W) of these.
        parameters: how; none of it happens with a weight of 0.
        aux_weight: of the auxiliary logits.
    """
    if parameters.weight == 0:
        return {}
    frames = hide(photometric_frames(target.frames, parameters.photometric), parameters)
    clip = Clip(frames, labels[:, None].expand(-1, target.length, -1, -1), target.motion, target.names)
    return supervised_terms(network, clip, "masked", aux_weight, weight, parameters.weight)[1]
