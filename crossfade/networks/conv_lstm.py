"""A convolutional LSTM (Shi et al., NeurIPS 2015), as ETC reads sequences of affinities with it."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn


@final
class ConvLSTM(nn.Module):
    """One layer without peepholes.

    Args:
        inputs: channels of an image.
        channels: of its state.
        size: of its kernels.
    """

    def __init__(self, inputs: int = 1, channels: int = 4, size: int = 3) -> None:
        super().__init__()
        self.channels = channels
        self.gates = nn.Conv2d(inputs + channels, 4 * channels, size, padding=size // 2)

    def forward(self, images: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Images (B, inputs, h, w), oldest first → hidden state and cell after the last, (B, channels, h, w) each."""
        first = images[0]
        hidden = cell = first.new_zeros(first.shape[0], self.channels, *first.shape[-2:])
        for image in images:
            entrance, forget, candidate, out = self.gates(torch.cat([image, hidden], 1)).chunk(4, 1)
            cell = forget.sigmoid() * cell + entrance.sigmoid() * candidate.tanh()
            hidden = out.sigmoid() * cell.tanh()
        return hidden, cell
