"""Shards: a copy of a domain's frames and labels at the network's size, one archive a video.

For disks that are slow with large or many files: write them once to a fast one (`crossfade shards PAIR FOLDER`), then
name the folder in CROSSFADE_SHARDS. Frames are kept without loss, so that a training reads bit for bit what it would
have read from the data set; a video that has no shard is read from there. A shard belongs to the data set's content
and the size, so that a stale one is never read.
"""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from crossfade.data.excerpts import png, write_archive
from crossfade.data.loading import Domain, resize_labels, shard_of
from crossfade.data.manifest import Video
from crossfade.errors import UserError
from crossfade.files import writing

BYTES_A_PIXEL = 2.0
"""Of a frame as PNG with its label, rather too many than too few."""


def shards_folder(shards: Path, content: str, size: tuple[int, int]) -> Path:
    """Where the shards of a data set at a size lie; `content` is the hash of what the data set holds."""
    return shards / f"{content[:16]}-{size[0]}x{size[1]}"


def write_shards(domain: Domain, folder: Path, workers: int = 1) -> Iterator[tuple[Video, bool]]:
    """Write the shards of a domain's splits; those that are there are left as they are.

    Args:
        domain: read from its data set, whatever shards it has.
        folder: of the data set and size, see `shards_folder`.
        workers: threads (decoding and compressing let go of Python's lock).

    Yields:
        Each video, and whether its shard was written now.

    Raises:
        UserError: a frame cannot be read, or there is no room for frames of this size.
    """
    height, width = domain.size
    missing = [video for video in domain.videos if not (folder / shard_of(video)).is_file()]
    needed = int(sum(len(video.frames) for video in missing) * height * width * BYTES_A_PIXEL)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"shards of {len(missing)} videos take about {needed / 1e9:.1f} GB, but {folder} has {free / 1e9:.1f} GB: "
            "make room, or choose another folder"
        )
    original = domain.without_shards()

    def write(video: Video) -> tuple[Video, bool]:
        path = folder / shard_of(video)
        if path.is_file():
            return video, False
        path.parent.mkdir(parents=True, exist_ok=True)
        write_archive(path, members(video))
        return video, True

    def members(video: Video) -> Iterator[tuple[str, bytes]]:
        for k, frame in enumerate(video.frames):
            yield f"{k:06d}.png", png(np.ascontiguousarray(original.image(video, k)[..., ::-1]))
            if frame.label is not None:
                yield f"{k:06d}-label.png", png(resize_labels(original.manifest.label(frame.label), domain.size))

    with ThreadPoolExecutor(max(1, workers)) as pool:
        yield from pool.map(write, domain.videos)
