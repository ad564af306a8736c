"""Pictures kept from an evaluation: strips of a few frames, and a short side-by-side video."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import cv2
import numpy as np

from crossfade import visualise
from crossfade.data.clip import IGNORE
from crossfade.data.video import BROWSER_CODEC, VideoWriter

PANEL_HEIGHT, CLIP_HEIGHT = 240, 160
"""Pixels of a strip's and of the video's panels: for looking, not for measuring."""


@dataclass(frozen=True)
class Strip:
    """One frame of the evaluation split with everything said about it.

    Attributes:
        name: "split/video/frame".
        panels: {caption: (H, W, 3) uint8}, in the order they are shown: frame, truth, reference, recipe.
    """

    name: str
    panels: dict[str, np.ndarray]

    def image(self) -> np.ndarray:
        """The panels side by side under their captions."""
        return visualise.strip(list(self.panels.values()), list(self.panels))


@final
@dataclass
class Gallery:
    """Collects pictures while an evaluation streams by; what it holds is bounded.

    Attributes:
        colours: (K, 3) uint8.
        recipe: caption of the evaluated network.
        reference: caption of the network it is compared with, None when there is none.
        picks: positions (in evaluation order) of the frames that become strips.
        clip_frames: how many frames, from the first on, the video gets.
        labelled: whether any frame has a label; one without then has an empty truth, so that the panels stay in place.
    """

    colours: np.ndarray
    recipe: str
    reference: str | None
    picks: frozenset[int]
    clip_frames: int
    labelled: bool = True
    strips: list[Strip] = field(default_factory=list)
    clip: list[np.ndarray] = field(default_factory=list)

    def wants(self, position: int) -> bool:
        """Is the frame at this position shown anywhere?"""
        return position in self.picks or position < self.clip_frames

    @property
    def last(self) -> int:
        """The last position that is shown; -1 when none is."""
        return max([*self.picks, self.clip_frames - 1, -1])

    def add(
        self,
        position: int,
        name: str,
        image: np.ndarray,
        truth: np.ndarray | None,
        prediction: np.ndarray,
        reference: np.ndarray | None,
    ) -> None:
        """Keep one frame.

        Args:
            position: in evaluation order.
            name: "split/video/frame".
            image: (h, w, 3) uint8 RGB, any size.
            truth: (H, W) class ids, 255 = ignore; None where unlabelled.
            prediction: (H, W) class ids.
            reference: (H, W) class ids of the reference network.
        """
        height, width = prediction.shape
        size = (max(2, round(width * PANEL_HEIGHT / height)), PANEL_HEIGHT)
        picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA if image.shape[0] > size[1] else cv2.INTER_CUBIC)
        if truth is None and self.labelled:
            truth = np.full(prediction.shape, IGNORE)
        maps = {"truth": truth, self.reference or "": reference, self.recipe: prediction}
        shown = {
            caption: cv2.resize(labels.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
            for caption, labels in maps.items()
            if labels is not None
        }
        if position in self.picks:
            painted = {caption: visualise.colourise(labels, self.colours) for caption, labels in shown.items()}
            self.strips.append(Strip(name, {"frame": picture, **painted}))
        if position < self.clip_frames:
            painted = {c: visualise.overlay(picture, labels, self.colours, 0.65) for c, labels in shown.items()}
            panels = {"frame": picture, **painted}
            self.clip.append(visualise.strip(list(panels.values()), list(panels), CLIP_HEIGHT))


def spread_evenly(positions: Sequence[int], count: int) -> frozenset[int]:
    """`count` of the positions, evenly spread, the very ends left out where possible."""
    if count <= 0 or not positions:
        return frozenset()
    places = (np.arange(min(count, len(positions))) + 0.5) * len(positions) / min(count, len(positions))
    return frozenset(positions[int(p)] for p in places)


def write_clip(path: Path, frames: Sequence[np.ndarray], rate: float) -> None:
    """The side-by-side video, as VP9 in an mp4 (plays in browsers); frames are padded to the largest's size."""
    height, width = max(f.shape[0] for f in frames), max(f.shape[1] for f in frames)
    with VideoWriter(path, rate, BROWSER_CODEC) as writer:
        for frame in frames:
            missing = ((0, height - frame.shape[0]), (0, width - frame.shape[1]), (0, 0))
            writer.add(np.pad(frame, missing, constant_values=255))
