"""Video in and out, one frame at a time: an mp4 or a folder of frames to read, an mp4 to write."""

import os
import re
import secrets
import struct
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import final

import cv2
import numpy as np

from crossfade.data.manifest import read_image
from crossfade.errors import UserError
from crossfade.files import atomic_path, writing

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
VIDEO_SUFFIXES = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".mxf"}
BROWSER_CODEC = "vp09"
"""VP9: plays in web browsers, slow to write (a few frames a second)."""
FAST_CODEC = "mp4v"
"""MPEG-4 part 2: hundreds of frames a second, plays in video players but not in web browsers."""


LOOKED_AT = 4
"""Frames after the first that are looked at when a file is opened."""


class FrameSource(ABC):
    """Frames of one video in order. Iterating starts at the first frame every time.

    Attributes:
        rate: frames per second; None when the source does not say (a folder of images).
        count: how many frames there should be; None when unknown.
        size: (H, W), every frame's.
    """

    rate: float | None
    count: int | None
    size: tuple[int, int]

    @abstractmethod
    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield each frame, (H, W, 3) uint8 RGB.

        Raises:
            UserError: a frame is damaged or of another size; the file ends too early.
        """

    @abstractmethod
    def sampled(self, rate: float) -> Iterator[tuple[float, np.ndarray]]:
        """Yield (seconds, frame) of the first frame at or after every 1 / `rate` of a second, each frame once.

        Seconds are those of the file, so that a variable frame rate is followed. Raises as iterating does.
        """

    @abstractmethod
    def picked(self, wanted: Collection[int]) -> Iterator[tuple[int, float | None, np.ndarray]]:
        """Yield (index, seconds, frame) of the wanted indices (0-based) in order, as far as the video has them.

        Seconds are those of the file, None where it says none (a folder). Nothing is read after the last one. Raises as
        iterating does.
        """

    @abstractmethod
    def name(self, index: int) -> str:
        """A name for frame `index` (0-based), used for files made from it."""


@final
class FolderFrames(FrameSource):
    """A folder of images in natural order (frame2 before frame10)."""

    def __init__(self, folder: Path) -> None:
        self._files = sorted((f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES), key=_natural)
        self._folder = folder
        if not self._files:
            raise UserError(
                f"the folder {folder} holds no frames: it needs image files ({', '.join(sorted(IMAGE_SUFFIXES))})"
            )
        first = read_image(folder, self._files[0].name)
        self.rate, self.count, self.size = None, len(self._files), (first.shape[0], first.shape[1])

    def __iter__(self) -> Iterator[np.ndarray]:
        for file in self._files:
            yield self._read(file)

    def _read(self, file: Path) -> np.ndarray:
        frame = read_image(self._folder, file.name)
        if frame.shape[:2] != self.size:
            raise UserError(
                f"{file} is {frame.shape[1]}x{frame.shape[0]} but the frames before it are "
                f"{self.size[1]}x{self.size[0]}: bring all frames of the folder to one size"
            )
        return frame

    def sampled(self, rate: float) -> Iterator[tuple[float, np.ndarray]]:
        """A folder says no times: its frames are taken to be 1 / `rate` apart."""
        for k, frame in enumerate(self):
            yield k / rate, frame

    def picked(self, wanted: Collection[int]) -> Iterator[tuple[int, float | None, np.ndarray]]:
        """Opens no other file."""
        for k in sorted(set(wanted)):
            if 0 <= k < len(self._files):
                yield k, None, self._read(self._files[k])

    def name(self, index: int) -> str:
        """The image's own name, without its suffix."""
        return self._files[index].stem


