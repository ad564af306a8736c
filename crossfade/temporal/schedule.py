"""The schedule: which frames are remembered, which of them are read, and where a light network does.

Training unrolls the same schedule over a clip that inference streams over a video. Frames are counted from the start of
the video.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal, final


class Schedule(ABC):
    """A pure policy: everything it says depends on its arguments alone."""

    steady: tuple[int, ...]
    """Offsets of the frames that are read in the midst of a video, oldest first: training clips hold these."""

    @property
    def past(self) -> int:
        """How many frames before now a clip has to hold."""
        return -min(self.steady, default=0)

    @abstractmethod
    def reads(self, t: int, stored: Sequence[int], doubt: Callable[[int], float]) -> list[int]:
        """The frames whose slots are read at frame `t`, oldest first.

        Args:
            t: of the video.
            stored: frames of which there are slots, oldest first.
            doubt: how badly the slot of one of them fits frame `t`.
        """

    @abstractmethod
    def keeps(self, t: int, stored: Sequence[int], read: Sequence[int]) -> list[int]:
        """The frames whose slots are kept after frame `t`, which read those of `read`; `t` itself may be among them."""


@final
class SlidingMemory(Schedule):
    """Every frame is encoded once; those at fixed offsets before now are read. No offsets: per frame."""

    def __init__(self, offsets: Sequence[int], start: Literal["present", "spread"] = "present") -> None:
        """Set the offsets.

        Args:
            offsets: negative, oldest first, e.g. (-9, -6, -3).
            start: what is read where a video begins. "present": the frames that there are; "spread": none until there
                are as many as offsets, then frames ⌈k·t/T⌉, k = 0 … T − 1, until the oldest offset exists (DTERN).

        Raises:
            ValueError: offsets out of order or not negative.
        """
        self.steady = tuple(offsets)
        if list(self.steady) != sorted({o for o in self.steady if o < 0}):
            raise ValueError(f"offsets are negative, different and ascending, as in [-9, -6, -3], not {list(offsets)}")
        self.start = start

    def reads(self, t: int, stored: Sequence[int], doubt: Callable[[int], float]) -> list[int]:
        """See Schedule; every frame before `t` that can be asked for is stored."""
        if t >= self.past or self.start == "present":
            return [t + offset for offset in self.steady if t + offset >= 0]
        count = len(self.steady)
        return [] if t < count else [math.ceil(k * t / count) for k in range(count)]

    def keeps(self, t: int, stored: Sequence[int], read: Sequence[int]) -> list[int]:
        """See Schedule: the newest `past`."""
        return [k for k in [*stored, t] if k > t - self.past]


@final
class KeyFrames(Schedule):
    """A key frame reads nothing; the frames after it read its slot, until the next key frame."""

    def __init__(self, interval: int, reach: int = 2, threshold: float | None = None) -> None:
        """Set the rule.

        Args:
            interval: every so many frames is a key frame; 1: each, and nothing is ever read.
            reach: how far from its key frame "now" is in a training clip; at most `interval` - 1 counts, as no frame
                of a video is further from it.
            threshold: a key frame, too, wherever the doubt exceeds this.

        Raises:
            ValueError: an interval or reach below 1.
        """
        if interval < 1 or reach < 1:
            raise ValueError(f"interval and reach are at least 1, not {interval} and {reach}")
        self.interval, self.reach, self.threshold = interval, reach, threshold
        self.steady = (-min(reach, interval - 1),) if interval > 1 else ()

    def reads(self, t: int, stored: Sequence[int], doubt: Callable[[int], float]) -> list[int]:
        """See Schedule: the last key frame, or nothing if this is one."""
        if not stored or t - stored[-1] >= self.interval:
            return []
        if self.threshold is not None and doubt(stored[-1]) > self.threshold:
            return []
        return [stored[-1]]

    def keeps(self, t: int, stored: Sequence[int], read: Sequence[int]) -> list[int]:
        """See Schedule: the last key frame."""
        return list(read) or [t]
