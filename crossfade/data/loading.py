"""Reading: one side of a pair as a data set of short clips, or whole videos."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from crossfade.data.clip import IGNORE, Clip
from crossfade.data.labels import LabelSpace
from crossfade.data.manifest import Manifest, Video, read_image, read_label
from crossfade.errors import UserError
from crossfade.motion.field import Motion
from crossfade.motion.store import MotionArchive, check_fits

CACHE_BYTES = 1 << 30
"""A data set that takes no more than this once it is decoded, labels too, is kept in memory by each process."""

STRETCHED = 1.4
"""Of `stretch`; 16:9 as 4:3 is 1.33."""


@dataclass(frozen=True)
class Domain:
    """One side of a pair, ready to read.

    Attributes:
        manifest: the data set.
        motion: the folder of its motion archives, or None.
        label_space: what its labels are mapped to.
        size: (H, W) networks work at.
        splits: which splits are read.
        shards: a folder with copies of frames and labels at `size`, read where it has them (crossfade/data/shards.py).
    """

    manifest: Manifest
    motion: Path | None
    label_space: LabelSpace
    size: tuple[int, int]
    splits: tuple[str, ...]
    shards: Path | None = None

    @property
    def videos(self) -> tuple[Video, ...]:
        """The videos of the splits."""
        return self.manifest.split(*self.splits)

    def archive(self, video: Video) -> MotionArchive | None:
        """The video's motion, or None if the domain has none."""
        if self.motion is None:
            return None
        archive = MotionArchive(self.motion / video.split / f"{video.name}.motion")
        check_fits(archive, video)
        return archive

    def image(self, video: Video, k: int) -> np.ndarray:
        """Frame `k` of a video at the domain's size, (h, w, 3) uint8 RGB."""
        shard = self._shard(video, f"{k:06d}.png")
        if shard is not None:
            return read_image(*shard)
        (h, w), (height, width) = self.size, video.size
        shrink = next((s for s in (8, 4, 2) if s * h <= height and s * w <= width), 1)
        return resize_frame(self.manifest.image(video.frames[k].image, shrink), self.size)

    def label(self, ref: str) -> np.ndarray:
        """(H, W) uint8 class ids of the label space at the label's own size."""
        return self._mapped(self.manifest.label(ref), ref)

    def label_of(self, video: Video, k: int) -> np.ndarray:
        """Class ids of frame `k` of a video, which is labelled, at the domain's size, (h, w) uint8."""
        ref, shard = video.frames[k].label, self._shard(video, f"{k:06d}-label.png")
        assert ref is not None
        # Mapping what is left after resizing gives the same and has less to do.
        raw = resize_labels(self.manifest.label(ref), self.size) if shard is None else read_label(*shard)
        return self._mapped(raw, ref)

    def without_shards(self) -> "Domain":
        """The same, read from the data set itself."""
        return replace(self, shards=None)

    def _mapped(self, raw: np.ndarray, ref: str) -> np.ndarray:
        mapped = self.label_space.map(raw, self.manifest.labels, str(self.manifest.root / ref))
        if self.manifest.ego_mask is not None:
            size = (raw.shape[0], raw.shape[1])
            mask = resize_labels(read_label(self.manifest.root, self.manifest.ego_mask), size)
            mapped = np.where(mask > 0, np.uint8(IGNORE), mapped)
        return mapped

    def _shard(self, video: Video, member: str) -> tuple[Path, str] | None:
        """Root and ref of a member of the video's shard, if the video has one."""
        archive = shard_of(video)
        if self.shards is None or not (self.shards / archive).is_file():
            return None
        return self.shards, f"{archive}!{member}"


def shard_of(video: Video) -> str:
    """The archive with a video's frames and labels at the domain's size, relative to the folder of shards."""
    return f"{video.split}/{video.name}.zip"


