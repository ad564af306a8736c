"""Fusion of the two fused domains at the feature level (STCL, arXiv 2311.13254)."""

from typing import Literal

import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from crossfade.networks.base import Edits

SHALLOW_STRIDE = 4


class BlendParameters(BaseModel):
    """Fusion of features: G_T ← U·(w·G_S + (1 − w)·G_T) + (1 − U)·G_T, on the union U of the patches that both have.

    Attributes:
        level: "shallow": at stride 4 (the paper's words); "last": at the last stage (the code); "off".
        weight: w.
        mask: the target patch in U is the one that was pasted ("prev") or that of the clip's own target ("current",
            published); it counts only where `mixing.directions` paste target patches onto both fused domains.
        start: share of the steps after which it begins (published: 8,000 of 40,000).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Literal["shallow", "last", "off"] = "shallow"
    weight: float = Field(default=0.3, ge=0.0, le=1.0)
    mask: Literal["prev", "current"] = "prev"
    start: float = Field(default=0.2, ge=0.0, le=1.0)


def blend_edits(parameters: BlendParameters, features: dict[int, Tensor], union: Tensor) -> Edits:
    """The edit of T~'s encoder that blends S~'s features in, with gradients to both.

    Args:
        parameters: level (not "off") and weight. The published code blends on a grid of a quarter of the frame and
            resizes back; here it is done on the stage's own grid.
        features: of S~, by stride.
        union: (B, 1, H, W) float in [0, 1], where any patch lies that both fused domains have.
    """
    shallow = SHALLOW_STRIDE if SHALLOW_STRIDE in features else min(s for s in features if s > 1)
    stride = shallow if parameters.level == "shallow" else max(features)

    def blended(own: Tensor) -> Tensor:
        mask = F.interpolate(union, own.shape[-2:], mode="nearest-exact").to(own.dtype) * parameters.weight
        return own + mask * (features[stride].to(own.dtype) - own)

    return {stride: blended}
