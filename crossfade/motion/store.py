"""The motion store: one archive a video, read pair by pair, at a sixteenth or so of the size of float32.

A zip file. Member `motion.json` says what the archive belongs to; member `pairs/<i>_<j>` is the motion i→j:
components rounded to 1/32 px (so the error is at most 1/64 px) as int16; each replaced by its difference from the
plane through its left, upper and upper-left neighbours, modulo 2^16, which costs two subtractions and is undone by two
running sums; signs folded into the lowest bit; low bytes, high bytes, and validity at one bit a pixel; deflated.
"""

import json
import os
import zipfile
import zlib
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from crossfade.errors import UserError
from crossfade.files import atomic_path

FORMAT = "crossfade motion 1"
STEPS_PER_PIXEL = 32
"""Motion is stored in steps of 1/32 px."""
LARGEST = (2**15 - 1) / STEPS_PER_PIXEL
"""The largest motion the code can hold, in pixels (about 1024)."""
DEFLATE_LEVEL = 3
"""Three times as fast as level 6, at a seventh more bytes."""
MEMBER_DATE = (1980, 1, 1, 0, 0, 0)
"""The same motion gives the same bytes, whenever it is written."""


class VideoLike(Protocol):
    """What of a video the store must know to tell whether an archive fits it."""

    @property
    def name(self) -> str:
        """The video's name, unique within its split."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of its frames."""

    @property
    def frames(self) -> tuple[Any, ...]:
        """Its frames."""


def pack(flow: NDArray[np.float32], valid: NDArray[np.bool_]) -> bytes:
    """Code one motion field; `flow` (2, H, W) within ±`LARGEST` px, `valid` (H, W)."""
    code = np.rint(flow * STEPS_PER_PIXEL).astype(np.int16)
    across = code.copy()
    across[:, :, 1:] -= code[:, :, :-1]
    residual = across.copy()
    residual[:, 1:] -= across[:, :-1]
    folded = ((residual << 1) ^ (residual >> 15)).view(np.uint16)
    low, high = folded.astype(np.uint8), (folded >> 8).astype(np.uint8)
    return low.tobytes() + high.tobytes() + np.packbits(valid).tobytes()


