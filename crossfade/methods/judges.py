"""Discriminators of an adversarial method: the term that deceives them, their own update, what a resumed run needs."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor, nn

from crossfade.networks.discriminator import SMALLEST, Discriminator

SOURCE, TARGET = 0.0, 1.0
"""What a discriminator is to say of each side, as published (ADVENT, DA-VSN)."""


def judged_size(frames: Tensor) -> tuple[int, int]:
    """The size at which maps of these frames are judged: the frames' own, but no smaller than a judge can see."""
    return max(SMALLEST, frames.shape[-2]), max(SMALLEST, frames.shape[-1])


class Judges:
    """Discriminators by name, with one Adam (0.9, 0.99)."""

    def __init__(self, channels: Mapping[str, int], width: int, lr: float, device: torch.device) -> None:
        """Args: `channels` of the maps each is shown; `width` of the first layer; `lr`, constant."""
        self.networks = nn.ModuleDict({name: Discriminator(c, width) for name, c in channels.items()}).to(device)
        self.optimiser = torch.optim.Adam(self.networks.parameters(), lr, betas=(0.9, 0.99))

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
        return deceived, own.detach()

    def update(self, clip_norm: float = 0.0) -> None:
        """One step of the optimiser on the gradients kept since the last one, averaged over the processes.

        Args:
            clip_norm: the gradient of each discriminator is scaled down to this norm; 0 = not.
        """
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for parameter in self.networks.parameters():
                if parameter.grad is not None:
                    torch.distributed.all_reduce(parameter.grad, torch.distributed.ReduceOp.SUM)
                    parameter.grad /= torch.distributed.get_world_size()
        if clip_norm > 0:
            for judge in self.networks.values():
                nn.utils.clip_grad_norm_(judge.parameters(), clip_norm)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """The discriminators and their optimiser."""
        return {"judges": self.networks.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        self.networks.load_state_dict(state["judges"])
        self.optimiser.load_state_dict(state["optimiser"])


def _told(judged: Tensor, side: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(judged, torch.full_like(judged, side))
