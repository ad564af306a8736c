"""DA-VSN (Guan et al., ICCV 2021): temporal consistency of the target's predictions, learned within and across domains.

Within the target: a prediction follows what the frame before says, brought here, wherever that is surer. Across the
domains: discriminators judge the predictions of now and before together (spatio-temporal) and of now twice (spatial);
their weights are kept apart, so that the first has to look at time. Published and here alike: weights and forms (λ_u
1e-3, λ_sa = λ_wd = 1, auxiliary ones a fifth), Adam 1e-4, gradients of the discriminators clipped to 1 (for the
network: `training.optimiser.clip_norm: 1.0`). Otherwise than published: the frame before is warped backwards with
validity (`propagate: splat` is the published form), batch norm takes the statistics of the target before and after,
the discriminators' learning rate is constant. A per-frame network is run on the frame before as well.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from crossfade.data.augment import GeometricParameters, PhotometricParameters, geometric, photometric
from crossfade.data.clip import Clip
from crossfade.methods.base import ClipNeeds, StepOutput
from crossfade.methods.parts.batch_norm import train_mode
from crossfade.methods.parts.judges import JudgedMethod, Judges, StatisticsParameters, judged_size
from crossfade.methods.parts.unroll import frame_before, run, supervised_terms
from crossfade.motion.field import Motion
from crossfade.motion.splat import splat
from crossfade.motion.warp import warp
from crossfade.networks.base import FrameOutput
from crossfade.objectives.consistency import surer_consistency
from crossfade.objectives.weight_discrepancy import weight_discrepancy

if TYPE_CHECKING:
    from crossfade.temporal.video_network import VideoNetwork

HEADS = {"main": 1.0, "aux": 0.2}
"""The heads that are judged, and the weight of each."""


class DAVSNParameters(StatisticsParameters):
    """Parameters of `da_vsn`.

    Attributes:
        weight: λ_u, of all terms on the target.
        spatial: λ_sa, of the spatial discriminator's relative to the spatio-temporal one's.
        discrepancy: λ_wd, of the cosine between the weights of the two.
        intra_domain, cross_domain: whether there is regularisation within the target, and across the domains.
        propagate: how the frame before is brought here: "warp": backwards over motion, where that is valid; "splat":
            forwards to the nearest pixel (published), see `splat`.
        discriminator_lr: of Adam (0.9, 0.99).
        discriminator_clip: norm to which the gradient of each discriminator is scaled down; 0 = not.
        width: channels of a discriminator's first layer.
        class_balance: power of the inverse class frequency by which pixels with true labels weigh.
        target_statistics, statistics_batches, source_share: see StatisticsParameters.
    """

    weight: NonNegativeFloat = 1e-3
    spatial: NonNegativeFloat = 1.0
    discrepancy: NonNegativeFloat = 1.0
    intra_domain: bool = True
    cross_domain: bool = True
    propagate: Literal["warp", "splat"] = "warp"
    discriminator_lr: PositiveFloat = 1e-4
    discriminator_clip: NonNegativeFloat = 1.0
    width: PositiveInt = 64
    class_balance: float = Field(default=0.5, ge=0.0, le=1.0)
    aux_weight: NonNegativeFloat = 0.1
    source_geometric: GeometricParameters = GeometricParameters()
    target_geometric: GeometricParameters = GeometricParameters(scale=(1.0, 1.25))
    source_photometric: PhotometricParameters = PhotometricParameters()


class DAVSN(JudgedMethod):
    """See the module."""

    def __init__(self, parameters: DAVSNParameters, network: "VideoNetwork", class_names: Sequence[str]) -> None:
        self.parameters = p = parameters
        judges = None
        if p.cross_domain and p.weight > 0:
            shown = {f"{what}_{head}": 2 * len(class_names) for what in ("time", "space") for head in HEADS}
            device = next(network.parameters()).device
            judges = Judges(shown, p.width, p.discriminator_lr, device, p.discriminator_clip)
        super().__init__(judges, p, network, class_names)
        self.past = max(1, network.past)

    @property
    def source_needs(self) -> ClipNeeds | None:
        """At least a pair of frames, labelled."""
        return ClipNeeds.of(self.past, labels=True, motion=self.network.uses_motion)

    @property
    def target_needs(self) -> ClipNeeds | None:
        """At least a pair of frames, without labels."""
        return ClipNeeds.of(self.past, labels=False)

    def step(self, step: int, total: int, source: Clip | None, target: Clip | None, draw: bool = False) -> StepOutput:
        """A forward of each side; the discriminators' gradients are kept for `after_step`."""
        assert source is not None
        assert target is not None
        p = self.parameters
        source, target = geometric(source, p.source_geometric), geometric(target, p.target_geometric)
        train_mode(self.network, "batch")
        shown = photometric(source, p.source_photometric)
        weights = self.true_weight(source.labels_now)
        known, terms = supervised_terms(self.network, shown, "source", p.aux_weight, weights)
        seen = run(self.network, target.frames, target.motion)
        before = frame_before(self.network, seen, target.frames)
        scalars: dict[str, float | Tensor] = {}
        if p.intra_domain and p.weight > 0:
            last = target.length - 1
            motion = target.motion[last, last - 1]
            grid = (seen.logits.shape[-2], seen.logits.shape[-1])
            propagated = self._propagated(self.network.enlarged(before.logits, grid), motion)
            scalars["propagated"] = propagated.sum(1).mean()
            terms["intra_domain"] = p.weight * surer_consistency(seen.logits, propagated)
            if seen.now.aux is not None and before.aux is not None:
                aux = self._propagated(before.aux, motion)
                terms["intra_domain_aux"] = p.weight * surer_consistency(seen.now.aux, aux)
        if self.judges is not None:
            pairs = (known.now, frame_before(self.network, known, shown.frames)), (seen.now, before)
            more, told = self._across(self.judges, *pairs, judged_size(target.frames))
            terms |= more
            scalars |= told
        return StepOutput(terms, scalars)

    def _propagated(self, logits: Tensor, motion: Motion) -> Tensor:
        """Probabilities of the frame before on now's grid, all 0 where nothing is known."""
        probabilities = logits.detach().float().softmax(1)
        motion = motion.resized((logits.shape[-2], logits.shape[-1]))
        if self.parameters.propagate == "splat":
            return splat(probabilities, motion.flow)[0]
        warped, inside = warp(probabilities, motion.flow)
        return torch.where(motion.valid & inside, warped, 0.0)

    def _across(
        self,
        judges: Judges,
        source: tuple[FrameOutput, FrameOutput],
        target: tuple[FrameOutput, FrameOutput],
        size: tuple[int, int],
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Terms that deceive the discriminators, and their own losses, out of now and before of each side."""
        p = self.parameters
        terms, told = {}, {}
        for head, share in HEADS.items():
            logits = [_logits(output, head) for output in (*source, *target)]
            if any(z is None for z in logits):
                continue
            shown = (self.network.enlarged(z.float(), size) for z in logits if z is not None)
            here, here_before, there, there_before = shown
            pairs = {"time": ((here, here_before), (there, there_before)), "space": ((here, here), (there, there))}
            for what, maps in pairs.items():
                name = f"{what}_{head}"
                term, told[f"discriminator_{name}"] = judges.judged(name, *(torch.cat(m, 1).softmax(1) for m in maps))
                terms[f"cross_domain_{name}"] = share * p.weight * (p.spatial if what == "space" else 1.0) * term
            if p.discrepancy > 0:
                gap = weight_discrepancy(judges.networks[f"time_{head}"], judges.networks[f"space_{head}"])
                (p.weight * p.discrepancy * gap).backward()
                told[f"weight_discrepancy_{head}"] = gap.detach()
        return terms, told


def _logits(output: FrameOutput, head: str) -> Tensor | None:
    return output.logits if head == "main" else output.aux
