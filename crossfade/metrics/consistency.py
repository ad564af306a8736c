"""How steady the predictions are over time: does what was predicted move as the picture moves?

Steadiness is not correctness: one class everywhere is perfectly consistent. Read it beside the mIoU, never alone.
"""

from typing import Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor

from crossfade.data.clip import IGNORE
from crossfade.metrics.accuracy import ConfusionMatrix
from crossfade.motion.field import Motion
from crossfade.motion.warp import warp_labels

Form = Literal["masked", "vspw"]


@final
class TemporalConsistency:
    """Agreement between a prediction and its neighbour's prediction warped onto it.

    Forms:
        masked (default): TC = mIoU(y_t, W(y_{t-1}; t→t-1)) over the pixels whose surface both frames show (motion
            validity), warped by nearest neighbour. A perfect prediction of a static video scores exactly 1.
        vspw: the form of the VSPW benchmark (Miao et al., CVPR 2021): y_{t+1} is warped onto y_t with the published
            sampling (see `warp_vspw`) and every pixel counts, hidden or not; classes are those y_t shows.
    """

    def __init__(self, num_classes: int, form: Form = "masked") -> None:
        self.form = form
        self.pairs = 0
        self._matrix = ConfusionMatrix(num_classes)

    def update(self, reference: Tensor, neighbour: Tensor, motion: Motion) -> None:
        """Compare the predictions of two neighbouring frames.

        Args:
            reference: (B, H, W) int64 predicted class ids of the frame the motion lives on. Masked form: the newer
                frame, motion now → previous. VSPW form: the older frame, motion t → t+1.
            neighbour: (B, H, W) int64, the frame the motion points into.
            motion: reference → neighbour, on the same grid.
        """
        if self.form == "vspw":
            warped = warp_vspw(neighbour, motion.flow)
            self._matrix.update(warped, reference)
        else:
            warped = warp_labels(neighbour, motion, ignore=IGNORE)
            seen = warped != IGNORE
            self._matrix.update(torch.where(seen, warped, 0), torch.where(seen, reference, IGNORE))
        self.pairs += reference.shape[0]

    def merge(self, other: "TemporalConsistency") -> None:
        """Add another process's (or video's) counts."""
        self._matrix.merge(other._matrix)
        self.pairs += other.pairs

    @property
    def pixels(self) -> int:
        """How many pixels were compared."""
        return self._matrix.pixels

    def value(self) -> float:
        """The consistency in [0, 1]: mIoU over the classes predicted; nan when no pixel could be compared."""
        return self._matrix.miou("truth" if self.form == "vspw" else "either")

    def agreement(self) -> float:
        """Share of compared pixels that keep their class, in [0, 1]; nan when no pixel could be compared."""
        return self._matrix.pixel_accuracy()


def warp_vspw(labels: Tensor, flow: Tensor) -> Tensor:
    """Warp a label map as the published VSPW script does.

    Coordinates are normalised as if corners were aligned but sampled as if they were not, and what falls outside is
    class 0; so even zero motion moves the outermost pixels. Kept to compare with published numbers.

    Args:
        labels: (B, H, W) int64 class ids.
        flow: (B, 2, H, W) float32, pixels.

    Returns:
        (B, H, W) int64.
    """
    _, height, width = labels.shape
    y, x = torch.meshgrid(
        torch.arange(height, dtype=flow.dtype, device=flow.device),
        torch.arange(width, dtype=flow.dtype, device=flow.device),
        indexing="ij",
    )
    column = 2 * (x + flow[:, 0]) / max(width - 1, 1) - 1
    row = 2 * (y + flow[:, 1]) / max(height - 1, 1) - 1
    grid = torch.stack([column, row], dim=-1)
    image = labels[:, None].to(flow.dtype)
    return F.grid_sample(image, grid, mode="nearest", padding_mode="zeros", align_corners=False)[:, 0].long()
