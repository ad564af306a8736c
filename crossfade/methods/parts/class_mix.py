"""ClassMix across domains: some of the source's classes pasted onto the target (Olsson et al. and DACS, WACV 2021)."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from crossfade.data.augment import PhotometricParameters, photometric_frames
from crossfade.data.clip import Clip
from crossfade.methods.parts.unroll import supervised_terms
from crossfade.objectives.mixing import Layer, Mixed, class_mask, compose, pick_classes, present_classes
from crossfade.temporal.video_network import VideoNetwork


def class_mix(
    source: Clip,
    target: Clip,
    pseudo: Tensor,
    weight: Tensor,
    classes: int | Literal["half"],
    num_classes: int,
    true_weight: Callable[[Tensor], Tensor | None],
) -> Mixed:
    """Paste source classes onto target clips, one set of classes for all frames of a clip.

    Args:
        source: labelled.
        target: as many frames, of the same size.
        pseudo: (B, H, W) int64 pseudo labels of the target's "now"; older frames are just pixels.
        weight: (B, H, W) weights of these.
        classes: how many source classes are pasted; "half" of those in the frame.
        num_classes: K.
        true_weight: weights of pixels with true labels.
    """
    assert source.labels is not None
    picked = pick_classes(present_classes(source.labels[:, -1], num_classes), classes)
    mask, labels = class_mask(source.labels, picked), pseudo[:, None].expand_as(source.labels)
    patch = Layer(source.frames, source.labels, mask, source.motion, true_weight(source.labels))
    everywhere = torch.ones_like(patch.mask)
    base = Layer(target.frames, labels, everywhere, target.motion, weight[:, None].expand_as(labels))
    return compose(base, [patch])


def mixed_terms(
    network: VideoNetwork,
    mixed: Mixed,
    names: tuple[str, ...],
    name: str,
    colours: PhotometricParameters,
    aux_weight: float,
    factor: float,
) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
    """Cross-entropy of mixed frames under strong colour changes, and what was shown: frames and labels, for a figure.

    Args:
        network: in the mode it should run in.
        mixed: with the weights of its pixels.
        names: of the clips.
        name: of the term, see `supervised_terms`; `aux_weight` and `factor` too.
        colours: how strong they are.
        aux_weight: of the auxiliary logits.
        factor: of the terms.
    """
    frames = photometric_frames(mixed.frames, colours)
    clip = Clip(frames, mixed.labels, mixed.motion, names)
    _, terms = supervised_terms(network, clip, name, aux_weight, mixed.weight[:, -1], factor)
    return terms, (frames, mixed.labels)
