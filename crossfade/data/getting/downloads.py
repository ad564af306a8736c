"""Downloads: continued where they stopped, retried, side by side, and never used before their checksum is right."""

import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from crossfade.data.bar import byte_bar
from crossfade.data.getting.bringing import check_room
from crossfade.errors import UserError
from crossfade.files import FULL, sha256

ATTEMPTS = 5
"""In a row without a single byte gained; then it is given up, and what is there is kept for the next time."""
PAUSE = 1.0
"""Seconds before the second attempt; doubled before each further one."""
TIMEOUT = 60.0
CHUNK = 1 << 20
AT_ONCE = 4
"""Downloads side by side: more gain nothing from one server, and servers dislike it."""
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
RANGE_IS_DONE = 416


class RemoteFile(BaseModel):
    """A file to download.

    Attributes:
        url: http or https.
        sha256: of the whole file, 64 hex digits.
        to: path below the data set's root; none: it is an archive, kept beside the root and brought out of.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    to: str | None = None

    @field_validator("url")
    @classmethod
    def _http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or _file_name(url) in ("", "..") or "%00" in url:
            raise ValueError("must be an http or https address that ends in a file's name")
        return url

    @field_validator("to")
    @classmethod
    def _inside(cls, to: str | None) -> str | None:
        if to is not None and (PurePosixPath(to).is_absolute() or ".." in PurePosixPath(to).parts or not to):
            raise ValueError("must be a path below the data set's root")
        return to

    def path(self, root: Path) -> Path:
        """Where it goes."""
        if self.to is not None:
            return root / self.to
        return root.with_name(f"{root.name}-archives") / _file_name(self.url)


def _file_name(url: str) -> str:
    """Of what an address leads to; unquoted first, so that no quoted slash is in it."""
    return PurePosixPath(unquote(urlsplit(url).path)).name


def fetch(name: str, files: Sequence[RemoteFile], root: Path, workers: int = 1) -> list[Path]:
    """Download what is not there yet.

    Args:
        name: the data set's, for messages.
        files: what to download.
        root: the data set's folder.
        workers: at most so many downloads at once.

    Returns:
        The archives among them.

    Raises:
        UserError: no network, a refusal of the server, or a file with another checksum.
    """
    missing = [file for file in files if not _is_there(file, file.path(root))]
    if missing:
        with (
            byte_bar(f"fetching {name}", None) as done,
            ThreadPoolExecutor(max(1, min(workers, AT_ONCE, len(missing)))) as pool,
        ):
            for _ in pool.map(lambda file: _download(name, file, file.path(root), done), missing):
                pass
    return [file.path(root) for file in files if file.to is None]


def _is_there(file: RemoteFile, path: Path) -> bool:
    return path.is_file() and sha256(path) == file.sha256


def _download(name: str, file: RemoteFile, path: Path, done: Callable[[int], None]) -> None:
    """Download to a hidden file beside `path`, which takes its place once its checksum is right."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(name, path, error) from error
    part = path.with_name(f".{path.name}.{file.sha256[:8]}.part")
    attempt, size = 0, _size(part)
    while True:
        try:
            _go_on(name, file.url, part, done)
            break
        except urllib.error.HTTPError as error:
            if error.code == RANGE_IS_DONE and size:
                break  # all of it is there already
            if error.code not in TRANSIENT:
                raise UserError(
                    f"data set '{name}': the server refuses {file.url} ({error.code} {error.reason}): look whether the "
                    "address is still right"
                ) from error
            reason: Exception = error
        except (OSError, http.client.HTTPException) as error:  # no network, a timeout, a connection that broke off
            if isinstance(error, OSError) and (error.filename is not None or error.errno in FULL):  # of the disk
                raise _unwritable(name, path, error) from error
            reason = error
        attempt, size = (0, _size(part)) if _size(part) > size else (attempt + 1, _size(part))
        if attempt >= ATTEMPTS:
            raise UserError(
                f"data set '{name}': {file.url} cannot be fetched ({_why(reason)}): start again to "
                f"go on from byte {size}, or get it elsewhere and put it at {path}"
            ) from reason
        time.sleep(PAUSE * 2**attempt)
    found = sha256(part)
    if found != file.sha256:
        part.unlink()
        raise UserError(
            f"data set '{name}': what {file.url} sends has the checksum {found}, not {file.sha256}: the file was "
            "changed or damaged on the way; nothing of it is kept. Start again, or mend url or sha256 in params.yaml"
        )
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(path)


def _unwritable(name: str, path: Path, error: OSError) -> UserError:
    return UserError(
        f"data set '{name}': {path} cannot be written ({error.strerror}): free some space there, make the folder "
        f"writable, or set data_sets.{name}.root to another one; what has come is kept"
    )


def _go_on(name: str, url: str, part: Path, done: Callable[[int], None]) -> None:
    """Fetch the rest of a file; all of it if the server cannot send a part.

    Raises:
        UserError: the disk has no room for it.
        urllib.error.HTTPError: the server says no.
        OSError, http.client.HTTPException: it broke off; what came is in `part`.
    """
    size = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={size}-"} if size else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        goes_on = response.status == http.client.PARTIAL_CONTENT and _start(response) == size
        expected = response.headers.get("Content-Length")
        check_room(name, part.parent, int(expected or 0))
        received = 0
        with part.open("ab" if goes_on else "wb") as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                received += len(chunk)
                done(len(chunk))
    if expected is not None and received < int(expected):
        raise ConnectionError(f"it broke off after {received} of {expected} bytes")


def _start(response: Any) -> int:
    """The first byte that a partial answer holds, -1 if it does not say."""
    unit, _, rest = str(response.headers.get("Content-Range", "")).partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdigit() else -1


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _why(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server says {error.code} {error.reason}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return f"{reason or type(error).__name__}; is there a network?"