def resize_frame(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 at another size; shrinks by area averaging."""
    h, w = size
    if image.shape[:2] == size:
        return image
    shrinks = image.shape[0] >= h and image.shape[1] >= w
    return cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def stretch(shape: tuple[int, int], size: tuple[int, int]) -> float:
    """By how much the shape of (H, W) frames changes at another size, ≥ 1; above `STRETCHED` a person should know."""
    ratio = (size[1] / size[0]) / (shape[1] / shape[0])
    return max(ratio, 1 / ratio)


def frame_to_tensor(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, Tensor]:
    """(H, W, 3) uint8 RGB → the image at `size`, as `resize_frame`, and (1, 3, h, w) float32 in [0, 1]."""
    image = resize_frame(image, size)
    return image, torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def resize_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8 class ids at another size, by nearest neighbour at pixel centres."""
    h, w = size
    if labels.shape == size:
        return labels
    rows = ((np.arange(h) + 0.5) * labels.shape[0] / h).astype(np.int64)
    columns = ((np.arange(w) + 0.5) * labels.shape[1] / w).astype(np.int64)
    return labels[rows[:, None], columns[None, :]]


class ClipDataset(Dataset[Clip]):
    """Short clips around the frames of a domain ("now"); a neighbour that is missing or too far in time is stood in.

    With `labels` only frames that have a label are "now". Without, no label file is ever opened. Of a video in which
    some frames have all their neighbours, only those are "now"; of one in which none has, all are, and the frame
    furthest back that can be reached stands in for those before it (in the end "now" itself).
    """

    def __init__(
        self,
        domain: Domain,
        offsets: Sequence[int] = (0,),
        motion: Sequence[tuple[int, int]] = (),
        labels: bool = False,
    ) -> None:
        """Index the domain.

        Args:
            domain: what to read.
            offsets: frames relative to now, oldest first, the last one 0.
            motion: pairs of positions in the clip (i, j) for which motion i→j is read.
            labels: whether labels are read.

        Raises:
            UserError: nothing to read.
        """
        self.domain = domain
        self.offsets, self.pairs, self.labels = tuple(offsets), tuple(motion), labels
        self.videos = domain.videos
        decoded = sum(len(v.frames) for v in self.videos) * domain.size[0] * domain.size[1] * (3 + labels)
        self._reader = _Reader(domain, decoded <= CACHE_BYTES)
        self.items = [(v, k) for v in range(len(self.videos)) for k in self._nows(v)]
        if not self.items:
            what = "labelled frame" if labels else "frame"
            raise UserError(f"data set '{domain.manifest.data_set}' has no {what} in {'+'.join(domain.splits)}")

    def _nows(self, v: int) -> list[int]:
        """The frames of a video that are "now" in some clip."""
        video = self.videos[v]
        usable = [k for k, frame in enumerate(video.frames) if frame.label is not None or not self.labels]
        if self.offsets == (0,):
            return usable
        known = self._reader.known(v)
        whole = [k for k in usable if all(self._reachable(k + o, k, known, video) for o in self.offsets)]
        return whole or usable

    def __len__(self) -> int:
        """How many clips there are."""
        return len(self.items)

    def __getitem__(self, index: int) -> Clip:
        """The clip whose "now" is item `index`, as a batch of one."""
        v, now = self.items[index]
        video = self.videos[v]
        frames = self._frames(v, now)
        images = torch.cat([self._reader.image(v, k) for k in frames])
        labels = torch.stack([self._reader.label(v, k) for k in frames])[None] if self.labels else None
        motion = {(i, j): self._reader.motion(v, frames[i], frames[j]) for i, j in self.pairs}
        name = f"{video.split}/{video.name}/{now}"
        return Clip(images[None].float().div_(255), labels, motion, (name,))

    def class_counts(self) -> np.ndarray:
        """(N, K) pixels of each class in each clip's "now" at the domain's size; every label image is read.

        Raises:
            ValueError: no labels are read here.
        """
        if not self.labels:
            raise ValueError("an unlabelled side has no class counts")
        classes = len(self.domain.label_space.classes)
        labels = (self._reader.label(v, now).flatten() for v, now in self.items)
        return np.stack([torch.bincount(one, minlength=256)[:classes].numpy() for one in labels])

    def _frames(self, v: int, now: int) -> list[int]:
        """The frames of the clip around `now`, oldest first."""
        video, known = self.videos[v], self._reader.known(v)
        back = [frame for frame in range(now + min(self.offsets), now + 1) if self._reachable(frame, now, known, video)]
        return [min(frame for frame in back if frame >= now + offset) for offset in self.offsets]

    def _reachable(self, frame: int, now: int, known: frozenset[tuple[int, int]], video: Video) -> bool:
        """A neighbour counts if the video has it and motion leads to it, at one stride or step by step."""
        if not 0 <= frame < len(video.frames):
            return False
        if frame == now or not self.pairs:
            return True
        steps = range(frame, now) if frame < now else range(now, frame)
        return (now, frame) in known or all((k + 1, k) in known or (k, k + 1) in known for k in steps)


class _Reader:
    """Reads frames, labels and motion of a domain at its size; keeps them if they are few."""

    def __init__(self, domain: Domain, keep: bool) -> None:
        self.domain, self.keep = domain, keep
        self.images: dict[tuple[int, int], Tensor] = {}
        self.label_maps: dict[tuple[int, int], Tensor] = {}
        self.archives: dict[int, MotionArchive | None] = {}

    def __getstate__(self) -> dict[str, Any]:
        """What a worker process gets: it reads for itself, keeps nothing, and nothing read here is sent along."""
        return self.__dict__ | {"keep": False, "images": {}, "label_maps": {}, "archives": {}}

    @cached_property
    def _videos(self) -> tuple[Video, ...]:
        return self.domain.videos

    def known(self, v: int) -> frozenset[tuple[int, int]]:
        """The pairs of frames of a video whose motion is known."""
        archive = self._archive(v)
        return frozenset() if archive is None else frozenset(archive.pairs)

    def image(self, v: int, k: int) -> Tensor:
        """(1, 3, H, W) uint8."""
        if (v, k) in self.images:
            return self.images[v, k]
        tensor = torch.from_numpy(self.domain.image(self._videos[v], k)).permute(2, 0, 1)[None].contiguous()
        if self.keep:
            self.images[v, k] = tensor
        return tensor

    def label(self, v: int, k: int) -> Tensor:
        """(H, W) int64; all ignored where the frame is not labelled."""
        if (v, k) in self.label_maps:
            return self.label_maps[v, k].long()
        if self._videos[v].frames[k].label is None:
            return torch.full(self.domain.size, IGNORE)
        tensor = torch.from_numpy(self.domain.label_of(self._videos[v], k).copy())
        if self.keep:
            self.label_maps[v, k] = tensor
        return tensor.long()

    def motion(self, v: int, i: int, j: int) -> Motion:
        """Motion of frame i to frame j at the domain's size; zero and nowhere valid where unknown."""
        archive = self._archive(v)
        if archive is None or (i, j) not in archive.pairs:
            h, w = self.domain.size
            return Motion(torch.zeros(1, 2, h, w), torch.zeros(1, 1, h, w, dtype=torch.bool))
        with archive:
            flow, valid = archive.read(i, j)
        return Motion(torch.from_numpy(flow)[None], torch.from_numpy(valid)[None, None]).resized(self.domain.size)

    def _archive(self, v: int) -> MotionArchive | None:
        """The video's motion, its file closed: there may be more videos than a process may have open files."""
        if v not in self.archives:
            archive = self.domain.archive(self._videos[v])
            if archive is not None:
                archive.close()
            self.archives[v] = archive
        return self.archives[v]


@dataclass(frozen=True)
class Seen:
    """One frame on the way through a video.

    Attributes:
        frame: (1, 3, H, W) float32 RGB in [0, 1] at the domain's size.
        label: (1, h, w) int64 at its own size, or None.
        motion: now → the frame before at the domain's size, or None where unknown.
        time: seconds.
    """

    frame: Tensor
    label: Tensor | None
    motion: Motion | None
    time: float = field(default=0.0)


def frames_in_order(domain: Domain, video: Video) -> Iterator[Seen]:
    """Every frame of a video, one at a time, with its label (where known) and its motion to the one before."""
    archive = domain.archive(video)
    for k, frame in enumerate(video.frames):
        _, tensor = frame_to_tensor(domain.image(video, k), domain.size)
        label = None if frame.label is None else torch.from_numpy(domain.label(frame.label).astype(np.int64))[None]
        motion = None
        if archive is not None and (k, k - 1) in archive.pairs:
            flow, valid = archive.read(k, k - 1)
            motion = Motion(torch.from_numpy(flow)[None], torch.from_numpy(valid)[None, None]).resized(domain.size)
        yield Seen(tensor, label, motion, frame.time)
