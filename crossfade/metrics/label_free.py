"""What predictions say about themselves where there are no labels: how sure, and how clustered they are.

Neither is correctness. A network can be sure of nonsense, so these scores are read beside pictures, never alone, and
nothing in training sees them.
"""

import math
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 20
"""A frame's neighbourhood density is measured over SIDE x SIDE pixels of a regular grid, whatever the logits' stride:
it rises with the number of pixels."""


@final
class LabelFreeScores:
    """Mean entropy, and soft neighbourhood density (Saito et al., ICCV 2021, equations 1 to 3)."""

    def __init__(self, temperature: float = 0.05) -> None:
        """Nothing seen yet.

        Args:
            temperature: τ of the density; the paper's 0.05.
        """
        self.temperature = temperature
        self.frames = 0
        self._entropy = 0.0
        self._density = 0.0

    def update(self, logits: Tensor) -> None:
        """Add frames.

        Args:
            logits: (B, K, h, w).
        """
        probabilities = logits.float().softmax(1)
        for frame in probabilities:
            self._entropy += float(torch.special.entr(frame).sum(0).mean()) / math.log(frame.shape[0])
            self._density += neighbourhood_density(_grid(frame), self.temperature)
            self.frames += 1

    def merge(self, other: "LabelFreeScores") -> None:
        """Add another process's (or video's) sums."""
        self.frames += other.frames
        self._entropy += other._entropy
        self._density += other._density

    def entropy(self) -> float:
        """Mean over pixels of H(p) / log K, in [0, 1], 0 = sure of everything; nan when nothing was seen."""
        return self._entropy / self.frames if self.frames else math.nan

    def density(self) -> float:
        """Mean over frames of the density, in [0, log(pixels − 1)]; higher = tighter clusters; nan likewise."""
        return self._density / self.frames if self.frames else math.nan


def neighbourhood_density(probabilities: Tensor, temperature: float) -> float:
    """Soft neighbourhood density of one set of samples.

    S_ij = ⟨p_i, p_j⟩ / (|p_i| |p_j|); P_ij = softmax over j ≠ i of S_ij / τ; the density is the mean over i of the
    entropy of P_i. Samples that have many near neighbours (dense clusters) have a high one.

    Args:
        probabilities: (N, K), N ≥ 2.
        temperature: τ.

    Returns:
        nats, in [0, log(N − 1)].
    """
    unit = F.normalize(probabilities, dim=1)
    others = ~torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    similar = (unit @ unit.T)[others].view(len(unit), -1) / temperature
    return float(torch.special.entr(similar.softmax(1)).sum(1).mean())


def _grid(frame: Tensor) -> Tensor:
    """(K, h, w) → (N, K): the pixels of a regular grid."""
    height, width = (max(n, SIDE) for n in frame.shape[1:])
    if (height, width) != frame.shape[1:]:
        frame = F.interpolate(frame[None], (height, width), mode="bilinear", align_corners=False)[0]
    rows, columns = (torch.linspace(0, n - 1, SIDE).round().long() for n in (height, width))
    return frame[:, rows][:, :, columns].flatten(1).T
