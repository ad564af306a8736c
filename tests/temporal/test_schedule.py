"""Which frames are read and kept, by the rule alone."""

import pytest

from crossfade.temporal.schedule import KeyFrames, SlidingMemory


def walk(schedule, frames, doubt=lambda t, k: 0.0):
    """What is read at each frame of a video; everything read must still be stored."""
    stored, read = [], []
    for t in range(frames):
        now = schedule.reads(t, stored, lambda k, t=t: doubt(t, k))
        assert set(now) <= set(stored), t
        read.append(now)
        stored = schedule.keeps(t, stored, now)
        assert len(stored) <= max(schedule.past, 1)
    return read


def test_per_frame_reads_and_keeps_nothing():
    assert walk(SlidingMemory(()), 4) == [[]] * 4
    assert SlidingMemory(()).past == 0


def test_a_window_reads_what_there_is():
    assert walk(SlidingMemory((-2, -1)), 4) == [[], [0], [0, 1], [1, 2]]
    assert walk(SlidingMemory((-3,)), 5) == [[], [], [], [0], [1]]


def test_start_of_a_video_as_dtern_has_it():
    read = walk(SlidingMemory((-9, -6, -3), start="spread"), 12)
    assert read[:3] == [[], [], []]
    assert read[3:9] == [[0, 1, 2], [0, 2, 3], [0, 2, 4], [0, 2, 4], [0, 3, 5], [0, 3, 6]]
    assert read[9:] == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


@pytest.mark.parametrize("offsets", [(-1, -2), (0,), (-1, -1), (1,)])
def test_offsets_out_of_order(offsets):
    with pytest.raises(ValueError, match="ascending"):
        SlidingMemory(offsets)


def test_key_frames():
    assert walk(KeyFrames(3), 7) == [[], [0], [0], [], [3], [3], []]
    assert walk(KeyFrames(1), 3) == [[]] * 3
    assert KeyFrames(10, reach=4).steady == (-4,)
    assert KeyFrames(3, reach=4).steady == (-2,)  # no frame of a video is further from its key frame
    assert KeyFrames(1).steady == ()
    with pytest.raises(ValueError, match="at least 1"):
        KeyFrames(0)


def test_a_doubtful_frame_becomes_a_key_frame():
    read = walk(KeyFrames(10, threshold=0.5), 6, doubt=lambda t, k: 0.2 * (t - k))
    assert read == [[], [0], [0], [], [3], [3]]
