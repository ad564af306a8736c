"""Category-aware alignment of source and target: class centroids, kernel MMD between them, attraction and separation.

Two readings of the same paper (STCL, arXiv 2311.13254). Its code: multi-kernel MMD between the class centroids of the
fused logits (`mmd`). Its words: deep features of each category, aggregated adaptively over space and time, drawn
together within a class across the domains and pushed apart between classes (`attraction_separation`).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def class_centroids(
    features: Tensor, labels: Tensor, num_classes: int, weights: Tensor | None = None, min_pixels: int = 5
) -> tuple[Tensor, Tensor]:
    """Weighted mean feature of each class over a batch.

    Args:
        features: (B, C, h, w).
        labels: (B, h, w) int64 class ids; others (255) count nowhere.
        num_classes: K.
        weights: (B, h, w), at least 0; None: 1 everywhere.
        min_pixels: a class with fewer pixels is absent.

    Returns:
        Centroids (K, C), rows of absent classes 0, and `present` (K,) bool.
    """
    flat = features.float().movedim(1, -1).flatten(0, 2)
    member = F.one_hot(labels.flatten().clamp(max=num_classes), num_classes + 1)[:, :num_classes].to(flat.dtype)
    present = member.sum(0) >= min_pixels
    if weights is not None:
        member = member * weights.flatten()[:, None].to(flat.dtype)
    mass = member.sum(0)
    present = present & (mass > 0)
    centroids = (member.T @ flat) / mass.clamp_min(1e-12)[:, None]
    return torch.where(present[:, None], centroids, 0.0), present


def certainty(logits: Tensor) -> Tensor:
    """1 − normalised entropy of softmax(logits): (B, K, h, w) → (B, h, w) in [0, 1], without gradient."""
    log_p = logits.detach().float().log_softmax(1)
    entropy = -(log_p.exp() * log_p).sum(1) / torch.log(torch.tensor(float(logits.shape[1])))
    return (1 - entropy).clamp(0, 1)


def span_weights(logits: Sequence[Tensor], weighting: str) -> Tensor:
    """Weights of the temporal spans, summing to 1.

    Args:
        logits: one (B, K, h, w) a span.
        weighting: "equal"; "certainty": softmax over the spans of their mean certainty; "entropy": of their mean
            normalised entropy over pixels *and* classes, so that the less certain span weighs more (the published
            adaptive form).
    """
    if weighting == "equal":
        return logits[0].new_full((len(logits),), 1 / len(logits), dtype=torch.float32)
    values = torch.stack([certainty(z).mean() for z in logits])
    if weighting == "entropy":
        values = (1 - values) / logits[0].shape[1]
    return values.softmax(0)


def combine_spans(centroids: Sequence[tuple[Tensor, Tensor]], weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean of the spans' centroids, class by class over the spans that have the class.

    Args:
        centroids: a span's (K, C) and present (K,).
        weights: (spans,).
    """
    rows = torch.stack([c for c, _ in centroids])
    present = torch.stack([p for _, p in centroids])
    share = weights[:, None] * present
    return (rows * (share / share.sum(0).clamp_min(1e-12))[:, :, None]).sum(0), present.any(0)


def mmd(source: Tensor, target: Tensor, kernels: int = 5, factor: float = 2.0) -> Tensor:
    """Multi-kernel Gaussian MMD between the rows of two matrices (spec of the published code, `mmd_rbf`).

    With Z the 2K stacked rows, d_ij their squared distances, b = (Σ d_ij / ((2K)² − 2K)) / factor^(kernels // 2)
    (detached), k_ij = Σ_s exp(−d_ij / (b·factor^s)): mean over i, j of k^SS + k^TT − k^ST − k^TS.

    Args:
        source, target: (K, C).
        kernels: number of bandwidths.
        factor: between them.

    Returns:
        A scalar, at least 0 up to rounding; 0 where the rows are equal, or there are none.
    """
    k = len(source)
    if k == 0:
        return (source.sum() + target.sum()) * 0.0
    rows = torch.cat([source, target])
    distance = (rows[None] - rows[:, None]).pow(2).sum(2)
    bandwidth = distance.detach().sum() / ((2 * k) ** 2 - 2 * k) / factor ** (kernels // 2)
    bandwidth = bandwidth.clamp_min(1e-12)
    kernel = torch.stack([torch.exp(-distance / (bandwidth * factor**s)) for s in range(kernels)]).sum(0)
    return (kernel[:k, :k] + kernel[k:, k:] - kernel[:k, k:] - kernel[k:, :k]).mean()


def attraction_separation(
    source: Tensor, source_present: Tensor, target: Tensor, target_present: Tensor, margin: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Cross-domain intra-class attraction and inter-class separation of class centroids, by cosine similarity.

    attraction = mean over classes in both domains of 1 − cos(s_k, t_k); separation = mean over pairs of different
    classes, k of the source and l of the target, of max(0, cos(s_k, t_l) − margin).

    Args:
        source, target: (K, C) centroids.
        source_present, target_present: (K,) bool.
        margin: cosine below which two classes are apart enough.

    Returns:
        Two scalars, in [0, 2] and [0, 1 − margin]; 0 where there is no such class or pair.
    """
    cosine = F.normalize(source, dim=1, eps=1e-6) @ F.normalize(target, dim=1, eps=1e-6).T
    both = (source_present & target_present).to(cosine.dtype)
    attraction = ((1 - cosine.diagonal()) * both).sum() / both.sum().clamp_min(1)
    pairs = (source_present[:, None] & target_present[None]).to(cosine.dtype)
    pairs = pairs * (1 - torch.eye(len(cosine), device=cosine.device))
    separation = ((cosine - margin).clamp_min(0) * pairs).sum() / pairs.sum().clamp_min(1)
    return attraction, separation
