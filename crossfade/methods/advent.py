"""ADVENT (Vu et al., CVPR 2019): target predictions are made as sure as source ones, directly or by a discriminator."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.distributed
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from crossfade.data.augment import GeometricParameters, PhotometricParameters, geometric, photometric
from crossfade.data.clip import Clip
from crossfade.methods.base import ClipNeeds, Method, StepOutput
from crossfade.methods.batch_norm import batch_norms, train_mode
from crossfade.methods.unroll import estimate_statistics, needs_of, run, supervised_terms
from crossfade.networks.base import upsample
from crossfade.networks.discriminator import SMALLEST, Discriminator
from crossfade.objectives.entropy import entropy_loss, self_information
from crossfade.temporal.video_network import VideoOutput

if TYPE_CHECKING:
    from crossfade.temporal.video_network import VideoNetwork

SOURCE, TARGET = 0.0, 1.0
"""What the discriminator is to say of each side, as published."""


class AdventParameters(BaseModel):
    """Parameters of `advent`.

    Attributes:
        form: "entropy": the target's entropy is minimised (MinEnt); "adversarial": a discriminator tells the domains'
            maps of self-information apart, and the network learns to deceive it (AdvEnt).
        weight: of that term on the target (published: 1e-3); the auxiliary head's is a fifth of it.
        discriminator_lr: of Adam (0.9, 0.99); constant here (published: 1e-4, poly over 250,000 steps).
        width: channels of the discriminator's first layer.
        class_balance: power of the inverse class frequency by which pixels with true labels weigh.
        target_statistics: estimate the batch-norm statistics on the target before and after (not in the paper, whose
            batch norm is frozen).
        statistics_batches: batches of target frames for either estimate.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: Literal["entropy", "adversarial"] = "adversarial"
    weight: NonNegativeFloat = 1e-3
    discriminator_lr: PositiveFloat = 1e-4
    width: PositiveInt = 64
    class_balance: float = Field(default=0.5, ge=0.0, le=1.0)
    aux_weight: NonNegativeFloat = 0.1
    target_statistics: bool = True
    statistics_batches: PositiveInt = 60
    source_geometric: GeometricParameters = GeometricParameters()
    target_geometric: GeometricParameters = GeometricParameters(scale=(1.0, 1.25))
    source_photometric: PhotometricParameters = PhotometricParameters()


class Advent(Method):
    """Source cross-entropy, and on the target MinEnt's or AdvEnt's term, for the main and the auxiliary logits."""

    def __init__(self, parameters: AdventParameters, network: "VideoNetwork", class_names: Sequence[str]) -> None:
        super().__init__(network, class_names)
        self.parameters = p = parameters
        self.judges: torch.nn.ModuleDict | None = None
        if p.form == "adversarial":
            heads = {head: Discriminator(self.num_classes, p.width) for head in ("main", "aux")}
            self.judges = torch.nn.ModuleDict(heads).to(next(network.parameters()).device)
            self.optimiser = torch.optim.Adam(self.judges.parameters(), p.discriminator_lr, betas=(0.9, 0.99))

    @property
    def source_needs(self) -> ClipNeeds | None:
        """As many frames as the network reads, labelled."""
        return needs_of(self.network, labels=True)

    @property
    def target_needs(self) -> ClipNeeds | None:
        """As many frames as the network reads, without labels."""
        return needs_of(self.network, labels=False)

    def prepare(self, source: Iterable[Clip] | None, target: Iterable[Clip] | None) -> None:
        """Start from the batch-norm statistics of the target, if asked."""
        self._estimate(target)

    def step(self, step: int, total: int, source: Clip | None, target: Clip | None, draw: bool = False) -> StepOutput:
        """Two forwards; the discriminators' gradients are kept for `after_step`."""
        assert source is not None
        assert target is not None
        p = self.parameters
        source, target = geometric(source, p.source_geometric), geometric(target, p.target_geometric)
        train_mode(self.network, "batch")
        shown = photometric(source, p.source_photometric)
        weights = self.true_weight(source.labels_now)
        known, terms = supervised_terms(self.network, shown, "source", p.aux_weight, weights)
        seen = run(self.network, target.frames, target.motion)
        size = (max(SMALLEST, target.frames.shape[-2]), max(SMALLEST, target.frames.shape[-1]))
        scalars: dict[str, float | Tensor] = {"entropy": entropy_loss(seen.logits.detach())}
        for head, share in (("main", 1.0), ("aux", 0.2)):
            here, there = _logits(known, head), _logits(seen, head)
            if here is None or there is None or p.weight == 0:
                continue
            name = "target" if head == "main" else "target_aux"
            if self.judges is None:
                terms[name] = share * p.weight * entropy_loss(there)
            else:
                term, scalars[f"discriminator_{head}"] = self._judged(self.judges[head], here, there, size)
                terms[name] = share * p.weight * term
        return StepOutput(terms, scalars)

    def _judged(
        self, judge: torch.nn.Module, here: Tensor, there: Tensor, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """The network's term (the target passes for source), and the judge's own loss, of which it keeps gradients."""
        maps = [self_information(upsample(logits.float(), size)) for logits in (here, there)]
        judge.requires_grad_(False)
        deceived = _told(judge(maps[1]), SOURCE)
        judge.requires_grad_(True)
        own = (_told(judge(maps[0].detach()), SOURCE) + _told(judge(maps[1].detach()), TARGET)) / 2
        own.backward()
        return deceived, own.detach()

    def after_step(self, step: int) -> None:
        """The discriminators' update."""
        if self.judges is None:
            return
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for parameter in self.judges.parameters():
                if parameter.grad is not None:
                    torch.distributed.all_reduce(parameter.grad, torch.distributed.ReduceOp.SUM)
                    parameter.grad /= torch.distributed.get_world_size()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def finish(self, source: Iterable[Clip] | None, target: Iterable[Clip] | None) -> None:
        """Estimate the statistics on the target, if asked."""
        self._estimate(target)

    def state_dict(self) -> dict[str, Any]:
        """The discriminators and their optimiser."""
        if self.judges is None:
            return {}
        return {"judges": self.judges.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        if self.judges is not None:
            self.judges.load_state_dict(state["judges"])
            self.optimiser.load_state_dict(state["optimiser"])

    def _estimate(self, target: Iterable[Clip] | None) -> None:
        p = self.parameters
        if p.target_statistics and batch_norms(self.network):
            assert target is not None
            estimate_statistics(self.network, target, p.statistics_batches)


def _logits(output: VideoOutput, head: str) -> Tensor | None:
    return output.logits if head == "main" else output.now.aux


def _told(judged: Tensor, side: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(judged, torch.full_like(judged, side))
