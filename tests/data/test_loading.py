"""Clips, neighbours, order; labels stay unread where they must."""

import gc
import tracemalloc
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from crossfade.data import loading
from crossfade.data.batches import StepSampler, batches, collate
from crossfade.data.loading import ClipDataset, frames_in_order
from crossfade.data.manifest import Frame, Reading, Video
from crossfade.errors import UserError

PAIR = {"offsets": (-1, 0), "motion": ((1, 0),)}


def test_a_clip_holds_frames_labels_and_motion(domain):
    clip = ClipDataset(domain, **PAIR, labels=True)[2]
    assert clip.names == ("train/a/3",)
    assert clip.frames.shape == (1, 2, 3, 24, 32)
    assert clip.labels.shape == (1, 2, 24, 32)
    motion = clip.motion[1, 0]
    assert torch.allclose(motion.flow[:, 0], torch.tensor(3.0), atol=1 / 64)
    moved = clip.frames[:, 0, :, :, 3:]
    assert torch.equal(moved, clip.frames[:, 1, :, :, :-3])


def test_now_is_where_all_neighbours_are(domain):
    """Not the first frame of a video, nor the first after a gap in time."""
    dataset = ClipDataset(domain, **PAIR)
    names = [dataset[k].names[0] for k in range(len(dataset))]
    assert names == [f"train/a/{k}" for k in (1, 2, 3, 4)] + [f"train/b/{k}" for k in (1, 2, 4)]
    assert all(dataset[k].motion[1, 0].valid.any() for k in range(len(dataset)))
    assert len(ClipDataset(domain)) == 10  # who looks at single frames sees them all


def test_without_neighbours_a_frame_stands_in_for_itself(domain):
    """As CamVid's frames, a second apart; the motion is zero and nowhere valid."""
    wide = {"offsets": (-4, 0), "motion": ((1, 0),)}
    dataset = ClipDataset(domain, **wide)
    assert len(dataset) == 1 + 5  # in the video with a gap no frame reaches four frames back
    clip = dataset[4]
    assert clip.names == ("train/b/3",)  # after the gap
    assert torch.equal(clip.frames[:, 0], clip.frames[:, 1])
    assert not clip.motion[1, 0].valid.any()
    assert not clip.motion[1, 0].flow.any()


def test_in_a_video_too_short_for_the_memory_the_frame_furthest_back_stands_in(domain):
    short = replace(domain, manifest=replace(domain.manifest, videos=(domain.manifest.videos[0],)))
    frames = ClipDataset(short)
    clips = ClipDataset(short, offsets=(-6, -2, -1, 0))
    assert len(clips) == 5
    for now in range(5):
        expected = [max(0, now + offset) for offset in (-6, -2, -1, 0)]
        assert torch.equal(clips[now].frames[0], torch.cat([frames[k].frames[0] for k in expected]))


def test_no_more_files_are_open_than_are_read(domain):
    dataset = ClipDataset(domain, **PAIR)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for k in range(len(dataset)):
        _ = dataset[k]
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_two_streams_of_one_seed_are_two_orders():
    first, second = ([k for b in islice(StepSampler(12, 4, seed=3, stream=s), 9) for k in b] for s in (0, 1))
    assert sum(a == b for a, b in zip(first, second, strict=True)) < 12


def test_unlabelled_reading_opens_no_label_file(domain):
    for path in domain.manifest.root.rglob("*_label.png"):
        path.write_bytes(b"not an image")
    clip = ClipDataset(domain, **PAIR)[2]
    assert clip.labels is None
    with pytest.raises(UserError, match="label"):
        ClipDataset(domain, **PAIR, labels=True)[2]


def test_resizing_scales_motion_by_both_ratios(domain):
    half = replace(domain, size=(12, 16))
    clip = ClipDataset(half, **PAIR, labels=True)[2]
    assert torch.allclose(clip.motion[1, 0].flow[:, 0], torch.tensor(1.5), atol=1 / 64)
    assert clip.labels.shape[-2:] == (12, 16)


def test_motion_of_another_video_is_refused(domain):
    folder = domain.motion / "train"
    (folder / "a.motion").write_bytes((folder / "b.motion").read_bytes())
    with pytest.raises(UserError, match="does not fit video a"):
        ClipDataset(domain, **PAIR)[1]


def test_order_is_a_function_of_seed_step_and_rank():
    steps = [list(islice(StepSampler(10, 4, seed=3), 10)) for _ in range(2)]
    assert steps[0] == steps[1]
    assert list(islice(StepSampler(10, 4, seed=3, first_step=6), 4)) == steps[0][6:]
    flat = [k for batch in steps[0] for k in batch]
    assert all(sorted(flat[e : e + 10]) == list(range(10)) for e in range(0, 40, 10))
    assert flat[:10] != flat[10:20]
    assert list(islice(StepSampler(10, 4, seed=4), 10)) != steps[0]
    ranks = [list(islice(StepSampler(10, 2, 3, rank=r, world=2), 10)) for r in (0, 1)]
    together = [a + b for a, b in zip(*ranks, strict=True)]
    assert together == steps[0]


