"""How accuracy falls with the distance from the last key frame (propagation-distance analysis, DAVSS)."""

import math
from collections.abc import Iterable
from typing import final

from torch import Tensor

from crossfade.metrics.accuracy import ConfusionMatrix, Presence

DISTANCES = tuple(range(10))
"""Of a key frame every 10: 0 is the key frame itself (the published script leaves it out)."""


@final
class PropagationDistance:
    """mIoU by how many frames ago the last key frame was, each distance over all labelled frames it was scored on.

    Published: every labelled frame is scored once at each distance, as the last of a run that begins d frames before. A
    video streamed once gives each labelled frame one distance: cheaper, and the same where key frames are unrelated to
    labels.
    """

    def __init__(self, num_classes: int, distances: Iterable[int] = DISTANCES, present: Presence = "either") -> None:
        """Nothing seen yet.

        Args:
            num_classes: K.
            distances: frames since the key frame; others are refused.
            present: the classes of the mean, see `ConfusionMatrix.iou`; published: "either".
        """
        self.present = present
        self._matrices = {distance: ConfusionMatrix(num_classes) for distance in sorted(set(distances))}

    @property
    def distances(self) -> tuple[int, ...]:
        """In rising order."""
        return tuple(self._matrices)

    def update(self, prediction: Tensor, truth: Tensor, distance: int) -> None:
        """Add a labelled frame.

        Args:
            prediction: class ids in [0, K).
            truth: class ids in [0, K) or 255 (not counted), the same shape.
            distance: frames since the last key frame; 0 for the key frame itself.

        Raises:
            ValueError: the distance is not one of `distances`, the shapes differ, or an id is outside [0, K).
        """
        if distance not in self._matrices:
            raise ValueError(f"distance {distance} is not one of {', '.join(map(str, self.distances))}")
        self._matrices[distance].update(prediction, truth)

    def merge(self, other: "PropagationDistance") -> None:
        """Add another process's (or video's) counts.

        Raises:
            ValueError: it has other distances.
        """
        if other.distances != self.distances:
            raise ValueError(f"distances {other.distances} are not {self.distances}")
        for distance, matrix in self._matrices.items():
            matrix.merge(other._matrices[distance])

    def compute(self) -> dict[int, float]:
        """The curve {distance: mIoU in [0, 1]}; nan where no frame had that distance."""
        return {distance: matrix.miou(self.present) for distance, matrix in self._matrices.items()}

    def mean(self) -> float:
        """Mean of the curve; nan unless every distance was seen."""
        values = self.compute().values()
        return sum(values) / len(values)

    def minimum(self) -> float:
        """Its lowest point; nan unless every distance was seen."""
        values = list(self.compute().values())
        return math.nan if any(map(math.isnan, values)) else min(values)
