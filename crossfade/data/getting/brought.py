"""What crossfade brought out of archives, remembered beside the data set: what a person changed since then shows."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from crossfade.data.manifest_files import read_table, values, write_table
from crossfade.errors import UserError


class Brought(NamedTuple):
    """A file as it was when it had been written, or found to be the archive's.

    Attributes:
        size: bytes.
        changed: time of change, nanoseconds.
        crc: of the member it is from, None where the archive does not say.
    """

    size: int
    changed: int
    crc: int | None


def memory_of(folder: Path) -> Path:
    """Where it is remembered what was brought out into a folder."""
    return folder.with_name(f".{folder.name}.brought.parquet")


def recall(folder: Path) -> dict[str, Brought]:
    """{path below the folder: what is remembered of it}; nothing where the memory is missing or damaged."""
    if not memory_of(folder).is_file():
        return {}
    try:
        table = read_table(memory_of(folder))
        columns = [values(table, name) for name in ("path", "size", "changed")]
        checksums = table["crc"].to_pylist()
    except (UserError, KeyError):  # it is only a memory: every file is held against the archive again
        return {}
    return {path: Brought(size, at, crc) for path, size, at, crc in zip(*columns, checksums, strict=True)}


def remember(folder: Path, known: Mapping[str, Brought]) -> None:
    """Write down what `recall` reads."""
    import pyarrow as pa

    columns = {
        "path": pa.array(list(known), pa.string()),
        "size": pa.array([one.size for one in known.values()], pa.int64()),
        "changed": pa.array([one.changed for one in known.values()], pa.int64()),
        "crc": pa.array([one.crc for one in known.values()], pa.int64()),
    }
    write_table(memory_of(folder), pa.table(columns))
