"""How good is a network on a video split: numbers, label-free ones where there are no labels, pictures to look at."""

import csv
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from crossfade.data.loading import Domain, frames_in_order
from crossfade.data.manifest import Video
from crossfade.device import device_name
from crossfade.errors import UserError
from crossfade.files import atomic_folder, read_json, write_json
from crossfade.gallery import Gallery, Strip, spread_evenly, write_clip
from crossfade.inference import frame_logits, labels_at, predict_frame
from crossfade.metrics.accuracy import ConfusionMatrix
from crossfade.metrics.consistency import Form, TemporalConsistency
from crossfade.metrics.label_free import LabelFreeScores
from crossfade.metrics.video_consistency import VideoConsistency
from crossfade.motion.field import Motion
from crossfade.speed import Speed, seconds_of_motion, seconds_to_decode
from crossfade.temporal.video_network import VideoNetwork

WARM_UP = 3
"""Frames left out of the timing."""
PUBLISHED: tuple[Form, ...] = ("vspw", "etc")
"""Published forms of the temporal consistency that are measured besides."""
DENSE = 0.25
"""Labelled frames further apart than this, in seconds, are not the consecutive ones that video consistency is about."""


@dataclass(frozen=True)
class Options:
    """What an evaluation keeps besides the numbers.

    Attributes:
        recipe: what to call the network in captions.
        reference: what to call the second network.
        strips: how many frames become strips.
        clip_frames: how many frames the side-by-side video gets.
        rate: frames per second of that video.
    """

    recipe: str = "prediction"
    reference: str = "source_only"
    strips: int = 4
    clip_frames: int = 24
    rate: float = 8.0


@dataclass(frozen=True)
class Evaluation:
    """The result.

    Attributes:
        metrics: what metrics/<pair>/<recipe>/seed-<n>.json holds; fractions in [0, 1], None where nothing was
            measured: miou, miou_over {either, all} (other readings, see `ConfusionMatrix.iou`), iou (by class name,
            None for a class the truth never shows), pixel_accuracy, temporal_consistency {value, vspw, etc, motion,
            pixels, agreement}, video_consistency {vc8, vc16, vec8, vec16, vec8_matrix, vec16_matrix, windows8,
            windows16} (None where fewer frames in a row are labelled; both readings of VEC, see `VideoConsistency`),
            label_free {entropy, neighbourhood_density}, frames_per_second {network, with_decoding, with_motion,
            with_both, device} (see `Speed`), frames (labelled ones), checkpoint {which, rule}; from scoring: network
            (its name), domain_gap {before, after}.
        confusion: (K, K) int64, row = truth, column = prediction.
        classes: names in order.
        strips: a few frames: frame, truth, reference, prediction.
        clip: frames of the side-by-side video.
        rate: its frames per second.
        features: arrays for features.npz: what the domain gap was measured on.
    """

    metrics: dict[str, Any]
    confusion: np.ndarray
    classes: tuple[str, ...]
    strips: list[Strip]
    clip: list[np.ndarray]
    rate: float
    features: Mapping[str, np.ndarray] = field(default_factory=dict)

    def per_class(self) -> list[dict[str, Any]]:
        """One row a class: name, iou, share of true pixels, share of predicted pixels."""
        total = max(int(self.confusion.sum()), 1)
        return [
            {
                "class": name,
                "iou": self.metrics["iou"][name],
                "true_share": float(self.confusion[k].sum()) / total,
                "predicted_share": float(self.confusion[:, k].sum()) / total,
            }
            for k, name in enumerate(self.classes)
        ]

    def save(self, folder: Path) -> None:
        """Write the tables, features.npz, strips/, panels/, side_by_side.mp4 and index.json; all of it or nothing."""
        with atomic_folder(folder) as temporary:
            rows = [[name, *map(int, row)] for name, row in zip(self.classes, self.confusion, strict=True)]
            _write_csv(temporary / "confusion.csv", [["truth \\ prediction", *self.classes], *rows])
            table = self.per_class()
            _write_csv(temporary / "classes.csv", [list(table[0]), *([*row.values()] for row in table)])
            index: list[dict[str, Any]] = []
            for k, strip in enumerate(self.strips):
                _write_image(temporary / "strips" / f"{k:02d}.png", strip.image())
                files = {}
                for caption, image in strip.panels.items():
                    files[caption] = f"panels/{k:02d}-{caption}.png"
                    _write_image(temporary / files[caption], image)
                index.append({"name": strip.name, "strip": f"strips/{k:02d}.png", "panels": files})
            if self.features:
                np.savez_compressed(temporary / "features.npz", **self.features)  # type: ignore[arg-type]
            if self.clip:
                write_clip(temporary / "side_by_side.mp4", self.clip, self.rate)
            write_json(temporary / "index.json", {"strips": index, "video": "side_by_side.mp4" if self.clip else None})


