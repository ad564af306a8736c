"""A bank of patches of rare classes, filled from the source batches as they come.

STCL's code draws long-tail patches from an index file over the whole source set. The bank needs no file, works for any
data set, and holds the frames as the method saw them (after mirror and zoom); it knows only what has been seen so far.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from crossfade.errors import unknown_name


def class_ids(names: Sequence[str], class_names: Sequence[str], key: str) -> list[int]:
    """Class ids by name.

    Args:
        names: as a parameter lists them.
        class_names: all classes in order.
        key: of that parameter.

    Raises:
        UserError: there is no such class.
    """
    for name in names:
        if name not in class_names:
            raise unknown_name(f"class in {key}", name, class_names)
    return [class_names.index(name) for name in names]


class LongTailBank:
    """For each rare class, the newest source frames that show it.

    A class is rare if it is listed, or, with no list, if its share of all source pixels so far lies below `below`.
    """

    def __init__(
        self,
        num_classes: int,
        listed: Sequence[int],
        below: float,
        capacity: int,
        min_pixels: int,
        batch_entries: int = 1,
    ) -> None:
        """Args: `capacity` frames a class; `min_pixels` of it in a frame; `batch_entries` new ones a step and class."""
        self.num_classes, self.listed, self.below = num_classes, tuple(listed), below
        self.capacity, self.min_pixels, self.batch_entries = capacity, min_pixels, batch_entries
        self.counts = torch.zeros(num_classes, dtype=torch.float64)
        self.patches: dict[int, list[tuple[Tensor, Tensor]]] = {}

    def tail(self) -> Tensor:
        """(K,) bool: the rare classes."""
        rare = torch.zeros(self.num_classes, dtype=torch.bool)
        if self.listed:
            rare[list(self.listed)] = True
            return rare
        return (self.counts > 0) & (self.counts < self.below * self.counts.sum())

    @torch.no_grad()
    def update(self, images: Tensor, labels: Tensor) -> None:
        """Count the classes of a source batch and keep its rare ones.

        Args:
            images: (B, 3, H, W) in [0, 1]; kept as bytes.
            labels: (B, H, W) int64.
        """
        flat = labels.flatten(1)
        counts = torch.stack([torch.bincount(row, minlength=256)[: self.num_classes] for row in flat]).cpu()
        self.counts += counts.sum(0).double()
        for k in torch.nonzero(self.tail()).flatten().tolist():
            shows = torch.nonzero(counts[:, k] >= self.min_pixels).flatten()
            for b in shows[torch.randperm(len(shows))[: self.batch_entries]].tolist():
                image = (images[b].clamp(0, 1) * 255).round().to(torch.uint8).cpu()
                ring = self.patches.setdefault(k, [])
                ring.append((image, (labels[b] == k).cpu()))
                del ring[: -self.capacity]

    def draw(self, batch: int, count: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Random patches, each sample its own classes, without replacement.

        Returns:
            `count` entries (fewer if fewer classes are known): images (B, 3, H, W) in [0, 1], masks (B, H, W) bool,
            class ids (B,).
        """
        tail = self.tail()
        known = [k for k in sorted(self.patches) if tail[k]]
        count = min(count, len(known))
        picks = [torch.randperm(len(known))[:count].sort().values.tolist() for _ in range(batch)]
        drawn = []
        for place in range(count):
            classes = [known[pick[place]] for pick in picks]
            entries = [self.patches[k][int(torch.randint(len(self.patches[k]), ()))] for k in classes]
            images = torch.stack([image for image, _ in entries]).float() / 255
            drawn.append((images, torch.stack([mask for _, mask in entries]), torch.tensor(classes)))
        return drawn

    def state_dict(self) -> dict[str, Any]:
        """Counts and patches."""
        return {
            "counts": self.counts.clone(),
            "patches": {
                k: {"images": torch.stack([i for i, _ in ring]), "masks": torch.stack([m for _, m in ring])}
                for k, ring in self.patches.items()
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.counts = state["counts"].cpu().clone()
        self.patches = {
            int(k): list(zip(ring["images"].cpu().unbind(), ring["masks"].cpu().unbind(), strict=True))
            for k, ring in state["patches"].items()
        }
