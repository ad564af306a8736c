"""The per-frame network: image → features by stride, logits, an embedding. Stateless; owns its normalisation."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

Edits = dict[int, Callable[[Tensor], Tensor]]
"""By stride: what to put in place of an encoder stage's output, before later stages and the head see it."""


@dataclass(frozen=True)
class FrameOutput:
    """What a per-frame network says about a batch of frames.

    Attributes:
        logits: (B, K, h, w) at the network's own stride.
        features: {stride: (B, C, h, w)} of the encoder; stride 1 is the image itself.
        embedding: (B, D, h, w), the head's last feature map before the classifier.
        aux: (B, K, h', w') logits of an auxiliary head, or None.
    """

    logits: Tensor
    features: dict[int, Tensor]
    embedding: Tensor
    aux: Tensor | None = None


class FrameNetwork(nn.Module, ABC):
    """Image → FrameOutput, in two halves so that features can be looked at, and replaced, between them."""

    num_classes: int

    align_corners: bool = False
    """How its logits are enlarged to an image's size: whether the corners' centres, or the corners, meet."""

    @property
    @abstractmethod
    def channels(self) -> dict[int, int]:
        """Width of the encoder's features by stride, the image left out."""

    @property
    @abstractmethod
    def embedding_channels(self) -> int:
        """Width of the embedding."""

    @abstractmethod
    def encode(self, image: Tensor, edits: Edits | None = None) -> dict[int, Tensor]:
        """Encoder features by stride.

        Args:
            image: (B, 3, H, W) RGB in [0, 1].
            edits: replacements, by stride, that later stages see.

        Raises:
            ValueError: an edit names a stride the encoder does not have.
        """

    @abstractmethod
    def decode(self, features: dict[int, Tensor]) -> FrameOutput:
        """The head on encoder features."""

    @abstractmethod
    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters as {"encoder": pretrained ones, "head": new ones}; optimisers scale the two differently."""

    def published_encoder(self) -> nn.Module | None:
        """A new encoder with the weights it was published with: image → features by stride; None: there is none."""
        return None

    def forward(self, image: Tensor, edits: Edits | None = None) -> FrameOutput:
        """(B, 3, H, W) RGB in [0, 1] → FrameOutput."""
        return self.decode({1: image} | self.encode(image, edits))


def upsample(logits: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Bilinear: (B, K, h, w) → (B, K, H, W)."""
    if logits.shape[-2:] == size:
        return logits
    return F.interpolate(logits, size, mode="bilinear", align_corners=align_corners)
