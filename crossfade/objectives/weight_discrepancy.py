"""Two networks of one structure that are to look at different things."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def weight_discrepancy(one: nn.Module, other: nn.Module) -> Tensor:
    """Mean over parameter tensors of cos(W, W') + 1 (DA-VSN, Guan et al., ICCV 2021).

    Args:
        one, other: of the same structure; gradients reach both.

    Returns:
        A scalar in [0, 2]: 2 where the weights point the same way, 1 where they are orthogonal.
    """
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return torch.stack([F.cosine_similarity(a.flatten(), b.flatten(), dim=0) + 1 for a, b in pairs]).mean()
