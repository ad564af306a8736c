import struct
import wave
from pathlib import Path

import cv2
import numpy as np
import pytest

from crossfade.data.video import BROWSER_CODEC, FileFrames, FolderFrames, VideoWriter, open_frames
from crossfade.errors import UserError


def picture(k: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A flat picture whose red tells the frame; the upper left quarter is blue."""
    image = np.zeros((*size, 3), np.uint8)
    image[..., 0] = 10 * k
    image[: size[0] // 2, : size[1] // 2] = (0, 0, 255)
    return image


def write_video(path: Path, frames: int = 12, size: tuple[int, int] = (48, 64), **options) -> Path:
    with VideoWriter(path, 10.0, **options) as writer:
        for k in range(frames):
            writer.add(picture(k, size))
    return path


def write_folder(folder: Path, numbers: list[int], suffix: str = ".png") -> Path:
    folder.mkdir()
    for k in numbers:
        cv2.imwrite(str(folder / f"frame{k}{suffix}"), cv2.cvtColor(picture(k), cv2.COLOR_RGB2BGR))
    return folder


def reds(frames) -> list[int]:
    return [round(float(frame[-8:, -8:, 0].mean()) / 10) for frame in frames]


@pytest.mark.parametrize("codec", ["mp4v", BROWSER_CODEC])
def test_a_video_is_read_as_it_was_written(tmp_path, codec):
    video = open_frames(write_video(tmp_path / "a.mp4", codec=codec))
    assert isinstance(video, FileFrames)
    assert (video.count, video.size, video.rate) == (12, (48, 64), pytest.approx(10))
    assert reds(video) == list(range(12))
    assert reds(video) == list(range(12))  # again from the start
    frame = next(iter(video))
    assert frame[4, 4].tolist() == pytest.approx([0, 0, 255], abs=30)  # RGB, not BGR


def test_odd_sizes_lose_one_row_and_column(tmp_path):
    assert open_frames(write_video(tmp_path / "a.mp4", 3, (49, 65))).size == (48, 64)


def test_nothing_appears_when_writing_fails(tmp_path):
    def fail() -> None:
        with VideoWriter(tmp_path / "a.mp4", 10.0) as writer:
            writer.add(picture(0))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not list(tmp_path.iterdir())


def test_the_video_before_survives_a_failure(tmp_path):
    before = write_video(tmp_path / "a.mp4").read_bytes()

    def mix() -> None:
        with VideoWriter(tmp_path / "a.mp4", 10) as writer:
            writer.add(picture(0))
            writer.add(picture(0, (24, 32)))

    with pytest.raises(ValueError, match="32x24 frame in a 64x48 video"):
        mix()
    assert (tmp_path / "a.mp4").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_only_mp4_is_written(tmp_path):
    with pytest.raises(UserError, match=r"must end in \.mp4"):
        VideoWriter(tmp_path / "a.avi", 10)


def test_a_rotated_phone_video_is_turned_upright(tmp_path):
    path = write_video(tmp_path / "a.mp4")
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4
    version = content[start]
    matrix = start + (52 if version else 40)
    quarter = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    content[matrix : matrix + 36] = quarter
    path.write_bytes(content)
    video = open_frames(path)
    assert video.size == (64, 48)
    first = next(iter(video))
    assert first.shape == (64, 48, 3)
    assert first[4, -4, 2] > 200  # the upper left corner has gone to the upper right
    assert first[4, 4, 2] < 60


def test_folders_are_read_in_natural_order(tmp_path):
    folder = write_folder(tmp_path / "f", [10, 2, 1])
    (folder / "notes.txt").write_text("no frame")
    video = open_frames(folder)
    assert isinstance(video, FolderFrames)
    assert reds(video) == [1, 2, 10]
    assert [video.name(k) for k in range(3)] == ["frame1", "frame2", "frame10"]
    assert video.count == 3


def truncate(path: Path, share: float) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def index_first(path: Path) -> Path:
    """Move the mp4's index before its frames (as streaming services do), without mending its offsets."""
    content, boxes, position = path.read_bytes(), {}, 0
    while position < len(content):
        size, kind = struct.unpack(">I4s", content[position : position + 8])
        boxes[kind] = content[position : position + size]
        position += size
    path.write_bytes(b"".join(boxes[k] for k in sorted(boxes, key=[b"ftyp", b"moov", b"free", b"mdat"].index)))
    return path


@pytest.mark.parametrize("share", [0.5, 0.95])
@pytest.mark.parametrize("faststart", [False, True])
def test_a_truncated_video_is_refused_before_any_work(tmp_path, share, faststart):
    path = write_video(tmp_path / "a.mp4")
    if faststart:
        index_first(path)
    with pytest.raises(UserError, match=r"a\.mp4 is truncated"):
        open_frames(truncate(path, share))


def test_sound_only_is_refused(tmp_path):
    with wave.open(str(tmp_path / "a.mp4"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    with pytest.raises(UserError, match="sound only"):
        open_frames(tmp_path / "a.mp4")


def test_other_bad_input_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        open_frames(tmp_path / "nothing.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no frames"):
        open_frames(tmp_path / "empty")
    (tmp_path / "zero.mp4").touch()
    with pytest.raises(UserError, match="is empty"):
        open_frames(tmp_path / "zero.mp4")
    (tmp_path / "words.mp4").write_text("these are only words " * 100)
    with pytest.raises(UserError, match="no video that can be read"):
        open_frames(tmp_path / "words.mp4")


def test_a_damaged_frame_is_named(tmp_path):
    folder = write_folder(tmp_path / "f", [1, 2, 3])
    truncate(folder / "frame2.png", 0.6)
    with pytest.raises(UserError, match=r"frame2\.png is truncated"):
        list(open_frames(folder))


def test_a_frame_of_another_size_is_named(tmp_path):
    folder = write_folder(tmp_path / "f", [1, 2])
    cv2.imwrite(str(folder / "frame3.png"), picture(3, (24, 32)))
    with pytest.raises(UserError, match=r"frame3\.png is 32x24 but the frames before it are 64x48"):
        list(open_frames(folder))
