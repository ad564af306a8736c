"""How right the predictions are: one confusion matrix, and the three numbers read off it."""

from collections.abc import Sequence
from typing import Literal, final

import torch
from torch import Tensor

from crossfade.data.clip import IGNORE

Presence = Literal["truth", "either", "all"]


@final
class ConfusionMatrix:
    """Pixel counts by (true class, predicted class), accumulated over any number of images.

    Attributes:
        counts: (K, K) int64 on the CPU; row = truth, column = prediction.
    """

    def __init__(self, num_classes: int, counts: Tensor | None = None) -> None:
        self.counts = torch.zeros(num_classes, num_classes, dtype=torch.int64) if counts is None else counts.clone()

    @property
    def num_classes(self) -> int:
        """K."""
        return self.counts.shape[0]

    @property
    def pixels(self) -> int:
        """How many pixels were counted."""
        return int(self.counts.sum())

    def update(self, prediction: Tensor, truth: Tensor) -> None:
        """Count every pixel whose truth is not 255.

        Args:
            prediction: class ids in [0, K), any integer type and shape.
            truth: class ids in [0, K) or 255 (not counted), the same shape.

        Raises:
            ValueError: the shapes differ, or a counted pixel has an id outside [0, K).
        """
        if prediction.shape != truth.shape:
            raise ValueError(f"prediction {tuple(prediction.shape)} and truth {tuple(truth.shape)} differ in shape")
        counted = truth != IGNORE
        rows, columns = truth[counted].long(), prediction[counted].long()
        k = self.num_classes
        if rows.numel() and not (int(rows.min()) >= 0 and int(rows.max()) < k):
            raise ValueError(f"truth holds a class id outside 0..{k - 1}")
        if columns.numel() and not (int(columns.min()) >= 0 and int(columns.max()) < k):
            raise ValueError(f"prediction holds a class id outside 0..{k - 1}")
        self.counts += torch.bincount(rows * k + columns, minlength=k * k).view(k, k).cpu()

    def merge(self, other: "ConfusionMatrix") -> None:
        """Add another process's (or video's) counts."""
        self.counts += other.counts

    def iou(self, present: Presence = "truth") -> Tensor:
        """Intersection over union by class, TP / (TP + FP + FN): (K,) float64 in [0, 1], nan for absent classes.

        Args:
            present: which classes count as present. "truth": those the truth shows, so that every recipe is averaged
                over the same classes (VSPW's and DTERN's mIoU; false pixels of an absent class still cost the classes
                they hide). "either": truth or prediction (a class that is only predicted has 0), the nan-mean of the
                published scripts of ADVENT and its descendants, TMANet and DAVSS. "all": every class, 0 for those
                that neither has (the plain mean of ETC's script).
        """
        hits = self.counts.diagonal().double()
        true, predicted = self.counts.sum(1).double(), self.counts.sum(0).double()
        union = true + predicted - hits
        shown = {"truth": true > 0, "either": union > 0, "all": (true.sum() > 0).expand_as(hits)}[present]
        return torch.where(shown, hits / union.clamp(min=1), torch.full_like(hits, torch.nan))

    def miou(self, present: Presence = "truth", leave_out: Sequence[int] = ()) -> float:
        """Mean IoU over the present classes, in [0, 1]; nan when nothing was counted.

        Args:
            present: see `iou`.
            leave_out: class ids left out of the mean; their pixels still count as errors of the others (the published
                SYNTHIA protocol drops "fence" so).
        """
        iou = self.iou(present)
        iou[list(leave_out)] = torch.nan
        return float(iou.nanmean())

    def pixel_accuracy(self) -> float:
        """Share of counted pixels that are right, in [0, 1]; nan when nothing was counted."""
        return float(self.counts.diagonal().sum()) / self.pixels if self.pixels else float("nan")
