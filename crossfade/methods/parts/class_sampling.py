"""Rare-class sampling (DAFormer, Hoyer et al., CVPR 2022): source frames with rare classes are drawn more often."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from crossfade.data.loading import ClipDataset


class RareClassParameters(BaseModel):
    """Parameters of rare-class sampling.

    Attributes:
        on: whether it is done.
        temperature: of the softmax over 1 − frequency; the smaller, the rarer what is drawn (published: 0.01).
        min_share: share of a frame that a class has to cover for the frame to be drawn for it (published: 3,000
            pixels of GTA's 1914×1052).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    on: bool = True
    temperature: PositiveFloat = 0.01
    min_share: float = Field(default=0.0015, ge=0.0, le=1.0)


def rare_class_weights(counts: np.ndarray, pixels: int, parameters: RareClassParameters) -> np.ndarray:
    """The probability of each frame: a class is drawn, then one of the frames that show it.

    P(c) = softmax((1 − f_c) / T) over the classes that occur, f_c being the share of all labelled pixels; P(frame) =
    Σ_c P(c) · [frame shows c] / |frames that show c|. A class that covers enough of no frame is shown by all that have
    any of it.

    Args:
        counts: (N, K) pixels of each class in each frame.
        pixels: of a frame.
        parameters: temperature, and what showing is.

    Returns:
        (N,) float64, summing to 1.
    """
    occurs = counts.sum(0) > 0
    counts = counts[:, occurs].astype(np.float64)
    shows = counts >= max(1.0, parameters.min_share * pixels)
    shows = np.where(shows.any(0), shows, counts > 0)
    rarity = (1 - counts.sum(0) / counts.sum()) / parameters.temperature
    chance = np.exp(rarity - rarity.max())
    chance /= chance.sum()
    probabilities: np.ndarray = (shows / shows.sum(0)) @ chance
    return probabilities


def source_weights(source: ClipDataset, parameters: RareClassParameters) -> np.ndarray | None:
    """What a method's `sampling_weights` gives: the probabilities of the source's clips, or None if it is off."""
    if not parameters.on:
        return None
    height, width = source.domain.size
    return rare_class_weights(source.class_counts(), height * width, parameters)
