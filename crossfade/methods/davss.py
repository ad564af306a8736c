"""DAVSS's training: its motion, distortion and correction networks beside a per-frame network that stays as it is.

With labels of nobody: the per-frame network is the teacher, so that a network that was adapted to the target can be
made faster there.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat
from torch import Tensor, nn

from crossfade.data.augment import (
    NO_PHOTOMETRIC,
    GeometricParameters,
    PhotometricParameters,
    geometric,
    photometric,
)
from crossfade.data.clip import Clip
from crossfade.errors import UserError
from crossfade.methods.base import ClipNeeds, Method, StepOutput
from crossfade.methods.parts.batch_norm import train_only
from crossfade.methods.parts.figures import mixed_figure
from crossfade.methods.parts.unroll import run_frames
from crossfade.objectives.cross_entropy import cross_entropy
from crossfade.objectives.propagation import correction_loss, distortion_loss, motion_loss, semantic_loss
from crossfade.temporal.davss import DAVSS

if TYPE_CHECKING:
    from crossfade.temporal.video_network import VideoNetwork

Stage = Literal["motion", "distortion", "correction"]


class DAVSSParameters(BaseModel):
    """Parameters of `davss`.

    Attributes:
        stage: "motion": the motion network learns the clips' motion; "distortion": the distortion network learns where
            propagation goes wrong; "correction": motion and correction network together, the distortion network
            fixed; "both": distortion, then correction; "all": the three in turn.
        motion_share: of the steps of "all".
        distortion_share: of the steps of "all" and "both".
        domain: whose clips. The source's labels serve the correction stage; on the target the per-frame network's own
            classes stand in for them.
        distance: clips reach this far back; the key frame is two frames to this many before now.
        light_weight: of the correction network's cross-entropy on all pixels alike, in the correction stage; published:
            0, which trains it on the few pixels that are distorted alone, and for long.
        geometric: mirror and zoom.
        photometric: colour changes, the same for the frames of a clip.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: Literal["motion", "distortion", "correction", "both", "all"] = "all"
    motion_share: float = Field(default=0.4, ge=0.0, le=1.0)
    distortion_share: float = Field(default=0.15, ge=0.0, le=1.0)
    domain: Literal["source", "target"] = "target"
    distance: int = Field(default=4, ge=2)
    light_weight: NonNegativeFloat = 0.0
    geometric: GeometricParameters = GeometricParameters()
    photometric: PhotometricParameters = NO_PHOTOMETRIC


