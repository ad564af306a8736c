"""A training watched on its way: the network it would give if it ended now, for whoever wants to look.

Off unless asked for. What is shown is a copy, finished as the training itself is finished at its end, so that nothing
done to it reaches the training; the random streams are put back. The weights are the same, bit for bit, with and
without it.
"""

import copy
from collections.abc import Callable
from typing import final

import torch

from crossfade.methods.base import Method
from crossfade.temporal.video_network import VideoNetwork


@final
class Snapshots:
    """Shows the deployable network every so many steps, and after the last."""

    def __init__(self, every: int = 0, look: Callable[[int, VideoNetwork], object] | None = None) -> None:
        """Set who looks and how often.

        Args:
            every: steps; 0: never.
            look: called with the number of steps done and the network; in every process of a training.
        """
        self.every, self.look = every, look

    def take(self, done: int, total: int, method: Method, finish: Callable[[Method], object]) -> None:
        """Called by the loop after every step.

        Args:
            done: steps.
            total: of the whole training.
            method: after its step.
            finish: does to a method what is done after the last step.
        """
        if self.look is None or self.every < 1 or (done % self.every and done != total):
            return
        device = next(method.network.parameters()).device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            copied = copy.deepcopy(method)
            finish(copied)
            self.look(done, copied.deployed())
