"""ETC (Liu et al., ECCV 2020): consistent over time by what is learned, frame by frame when it is used.

Published for one labelled side; its terms but the cross-entropy read no labels, so they serve on the target as well.

Published for per-frame networks. Of a network that reads several frames, what is compared and distilled is what is
deployed: of now and of its neighbours alike, the temporal module's reading of the frame and those before it. The
per-frame logits would not do: beneath TMANet they may be a mere auxiliary head, and no term of the target would reach
the memory. Nor would the neighbour's own logits, which stand for its reading only where a module starts as the
identity. So clips reach further back by as many frames as the network reads, and each frame is encoded once. Affinities
are those of the features that the deployed classifier sees: the temporal module's, or the frame's where that works on
logits alone.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from crossfade.data.augment import GeometricParameters, PhotometricParameters, geometric, photometric
from crossfade.data.clip import Clip
from crossfade.methods.base import ClipNeeds, Method, StepOutput
from crossfade.methods.parts.batch_norm import train_mode
from crossfade.methods.parts.teacher import frozen_copy, update_ema
from crossfade.methods.parts.unroll import Said, needs_of, read_at, supervised_terms
from crossfade.networks.conv_lstm import ConvLSTM
from crossfade.objectives.distillation import (
    class_distillation,
    pair_distillation,
    self_distillation,
    sequence_distillation,
)
from crossfade.objectives.temporal_loss import temporal_loss

if TYPE_CHECKING:
    from crossfade.temporal.video_network import VideoNetwork, VideoOutput


class DistillationParameters(BaseModel):
    """What is learned from a teacher; every weight 0: there is none.

    Attributes:
        teacher: "frozen": the network as it was at the start; "ema": the moving average of the student.
        decay: of that average.
        classes: weight of the KL divergence of its classes, summed over the frames.
        pair: weight of the affinity of now with the neighbour.
        own: weight of the affinities of three frames with themselves, that of now counting 1, the others 0.4.
        sequence: weight of what a fixed random ConvLSTM makes of those affinities.
        pool: sides of the squares that features are averaged over before the two affinities.
        compat: the affinity of now with the neighbour as published, which is no cosine.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher: Literal["frozen", "ema"] = "frozen"
    decay: float = Field(default=0.99, ge=0.0, le=1.0)
    classes: NonNegativeFloat = 0.0
    pair: NonNegativeFloat = 0.0
    own: NonNegativeFloat = 0.0
    sequence: NonNegativeFloat = 0.0
    pool: PositiveInt = 2
    compat: bool = False

    @property
    def on(self) -> bool:
        """Whether there is a teacher."""
        return self.classes + self.pair + self.own + self.sequence > 0

    @property
    def frames(self) -> int:
        """How many frames before now it looks at."""
        return 2 if self.own + self.sequence > 0 else 1


