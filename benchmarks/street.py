"""The renderer: frames per second of one core with everything (picture, labels, depth, motion both ways, validity)."""

import time
from typing import Any, Literal

from crossfade.data.street.render import render_video

FRAMES = 12


def rows() -> list[dict[str, Any]]:
    """One row a look and size."""
    looks: tuple[Literal["plain", "camera"], ...] = ("plain", "camera")
    return [_row(look, size) for look in looks for size in ((128, 256), (192, 256))]


def _row(look: Literal["plain", "camera"], size: tuple[int, int]) -> dict[str, Any]:
    start = time.process_time()
    frames = sum(1 for _ in render_video(3, look, FRAMES, size, 12.0, (1,)))
    seconds = time.process_time() - start
    return {
        "what": f"{look} {size[1]}x{size[0]}, one core, scene included",
        "value": frames / seconds,
        "unit": "frames/s",
        "against": "the 8 frames/s asked for at 256x128",
        "ratio": frames / seconds / 8.0,
    }
