"""How right are the pseudo labels, while they are learned from? The one look at the target's labels during adaptation.

For a reader who wants to know why a recipe works or fails on a pair whose target has labels. It is off unless asked for
(CROSSFADE_DIAGNOSE=on), stands outside the training loop, draws no random number and gives nothing back but numbers for
the log: the weights are the same, bit for bit, with and without it. Of several processes the first tells its share.
"""

import math
import os
from typing import final

import numpy as np
import torch
from torch import Tensor

from crossfade.data.augment import Placement, transform
from crossfade.data.clip import IGNORE, Clip
from crossfade.data.loading import Domain, resize_labels
from crossfade.data.manifest import Frame
from crossfade.errors import UserError
from crossfade.methods.base import Guess
from crossfade.metrics.accuracy import ConfusionMatrix
from crossfade.metrics.oracle import Refinement, best_of, refinement


def is_asked_for() -> bool:
    """Whether CROSSFADE_DIAGNOSE says so.

    Raises:
        UserError: it is neither on nor off.
    """
    value = os.environ.get("CROSSFADE_DIAGNOSE", "off")
    if value not in ("on", "off"):
        raise UserError(f"the environment variable CROSSFADE_DIAGNOSE is '{value}': set it to on or off, or unset it")
    return value == "on"


@final
class Diagnosis:
    """Compares pseudo labels with the true ones of the splits it was given; frames of other splits it passes over.

    The labels are read here, brought to the size networks work at and mirrored and zoomed as the clip was.
    """

    def __init__(self, domain: Domain | None = None) -> None:
        """Nothing seen yet.

        Args:
            domain: the target, its splits those whose labels may be looked at: never the evaluation split. None:
                nothing is looked at.
        """
        self.domain = domain
        self._frames: dict[str, Frame] = {
            f"{video.split}/{video.name}/{k}": frame
            for video in (() if domain is None else domain.videos)
            for k, frame in enumerate(video.frames)
            if frame.label is not None
        }
        self._forget()

    def see(self, guess: Guess | None) -> None:
        """Add the pseudo labels of a step; None: it made none."""
        known = [] if guess is None else [k for k, name in enumerate(guess.names) if name in self._frames]
        if guess is None or self.domain is None or not known:
            return
        truth = self._truth(
            self.domain, [guess.names[k] for k in known], Placement(*(part[known] for part in guess.placement))
        )
        labels, confidence = guess.labels[known].cpu(), guess.confidence[known].detach().float().cpu()
        counted = torch.where(labels == IGNORE, IGNORE, truth)
        self._matrix.update(torch.where(labels == IGNORE, 0, labels), counted)
        self._confidence += float(confidence[counted != IGNORE].double().sum())
        if guess.own is None or guess.warped is None:
            self._kept += refinement(labels, labels, truth)
            return
        own, warped = guess.own[known].cpu(), guess.warped[known].cpu()
        self._kept += refinement(own, labels, truth)
        self._own.update(own, truth)
        self._best.update(best_of(own, warped, truth), truth)

    def numbers(self) -> dict[str, float]:
        """What was seen since they were last asked for; empty when that was nothing.

        Returns:
            diagnosis/pl_miou: mIoU of the pseudo labels, over the pixels that have one; diagnosis/pl_accuracy: share of
            them that is right; diagnosis/pl_confidence: mean confidence of the same pixels (above the accuracy: too
            sure); diagnosis/pl_kept: share of the pixels that have one at all, the rest being ignored (few may be right
            for being easy). Of a labeller that looks at the frame and, over motion, at the one before, besides, over
            all pixels: diagnosis/pl_miou_before: mIoU of what it says of the frame itself; diagnosis/pl_bound: mIoU if
            the truth chose the better of the two at each pixel, which no choice between them can exceed;
            diagnosis/pl_found: share of what was right of the frame itself that refinement keeps. All in [0, 1];
            what there is no pixel for is left out.
        """
        pixels = self._matrix.pixels
        found = {
            "pl_miou": self._matrix.miou(),
            "pl_accuracy": self._matrix.pixel_accuracy(),
            "pl_confidence": self._confidence / pixels if pixels else math.nan,
            "pl_kept": self._kept.kept,
        }
        if self._own.pixels:
            found |= {"pl_miou_before": self._own.miou(), "pl_bound": self._best.miou(), "pl_found": self._kept.found}
        self._forget()
        return {f"diagnosis/{name}": value for name, value in found.items() if math.isfinite(value)}

    def _truth(self, domain: Domain, names: list[str], placement: Placement) -> Tensor:
        """(N, H, W) int64 true labels as the labeller's clips show them."""
        maps = []
        for name in names:
            ref = self._frames[name].label
            assert ref is not None
            maps.append(torch.from_numpy(resize_labels(domain.label(ref), domain.size).astype(np.int64)))
        labels = torch.stack(maps)[:, None]
        blank = torch.zeros(1).expand(len(names), 1, 3, *domain.size)
        return transform(Clip(blank, labels, {}, tuple(names)), *placement).labels_now

    def _forget(self) -> None:
        classes = 0 if self.domain is None else len(self.domain.label_space.classes)
        self._matrix, self._own, self._best = (ConfusionMatrix(classes) for _ in range(3))
        self._kept = Refinement()
        self._confidence = 0.0
