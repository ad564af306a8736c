"""Batches of clips in a reproducible order: what step s of rank r reads is a function of (seed, s, r)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from crossfade.data.clip import Clip
from crossfade.data.loading import ClipDataset
from crossfade.errors import UserError
from crossfade.motion.field import Motion


def collate(clips: Sequence[Clip]) -> Clip:
    """Clips of one item each → one batch."""
    first = clips[0]
    return Clip(
        frames=torch.cat([clip.frames for clip in clips]),
        labels=None if first.labels is None else torch.cat([clip.labels for clip in clips if clip.labels is not None]),
        motion={
            key: Motion(
                torch.cat([clip.motion[key].flow for clip in clips]),
                torch.cat([clip.motion[key].valid for clip in clips]),
            )
            for key in first.motion
        },
        names=tuple(name for clip in clips for name in clip.names),
    )


@dataclass(frozen=True)
class StepSampler(Sampler[list[int]]):
    """The indices of every step from `first_step` on: a pure function of (seed, stream, step, rank, world).

    Epoch by epoch, each a fresh permutation; no clip comes twice in an epoch. With `weights` (one a clip) every clip is
    drawn by itself instead, in proportion to them. Resuming is starting at a later step. Two data sets that are read
    together need different streams, or clip i of one would always meet clip i of the other.
    """

    length: int
    batch: int
    seed: int
    first_step: int = 0
    rank: int = 0
    world: int = 1
    stream: int = 0
    weights: np.ndarray | None = field(default=None, compare=False)

    def __iter__(self) -> Iterator[list[int]]:
        """Endless."""
        step = self.first_step
        while True:
            start = (step * self.world + self.rank) * self.batch
            yield [self._at(start + k) for k in range(self.batch)]
            step += 1

    @cached_property
    def _reached(self) -> np.ndarray:
        """Where each clip's share of the weights ends."""
        assert self.weights is not None
        return np.cumsum(self.weights)

    def _at(self, position: int) -> int:
        if self.weights is not None:
            reached = self._reached
            chance = np.random.default_rng([self.seed, self.stream, position]).random()
            return int(np.searchsorted(reached, chance * reached[-1], side="right"))
        epoch, place = divmod(position, self.length)
        return int(_permutation(self.length, (self.seed, self.stream), epoch)[place])


_PERMUTATIONS: dict[tuple[int, tuple[int, int]], tuple[int, np.ndarray]] = {}


def _permutation(length: int, seed: tuple[int, int], epoch: int) -> np.ndarray:
    """The epoch's permutation; the last one of each (length, (seed, stream)) is kept."""
    held = _PERMUTATIONS.get((length, seed))
    if held is None or held[0] != epoch:
        number, stream = seed
        held = (epoch, np.random.default_rng([number, epoch, length, stream]).permutation(length))
        _PERMUTATIONS[length, seed] = held
    return held[1]


def batches(
    dataset: ClipDataset,
    batch: int,
    seed: int,
    first_step: int = 0,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    stream: int = 0,
    weights: np.ndarray | None = None,
) -> Iterator[Clip]:
    """Endless batches from step `first_step` on.

    Args:
        dataset: what to read.
        batch: clips a step and rank.
        seed: of the order.
        first_step: where to start; the batches of later steps are the same whatever it is.
        rank, world: this process, and how many there are.
        workers: processes that read ahead; changes nothing but speed.
        stream: another order for the same seed.
        weights: (N,), how likely each clip is drawn; None: each once an epoch.
    """
    sampler = StepSampler(len(dataset), batch, seed, first_step, rank, world, stream, weights)
    loader = DataLoader(
        _Carried(dataset),
        batch_sampler=sampler,
        collate_fn=_collated,
        num_workers=workers,
        worker_init_fn=_quiet_worker if workers else None,
        # A forked child of a process that runs threads (OpenMP, OpenCV, tracking) may wait for ever on their locks.
        multiprocessing_context="spawn" if workers else None,
        generator=torch.Generator().manual_seed(seed),
    )
    for read in loader:
        if isinstance(read, Exception):
            raise read
        yield read


@dataclass(frozen=True)
class _Carried(Dataset[Clip | Exception]):
    """A data set whose errors come back from a process that reads ahead as they are, not in the text of a traceback."""

    dataset: ClipDataset

    def __getitem__(self, index: int) -> Clip | Exception:
        try:
            return self.dataset[index]
        except (UserError, OSError) as error:
            return error


def _collated(read: Sequence[Clip | Exception]) -> Clip | Exception:
    clips = [clip for clip in read if isinstance(clip, Clip)]
    return collate(clips) if len(clips) == len(read) else next(e for e in read if isinstance(e, Exception))


def _quiet_worker(_: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
