"""ADVENT (Vu et al., CVPR 2019): target predictions are made as sure as source ones, directly or by a discriminator."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from crossfade.data.augment import GeometricParameters, PhotometricParameters, geometric, photometric
from crossfade.data.clip import Clip
from crossfade.methods.base import ClipNeeds, StepOutput
from crossfade.methods.parts.batch_norm import train_mode
from crossfade.methods.parts.judges import JudgedMethod, Judges, StatisticsParameters, judged_size
from crossfade.methods.parts.unroll import needs_of, run, supervised_terms
from crossfade.objectives.entropy import entropy_loss, self_information
from crossfade.temporal.video_network import VideoOutput

if TYPE_CHECKING:
    from crossfade.temporal.video_network import VideoNetwork


class AdventParameters(StatisticsParameters):
    """Parameters of `advent`.

    Attributes:
        form: "entropy": the target's entropy is minimised (MinEnt); "adversarial": a discriminator tells the domains'
            maps of self-information apart, and the network learns to deceive it (AdvEnt).
        weight: of that term on the target (published: 1e-3); the auxiliary head's is a fifth of it.
        discriminator_lr: of Adam (0.9, 0.99); constant here (published: 1e-4, poly over 250,000 steps).
        width: channels of the discriminator's first layer.
        class_balance: power of the inverse class frequency by which pixels with true labels weigh.
        target_statistics, statistics_batches, source_share: see StatisticsParameters.
    """

    form: Literal["entropy", "adversarial"] = "adversarial"
    weight: NonNegativeFloat = 1e-3
    discriminator_lr: PositiveFloat = 1e-4
    width: PositiveInt = 64
    class_balance: float = Field(default=0.5, ge=0.0, le=1.0)
    aux_weight: NonNegativeFloat = 0.1
    source_geometric: GeometricParameters = GeometricParameters()
    target_geometric: GeometricParameters = GeometricParameters(scale=(1.0, 1.25))
    source_photometric: PhotometricParameters = PhotometricParameters()


class Advent(JudgedMethod):
    """Source cross-entropy, and on the target MinEnt's or AdvEnt's term, for the main and the auxiliary logits."""

    def __init__(self, parameters: AdventParameters, network: "VideoNetwork", class_names: Sequence[str]) -> None:
        self.parameters = p = parameters
        judges = None
        if p.form == "adversarial":
            heads = dict.fromkeys(("main", "aux"), len(class_names))
            judges = Judges(heads, p.width, p.discriminator_lr, next(network.parameters()).device)
        super().__init__(judges, p, network, class_names)

    @property
    def source_needs(self) -> ClipNeeds | None:
        """As many frames as the network reads, labelled."""
        return needs_of(self.network, labels=True)

    @property
    def target_needs(self) -> ClipNeeds | None:
        """As many frames as the network reads, without labels."""
        return needs_of(self.network, labels=False)

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
        size = judged_size(target.frames)
        scalars: dict[str, float | Tensor] = {"entropy": entropy_loss(seen.logits.detach())}
        for head, share in (("main", 1.0), ("aux", 0.2)):
            here, there = _logits(known, head), _logits(seen, head)
            if here is None or there is None or p.weight == 0:
                continue
            name = "target" if head == "main" else "target_aux"
            if self.judges is None:
                terms[name] = share * p.weight * entropy_loss(there)
            else:
                maps = [self_information(self.network.enlarged(z.float(), size)) for z in (here, there)]
                term, scalars[f"discriminator_{head}"] = self.judges.judged(head, *maps)
                terms[name] = share * p.weight * term
        return StepOutput(terms, scalars)


def _logits(output: VideoOutput, head: str) -> Tensor | None:
    return output.logits if head == "main" else output.now.aux
