"""Entropy of predictions (ADVENT, Vu et al., CVPR 2019)."""

import math

from torch import Tensor


def self_information(logits: Tensor) -> Tensor:
    """Weighted self-information I = −p log p / log K of every class at every pixel (equation 2, normalised).

    Args:
        logits: (B, K, H, W); not probabilities, so that the gradient stays finite where one of them is 0.

    Returns:
        (B, K, H, W) in [0, 1]; its sum over classes is the normalised entropy, in [0, 1].
    """
    log_probabilities = logits.float().log_softmax(1)
    return -log_probabilities.exp() * log_probabilities / math.log(logits.shape[1])


def entropy_loss(logits: Tensor) -> Tensor:
    """Mean normalised entropy of the predictions, in [0, 1] (MinEnt, equation 4).

    Args:
        logits: (B, K, h, w).
    """
    return self_information(logits).sum(1).mean()
