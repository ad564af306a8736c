"""Pseudo labels: which of two predictions of a pixel to believe, and how much.

One prediction is made on the frame itself (`own`), the other on the frame before and brought here over motion
(`warped`, TPS and STCL). A family of small pure functions; further members of it in UnifiedVideoDA's study
(arXiv 2402.00868): agreement (UDA-VSS, MOM), with confident pixels or rare classes exempt, greater confidence (DA-VSN),
and thresholds that follow each class. The study's upper bound, which needs the truth, is `crossfade.metrics.oracle`:
nothing that trains may import it.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from crossfade.data.clip import IGNORE

OverMotion = Literal[
    "now", "warped", "agreement", "agreement_or_sure", "agreement_or_rare", "max_confidence", "average"
]
Weighting = Literal["share", "threshold", "none"]


def _warped(own: Tensor | None, warped: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    if own is not None:
        confidence, label = torch.where(valid, warped, own).max(1)
        return label, confidence
    confidence, label = warped.max(1)
    return torch.where(valid[:, 0], label, IGNORE), torch.where(valid[:, 0], confidence, 0.0)


def _agreement(
    own: Tensor, warped: Tensor, valid: Tensor, exempt: Callable[[Tensor, Tensor], Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    confidence, label = own.max(1)
    doubtful = valid[:, 0] & (warped.argmax(1) != label)
    if exempt is not None:
        doubtful &= ~exempt(label, confidence)
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
    own: Tensor | None,
    warped: Tensor | None,
    valid: Tensor | None,
    how: OverMotion,
    thresholds: Tensor | None = None,
    rare: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Pseudo labels and confidences out of a frame's own prediction and its neighbour's.

    Args:
        own: (B, K, H, W) probabilities of the frame itself; None, with "warped" alone: nobody fills the gaps, they are
            ignored.
        warped: (B, K, H, W) probabilities of the frame before, brought here; None with "now".
        valid: (B, 1, H, W) bool, where that is known; elsewhere every way falls back on `own`.
        how: "now": own alone; "warped": the neighbour's; "agreement": own, ignored where the two differ;
            "agreement_or_sure": or own is above its class's threshold; "agreement_or_rare": or own is a rare class;
            "max_confidence": the surer of the two; "average": of their mean.
        thresholds: (K,), for "agreement_or_sure".
        rare: (K,) bool, for "agreement_or_rare".

    Returns:
        Labels (B, H, W) int64 with 255 = ignore, and confidences (B, H, W) in [0, 1], 0 where ignored.
    """
    if how == "now":
        assert own is not None
        confidence, label = own.max(1)
        return label, confidence
    if how == "agreement_or_sure":
        assert thresholds is not None
        sure = thresholds
        return _agreement(own, warped, valid, lambda label, confidence: confidence > sure[label])  # type: ignore[arg-type]
    if how == "agreement_or_rare":
        assert rare is not None
        always = rare
        return _agreement(own, warped, valid, lambda label, _: always[label])  # type: ignore[arg-type]
    return _COMBINATIONS[how](own, warped, valid)


def running_thresholds(thresholds: Tensor, labels: Tensor, confidence: Tensor, ceiling: float, decay: float) -> Tensor:
    """Thresholds that follow how sure the labeller is of each class, so that hard classes are not silenced.

    t_k ← decay·t_k + (1 − decay)·min(ceiling, mean confidence of the pixels labelled k); classes that a batch lacks
    keep theirs.

    Args:
        thresholds: (K,).
        labels: (B, H, W) int64, 255 = ignore.
        confidence: (B, H, W).
        ceiling: what no threshold exceeds.
        decay: in [0, 1].
    """
    classes = len(thresholds)
    # On the CPU because a weighted count on a GPU is not deterministic.
    labels, confidence = labels.cpu(), confidence.cpu()
    index = labels[labels != IGNORE]
    pixels = torch.bincount(index, minlength=classes)
    total = torch.bincount(index, confidence[labels != IGNORE].double(), minlength=classes)
    mean = (total / pixels.clamp_min(1)).clamp(max=ceiling).to(thresholds)
    pixels = pixels.to(thresholds.device)
    return torch.where(pixels > 0, decay * thresholds + (1 - decay) * mean, thresholds)


def confidence_weight(confidence: Tensor, threshold: float | Tensor, weighting: Weighting) -> tuple[Tensor, Tensor]:
    """Weights of pseudo-labelled pixels.

    Args:
        confidence: (B, H, W), the greatest probability of each pixel.
        threshold: above it a pixel is sure; one for all, or (B, H, W).
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
