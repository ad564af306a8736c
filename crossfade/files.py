"""Files that are either whole or absent: everything crossfade writes goes through here."""

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crossfade.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a disk that is full, or of which a person may use no more."""
REFUSED = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG,
)  # fmt: skip
"""Errors of a place that cannot be written to."""


@contextmanager
def writing(path: Path, *also: Path) -> Iterator[None]:
    """While open, the operating system's refusal to write `path`, `also` or a folder above them is a UserError.

    Raises:
        UserError: no space is left on the device, or nothing can be written there.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise UserError(
                f"no space left on the device while writing {path}: free some space and start again"
            ) from error
        here = error.filename is not None and Path(error.filename) in (path, *also, *path.parents)
        if here and error.errno in REFUSED:
            raise UserError(
                f"cannot write {path} ({error.filename}: {error.strerror}): choose a place where you may write"
            ) from error
        raise


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path` (fsync, rename), on failure it is removed.

    Raises:
        UserError: no space is left on the device, or nothing can be written there.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with writing(path, temporary):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; on success it replaces `path`, on failure it is removed.

    Raises:
        UserError: as `atomic_path`.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with writing(path, temporary):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        try:
            yield temporary
            if path.exists():
                shutil.rmtree(path)
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: run the stage that makes it (dvc repro) first") from error
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path} is not valid JSON ({error}): delete it and run the stage that makes it again"
        ) from error


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
