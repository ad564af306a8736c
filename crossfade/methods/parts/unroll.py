"""How methods run a video network on clips of frames."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from crossfade.data.clip import Clip
from crossfade.methods.base import ClipNeeds
from crossfade.methods.parts.batch_norm import batch_norms, blend_statistics, reestimate_statistics, statistics_of
from crossfade.motion.field import Motion
from crossfade.networks.base import Edits, FrameOutput
from crossfade.objectives.cross_entropy import Denominator, cross_entropy
from crossfade.temporal.base import Reading, Slot
from crossfade.temporal.video_network import VideoNetwork, VideoOutput

MotionTable = dict[tuple[int, int], Motion]


def needs_of(network: VideoNetwork, labels: bool) -> ClipNeeds:
    """What a method that only runs the network asks of a side."""
    return ClipNeeds.of(network.past, labels, motion=network.uses_motion)


def newest(clip: Clip, count: int) -> Clip:
    """The newest `count` frames of a clip, with the motion between them by their new positions."""
    spare = clip.length - count
    if spare == 0:
        return clip
    return replace(
        clip,
        frames=clip.frames[:, spare:],
        labels=None if clip.labels is None else clip.labels[:, spare:],
        motion=newest_motion(clip.motion, spare),
    )


def newest_motion(motion: MotionTable, spare: int) -> MotionTable:
    """The motion that is left, by its new positions, when a clip's oldest `spare` frames are dropped."""
    return {(i - spare, j - spare): m for (i, j), m in motion.items() if min(i, j) >= spare}


def run(network: VideoNetwork, frames: Tensor, motion: MotionTable, edits: Edits | None = None) -> VideoOutput:
    """Unroll a network over the newest frames of a clip; frames it does not read are left out.

    Args:
        network: in the mode (train or eval) it should run in.
        frames: (B, T, 3, H, W), T more than the network's past.
        motion: {(i, j): Motion i→j} by positions in `frames`.
        edits: replacements of encoder features of the newest frame, by stride.
    """
    spare = frames.shape[1] - 1 - network.past
    return network.unroll(frames[:, spare:], newest_motion(motion, spare), edits=edits)


@dataclass(frozen=True)
class Said:
    """What a network says of one frame of a clip, as if that were "now".

    Attributes:
        logits: (B, K, h, w), those that are deployed.
        embedding: (B, D, h, w), the last features before the classifier of these.
    """

    logits: Tensor
    embedding: Tensor


def read_at(
    network: VideoNetwork,
    frames: Tensor,
    motion: MotionTable,
    positions: Sequence[int],
    known: VideoOutput | None = None,
) -> list[Said]:
    """What a network says of several frames of a clip, each read with the frames before it and encoded once.

    Args:
        network: in the mode it should run in.
        frames: (B, T, 3, H, W), reaching as far before each position as the network reads.
        motion: {(i, i - 1): Motion i → i - 1} by positions in `frames`.
        positions: of the frames that are asked about. Gradients reach the per-frame network through these and, where
            the temporal module learns through the past, through what they read.
        known: what was said of the last frame, if it was asked about before; `positions` start with that.
    """
    learns, last = network.temporal.learns_through_past, frames.shape[1] - 1
    outputs: dict[int, FrameOutput] = {}
    readings: dict[int, Reading] = {}
    if known is not None:
        outputs[last], readings[last] = known.now, known.reading
        outputs |= {last + offset: output for offset, output in known.past.items() if learns}
    for at in positions:
        if at not in outputs:
            outputs[at] = network.frame(frames[:, at])
    for at in positions:
        if at not in readings:
            for before in (at + offset for offset in network.offsets):
                if before not in outputs:
                    with torch.set_grad_enabled(torch.is_grad_enabled() and learns):
                        outputs[before] = network.frame(frames[:, before])
            readings[at] = reading_at(network, outputs, frames, motion, at)
    return [Said(readings[at].logits, readings[at].maps.get("embedding", outputs[at].embedding)) for at in positions]


def reading_at(
    network: VideoNetwork, outputs: Mapping[int, FrameOutput], frames: Tensor, motion: MotionTable, at: int
) -> Reading:
    """A network's reading of the frame at a position; of that alone, if not all it reads is among `outputs`.

    Args:
        network: its temporal module is used.
        outputs: per-frame outputs by position in `frames`.
        frames, motion: as in `read_at`.
        at: the position.
    """
    whole = all(at + offset in outputs for offset in network.offsets)
    past = {offset: outputs[at + offset] for offset in network.offsets} if whole else {}
    return network.reading(outputs[at], past, frames[:, : at + 1], motion)


def estimate_statistics(network: VideoNetwork, clips: Iterable[Clip], batches: int) -> None:
    """Replace the batch-norm statistics of a network by those of `batches` batches of clips.

    Single frames are enough, unless the temporal module has batch norm of its own (see `statistics_needs`).
    """
    alone = not batch_norms(network.temporal)
    forward = (lambda clip: network.frame(clip.now)) if alone else (lambda c: run(network, c.frames, c.motion))
    reestimate_statistics(network, forward, islice(clips, batches))