def evaluate(
    network: VideoNetwork,
    domain: Domain,
    *,
    checkpoint: Mapping[str, str],
    reference: VideoNetwork | None = None,
    device: torch.device | str = "cpu",
    options: Options | None = None,
) -> Evaluation:
    """Stream every video of the domain's splits through the network, in order, and score it.

    Accuracy is measured at the labels' own size (logits upsampled), temporal consistency on the grid of the motion,
    speed at batch one over reading and over the network alone.

    Args:
        network: what is evaluated; left in eval mode on `device`.
        domain: the evaluation side of a pair, with its splits set to the evaluation split.
        checkpoint: {"which": …, "rule": …}: which weights these are and by which rule they were chosen.
        reference: a second network, shown beside the first in strips and video (source-only).
        device: where to run.
        options: captions and amounts.

    Where no frame has a label, accuracy is None throughout and what needs no label is measured all the same.
    """
    options = options or Options()
    networks = [n.to(device).eval() for n in ([network] if reference is None else [network, reference])]
    space = domain.label_space
    videos = domain.manifest.split(*domain.splits)
    frames = [frame for video in videos for frame in video.frames]
    labelled = [k for k, frame in enumerate(frames) if frame.label is not None]
    gallery = Gallery(
        colours=space.colours,
        recipe=options.recipe,
        reference=None if reference is None else options.reference,
        picks=spread_evenly(labelled or range(len(frames)), options.strips),
        clip_frames=options.clip_frames,
        labelled=bool(labelled),
    )
    scores = _Scores(len(space.classes), [space.classes.index(name) for name in space.unscored])
    position = 0
    for video in videos:
        _evaluate_video(networks, domain, video, position, gallery, scores, device)
        position += len(video.frames)
    speed = Speed(scores.seconds_a_frame, seconds_to_decode(domain), seconds_of_motion(network, domain))
    timing = speed.rates() | {"device": device_name(device)}
    return Evaluation(
        metrics=scores.metrics(space.classes, _motion_name(domain), timing, checkpoint),
        confusion=scores.accuracy.counts.numpy(),
        classes=tuple(space.classes),
        strips=gallery.strips,
        clip=gallery.clip,
        rate=options.rate,
    )


class _Scores:
    """Everything counted while the videos stream by."""

    def __init__(self, num_classes: int, leave_out: list[int]) -> None:
        self.leave_out = leave_out
        self.accuracy = ConfusionMatrix(num_classes)
        self.consistency = TemporalConsistency(num_classes)
        self.published = {form: TemporalConsistency(num_classes, form) for form in PUBLISHED}
        self.video = VideoConsistency(num_classes)
        self.label_free = LabelFreeScores()
        self.frames = 0
        self.seconds: list[float] = []

    @property
    def seconds_a_frame(self) -> float:
        """What the network took, on average."""
        timed = self.seconds[WARM_UP if len(self.seconds) > 2 * WARM_UP else 0 :]
        return sum(timed) / len(timed)

    def metrics(
        self, classes: tuple[str, ...], motion: str | None, timing: Mapping[str, Any], checkpoint: Mapping[str, str]
    ) -> dict[str, Any]:
        """The metrics dictionary of `Evaluation`; `timing` is its frames_per_second."""
        measured = self.consistency.pixels > 0
        return {
            "miou": _number(self.accuracy.miou(leave_out=self.leave_out)),
            "miou_over": {
                "either": _number(self.accuracy.miou("either", self.leave_out)),
                "all": _number(self.accuracy.miou("all", self.leave_out)),
            },
            "iou": {name: _number(v) for name, v in zip(classes, self.accuracy.iou().tolist(), strict=True)},
            "pixel_accuracy": _number(self.accuracy.pixel_accuracy()),
            "temporal_consistency": {
                "value": _number(self.consistency.value()),
                "agreement": _number(self.consistency.agreement()),
                **{form: _number(metric.value()) for form, metric in self.published.items()},
                "motion": motion if measured else None,
                "pixels": self.consistency.pixels,
            },
            "video_consistency": {
                **{f"vc{window}": _number(self.video.vc(window)) for window in self.video.windows},
                **{f"vec{window}": _number(self.video.vec(window)) for window in self.video.windows},
                **{f"vec{window}_matrix": _number(self.video.vec(window, "matrix")) for window in self.video.windows},
                **{f"windows{window}": self.video.counted(window) for window in self.video.windows},
            },
            "label_free": {
                "entropy": _number(self.label_free.entropy()),
                "neighbourhood_density": _number(self.label_free.density()),
            },
            "frames_per_second": dict(timing),
            "frames": self.frames,
            "checkpoint": dict(checkpoint),
        }


