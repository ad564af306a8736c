"""Pseudo labels and their weights."""

from typing import Literal

from torch import Tensor


def confidence_weight(
    confidence: Tensor, threshold: float, weighting: Literal["share", "threshold", "none"]
) -> tuple[Tensor, Tensor]:
    """Weights of pseudo-labelled pixels.

    Args:
        confidence: (B, H, W), the greatest probability of each pixel.
        threshold: above it a pixel is sure.
        weighting: "share": the share of sure pixels of the frame, for all its pixels (DACS eq. 4); "threshold": 1 where
            sure, else 0; "none": 1.

    Returns:
        Weights (B, H, W), and the share of sure pixels of the batch, a scalar.
    """
    sure = (confidence > threshold).to(confidence.dtype)
    if weighting == "share":
        weight = sure.mean(dim=(1, 2), keepdim=True).expand_as(confidence)
    else:
        weight = sure if weighting == "threshold" else confidence.new_ones(confidence.shape)
    return weight, sure.mean()
