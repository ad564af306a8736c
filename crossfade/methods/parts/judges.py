"""Discriminators of an adversarial method: the term that deceives them, their own update, what a resumed run needs."""

from abc import ABC
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor, nn

from crossfade.data.clip import Clip
from crossfade.methods.base import Method
from crossfade.methods.parts.batch_norm import batch_norms
from crossfade.methods.parts.unroll import estimate_between
from crossfade.networks.discriminator import SMALLEST, Discriminator

if TYPE_CHECKING:
    from crossfade.temporal.video_network import VideoNetwork

SOURCE, TARGET = 0.0, 1.0
"""What a discriminator is to say of each side, as published (ADVENT, DA-VSN)."""


def judged_size(frames: Tensor) -> tuple[int, int]:
    """The size at which maps of these frames are judged: the frames' own, but no smaller than a judge can see."""
    return max(SMALLEST, frames.shape[-2]), max(SMALLEST, frames.shape[-1])


class Judges:
    """Discriminators by name, with one Adam (0.9, 0.99)."""

    def __init__(
        self, channels: Mapping[str, int], width: int, lr: float, device: torch.device, clip_norm: float = 0.0
    ) -> None:
        """Nobody has learned anything.

        Args:
            channels: of the maps each is shown.
            width: of the first layer.
            lr: constant.
            device: where they live.
            clip_norm: the gradient of each discriminator is scaled down to this norm; 0 = not.
        """
        self.networks = nn.ModuleDict({name: Discriminator(c, width) for name, c in channels.items()}).to(device)
        self.optimiser = torch.optim.Adam(self.networks.parameters(), lr, betas=(0.9, 0.99))
        self.clip_norm = clip_norm
        self.shown = Counter[str]()

    def judged(self, name: str, here: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Show a discriminator one map of each side; it keeps the gradients of its own loss for `update`.

        Args:
            name: of the discriminator.
            here, there: (B, channels, H, W) of source and target, H and W at least `SMALLEST`.

        Returns:
            The network's term (the target passes for source; no gradient to the judge), and the judge's own loss, the
            mean over both sides, detached.
        """
        judge = self.networks[name]
        judge.requires_grad_(False)
        deceived = _told(judge(there), SOURCE)
        judge.requires_grad_(True)
        own = (_told(judge(here.detach()), SOURCE) + _told(judge(there.detach()), TARGET)) / 2
        own.backward()
        self.shown[name] += 1
        return deceived, own.detach()

    def update(self) -> None:
        """One step of the optimiser on the gradients kept since the last one, their mean over showings and processes.

        (A discriminator is shown as many pairs an update as `training.accumulate` says.)
        """
        for name, times in self.shown.items():
            for parameter in self.networks[name].parameters():
                if parameter.grad is not None:
                    parameter.grad /= times
        self.shown.clear()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for parameter in self.networks.parameters():
                if parameter.grad is not None:
                    torch.distributed.all_reduce(parameter.grad, torch.distributed.ReduceOp.SUM)
                    parameter.grad /= torch.distributed.get_world_size()
        if self.clip_norm > 0:
            for judge in self.networks.values():
                nn.utils.clip_grad_norm_(judge.parameters(), self.clip_norm)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """The discriminators and their optimiser."""
        return {"judges": self.networks.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        self.networks.load_state_dict(state["judges"])
        self.optimiser.load_state_dict(state["optimiser"])


class StatisticsParameters(BaseModel):
    """Whose batch-norm statistics a network has before and after (published: those that training leaves).

    Attributes:
        target_statistics: estimate them on the target before and after.
        statistics_batches: batches of target frames for either estimate.
        source_share: share of the source's in them, see `blend_statistics`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    target_statistics: bool = True
    statistics_batches: PositiveInt = 60
    source_share: float = Field(default=0.5, ge=0.0, lt=1.0)


class JudgedMethod(Method, ABC):
    """A method with discriminators: their update, what they keep for a resumed run, statistics of the target."""

    def __init__(
        self,
        judges: Judges | None,
        statistics: StatisticsParameters,
        network: "VideoNetwork",
        class_names: Sequence[str],
    ) -> None:
        """Set both.

        Args:
            judges: the discriminators, if there are any.
            statistics: whose batch-norm statistics are estimated before and after.
            network: as in Method.
            class_names: as in Method.
        """
        super().__init__(network, class_names)
        self.judges = judges
        self.statistics = statistics

    def prepare(self, source: Iterable[Clip] | None, target: Iterable[Clip] | None) -> None:
        """Start from the batch-norm statistics of the target, if asked."""
        self._estimate(target, None)

    def after_step(self, step: int) -> None:
        """The discriminators' update."""
        if self.judges is not None:
            self.judges.update()

    def finish(self, source: Iterable[Clip] | None, target: Iterable[Clip] | None) -> None:
        """Estimate the statistics on the target, if asked."""
        assert source is not None or self.statistics.source_share == 0  # the network's own are not the source's by now
        self._estimate(target, source)

    def state_dict(self) -> dict[str, Any]:
        """The discriminators and their optimiser."""
        return {} if self.judges is None else self.judges.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        if self.judges is not None:
            self.judges.load_state_dict(state)

    def _estimate(self, target: Iterable[Clip] | None, source: Iterable[Clip] | None) -> None:
        s = self.statistics
        if s.target_statistics and batch_norms(self.network):
            assert target is not None
            estimate_between(self.network, target, s.statistics_batches, s.source_share, source)


def _told(judged: Tensor, side: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(judged, torch.full_like(judged, side))