@final
class FileFrames(FrameSource):
    """A video file, decoded by OpenCV; its rotation flag is obeyed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lasts = _check_boxes(path)
        capture = self._open()
        try:
            count, rate = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), float(capture.get(cv2.CAP_PROP_FPS))
            good, frame = capture.read()
            alike = good and all(np.array_equal(frame, capture.read()[1]) for _ in range(LOOKED_AT))
        finally:
            capture.release()
        if not good:
            raise UserError(f"no frame of {path} can be decoded: the file is damaged or its codec is not supported")
        if alike and self._packets_tell_otherwise(frame.size // 3):
            raise UserError(
                f"the frames of {path} cannot be converted, most likely because it is interlaced (each holds two "
                f"moments): make whole frames of it first, for example: ffmpeg -i {path.name} -vf bwdif whole.mp4"
            )
        self.size = (frame.shape[0], frame.shape[1])
        self.count = count if count > 0 else None
        self.rate = rate if 0 < rate < 1000 else None

    def _open(self) -> cv2.VideoCapture:
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # our sentence, not the decoder's chatter
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        finally:
            cv2.utils.logging.setLogLevel(level)
        if not capture.isOpened():
            raise UserError(
                f"{self._path} holds no video that can be read: it is sound only, damaged or not a video file; "
                "give an mp4 or a folder of frames"
            )
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        return capture

    def _packets_tell_otherwise(self, pixels: int) -> bool:
        """Whether the first frames are stored as pictures that change.

        Where the decoder's frames cannot be converted, OpenCV gives out the same unwritten picture again and again and
        says nothing; a still scene gives the same picture too, but hardly takes space after its first frame: about a
        bit for every 16x16 pixels.
        """
        capture = self._open()
        try:
            if not capture.set(cv2.CAP_PROP_FORMAT, -1):  # packets as they are stored
                return False
            packets = [packet.tobytes() for good, packet in (capture.read() for _ in range(1 + LOOKED_AT)) if good]
        finally:
            capture.release()
        rest = [len(packet) for packet in packets[1:]]
        return len(set(packets)) > 1 and sum(rest) / len(rest) > 40 + 0.5 * pixels / 256

    def __iter__(self) -> Iterator[np.ndarray]:
        for capture in self._walk():
            yield _retrieved(capture, self._path)

    def sampled(self, rate: float) -> Iterator[tuple[float, np.ndarray]]:
        """By the file's own time stamps; frames in between are not converted."""
        due = 0.0
        for capture in self._walk():
            seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if seconds >= due - 1e-6:
                yield seconds, _retrieved(capture, self._path)
                due = (int((seconds + 1e-6) * rate) + 1) / rate

    def picked(self, wanted: Collection[int]) -> Iterator[tuple[int, float | None, np.ndarray]]:
        """Walks from the start (seeking in compressed video is not exact); frames in between are not converted."""
        left = {k for k in wanted if k >= 0}
        if not left:
            return
        for k, capture in enumerate(self._walk()):
            if k in left:
                yield k, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, _retrieved(capture, self._path)
                left.discard(k)
                if not left:
                    return

    def _walk(self) -> Iterator[cv2.VideoCapture]:
        """The capture, standing at each frame in turn."""
        capture = self._open()
        done = 0
        try:
            while capture.grab():
                done += 1
                yield capture
        finally:
            capture.release()
        whole = self._promised()
        if done < whole - 2:
            raise UserError(
                f"{self._path} ends after {done} of its {whole} frames: it is truncated or damaged; copy it again"
            )

    def _promised(self) -> int:
        """How many frames an mp4 or mov says that it shows; 0 where nothing is said.

        A file that was cut without encoding it anew stores frames that it does not show.
        """
        if self._lasts is None or self.count is None:
            return 0
        return self.count if not self._lasts or self.rate is None else min(self.count, round(self._lasts * self.rate))

    def name(self, index: int) -> str:
        """The frame's number."""
        return f"{index:06d}"


def open_frames(path: Path) -> FrameSource:
    """The frames of a video file or of a folder of images.

    Raises:
        UserError: nothing is there, the folder holds no images, the file holds no video or is truncated.
    """
    if path.is_dir():
        return FolderFrames(path)
    if not path.exists():
        raise UserError(f"{path} does not exist: give a video file (mp4) or a folder of frames")
    return FileFrames(path)


