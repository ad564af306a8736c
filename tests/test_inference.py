import gc
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_video import COLOURS, reader, scene

from crossfade.inference import prefetched, stream
from crossfade.motion.field import Motion

SIZE = (32, 48)


def still(now: np.ndarray, previous: np.ndarray) -> Motion:
    assert now.shape == previous.shape == (*SIZE, 3)
    return Motion(torch.zeros(1, 2, *SIZE), torch.ones(1, 1, *SIZE, dtype=torch.bool))


def pictures(count: int, size: tuple[int, int] = SIZE):
    return (COLOURS[np.kron(scene(k % 8), np.ones((size[0] // 32, size[1] // 48), np.uint8))] for k in range(count))


def test_every_frame_comes_back_in_order_with_its_labels():
    predictions = list(stream(reader(), pictures(8), SIZE))
    assert len(predictions) == 8
    for k, prediction in enumerate(predictions):
        assert np.array_equal(prediction.labels, scene(k))
        assert np.array_equal(prediction.image, COLOURS[scene(k)])
        assert prediction.labels.dtype == np.uint8
        assert prediction.seconds > 0


def test_labels_have_the_size_of_the_frame_not_of_the_network():
    predictions = list(stream(reader(), pictures(2, (64, 96)), SIZE))
    assert predictions[1].labels.shape == (64, 96)
    assert (predictions[1].labels == np.kron(scene(1), np.ones((2, 2)))).mean() > 0.95


def test_streaming_equals_unrolling():
    network = reader(fusion=True).eval()
    with torch.no_grad():
        network.temporal.sf_layer.weight.normal_()
    frames = torch.stack([torch.from_numpy(p).permute(2, 0, 1).float() / 255 for p in pictures(5)])[None]
    streamed = list(stream(network, pictures(5), SIZE, still))
    for t in range(1, 5):
        pair = frames[:, t - 1 : t + 1]
        with torch.no_grad():
            logits = network.unroll(pair, {(1, 0): still(np.zeros((*SIZE, 3)), np.zeros((*SIZE, 3)))}).logits
        assert np.array_equal(streamed[t].labels, logits.argmax(1)[0].numpy())


def test_motion_is_asked_between_neighbours_only():
    asked: list[tuple[int, int]] = []

    def motion(now: np.ndarray, previous: np.ndarray) -> Motion:
        asked.append((int(now[0, 0, 0]), int(previous[0, 0, 0])))
        return still(now, previous)

    frames = (np.full((*SIZE, 3), k, np.uint8) for k in range(4))
    assert len(list(stream(reader(fusion=True), frames, SIZE, motion))) == 4
    assert asked == [(1, 0), (2, 1), (3, 2)]


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def peaks(count: int) -> tuple[int, int]:
    """The most Python (and numpy) held, and by how much the process grew, over a stream of `count` frames."""
    gc.collect()
    before = top = resident()
    tracemalloc.start()
    for prediction in stream(reader(fusion=True), pictures(count, (160, 240)), SIZE, still):
        assert prediction.labels.any()
        top = max(top, resident())
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return held, top - before


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_memory_does_not_grow_with_the_video():
    peaks(30)
    short, _ = peaks(30)
    held, grown = peaks(300)
    frame = 160 * 240 * 3
    assert held < short + 10 * frame
    assert grown < 100 * frame  # 300 frames held would be 300


def test_the_thread_works_ahead_but_not_far():
    made: list[int] = []

    def items():
        for k in range(20):
            made.append(k)
            yield k

    ahead = prefetched(items(), 3)
    assert next(ahead) == 0
    time.sleep(0.3)
    assert 3 <= len(made) <= 5
    assert list(ahead) == list(range(1, 20))


def test_an_error_while_decoding_reaches_the_caller():
    def items():
        yield 1
        raise OSError("bad frame")

    ahead = prefetched(items(), 2)
    assert next(ahead) == 1
    with pytest.raises(OSError, match="bad frame"):
        next(ahead)


def test_stopping_early_stops_the_thread():
    before = threading.active_count()
    ahead = prefetched(iter(range(1000)), 2)
    next(ahead)
    assert threading.active_count() == before + 1
    ahead.close()
    assert threading.active_count() == before