def test_workers_change_nothing_and_resume_is_a_later_start(domain):
    dataset = ClipDataset(domain, **PAIR, labels=True)
    alone = list(islice(batches(dataset, 3, seed=1), 5))
    rank = {"rank": 1, "world": 2}
    other_rank = list(islice(batches(dataset, 3, seed=1, **rank), 5))
    helped = list(islice(batches(dataset, 3, seed=1, first_step=1, workers=2, **rank), 4))
    later = list(islice(batches(dataset, 3, seed=1, first_step=2), 3))
    for clip, other in [*zip(other_rank[1:], helped, strict=True), *zip(alone[2:], later, strict=True)]:
        assert clip.names == other.names
        assert torch.equal(clip.frames, other.frames)
        assert torch.equal(clip.motion[1, 0].flow, other.motion[1, 0].flow)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_process_that_reads_ahead_cannot_read_is_told_as_it_is_here(domain, workers):
    dataset = ClipDataset(domain, **PAIR)
    image = domain.manifest.root / domain.videos[0].frames[0].image
    image.write_bytes(image.read_bytes()[:100])
    with pytest.raises(UserError) as caught:
        list(islice(batches(dataset, len(dataset), seed=1, workers=workers), 1))
    assert str(caught.value) == f"image {image} is truncated (100 bytes): copy it again"


def test_memory_grows_neither_with_frames_nor_with_epochs(domain, monkeypatch):
    """Of a data set too large to keep, an epoch leaves nothing behind."""
    monkeypatch.setattr(loading, "CACHE_BYTES", 0)
    videos = tuple(replace(v, name=v.name) for v in domain.manifest.videos) * 20
    large = replace(domain, manifest=replace(domain.manifest, videos=videos))
    dataset = ClipDataset(large, **PAIR, labels=True)
    read = batches(dataset, 4, seed=0)
    steps = len(dataset) // 4 + 1

    def epochs(count: int) -> int:
        for _ in range(count * steps):
            next(read)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = epochs(2)  # archives' headers are kept, a few hundred bytes a video
        assert epochs(3) - before < 30_000  # a single clip decoded is 18,432 bytes as floats
    finally:
        tracemalloc.stop()


def test_a_large_jpeg_is_decoded_small_and_a_png_whole(domain):
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 255, (12, 16, 3), np.uint8), (320, 240), interpolation=cv2.INTER_CUBIC)
    for ending in ("jpg", "png"):
        assert cv2.imwrite(str(domain.manifest.root / f"x.{ending}"), picture)
    assert domain.manifest.image("x.jpg", 4).shape == (60, 80, 3)
    assert domain.manifest.image("x.png", 4).shape == (240, 320, 3)
    video = Video("x", "train", (240, 320), (Frame("x.jpg", None, 0.0), Frame("x.png", None, 1.0)))
    for size in ((60, 80), (50, 70), (120, 200), (200, 300)):
        small, whole = (replace(domain, size=size).image(video, k) for k in (0, 1))
        assert small.shape == whole.shape == (*size, 3)
        assert np.abs(small.astype(int) - whole).mean() < 2
    cropped = replace(domain.manifest, reading=Reading(crop_bottom=40))
    assert cropped.image("x.jpg", 4).shape == (200, 320, 3)


def test_reading_leaves_the_global_generator_alone(domain):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    next(batches(ClipDataset(domain), 2, seed=1))
    assert torch.equal(torch.rand(1), expected)


def test_collate_joins_everything(domain):
    dataset = ClipDataset(domain, **PAIR, labels=True)
    clip = collate([dataset[1], dataset[2]])
    assert clip.frames.shape[0] == clip.labels.shape[0] == clip.motion[1, 0].flow.shape[0] == len(clip.names) == 2


def test_a_video_in_order(domain):
    seen = list(frames_in_order(domain, domain.videos[0]))
    assert [s.motion is None for s in seen] == [True, False, False, False, False]
    assert seen[2].label.shape == (1, 24, 32)
    assert seen[1].frame.max() <= 1.0


def test_nothing_to_read_is_an_error(domain):
    with pytest.raises(UserError, match="no split 'test'"):
        ClipDataset(replace(domain, splits=("test",)))


def test_class_counts_and_weighted_batches(domain):
    dataset = ClipDataset(domain, **PAIR, labels=True)
    counts = dataset.class_counts()
    assert counts.shape == (len(dataset), len(domain.label_space.classes))
    for k in (0, 3):
        labels = dataset[k].labels_now
        assert counts[k].tolist() == [int((labels == c).sum()) for c in range(counts.shape[1])]
    with pytest.raises(ValueError, match="unlabelled"):
        ClipDataset(domain).class_counts()
    only = [float(k == 2) for k in range(len(dataset))]
    names = {name for clip in islice(batches(dataset, 3, seed=0, weights=np.array(only)), 4) for name in clip.names}
    assert names == set(dataset[2].names)
