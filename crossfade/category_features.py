"""Category features of a network on a domain: one vector a class and frame."""

import numpy as np
import torch

from crossfade.data.loading import Domain, frame_to_tensor, resize_labels
from crossfade.gallery import spread_evenly
from crossfade.metrics.domain_gap import FOLDS, CategoryFeatures
from crossfade.objectives.alignment import class_centroids
from crossfade.temporal.video_network import VideoNetwork

FRAMES = 48
"""Frames a side; two networks looking at them take seconds."""
MIN_PIXELS = 4
"""Of the embedding's grid: a class with fewer in a frame has no vector there."""


@torch.inference_mode()
def category_features(
    network: VideoNetwork, domain: Domain, labels: bool, device: torch.device | str = "cpu", frames: int = FRAMES
) -> CategoryFeatures:
    """Mean embedding of each class over a few frames, spread evenly over the domain's splits.

    Args:
        network: in eval mode, on `device`; its per-frame part is looked at.
        domain: one side of a pair.
        labels: classes are the true ones (frames without labels are passed over), or what the network itself says (no
            label is read).
        device: where the network lives.
        frames: how many at most.
    """
    known = [
        (number, frame)
        for number, video in enumerate(domain.videos)
        for frame in video.frames
        if frame.label is not None or not labels
    ]
    vectors, classes, groups = [np.zeros((0, 0), np.float32)], [np.zeros(0, np.int64)], []
    chosen = [known[place] for place in sorted(spread_evenly(range(len(known)), frames))]
    few = len({video for video, _ in chosen}) < FOLDS
    for place, (video, frame) in enumerate(chosen):
        group = place * FOLDS // len(chosen) if few else video
        _, image = frame_to_tensor(domain.manifest.image(frame.image), domain.size)
        output = network.frame(image.to(device))
        grid = (output.embedding.shape[-2], output.embedding.shape[-1])
        if labels:
            assert frame.label is not None
            ids = torch.from_numpy(resize_labels(domain.label(frame.label), grid).astype(np.int64))[None].to(device)
        else:
            ids = network.enlarged(output.logits, grid).argmax(1)
        means, present = class_centroids(output.embedding, ids, network.frame.num_classes, min_pixels=MIN_PIXELS)
        vectors.append(means[present].cpu().numpy())
        classes.append(present.nonzero().flatten().cpu().numpy())
        groups += [group] * int(present.sum())
    return CategoryFeatures(np.concatenate(vectors[1:] or vectors), np.concatenate(classes), np.array(groups, np.int64))