def unpack(payload: bytes, size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Undo `pack`.

    Raises:
        ValueError: the payload has not the length that `size` asks for.
    """
    pixels = size[0] * size[1]
    if len(payload) != 4 * pixels + (pixels + 7) // 8:
        raise ValueError(f"{len(payload)} bytes do not hold motion of {size[0]}x{size[1]}")
    raw = np.frombuffer(payload, np.uint8)
    folded = raw[: 2 * pixels].astype(np.uint16) | raw[2 * pixels : 4 * pixels].astype(np.uint16) << 8
    residual = ((folded >> 1) ^ (0 - (folded & 1))).view(np.int16).reshape(2, *size)
    for row in range(1, size[0]):  # modulo 2^16, as in `pack`; a twentieth of the time of cumsum along this axis
        residual[:, row] += residual[:, row - 1]
    code = residual.cumsum(axis=2, dtype=np.int16)
    valid = np.unpackbits(raw[4 * pixels :], count=pixels).reshape(size).astype(bool)
    return code * np.float32(1 / STEPS_PER_PIXEL), valid


class MotionWriter:
    """Writes the archive of one video; a context manager. The file appears whole when the block ends, or not at all.

    Args:
        path: the archive.
        size: (H, W) of the video's frames.
        video: the video's name, by which an archive of another video is told apart.
        frames: how many frames the video has.
        origin: anything worth knowing later (estimator, parameters); plain JSON.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        video: str | None = None,
        frames: int | None = None,
        origin: dict[str, Any] | None = None,
    ) -> None:
        self.path, self.size, self.frames = path, (int(size[0]), int(size[1])), frames
        self._header = {"format": FORMAT, "size": list(self.size), "video": video, "frames": frames, "origin": origin}
        self._pairs: set[tuple[int, int]] = set()
        self._stack = ExitStack()
        self._zip: zipfile.ZipFile | None = None

    def __enter__(self) -> "MotionWriter":
        temporary = self._stack.enter_context(atomic_path(self.path))
        self._zip = self._stack.enter_context(zipfile.ZipFile(temporary, "w"))
        self._write("motion.json", json.dumps(self._header, sort_keys=True).encode())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        self._zip = None

    def add(self, i: int, j: int, flow: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Add the motion i→j.

        Args:
            i: the frame whose grid it lives on.
            j: the frame it points into.
            flow: (2, H, W) float32, pixels. Where it is not valid it is kept as far as the code can hold it.
            valid: (H, W) bool.

        Raises:
            UserError: a valid motion is larger than `LARGEST`, or not a number.
            ValueError: wrong shape, a pair added twice, or frames the video does not have.
        """
        if flow.shape != (2, *self.size) or valid.shape != self.size:
            raise ValueError(f"motion {flow.shape} and validity {valid.shape} are not of the video's size {self.size}")
        if (i, j) in self._pairs or min(i, j) < 0 or max(i, j) >= (self.frames or np.inf):
            raise ValueError(f"motion {i}→{j} is there already or is not of this video of {self.frames} frames")
        fits = (np.abs(flow) <= LARGEST) | ~valid  # False for NaN
        if not fits.all():
            raise UserError(
                f"the motion from frame {i} to frame {j} for {self.path} reaches "
                f"{np.abs(flow[:, valid]).max():.0f} px, but at most {LARGEST:.0f} px can be stored: use smaller "
                "frames or a shorter span"
            )
        flow = np.clip(np.nan_to_num(flow, nan=0.0), -LARGEST, LARGEST)
        self._write(f"pairs/{i}_{j}", pack(flow, valid))
        self._pairs.add((i, j))

    def _write(self, name: str, content: bytes) -> None:
        if self._zip is None:
            raise ValueError("the motion writer is used as `with MotionWriter(...) as writer`")
        member = zipfile.ZipInfo(name, MEMBER_DATE)
        self._zip.writestr(member, content, zipfile.ZIP_DEFLATED, DEFLATE_LEVEL)


class MotionArchive:
    """Reads the archive of one video; cheap to open, picklable and safe to use after a fork; a context manager.

    Raises:
        UserError: the file is missing, truncated, or not a motion archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._zip: zipfile.ZipFile | None = None
        self._owner = 0
        try:
            header = json.loads(self._open().read("motion.json"))
            if header["format"] != FORMAT:
                raise ValueError(f"unknown format {header['format']!r}")
            self.size: tuple[int, int] = (int(header["size"][0]), int(header["size"][1]))
            self.video: str | None = header["video"]
            self.frames: int | None = header["frames"]
            self.origin: dict[str, Any] | None = header["origin"]
            self.pairs: frozenset[tuple[int, int]] = frozenset(map(_pair, self._open().namelist())) - {(-1, -1)}
        except (KeyError, TypeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            self.close()
            raise self._damaged(error) from error

    def read(self, i: int, j: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The motion i→j.

        Returns:
            flow (2, H, W) float32 in pixels of frame i's grid, valid (H, W) bool.

        Raises:
            UserError: the archive is damaged or has no such pair.
        """
        if (i, j) not in self.pairs:
            raise UserError(
                f"{self.path} has no motion from frame {i} to frame {j}: run the motion stage with that span"
            )
        try:
            return unpack(self._open().read(f"pairs/{i}_{j}"), self.size)
        except (EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise self._damaged(error) from error

    def close(self) -> None:
        """Close the file; it is opened again when read."""
        if self._zip is not None and self._owner == os.getpid():
            self._zip.close()
        self._zip = None

    def __enter__(self) -> "MotionArchive":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_zip": None}

    def _open(self) -> zipfile.ZipFile:
        """The open zip file of this process (after a fork a shared file position would mix up the reads)."""
        if self._zip is None or self._owner != os.getpid():
            try:
                self._zip = zipfile.ZipFile(self.path)
            except FileNotFoundError as error:
                raise UserError(f"the motion archive {self.path} is missing: run the motion stage") from error
            self._owner = os.getpid()
        return self._zip

    def _damaged(self, error: Exception) -> UserError:
        return UserError(
            f"the motion archive {self.path} is truncated or damaged ({error}): "
            "delete it and run the motion stage again"
        )


def check_fits(archive: MotionArchive, video: VideoLike) -> None:
    """Make sure an archive belongs to a video.

    Raises:
        UserError: it was made for another video, another number of frames or another frame size.
    """
    here = {"video": archive.video, "frames": archive.frames, "size": archive.size}
    there = {"video": video.name, "frames": len(video.frames), "size": tuple(video.size)}
    for key, value in here.items():
        if value is not None and value != there[key]:
            raise UserError(
                f"the motion archive {archive.path} does not fit video {video.name}: its {key} is {value}, the video's "
                f"is {there[key]}; run the motion stage again"
            )


def _pair(member: str) -> tuple[int, int]:
    """(i, j) of a member's name, (-1, -1) for the header."""
    folder, _, name = member.partition("/")
    if folder != "pairs":
        return -1, -1
    i, j = name.split("_")
    return int(i), int(j)
