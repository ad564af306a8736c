"""Pseudo labels: which of two predictions of a pixel to believe, and how much.

One prediction is made on the frame itself (`own`), the other on the frame before and brought here over motion
(`warped`, TPS and STCL). A family of small pure functions; further members of it in UnifiedVideoDA's study
(arXiv 2402.00868): agreement (UDA-VSS, MOM) and greater confidence (DA-VSN).
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from crossfade.data.clip import IGNORE

OverMotion = Literal["now", "warped", "agreement", "max_confidence", "average"]
Weighting = Literal["share", "threshold", "none"]


def _warped(own: Tensor | None, warped: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    if own is not None:
        confidence, label = torch.where(valid, warped, own).max(1)
        return label, confidence
    confidence, label = warped.max(1)
    return torch.where(valid[:, 0], label, IGNORE), torch.where(valid[:, 0], confidence, 0.0)


def _agreement(own: Tensor, warped: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    confidence, label = own.max(1)
    doubtful = valid[:, 0] & (warped.argmax(1) != label)
    return label.masked_fill(doubtful, IGNORE), confidence.masked_fill(doubtful, 0.0)


def _max_confidence(own: Tensor, warped: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    (here, label), (there, other) = own.max(1), warped.max(1)
    better = valid[:, 0] & (there > here)
    return torch.where(better, other, label), torch.where(better, there, here)


def _average(own: Tensor, warped: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    confidence, label = torch.where(valid, (own + warped) / 2, own).max(1)
    return label, confidence


_COMBINATIONS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "warped": _warped,
    "agreement": _agreement,
    "max_confidence": _max_confidence,
    "average": _average,
}


def combine_over_motion(
    own: Tensor | None, warped: Tensor | None, valid: Tensor | None, how: OverMotion
) -> tuple[Tensor, Tensor]:
    """Pseudo labels and confidences out of a frame's own prediction and its neighbour's.

    Args:
        own: (B, K, H, W) probabilities of the frame itself; None, with "warped" alone: nobody fills the gaps, they are
            ignored.
        warped: (B, K, H, W) probabilities of the frame before, brought here; None with "now".
        valid: (B, 1, H, W) bool, where that is known; elsewhere every way falls back on `own`.
        how: "now": own alone; "warped": the neighbour's; "agreement": own, ignored where the two differ;
            "max_confidence": the surer of the two; "average": of their mean.

    Returns:
        Labels (B, H, W) int64 with 255 = ignore, and confidences (B, H, W) in [0, 1], 0 where ignored.
    """
    if how == "now":
        assert own is not None
        confidence, label = own.max(1)
        return label, confidence
    return _COMBINATIONS[how](own, warped, valid)


def confidence_weight(confidence: Tensor, threshold: float, weighting: Weighting) -> tuple[Tensor, Tensor]:
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
        weight = sure if weighting == "threshold" else torch.ones_like(confidence)
    return weight, sure.mean()
