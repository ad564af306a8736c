"""Motion: optical flow from one frame to another, with validity.

One convention everywhere. `Motion` i→j lives on frame i's pixel grid and points into frame j: the pixel (x, y) of
frame i is seen at (x + u, y + v) in frame j. Warping frame j with it reconstructs frame i. Channel 0 is x (to the
right), channel 1 is y (down), both in pixels of the grid it lives on.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Motion:
    """Optical flow with validity.

    Attributes:
        flow: (B, 2, H, W) float32, pixels of this grid.
        valid: (B, 1, H, W) bool; False where the surface is hidden in or outside the other frame, or motion is unknown.
    """

    flow: Tensor
    valid: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the grid."""
        return self.flow.shape[-2], self.flow.shape[-1]

    def resized(self, size: tuple[int, int]) -> "Motion":
        """The same motion on another grid: x scaled by the x ratio, y by the y ratio; validity by nearest neighbour."""
        (h, w), (new_h, new_w) = self.size, size
        if (h, w) == (new_h, new_w):
            return self
        flow = F.interpolate(self.flow, size, mode="bilinear", align_corners=False)
        ratio = torch.tensor([new_w / w, new_h / h], dtype=flow.dtype, device=flow.device).view(1, 2, 1, 1)
        valid = F.interpolate(self.valid.to(flow.dtype), size, mode="nearest-exact") > 0.5
        return Motion(flow * ratio, valid)

    def flipped(self) -> "Motion":
        """The motion of the horizontally mirrored frames: mirrored, x negated."""
        sign = torch.tensor([-1.0, 1.0], dtype=self.flow.dtype, device=self.flow.device).view(1, 2, 1, 1)
        return Motion(self.flow.flip(-1) * sign, self.valid.flip(-1))

    def to(self, device: torch.device | str) -> "Motion":
        """The same motion on another device."""
        return Motion(self.flow.to(device, non_blocking=True), self.valid.to(device, non_blocking=True))
