"""How steady the predictions are over time: does what was predicted move as the picture moves?

Steadiness is not correctness: one class everywhere is perfectly consistent. Read it beside the mIoU, never alone.
"""

from typing import Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor

from crossfade.data.clip import IGNORE
from crossfade.metrics.accuracy import ConfusionMatrix, Presence
from crossfade.motion.field import Motion
from crossfade.motion.warp import warp_labels

Form = Literal["masked", "vspw", "etc"]

CLASSES_OF: dict[Form, Presence] = {"masked": "either", "vspw": "truth", "etc": "all"}
"""The classes each form is the mean over."""
ROUNDING = 1e-6
"""So that a class interpolated between two pixels of it stays that class when it is cut off."""


@final
class TemporalConsistency:
    """Agreement between a prediction and its neighbour's prediction warped onto it.

    Forms:
        masked (default): TC = mIoU(y_t, W(y_{t-1}; t→t-1)) over the pixels whose surface both frames show (motion
            validity), warped by nearest neighbour. A perfect prediction of a static video scores exactly 1.
        vspw: the form of the VSPW benchmark (Miao et al., CVPR 2021): y_{t+1} is warped onto y_t with the published
            sampling (see `warp_vspw`) and every pixel counts, hidden or not; classes are those y_t shows. (Published on
            the first 100 validation videos, with RAFT.)
        etc: the form of ETC (Liu et al., ECCV 2020): the class *numbers* of y_{t+1} are warped bilinearly onto y_t and
            cut off to whole ones (see `warp_etc`), every pixel counts, intersections and unions are summed over all
            pairs, and the mean is over all K classes. (Published with FlowNet2 on 108 snippets of 30 frames.)

    All three sum intersections and unions over all pairs before they divide. The published forms do not give 1 to every
    static perfect video: VSPW's zero padding and a class that ETC's mean counts but nobody shows cost something.
    """

    def __init__(self, num_classes: int, form: Form = "masked") -> None:
        self.form = form
        self.pairs = 0
        self._matrix = ConfusionMatrix(num_classes)

    def update(self, reference: Tensor, neighbour: Tensor, motion: Motion) -> None:
        """Compare the predictions of two neighbouring frames.

        Args:
            reference: (B, H, W) int64 predicted class ids of the frame the motion lives on. Masked form: the newer
                frame, motion now → previous. Published forms: the older frame, motion t → t+1.
            neighbour: (B, H, W) int64, the frame the motion points into.
            motion: reference → neighbour, on the same grid.
        """
        if self.form == "masked":
            warped = warp_labels(neighbour, motion, ignore=IGNORE)
            seen = warped != IGNORE
            self._matrix.update(torch.where(seen, warped, 0), torch.where(seen, reference, IGNORE))
        else:
            by_form = warp_vspw if self.form == "vspw" else warp_etc
            self._matrix.update(by_form(neighbour, motion.flow), reference)
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
        """The consistency in [0, 1]: mIoU over the form's classes; nan when no pixel could be compared."""
        return self._matrix.miou(CLASSES_OF[self.form])

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
    image = labels[:, None].to(flow.dtype)
    points = _corner_aligned(flow)
    return F.grid_sample(image, points, mode="nearest", padding_mode="zeros", align_corners=False)[:, 0].long()


def warp_etc(labels: Tensor, flow: Tensor) -> Tensor:
    """Warp a label map as ETC's script does: class numbers interpolated as if they were grey values, then cut off.

    Points outside take the nearest border pixel. Between class 0 and class 13 there may so appear a 6 that nobody
    predicted. Kept to compare with published numbers.

    Args:
        labels: (B, H, W) int64 class ids below 256.
        flow: (B, 2, H, W) float32, pixels.

    Returns:
        (B, H, W) int64.
    """
    points = _corner_aligned(flow.double())
    warped = F.grid_sample(labels[:, None].double(), points, padding_mode="border", align_corners=True)
    return (warped[:, 0] + ROUNDING).long()


def _corner_aligned(flow: Tensor) -> Tensor:
    """Where each pixel looks, as (B, H, W, 2) in which -1 and 1 are the centres of the outermost pixels."""
    _, _, height, width = flow.shape
    x = torch.arange(width, dtype=flow.dtype, device=flow.device) + flow[:, 0]
    y = torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None] + flow[:, 1]
    return torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], dim=-1)
