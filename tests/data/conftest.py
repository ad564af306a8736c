"""A tiny data set on disk: two videos of moving blocks with labels and motion."""

import zlib

import cv2
import numpy as np
import pytest

from crossfade.data.labels import load_label_space
from crossfade.data.loading import Domain
from crossfade.data.manifest import Frame, Manifest, Video
from crossfade.motion.store import MotionWriter

SIZE = (24, 32)


def write_video(root, split, name, frames=5, gap_after=None):
    """A 3-pixel-a-frame pan; motion between neighbours except across `gap_after`."""
    rng = np.random.default_rng(zlib.crc32(f"{split}/{name}".encode()))
    wide = rng.integers(0, 255, (SIZE[0], SIZE[1] + 3 * frames, 3), dtype=np.uint8)
    ids = np.repeat(rng.integers(0, 19, (SIZE[0] // 8, 8), dtype=np.uint8), 8, 0).repeat(8, 1)[:, : wide.shape[1]]
    listed = []
    (root / split / name).mkdir(parents=True, exist_ok=True)
    with MotionWriter(root / "motion" / split / f"{name}.motion", SIZE, name, frames) as writer:
        for k in range(frames):
            image, label = f"{split}/{name}/{k}.png", f"{split}/{name}/{k}_label.png"
            cv2.imwrite(str(root / image), wide[:, 3 * k : 3 * k + SIZE[1], ::-1])
            cv2.imwrite(str(root / label), ids[:, 3 * k : 3 * k + SIZE[1]])
            time = k / 12 + (1.0 if gap_after is not None and k > gap_after else 0.0)
            listed.append(Frame(image, label, time))
            for past in (1, 2):
                if k >= past and not (gap_after is not None and k - past <= gap_after < k):
                    flow = np.zeros((2, *SIZE), np.float32)
                    flow[0] = 3 * past
                    valid = np.ones(SIZE, bool)
                    valid[:, -3 * past :] = False
                    writer.add(k, k - past, flow, valid)
    return Video(name, split, SIZE, tuple(listed))


@pytest.fixture
def tiny(tmp_path):
    videos = [write_video(tmp_path, "train", "a"), write_video(tmp_path, "train", "b", gap_after=2)]
    videos.append(write_video(tmp_path, "val", "c"))
    manifest = Manifest("tiny", "cityscapes19", tmp_path, tuple(videos))
    manifest.save(tmp_path)
    return Manifest.load(tmp_path)


@pytest.fixture
def domain(tiny):
    return Domain(tiny, tiny.root / "motion", load_label_space("camvid11"), SIZE, ("train",))
