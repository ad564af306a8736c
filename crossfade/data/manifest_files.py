"""A manifest on disk: three small tables of Parquet, so that 150,000 frames open in half a second.

``manifest.parquet`` has a row a frame, and in its schema's metadata what belongs to the whole and to each video;
``files.parquet`` has the size and SHA-256 of every file and is only read when somebody asks for it. Beside the folder
lies ``.<name>.hashes.parquet``, no output but a memory: the hashes of files by path, size and time of change, so that
indexing again reads only what has changed.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from crossfade.data.bar import byte_bar
from crossfade.errors import UserError
from crossfade.files import atomic_path, sha256

FRAMES, FILES = "manifest.parquet", "files.parquet"
KEY = b"crossfade"
PLACES = ("root", "bases")
SETTLED = 2.0
"""Seconds a file must have been left alone for its hash to be remembered: changes within one tick would not show."""
THREADS = 8
MANY = 1 << 30
"""Bytes to hash from which a bar is shown."""


class FileTable(Mapping[str, dict[str, Any]]):
    """{file: {size, sha256}}, read from files.parquet when it is first used; another process reads for itself.

    Args:
        folder: with the table.
        found: a file as the table has it → as a ref has it.
    """

    def __init__(self, folder: Path, found: Callable[[str], str]) -> None:
        self._path, self._found = folder / FILES, found

    @cached_property
    def _known(self) -> dict[str, dict[str, Any]]:
        table = read_table(self._path)
        rows = zip(values(table, "file"), values(table, "size"), values(table, "sha256"), strict=True)
        return {self._found(file): {"size": size, "sha256": digest.hex()} for file, size, digest in rows}

    def __getitem__(self, file: str) -> dict[str, Any]:
        return self._known[file]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def __getstate__(self) -> dict[str, Any]:
        return {"_path": self._path, "_found": self._found}


def write_tables(
    folder: Path,
    about: dict[str, Any],
    frames: Mapping[str, Sequence[Any]],
    files: Mapping[str, dict[str, Any]],
) -> None:
    """Write manifest.parquet and files.parquet.

    Args:
        folder: the data set's.
        about: JSON of what belongs to the whole; its "root" and "bases" do not count for the content's hash.
        frames: columns of equal length.
        files: {file: {size in bytes, sha256 as hex}}.
    """
    import pyarrow as pa

    digest = hashlib.sha256(json.dumps({k: v for k, v in about.items() if k not in PLACES}, sort_keys=True).encode())
    for column in frames.values():
        digest.update(json.dumps(list(column)).encode())
    digest.update(json.dumps([[file, known["sha256"]] for file, known in files.items()]).encode())
    known = {
        "file": pa.array(list(files), pa.string()),
        "size": pa.array([f["size"] for f in files.values()], pa.int64()),
        "sha256": pa.array([bytes.fromhex(f["sha256"]) for f in files.values()], pa.binary(32)),
    }
    write_table(folder / FILES, pa.table(known))
    kinds = {"time": pa.float64()}
    table = pa.table({name: pa.array(column, kinds.get(name, pa.string())) for name, column in frames.items()})
    metadata = {KEY: json.dumps(about | {"content": digest.hexdigest()})}
    write_table(folder / FRAMES, table.replace_schema_metadata(metadata))


def read_about(folder: Path) -> dict[str, Any]:
    """What belongs to the whole, and under "content" a hash of all but its place on disk.

    Raises:
        UserError: the folder has no manifest, or a damaged one.
    """
    return _about(folder / FRAMES, read_table(folder / FRAMES, columns=[]))


def read_frames(folder: Path, columns: list[str]) -> tuple[dict[str, Any], list[list[Any]]]:
    """What belongs to the whole, and the columns. Raises as `read_about`."""
    table = read_table(folder / FRAMES, columns)
    return _about(folder / FRAMES, table), [values(table, name) for name in columns]


def _about(path: Path, table: Any) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads(table.schema.metadata[KEY])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, error) from error
    return about


def write_table(path: Path, table: Any) -> None:
    """Write a Parquet file, atomically."""
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_table(path: Path, columns: list[str] | None = None) -> Any:
    """Read a Parquet file as a pyarrow table.

    Raises:
        UserError: it is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise UserError(f"{path.parent} is not a data set (no {path.name}): run its download stage first (dvc repro)")
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=columns, use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged(path, error) from error


def values(table: Any, name: str) -> list[Any]:
    """A column as a list.

    Raises:
        UserError: there is no such column.
    """
    if name not in table.column_names:
        raise UserError(
            f"a table of a manifest has no column '{name}': run the download stage again (dvc repro --force)"
        )
    found: list[Any] = table[name].to_numpy().tolist()  # a tenth of to_pylist's time
    return found


def damaged(path: Path, error: Exception) -> UserError:
    """What is said of a table that cannot be read."""
    return UserError(f"{path} is damaged ({error}): delete it and run the download stage again")


def hash_files(paths: Mapping[str, str], memory: Path | None) -> dict[str, dict[str, Any]]:
    """{file: {size, sha256}}, several files at a time.

    Args:
        paths: {file: where it lies}.
        memory: where hashes are remembered by path, size and time of change; None: all are computed.

    Raises:
        UserError: a file is missing.
    """
    known = {} if memory is None else _remembered(memory)
    stats = {file: _stat(path) for file, path in paths.items()}
    found = {file: known.get((path, *stats[file])) for file, path in paths.items()}
    new = [file for file, digest in found.items() if digest is None]
    now = time.time_ns()
    total = sum(stats[file][0] for file in new)
    if total < MANY:
        found |= zip(new, _hashed([paths[file] for file in new]), strict=True)
    else:
        with byte_bar(f"hashing {len(new)} files", total) as done:
            for file, digest in zip(new, _hashed([paths[file] for file in new]), strict=True):
                found[file] = digest
                done(stats[file][0])
    if memory is not None and new:
        settled = [file for file in paths if stats[file][1] < now - SETTLED * 1e9]
        _remember(memory, {(paths[file], *stats[file]): str(found[file]) for file in settled})
    return {file: {"size": stats[file][0], "sha256": found[file]} for file in paths}


def _stat(path: str) -> tuple[int, int]:
    """(size, time of change in nanoseconds)."""
    try:
        known = os.stat(path)  # noqa: PTH116 (of 300,000 files a Path each takes longer than the look)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: put it back") from error
    return known.st_size, known.st_mtime_ns


def _hashed(paths: list[str]) -> Iterator[str]:
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        yield from pool.map(sha256, map(Path, paths))


def _remembered(memory: Path) -> dict[tuple[str, int, int], str]:
    if not memory.is_file():
        return {}
    try:
        table = read_table(memory)
        columns = [values(table, name) for name in ("path", "size", "changed", "sha256")]
    except UserError:  # it is only a memory: hash everything again
        return {}
    return {(path, size, changed): digest.hex() for path, size, changed, digest in zip(*columns, strict=True)}


def _remember(memory: Path, known: dict[tuple[str, int, int], str]) -> None:
    import pyarrow as pa

    columns = {
        "path": pa.array([path for path, _, _ in known], pa.string()),
        "size": pa.array([size for _, size, _ in known], pa.int64()),
        "changed": pa.array([changed for _, _, changed in known], pa.int64()),
        "sha256": pa.array([bytes.fromhex(digest) for digest in known.values()], pa.binary(32)),
    }
    write_table(memory, pa.table(columns))