def estimate_between(
    network: VideoNetwork, target: Iterable[Clip], batches: int, share: float, source: Iterable[Clip] | None = None
) -> None:
    """Give a network batch-norm statistics between those of the target and, with a `share`, those of the source.

    Args:
        network: whose statistics are replaced.
        target: clips that its statistics are estimated on.
        batches: of either side.
        share: of the source's, in [0, 1); see `blend_statistics`.
        source: clips that its statistics are estimated on; None: those that the network has are the source's.
    """
    if source is not None and share > 0:
        estimate_statistics(network, source, batches)
    known = statistics_of(network)
    estimate_statistics(network, target, batches)
    blend_statistics(network, known, share)


def statistics_needs(network: VideoNetwork) -> ClipNeeds:
    """What `estimate_statistics` reads of an unlabelled side."""
    return needs_of(network, labels=False) if batch_norms(network.temporal) else ClipNeeds()


def run_frames(network: VideoNetwork, frames: Sequence[Tensor]) -> list[FrameOutput]:
    """Run the per-frame network on several batches of frames: at once, where that gives what each alone would.

    Where batch norm normalises by its inputs' own statistics (train mode) each batch has a forward of its own,
    as everywhere in training; together, what is said of a frame would depend on which others are looked at.

    Args:
        network: a video network.
        frames: batches of equal shape (B, 3, H, W).
    """
    if any(layer.training for layer in batch_norms(network.frame)):
        return [network.frame(images) for images in frames]
    output = network.frame(torch.cat(list(frames)))
    count = len(frames)
    features = {stride: maps.chunk(count) for stride, maps in output.features.items()}
    aux = [None] * count if output.aux is None else output.aux.chunk(count)
    parts = zip(output.logits.chunk(count), output.embedding.chunk(count), aux, strict=True)
    return [
        FrameOutput(logits, {s: maps[k] for s, maps in features.items()}, embedding, a)
        for k, (logits, embedding, a) in enumerate(parts)
    ]


def frame_before(network: VideoNetwork, output: VideoOutput, frames: Tensor) -> FrameOutput:
    """The per-frame output one frame before now: the one an output holds, or a forward of its own without gradient.

    Args:
        network: in the mode it should run in.
        output: of `frames`.
        frames: (B, T, 3, H, W), T at least 2.
    """
    if -1 in output.past:
        return output.past[-1]
    with torch.no_grad():
        return network.frame(frames[:, -2])


def fuse(
    network: VideoNetwork,
    now: FrameOutput,
    past: FrameOutput | None,
    motion: Motion | None,
    still: Tensor | None = None,
) -> Tensor:
    """Fused logits of a frame and one neighbour, however far away.

    Args:
        network: its temporal module is used.
        now, past: per-frame outputs; past None: there is no neighbour.
        motion: now → past.
        still: (B, 1, H, W) float L: w ← (1 − L)·w + L·z instead of validity, w being the neighbour's warped logits and
            z the frame's own (the published `tail_mask: sum`, where L may exceed 1). For score fusion only.
    """
    if network.past == 0 or past is None:
        return network.temporal.read(now, []).logits
    slot: Slot = network.temporal.advance(network.temporal.encode(past), now.features[1], motion)
    if still is not None:
        weight = torch.nn.functional.interpolate(still, slot["logits"].shape[-2:], mode="nearest-exact")
        slot = {**slot, "logits": (1 - weight) * slot["logits"] + weight * now.logits}
        slot["valid"] = slot["valid"] | (weight > 0)
    return network.temporal.read(now, [slot]).logits


def supervised_terms(
    network: VideoNetwork,
    clip: Clip,
    name: str,
    aux_weight: float,
    weights: Tensor | None = None,
    factor: float = 1.0,
    denominator: Denominator = "valid",
) -> tuple[VideoOutput, dict[str, Tensor]]:
    """Cross-entropy of "now" as term `name` and, if the head has auxiliary logits, `name`_aux.

    Further logits of the temporal module are supervised along with the fused ones: Σ wᵢ·CEᵢ / Σ wᵢ, the fused with 1.

    Args:
        network: in the mode it should run in.
        clip: with labels, true or pseudo.
        name: of the term.
        aux_weight: of the auxiliary logits' relative to it; 0: none.
        weights: (B, H, W) of the pixels.
        factor: of both terms.
        denominator: see `cross_entropy`.
    """

    def mean(logits: Tensor) -> Tensor:
        return enlarged_cross_entropy(network, logits, clip.labels_now, weights, denominator)

    output = run(network, clip.frames, clip.motion)
    loss, total = mean(output.logits), 1.0
    for logits, share in output.reading.also.values():
        loss, total = loss + share * mean(logits), total + share
    terms = {name: factor * (loss / total if total > 1 else loss)}
    if output.now.aux is not None and aux_weight > 0:
        terms[f"{name}_aux"] = factor * aux_weight * mean(output.now.aux)
    return output, terms


def enlarged_cross_entropy(
    network: VideoNetwork,
    logits: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    denominator: Denominator = "valid",
) -> Tensor:
    """`cross_entropy` of a network's logits, enlarged as that network's are deployed."""
    return cross_entropy(logits, labels, weights, denominator, network.align_corners)