class ETCParameters(BaseModel):
    """Parameters of `etc`.

    Attributes:
        clips: on whose clips the temporal loss and the distillation work; the source is supervised in any case.
        weight: of the temporal loss.
        span: frames from now to its neighbour; published: -3 to 2, here the neighbour comes before.
        compat: the temporal loss as published, over occluded pixels too.
        distillation: see DistillationParameters.
        class_balance: power of the inverse class frequency by which labelled pixels weigh.
        aux_weight: of the auxiliary head's cross-entropy.
        geometric: mirror and zoom of either side.
        photometric: colour changes, the same for the frames of a clip.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    clips: Literal["source", "target", "both"] = "both"
    weight: NonNegativeFloat = 0.1
    span: PositiveInt = 1
    compat: bool = False
    distillation: DistillationParameters = DistillationParameters()
    class_balance: float = Field(default=0.5, ge=0.0, le=1.0)
    aux_weight: NonNegativeFloat = 0.4
    geometric: GeometricParameters = GeometricParameters()
    photometric: PhotometricParameters = PhotometricParameters()


class ETC(Method):
    """Source cross-entropy, and over neighbouring frames of source, target or both what needs no label."""

    def __init__(self, parameters: ETCParameters, network: "VideoNetwork", class_names: Sequence[str]) -> None:
        super().__init__(network, class_names)
        self.parameters = parameters
        distillation = parameters.distillation
        self.teacher = frozen_copy(network) if distillation.on else None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.memory = ConvLSTM().requires_grad_(False).to(next(network.parameters()).device)
        self.steps = distillation.frames if distillation.on else 1

    @property
    def source_needs(self) -> ClipNeeds | None:
        """Labelled clips; with the neighbours, if the source is among `clips`."""
        if self.parameters.clips == "target":
            return needs_of(self.network, labels=True)
        return self._with_neighbours(labels=True)

    @property
    def target_needs(self) -> ClipNeeds | None:
        """Clips with the neighbours, never labels; nothing if the target is not among `clips`."""
        return None if self.parameters.clips == "source" else self._with_neighbours(labels=False)

    def step(self, step: int, total: int, source: Clip | None, target: Clip | None, draw: bool = False) -> StepOutput:
        """The network's forward of the source, and of each side the readings that are compared over time."""
        assert source is not None
        p = self.parameters
        train_mode(self.network, "batch")
        source = geometric(source, p.geometric)
        shown = photometric(source, p.photometric)
        weights = self.true_weight(source.labels_now)
        output, terms = supervised_terms(self.network, shown, "source", p.aux_weight, weights)
        if p.clips != "target":
            terms |= self._over_time("source", source, shown, output)
        if target is not None:
            target = geometric(target, p.geometric)
            shown = photometric(target, p.photometric)
            terms |= self._over_time("target", target, shown, None)
        return StepOutput(terms)

    def after_step(self, step: int) -> None:
        """Move the teacher, if it moves."""
        if self.teacher is not None and self.parameters.distillation.teacher == "ema":
            update_ema(self.teacher, self.network, self.parameters.distillation.decay, buffers=True)

    def state_dict(self) -> dict[str, Any]:
        """The teacher."""
        return {} if self.teacher is None else {"teacher": self.teacher.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the teacher."""
        if self.teacher is not None:
            self.teacher.load_state_dict(state["teacher"])

    def _with_neighbours(self, labels: bool) -> ClipNeeds:
        """Frames back to the last neighbour and to what the network reads before it, and the motion to the first."""
        past = self.network.past + self.steps * self.parameters.span
        own = ClipNeeds.of(past, labels, motion=self.network.uses_motion)
        pair = (past, past - self.parameters.span)
        return ClipNeeds(own.offsets, (*own.motion, *({pair} - set(own.motion))), labels)

    def _over_time(self, side: str, clip: Clip, shown: Clip, output: "VideoOutput | None") -> dict[str, Tensor]:
        """Temporal loss and distillation on one side.

        Args:
            side: its name.
            clip: as it is, in which frames are compared.
            shown: the same as the network sees it.
            output: what it says of the newest frame, if it was asked.
        """
        p, last = self.parameters, clip.length - 1
        positions = [last - k * p.span for k in range(self.steps + 1)]
        said = read_at(self.network, shown.frames, shown.motion, positions, output)
        terms = {}
        if p.weight > 0:
            images = (clip.now, clip.frames[:, positions[1]])
            motion = clip.motion[last, positions[1]]
            loss = temporal_loss(said[0].logits, said[1].logits, images, motion, p.compat, self.network.align_corners)
            terms[f"{side}_temporal"] = p.weight * loss
        if self.teacher is not None:
            with torch.no_grad():
                taught = read_at(self.teacher, shown.frames, shown.motion, positions)
            terms |= {f"{side}_{name}": value for name, value in self._distilled(said, taught).items()}
        return terms

    def _distilled(self, said: list[Said], taught: list[Said]) -> dict[str, Tensor]:
        """The distillation terms that are on; frames newest first."""
        d = self.parameters.distillation
        mine, theirs = [o.embedding for o in said], [o.embedding for o in taught]
        terms = {}
        if d.classes > 0:
            losses = [class_distillation(o.logits, t.logits) for o, t in zip(said[:2], taught, strict=False)]
            terms["classes"] = d.classes * torch.stack(losses).sum()
        if d.pair > 0:
            terms["pair"] = d.pair * pair_distillation(mine[1::-1], theirs[1::-1], d.pool, d.compat)
        if d.own > 0:
            terms["own"] = d.own * self_distillation(mine, theirs, pool=d.pool)
        if d.sequence > 0:
            terms["sequence"] = d.sequence * sequence_distillation(mine[::-1], theirs[::-1], self.memory)
        return terms
