"""What a method is: named, weighted terms over source and target clips, and what happens around a step."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from crossfade.data.augment import Placement
from crossfade.data.clip import Clip

if TYPE_CHECKING:
    from crossfade.data.loading import ClipDataset
    from crossfade.temporal.video_network import VideoNetwork


@dataclass(frozen=True)
class ClipNeeds:
    """What a method asks of one side's loader.

    Attributes:
        offsets: frames relative to now, oldest first, the last one 0; (-1, 0) is a pair.
        motion: pairs (i, j) of *positions* in that clip (0 = oldest) for which motion i→j is needed.
        labels: whether labels are read. An unlabelled side never sees them.
        moving: whether a side without any motion is refused; otherwise its frames stand in for their neighbours.
    """

    offsets: tuple[int, ...] = (0,)
    motion: tuple[tuple[int, int], ...] = ()
    labels: bool = False
    moving: bool = False

    @staticmethod
    def of(past: int, labels: bool, motion: bool = True) -> "ClipNeeds":
        """`past` consecutive frames before now, with the motion of each frame to the one before it."""
        pairs = tuple((i + 1, i) for i in range(past)) if motion else ()
        return ClipNeeds(tuple(range(-past, 1)), pairs, labels)


@dataclass(frozen=True)
class Guess:
    """The pseudo labels of a step, for a diagnosis from outside; nothing in training reads them back.

    Attributes:
        names: of the clips, "split/video/frame-of-now".
        labels: (B, H, W) int64 pseudo labels of "now", 255 = none.
        confidence: (B, H, W).
        placement: how the clips were mirrored and zoomed before they were labelled.
        own, warped: (B, H, W) int64, of a labeller that looks at both: what it says of the frame itself, and what it
            says of the frame before brought here over motion (255 where motion is not valid); `labels` is made of them.
    """

    names: tuple[str, ...]
    labels: Tensor
    confidence: Tensor
    placement: Placement
    own: Tensor | None = None
    warped: Tensor | None = None


@dataclass
class StepOutput:
    """What one step gives back to the loop.

    Attributes:
        terms: weighted scalars with gradient; the loss is their sum.
        scalars: further numbers to log (detached).
        figures: (H, W, 3) uint8 pictures by name; only when they were asked for.
        guess: the target's pseudo labels, of a method that makes some.
    """

    terms: dict[str, Tensor]
    scalars: dict[str, float | Tensor] = field(default_factory=dict)
    figures: dict[str, np.ndarray] = field(default_factory=dict)
    guess: Guess | None = None


class Method(ABC):
    """A training objective.

    The loop's side of the bargain:

    1. `network` is on its device (and loaded with the starting weights) before the method is built, so that teachers
       are copies of it; clips are on the same device.
    2. At step 0 of a fresh run it calls `prepare`; a resumed run calls `load_state_dict` instead.
    3. If `trains`: for every step it seeds the global torch generator with (seed, step, rank), calls `step` (under
       autocast if asked), does backward and the optimiser's update on `network`'s parameters, then calls `after_step`.
       All randomness of a method comes from the global torch generator. `step` sets the train/eval modes itself.
    4. After the last step it calls `finish`, then saves `deployed()`.
    """

    trains: ClassVar[bool] = True
    """False: there is nothing to optimise; `prepare` is the whole method and `step` is never called."""

    trains_key_frames: ClassVar[bool] = False
    """Whether it can train a network in which a light network looks at the frames between key frames."""

    single_frames: ClassVar[bool] = False
    """Whether it trains only networks that read one frame at a time."""

    def __init__(self, network: "VideoNetwork", class_names: Sequence[str]) -> None:
        self.network = network
        self.class_names = tuple(class_names)
        self.num_classes = len(self.class_names)
        self.class_weights: Tensor | None = None
        self.class_pixels: tuple[int, ...] = ()

    def true_weight(self, labels: Tensor) -> Tensor | None:
        """Weights (same shape) of pixels with these true labels, by their class; None: all weigh the same.

        Pseudo labels never get them: a rare class that is wrongly named would confirm itself.
        """
        if self.class_weights is None:
            return None
        return self.class_weights.to(labels.device)[labels.clamp(max=self.num_classes - 1)]

    def rare_classes(self, below: float) -> Tensor:
        """(K,) bool: classes with a smaller share of the labels that are trained on; none before that is known."""
        pixels = torch.tensor(self.class_pixels or (1,) * self.num_classes)
        return pixels < (below if self.class_pixels else 0.0) * pixels.sum()

    @property
    @abstractmethod
    def source_needs(self) -> ClipNeeds | None:
        """What is read of the labelled source; None: nothing."""

    @property
    @abstractmethod
    def target_needs(self) -> ClipNeeds | None:
        """What is read of the target; None: nothing. `labels` is True for the oracle alone."""

    def prepare(self, source: Iterable[Clip] | None, target: Iterable[Clip] | None) -> None:  # noqa: B027
        """One-off work before step 0 of a fresh run.

        Args:
            source, target: endless batches of the sides the method needs; it takes as many as it wants.
        """

    @abstractmethod
    def step(self, step: int, total: int, source: Clip | None, target: Clip | None, draw: bool = False) -> StepOutput:
        """Forward passes and losses of step `step` of `total`; `draw` asks for figures."""

    def sampling_weights(self, source: "ClipDataset") -> np.ndarray | None:
        """How likely each of the source's clips is drawn in a training step, (N,); None: each comes once an epoch.

        Asked once, before the first step; the draw is a function of (seed, step, rank).
        """
        return None

    def after_step(self, step: int) -> None:  # noqa: B027
        """What follows the optimiser's update: the teacher's, for one."""

    def finish(self, source: Iterable[Clip] | None, target: Iterable[Clip] | None) -> None:  # noqa: B027
        """One-off work after the last step; a run resumed at its end does it again, with the same result."""

    def state_dict(self) -> dict[str, Any]:
        """All a resumed run needs besides the network and the optimiser: tensors and plain numbers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave.

        Raises:
            ValueError: the state is of another method.
        """
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state, but was given {sorted(state)}")

    def deployed(self) -> "VideoNetwork":
        """The network that is saved and evaluated."""
        return self.network

    @property
    def rule(self) -> str:
        """How the deployed weights are chosen, in words, for the metrics."""
        return "last step"