class TrainDAVSS(Method):
    """Three frames of a clip: the key frame, one between, and now, propagated to from the one between."""

    trains_key_frames = True

    def __init__(self, parameters: DAVSSParameters, network: "VideoNetwork", class_names: Sequence[str]) -> None:
        """Take the network's temporal module apart.

        Raises:
            UserError: the network has another temporal module, or no motion network to train.
        """
        super().__init__(network, class_names)
        if not isinstance(network.temporal, DAVSS):
            raise UserError("method 'davss' trains the temporal module 'davss': set the recipe's `temporal` to davss")
        self.parameters = parameters
        self.temporal = network.temporal
        if parameters.stage == "motion" and self.temporal.motion is None:
            raise UserError("stage 'motion' has nothing to train where davss has `motion: clip`: choose stage both")
        learns_motion = parameters.stage in ("motion", "all") and self.temporal.motion is not None
        labels = parameters.domain == "source" and parameters.stage in ("correction", "both", "all")
        needs = ClipNeeds.of(parameters.distance, labels, motion=learns_motion or network.uses_motion)
        if not network.uses_motion:  # a motion network of its own learns from the newest step alone
            needs = replace(needs, motion=needs.motion[-1:])
        self._needs = replace(needs, moving=bool(needs.motion))

    @property
    def source_needs(self) -> ClipNeeds | None:
        """Clips of the source, if they are what is trained on; labels for the correction stage."""
        return self._needs if self.parameters.domain == "source" else None

    @property
    def target_needs(self) -> ClipNeeds | None:
        """Clips of the target, if they are what is trained on; never their labels."""
        return self._needs if self.parameters.domain == "target" else None

    def stage_at(self, step: int, total: int) -> Stage:
        """What is trained at a step."""
        p = self.parameters
        if p.stage in ("motion", "distortion", "correction"):
            return p.stage
        first = p.motion_share * total if p.stage == "all" and self.temporal.motion is not None else 0.0
        if step < first:
            return "motion"
        return "distortion" if step < first + p.distortion_share * total else "correction"

    def step(self, step: int, total: int, source: Clip | None, target: Clip | None, draw: bool = False) -> StepOutput:
        """One stage's terms; nothing of the per-frame network moves."""
        clip = source if self.parameters.domain == "source" else target
        assert clip is not None
        clip = photometric(geometric(clip, self.parameters.geometric), self.parameters.photometric)
        stage = self.stage_at(step, total)
        self._set_modes(stage)
        if stage == "motion":
            return StepOutput({"motion": self._motion_term(clip)})
        return self._propagation_terms(clip, stage, draw)

    def _set_modes(self, stage: Stage) -> None:
        """The networks of this stage learn, the others are fixed."""
        t = self.temporal
        learning: dict[Stage, list[nn.Module | None]] = {
            "motion": [t.motion],
            "distortion": [t.distortion],
            "correction": [t.motion, t.correction],
        }
        learners = [part for part in learning[stage] if part is not None]
        train_only(self.network, learners)
        for part in (t.motion, t.correction, t.distortion):
            if part is not None:
                part.requires_grad_(part in learners)

    def _motion_term(self, clip: Clip) -> Tensor:
        assert self.temporal.motion is not None
        last = clip.length - 1
        pyramid = self.temporal.motion.pyramid(clip.frames[:, last], clip.frames[:, last - 1])
        return motion_loss(pyramid, clip.motion[last, last - 1])

    def _propagation_terms(self, clip: Clip, stage: Stage, draw: bool) -> StepOutput:
        """Propagate from the key frame and compare in the frame between and now."""
        temporal, last = self.temporal, clip.length - 1
        key = last - int(torch.randint(2, self.parameters.distance + 1, ()))
        between = int(torch.randint(key + 1, last, ()))
        size = (clip.frames.shape[-2], clip.frames.shape[-1])
        with torch.no_grad():
            start, *outputs = run_frames(self.network, [clip.frames[:, k] for k in (key, between, last)])
            seen = dict(zip((between, last), (temporal.resized(o.logits, size) for o in outputs), strict=True))
            slot = temporal.encode(start)
        terms: dict[str, list[Tensor]] = {}
        distortions = []
        # a motion network sees both frames and can jump; the clips' motion is known from each frame to the next only
        for k in range(key + 1, last + 1) if temporal.uses_motion else (between, last):
            image = clip.frames[:, k]
            slot = temporal.advance(slot, image, clip.motion.get((k, k - 1)))
            if k not in seen:
                continue
            small = temporal.distorted(slot, image)
            distortion, propagated = temporal.resized(small, size), temporal.resized(slot["logits"], size)
            distortions.append(distortion.detach())
            if stage == "distortion":
                terms.setdefault("distortion", []).append(distortion_loss(distortion, propagated, seen[k]))
                continue
            labels = clip.labels_now if clip.labels is not None and k == last else seen[k].argmax(1)
            correction = temporal.correction(image).logits
            blended = temporal.blend(slot["logits"], small, correction, size)
            terms.setdefault("semantic", []).append(semantic_loss(propagated, blended, labels))
            enlarged = temporal.resized(correction, size)
            terms.setdefault("correction", []).append(correction_loss(enlarged, distortion, labels))
            if self.parameters.light_weight > 0:
                plain = self.parameters.light_weight * cross_entropy(enlarged, labels)
                terms.setdefault("light", []).append(plain)
        scalars: dict[str, float | Tensor] = {"distortion": torch.stack([d.mean() for d in distortions]).mean()}
        figures = {}
        if draw:
            shown = torch.stack([seen[between].argmax(1), seen[last].argmax(1)], 1)
            figures = {"seen": mixed_figure({"seen": (clip.frames[:, [between, last]], shown)}, self.num_classes)}
        return StepOutput({name: torch.stack(values).mean() for name, values in terms.items()}, scalars, figures)
