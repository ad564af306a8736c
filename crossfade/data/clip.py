"""The clip: what every network, method and metric is given."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from crossfade.motion.field import Motion

IGNORE = 255
"""The label id that no loss and no metric counts."""


@dataclass(frozen=True)
class Clip:
    """A batch of short clips: T frames of each of B videos, oldest first; the last frame is "now".

    Attributes:
        frames: (B, T, 3, H, W) float32 RGB in [0, 1]. Normalisation belongs to the network.
        labels: (B, T, H, W) int64 class ids of the pair's label space, 255 = ignore; None on an unlabelled clip.
        motion: {(i, j): Motion i→j}, i and j being positions in the clip (0 = oldest). Where "now" does not
            reach a neighbour (the video begins, or frames are too far apart in time) it stands in for it itself; motion
            between strangers is zero and nowhere valid.
        names: one name a clip, "split/video/frame-of-now".
    """

    frames: Tensor
    labels: Tensor | None
    motion: dict[tuple[int, int], Motion]
    names: tuple[str, ...]

    @property
    def length(self) -> int:
        """T, the number of frames."""
        return self.frames.shape[1]

    @property
    def now(self) -> Tensor:
        """(B, 3, H, W), the newest frame."""
        return self.frames[:, -1]

    @property
    def labels_now(self) -> Tensor:
        """(B, H, W), the labels of the newest frame.

        Raises:
            ValueError: the clip is unlabelled.
        """
        if self.labels is None:
            raise ValueError("this clip has no labels; only a labelled source (or the oracle) may ask for them")
        return self.labels[:, -1]

    def without_labels(self) -> "Clip":
        """The same clip as an unlabelled one."""
        return replace(self, labels=None)

    def to(self, device: torch.device | str) -> "Clip":
        """The same clip on another device."""
        return Clip(
            frames=self.frames.to(device, non_blocking=True),
            labels=None if self.labels is None else self.labels.to(device, non_blocking=True),
            motion={key: motion.to(device) for key, motion in self.motion.items()},
            names=self.names,
        )