def _evaluate_video(
    networks: list[VideoNetwork],
    domain: Domain,
    video: Video,
    first: int,
    gallery: Gallery,
    scores: _Scores,
    device: torch.device | str,
) -> None:
    """Stream one video; `first` is the position of its first frame in the whole evaluation."""
    streams = [network.stream() for network in networks]
    previous: torch.Tensor | None = None
    to_next = _motion_to_next(domain, video)
    for k, seen in enumerate(frames_in_order(domain, video)):
        native = domain.size if seen.label is None else (seen.label.shape[-2], seen.label.shape[-1])
        start = time.perf_counter()
        logits = frame_logits(streams[0], seen.frame, seen.motion, device)
        prediction = labels_at(logits, native, networks[0].align_corners).cpu()
        scores.seconds.append(time.perf_counter() - start)
        scores.label_free.update(logits)
        if k > 0 and seen.time - video.frames[k - 1].time > DENSE:
            scores.video.end_video()
        if seen.label is not None:
            scores.accuracy.update(prediction, seen.label.view_as(prediction))
            scores.frames += 1
        scores.video.update(prediction, None if seen.label is None else seen.label.view_as(prediction))
        on_grid = _resized(prediction, domain.size)
        if previous is not None and seen.motion is not None:
            scores.consistency.update(on_grid, previous, seen.motion)
        from_previous = next(to_next)
        if previous is not None and from_previous is not None:
            for metric in scores.published.values():
                metric.update(previous, on_grid, from_previous)
        previous = on_grid
        other = None
        if len(streams) > 1 and first + k <= gallery.last:
            other = predict_frame(streams[1], seen.frame, seen.motion, native, device)[0].cpu().numpy()
        if gallery.wants(first + k):
            image = (seen.frame[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            truth = None if seen.label is None else seen.label.reshape(native).numpy()
            name = f"{video.split}/{video.name}/{k}"
            gallery.add(first + k, name, image, truth, prediction[0].numpy(), other)
    scores.video.end_video()


def _motion_to_next(domain: Domain, video: Video) -> Iterator[Motion | None]:
    """Frame by frame the motion of the frame before to this one, which the published consistencies ask for."""
    archive = domain.archive(video)
    for k in range(len(video.frames)):
        if archive is None or (k - 1, k) not in archive.pairs:
            yield None
        else:
            flow, valid = archive.read(k - 1, k)
            yield Motion(torch.from_numpy(flow)[None], torch.from_numpy(valid)[None, None]).resized(domain.size)


def _resized(labels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(1, H, W) class ids on another grid, by nearest neighbour."""
    if labels.shape[-2:] == size:
        return labels
    return F.interpolate(labels[:, None].float(), size, mode="nearest-exact")[:, 0].long()


def _motion_name(domain: Domain) -> str | None:
    """The estimator that made the domain's motion."""
    return None if domain.motion is None else str(read_json(domain.motion / "index.json")["estimator"])


def _number(value: float) -> float | None:
    """None for nan: JSON has no nan."""
    return round(value, 6) if math.isfinite(value) else None


def _write_csv(path: Path, rows: list[list[Any]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
        raise UserError(f"cannot write {path}: is there space on the disk?")
