"""The schedule: which frames are remembered. Training unrolls the same schedule that inference streams.

The first frame of a video is the one difference: streamed, it has no slot and its own logits are the answer; in
training a frame without a neighbour stands in for it itself.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class SlidingMemory:
    """Every frame is encoded once; the newest `length` slots are read and the rest dropped. Length 0: per frame."""

    length: int

    def kept(self, slots: int) -> int:
        """How many of `slots` slots are kept after a new one came."""
        return min(slots, self.length)
