"""Category-aware spatio-temporal alignment as a part of a step: centroids of both domains, over temporal spans."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from crossfade.data.clip import IGNORE
from crossfade.methods.parts.unroll import fuse
from crossfade.motion.field import Motion
from crossfade.motion.warp import warp
from crossfade.networks.base import FrameOutput
from crossfade.objectives.alignment import (
    attraction_separation,
    certainty,
    class_centroids,
    combine_spans,
    mmd,
    span_weights,
)
from crossfade.temporal.video_network import VideoNetwork


class AlignmentParameters(BaseModel):
    """How the categories of both domains are brought together.

    Attributes:
        kind: "mmd": kernel MMD between class centroids of the fused logits (published code); "prototype": attraction
            within and separation between classes of the deep embeddings (the paper's words); "off".
        weight: of the term (published for the MMD: 0.01).
        spans: temporal spans of the target, in frames. Spans come in through the temporal module; a per-frame network
            has none.
        centroid_weights: of the spans, see `span_weights`.
        absent: "skip": classes missing on either side do not count; "zeros": they enter the MMD as zero rows
            (published).
        min_pixels: fewer, and a class is absent.
        separation: weight of the separation relative to the attraction ("prototype").
        margin: cosine below which two classes are apart enough ("prototype").
        memory: momentum of the remembered centroids that stand in for classes a batch lacks ("prototype"); 0: none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["mmd", "prototype", "off"] = "mmd"
    weight: NonNegativeFloat = 0.01
    spans: tuple[Literal[1, 2], ...] = (1, 2)
    centroid_weights: Literal["equal", "certainty", "entropy"] = "equal"
    absent: Literal["skip", "zeros"] = "skip"
    min_pixels: PositiveInt = 5
    separation: NonNegativeFloat = 0.5
    margin: float = Field(default=0.2, ge=-1.0, lt=1.0)
    memory: float = Field(default=0.9, ge=0.0, lt=1.0)

    @property
    def on(self) -> bool:
        """Whether there is such a term."""
        return self.kind != "off" and self.weight > 0


@dataclass(frozen=True)
class View:
    """One domain as the alignment sees it.

    Attributes:
        now: per-frame output of the newest frame.
        neighbours: a (per-frame output, motion now → neighbour) a span; empty for a per-frame network.
        labels: (B, H, W) int64: true labels of the source, pseudo labels of the target; 255 where not to be looked at.
        trusted: whether the labels are true.
    """

    now: FrameOutput
    neighbours: list[tuple[FrameOutput, Motion]]
    labels: Tensor
    trusted: bool


class CategoryAlignment:
    """Computes the terms; remembers centroids between steps."""

    def __init__(self, parameters: AlignmentParameters, num_classes: int) -> None:
        self.parameters = parameters
        self.num_classes = num_classes
        self.memory: dict[str, Tensor] = {}

    def terms(self, network: VideoNetwork, source: View, target: View) -> dict[str, Tensor]:
        """The weighted alignment terms of a step."""
        p = self.parameters
        (s, s_present), (t, t_present) = self._centroids(network, source), self._centroids(network, target)
        if p.kind == "mmd":
            if p.absent == "skip":
                both = s_present & t_present
                s, t = s[both], t[both]
            return {"alignment_mmd": p.weight * mmd(s, t)}
        if p.memory > 0:
            s, s_present = self._remembered("source", s, s_present)
            t, t_present = self._remembered("target", t, t_present)
        attraction, separation = attraction_separation(s, s_present, t, t_present, p.margin)
        return {
            "alignment_attraction": p.weight * attraction,
            "alignment_separation": p.weight * p.separation * separation,
        }

    def _centroids(self, network: VideoNetwork, view: View) -> tuple[Tensor, Tensor]:
        spans: list[tuple[FrameOutput | None, Motion | None]] = [*view.neighbours] or [(None, None)]
        logits = [fuse(network, view.now, past, motion) for past, motion in spans]
        grid = (logits[0].shape[-2], logits[0].shape[-1])
        labels = F.interpolate(view.labels[:, None].float(), grid, mode="nearest-exact")[:, 0].long()
        centroids = []
        for (past, motion), scores in zip(spans, logits, strict=True):
            if self.parameters.kind == "mmd":
                features, weights = scores, None
                here = _by_prediction(labels, scores, view.trusted)
            else:
                features, weights = _embedding(view.now, past, motion), certainty(scores)
                here = _on_grid(labels, features)
                weights = F.interpolate(weights[:, None], features.shape[-2:], mode="nearest-exact")[:, 0]
            centroids.append(class_centroids(features, here, self.num_classes, weights, self.parameters.min_pixels))
        return combine_spans(centroids, span_weights(logits, self.parameters.centroid_weights))

    def _remembered(self, side: str, centroids: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Present classes as they are; absent ones from memory. The memory then moves towards the present ones."""
        memory = self.memory.get(f"{side}_centroids", torch.zeros_like(centroids)).to(centroids.device)
        known = self.memory.get(f"{side}_known", torch.zeros_like(present)).to(present.device)
        filled = torch.where(present[:, None], centroids, memory)
        moved = torch.where(
            known[:, None], memory.lerp(centroids.detach(), 1 - self.parameters.memory), centroids.detach()
        )
        self.memory[f"{side}_centroids"] = torch.where(present[:, None], moved, memory)
        self.memory[f"{side}_known"] = known | present
        return filled, known | present


def _by_prediction(labels: Tensor, scores: Tensor, trusted: bool) -> Tensor:
    """Pixels count for the class they are predicted as; on the source only where that is true as well."""
    predicted = scores.detach().argmax(1)
    keep = labels == predicted if trusted else labels != IGNORE
    return torch.where(keep, predicted, IGNORE)


def _on_grid(labels: Tensor, features: Tensor) -> Tensor:
    if labels.shape[-2:] == features.shape[-2:]:
        return labels
    return F.interpolate(labels[:, None].float(), features.shape[-2:], mode="nearest-exact")[:, 0].long()


def _embedding(now: FrameOutput, past: FrameOutput | None, motion: Motion | None) -> Tensor:
    """Mean of a pixel's embedding now and on its neighbour, where the motion between them is valid."""
    if past is None or motion is None:
        return now.embedding
    motion = motion.resized((now.embedding.shape[-2], now.embedding.shape[-1]))
    warped, inside = warp(past.embedding, motion.flow)
    return torch.where(motion.valid & inside, (now.embedding + warped) / 2, now.embedding)
