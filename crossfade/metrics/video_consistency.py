"""Video consistency: does what stays the same in truth stay the same in the prediction, over C frames?

VC (Miao et al., CVPR 2021) asks only that the prediction stays, not that it is right: one class everywhere scores 1.
VEC (DTERN) asks that it stays and is right. Both need labels on C consecutive frames, so a data set that labels single
frames of a video has neither.

VEC is PROVISIONAL: its paper could not be checked and its code was never published. The two readings here are those of
public re-implementations; do not put them beside published numbers before someone has compared them with the paper.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from crossfade.data.clip import IGNORE

Compat = Literal["vspw", "dtern"]
Reading = Literal["windows", "matrix"]

WINDOWS = (8, 16)
SHORT_VIDEO = 16
"""DTERN's script leaves out videos of no more frames, for every C."""


@final
class VideoConsistency:
    """VC_C and VEC_C of any number of videos, which pass by one frame at a time.

    Let a window be C consecutive labelled frames, g the pixels whose true class is the same in all of them, p those
    whose predicted class is.

        VC_C           mean over all windows of all videos that have a g of |g ∧ p| / |g|.
        VEC_C windows  mean over the windows of the mean over classes k, of those in either, of the IoU of
                       {truth = k in all C frames} and {prediction = k in all C frames}.
        VEC_C matrix   mIoU of one confusion matrix over the g of all windows; where the prediction does not stay it is
                       of no class (so it is wrong, and costs no other class).

    A pixel without a true class (255) in a frame of the window belongs to neither g nor p. Held in memory: three counts
    a pixel of the current frame, whatever C is, and the frame before.
    """

    def __init__(self, num_classes: int, windows: Sequence[int] = WINDOWS, compat: Compat | None = None) -> None:
        """Nothing seen yet.

        Args:
            num_classes: K.
            windows: the lengths C, in frames.
            compat: the published scripts' quirks, for VC alone. "vspw": the last window of a video is left out, and 255
                is a true class like any other. "dtern": that, and videos of 16 frames or fewer are left out for
                every C.
        """
        self.num_classes, self.windows, self.compat = num_classes, tuple(windows), compat
        self._sums = {window: _Sums.nothing(num_classes) for window in self.windows}
        self._video: dict[int, list[float]] = {window: [] for window in self.windows}
        self._frames = self._unbroken = 0
        self._before: tuple[Tensor, Tensor] | None = None
        self._runs = torch.zeros(3, 0)

    def update(self, prediction: Tensor, truth: Tensor | None) -> None:
        """Add the next frame of a video.

        Args:
            prediction: (1, H, W) or (H, W) class ids in [0, K).
            truth: class ids in [0, K) or 255, the same shape; None: the frame is not labelled, and no window holds it.

        Raises:
            ValueError: the shapes differ, or an id is outside [0, K).
        """
        if truth is None:
            self._before = None
            return
        if prediction.shape != truth.shape:
            raise ValueError(f"prediction {tuple(prediction.shape)} and truth {tuple(truth.shape)} differ in shape")
        prediction, truth = prediction.flatten().long(), truth.flatten().long()
        void = truth == IGNORE
        for name, ids in (("truth", truth[~void]), ("prediction", prediction)):
            if ids.numel() and not (int(ids.min()) >= 0 and int(ids.max()) < self.num_classes):
                raise ValueError(f"{name} holds a class id outside 0..{self.num_classes - 1}")
        self._frames += 1
        self._lengthen(prediction, truth, void)
        for window in self.windows:
            self._count(window, prediction, truth)

    def end_video(self) -> None:
        """The video is over (or cut): its windows count from now on, and the next frame begins another."""
        short = self.compat == "dtern" and self._frames <= SHORT_VIDEO
        for window, values in self._video.items():
            counted = [] if short else values[:-1] if self.compat else values
            known = [value for value in counted if math.isfinite(value)]
            self._sums[window].vc += sum(known)
            self._sums[window].vc_windows += len(known)
            values.clear()
        self._frames, self._before = 0, None

    def merge(self, other: "VideoConsistency") -> None:
        """Add another process's ended videos."""
        for window, sums in self._sums.items():
            sums.merge(other._sums[window])

    def vc(self, window: int) -> float:
        """VC of this window length over the ended videos, in [0, 1]; nan without any window."""
        sums = self._sums[window]
        return sums.vc / sums.vc_windows if sums.vc_windows else float("nan")

    def vec(self, window: int, reading: Reading = "windows") -> float:
        """VEC (provisional) of this window length, in [0, 1]; nan without any window."""
        sums = self._sums[window]
        if reading == "windows":
            return sums.vec / sums.vec_windows if sums.vec_windows else float("nan")
        return float(_iou(sums.hits, sums.true, sums.predicted)[sums.true > 0].mean())

    def counted(self, window: int) -> int:
        """How many windows VC is the mean of."""
        return self._sums[window].vc_windows

    def _lengthen(self, prediction: Tensor, truth: Tensor, void: Tensor) -> None:
        """How many frames, this one the last, each pixel's truth and prediction have stayed and truth was known."""
        if self._before is None or self._before[0].shape != prediction.shape:
            self._runs = torch.zeros(3, prediction.numel(), dtype=torch.int32, device=prediction.device)
            self._before, self._unbroken = (prediction, truth), 0
        stays = torch.stack([truth == self._before[1], prediction == self._before[0], ~void])
        self._runs = torch.where(stays, self._runs + 1, 1)
        self._runs[2][void] = 0
        self._before = prediction, truth
        self._unbroken += 1

    def _count(self, window: int, prediction: Tensor, truth: Tensor) -> None:
        """The window that ends with this frame, if there is one."""
        if self._unbroken < window:
            return
        true_stays, said_stays, known = (run >= window for run in self._runs)
        g = true_stays if self.compat else true_stays & known
        total = int(g.sum())
        self._video[window].append(int((g & said_stays).sum()) / total if total else float("nan"))

        g, p = true_stays & known, said_stays & known
        k = self.num_classes
        true, predicted = torch.bincount(truth[g], minlength=k).cpu(), torch.bincount(prediction[p], minlength=k).cpu()
        right = g & p & (truth == prediction)
        hits = torch.bincount(truth[right], minlength=k).cpu()
        either = (true + predicted) > 0
        sums = self._sums[window]
        if bool(either.any()):
            sums.vec += float(_iou(hits, true, predicted)[either].mean())
            sums.vec_windows += 1
        sums.hits += hits
        sums.true += true
        sums.predicted += torch.bincount(prediction[g & p], minlength=k).cpu()


@dataclass
class _Sums:
    """What is added up for one window length."""

    vc: float
    vc_windows: int
    vec: float
    vec_windows: int
    hits: Tensor
    true: Tensor
    predicted: Tensor

    @staticmethod
    def nothing(num_classes: int) -> "_Sums":
        """All zero."""
        return _Sums(0.0, 0, 0.0, 0, *(torch.zeros(num_classes, dtype=torch.int64) for _ in range(3)))

    def merge(self, other: "_Sums") -> None:
        """Add another's."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def _iou(hits: Tensor, true: Tensor, predicted: Tensor) -> Tensor:
    """(K,) float64; 0 where nobody has the class."""
    return hits.double() / (true + predicted - hits).clamp(min=1)