@final
class VideoWriter:
    """An mp4 that appears whole when the context ends well, and not at all otherwise.

    Frames of odd height or width lose their last row or column (the codecs need even sizes).
    """

    def __init__(self, path: Path, rate: float, codec: str = FAST_CODEC) -> None:
        if path.suffix.lower() != ".mp4":
            raise UserError(f"the output video must end in .mp4, not '{path.suffix}' ({path})")
        self._path, self._rate, self._codec = path, rate, codec
        self._writer: cv2.VideoWriter | None = None
        self._part = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part.mp4")
        self._size = (0, 0)
        self.frames = 0

    def __enter__(self) -> "VideoWriter":
        return self

    def add(self, frame: np.ndarray) -> None:
        """Append one frame, (H, W, 3) uint8 RGB.

        Raises:
            UserError: the video cannot be written here.
            ValueError: the frame's size differs from the first one's.
        """
        height, width = frame.shape[0] // 2 * 2, frame.shape[1] // 2 * 2
        if self._writer is None:
            self._size = (height, width)
            self._writer = self._start()
        if (height, width) != self._size:
            raise ValueError(f"a {width}x{height} frame in a {self._size[1]}x{self._size[0]} video")
        self._writer.write(cv2.cvtColor(np.ascontiguousarray(frame[:height, :width]), cv2.COLOR_RGB2BGR))
        self.frames += 1

    def _start(self) -> cv2.VideoWriter:
        with writing(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        for codec in dict.fromkeys((self._codec, FAST_CODEC)):
            code = cv2.VideoWriter.fourcc(*codec)
            writer = cv2.VideoWriter(str(self._part), cv2.CAP_FFMPEG, code, self._rate, self._size[::-1])
            if writer.isOpened():
                return writer
        raise UserError(f"cannot write the video {self._path}: is its folder writable, and is there space on the disk?")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._writer is not None:
                self._writer.release()
            if kind is None and self.frames:
                self._publish()
        finally:
            if self._part.is_file():
                self._part.unlink()

    def _publish(self) -> None:
        written = FileFrames(self._part).count
        if written is not None and written < self.frames:
            raise UserError(
                f"only {written} of {self.frames} frames reached {self._path}: free some space on the disk and retry"
            )
        with atomic_path(self._path) as temporary:
            self._part.replace(temporary)


def _retrieved(capture: cv2.VideoCapture, path: Path) -> np.ndarray:
    """The frame the capture stands at, (H, W, 3) uint8 RGB."""
    good, frame = capture.retrieve()
    if not good:
        raise UserError(f"a frame of {path} cannot be decoded: the file is damaged; copy it again")
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    return [(0, int(piece), "") if piece.isdigit() else (1, 0, piece) for piece in re.split(r"(\d+)", path.name)]


def _check_boxes(path: Path) -> float | None:
    """Walk the top-level boxes of an mp4 or mov: how many seconds it shows (0: not said); None: another container.

    Raises:
        UserError: the file is empty, a box reaches past its end, or its index is missing.
    """
    length = path.stat().st_size
    if length == 0:
        raise UserError(f"{path} is empty: copy it again")
    kinds: list[bytes] = []
    seconds = 0.0
    with path.open("rb") as file:
        position = 0
        while position + 8 <= length:
            file.seek(position)
            size, kind = struct.unpack(">I4s", file.read(8))
            if not kinds and kind not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
                return None
            if size == 1:
                size = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))[0]
            if kind == b"moov":
                seconds = _movie_seconds(file.read(40))
            kinds.append(kind)
            if size == 0:
                break
            if size < 8 or position + size > length:
                raise UserError(f"{path} is truncated (its '{kind.decode('latin-1')}' part is cut off): copy it again")
            position += size
    if b"moov" not in kinds:
        raise UserError(f"{path} is truncated (its index is missing): copy it again")
    return seconds


def _movie_seconds(head: bytes) -> float:
    """The duration in a movie header, the first box within `moov` (ISO/IEC 14496-12, 8.2.2); 0 where it is not said."""
    if len(head) < 40 or head[4:8] != b"mvhd":
        return 0.0
    scale, duration = struct.unpack_from(">IQ", head, 28) if head[8] == 1 else struct.unpack_from(">II", head, 20)
    known = scale > 0 and duration not in (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
    return float(duration / scale) if known else 0.0
