"""Bringing chosen members out of large archives, without unpacking them.

What is declared and what comes out are both bounded; every member is written whole or not at all.
"""

import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crossfade.data.bar import byte_bar, readable
from crossfade.data.getting.archives import (
    CHUNK,
    DAMAGED,
    LARGEST_RATIO,
    SMALL,
    Archive,
    Member,
    bomb,
    check_member,
    damaged,
)
from crossfade.data.getting.brought import Brought, recall, remember
from crossfade.errors import UserError
from crossfade.files import atomic_path

BATCH = 32
"""Members that a thread brings out at a time."""
SPARE = 64 << 20
"""Bytes that shall remain free on the disk."""


def bring_out(name: str, archives: Sequence[Archive], chosen: Mapping[str, str], folder: Path, workers: int = 1) -> int:
    """Write the chosen members below `folder`, several at a time.

    A file that is there stays as it is, unless it is one that was brought out of another version of the archive and not
    touched since. One that is unlike the archive's was changed by somebody: how many such there are is printed.

    Args:
        name: the data set's, for messages.
        archives: where to look; a file that two of them hold is taken from the first.
        chosen: member's name → path below `folder`.
        folder: the data set's root.
        workers: threads.

    Returns:
        How many files were written.

    Raises:
        UserError: a chosen member is a link or a device, grows too much, or is damaged; too little room on the disk.
    """
    jobs: list[tuple[Archive, list[str]]] = []
    taken: set[str] = set()
    missing = total = 0
    for archive in archives:
        names = []
        for m in archive.members:  # in the order they lie in
            if m in chosen and chosen[m] not in taken:
                taken.add(chosen[m])
                names.append(m)
        for member in (archive.members[m] for m in names):
            check_member(archive, name, member)
            total += member.size
            missing += member.size if not (folder / chosen[member.name]).is_file() else 0
        if sum(archive.members[m].size for m in names) > LARGEST_RATIO * archive.path.stat().st_size + SMALL:
            raise bomb(archive.path, name, names[0])
        batch = BATCH if archive.parallel else max(1, len(names))
        jobs += [(archive, names[k : k + batch]) for k in range(0, len(names), batch)]
    check_room(name, folder, missing)
    before = recall(folder)
    new: dict[str, Brought] = {}
    changed: list[str] = []
    written = 0
    try:
        with byte_bar(f"{name}: {len(taken)} files", total) as done, ThreadPoolExecutor(max(1, workers)) as pool:
            place = _Place(name, folder, chosen, before, new, changed, done)
            futures = [pool.submit(_write, archive, names, place) for archive, names in jobs]
            try:
                for future in as_completed(futures):
                    written += future.result()
            finally:
                pool.shutdown(cancel_futures=True)
    finally:
        if new:
            _remember(name, folder, before | new)
    if changed:
        print(
            f"{name}: {len(changed)} files below {folder} are unlike those of the archives and are kept, first "
            f"{min(changed)}: delete them to have them brought out again"
        )
    return written


def _remember(name: str, folder: Path, known: Mapping[str, Brought]) -> None:
    try:
        remember(folder, known)
    except UserError as error:  # the folder may be one's own where what is beside it is not
        print(f"{name}: the next time every file will be held against the archives again: {error}")


@dataclass(frozen=True)
class _Place:
    """Where members go.

    Attributes:
        name: the data set's.
        folder: its root.
        chosen: member's name → path below `folder`.
        before: what is remembered of the files there.
        new: what is to be remembered; filled by `_write`.
        changed: paths of files that somebody changed; filled by `_write`.
        done: told how many bytes are done with.
    """

    name: str
    folder: Path
    chosen: Mapping[str, str]
    before: Mapping[str, Brought]
    new: dict[str, Brought]
    changed: list[str]
    done: Callable[[int], None]


def check_room(name: str, folder: Path, needed: int) -> None:
    """Refuse where the disk has no room for so many bytes.

    Raises:
        UserError: it has not.
    """
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if needed and needed + SPARE > free:
        raise UserError(
            f"data set '{name}': {readable(needed)} are to be written below {folder}, but only {readable(free)} are "
            f"free there: free some space, or set data_sets.{name}.root to a folder on a larger disk"
        )


def _write(archive: Archive, names: list[str], to: _Place) -> int:
    """Write some members of one archive; how many."""
    current = "its beginning"
    written = 0
    try:
        known = {m: _state(archive.members[m], to) for m in names}
        to.done(sum(archive.members[m].size for m, state in known.items() if state in ("same", "changed")))
        to.changed.extend(to.chosen[m] for m, state in known.items() if state == "changed")
        for member, chunks in archive.read([m for m in names if known[m] in ("write", "compare")]):
            current = member.name
            path = to.folder / to.chosen[member.name]
            bounded = _bounded(archive, member, to, chunks)
            if known[member.name] == "write":
                with atomic_path(path) as temporary, temporary.open("wb") as file:
                    for chunk in bounded:
                        file.write(chunk)
                written += 1
            elif not _same(path, bounded):
                to.changed.append(to.chosen[member.name])
                continue
            to.new[to.chosen[member.name]] = _brought(member, path)
    except DAMAGED as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise UserError(
                f"data set '{to.name}': {error.filename} cannot be written ({error.strerror}): make the folder "
                f"writable, or set data_sets.{to.name}.root to another one"
            ) from error
        raise damaged(archive, to.name, current, error) from error
    return written


def _bounded(archive: Archive, member: Member, to: _Place, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The content, as long as it was declared to be."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > member.size:
            raise bomb(archive.path, to.name, member.name)
        yield chunk
        to.done(len(chunk))
    if size != member.size:
        raise EOFError(f"{size} bytes instead of {member.size}")


State = Literal["write", "same", "compare", "changed"]


def _state(member: Member, to: _Place) -> State:
    """What is to be done about a member: its file is to be written, is its own, has to be read to tell, or is not."""
    path = to.folder / to.chosen[member.name]
    try:
        found = path.stat()
    except FileNotFoundError:
        return "write"
    before = to.before.get(to.chosen[member.name])
    if before is not None and (found.st_size, found.st_mtime_ns) == before[:2]:  # nobody has touched it
        return "same" if (member.size, member.crc) == (before.size, before.crc) else "write"
    if found.st_size != member.size:
        return "changed"
    if member.crc is None:
        return "compare"
    if _crc(path) != member.crc:
        return "changed"
    to.new[to.chosen[member.name]] = _brought(member, path)
    return "same"


def _brought(member: Member, path: Path) -> Brought:
    found = path.stat()
    return Brought(found.st_size, found.st_mtime_ns, member.crc)


def _same(path: Path, chunks: Iterator[bytes]) -> bool:
    """Whether a file has this content, of which it has the size; all of the content is used up."""
    with path.open("rb") as file:
        alike = [file.read(len(chunk)) == chunk for chunk in chunks]
    return all(alike)


def _crc(path: Path) -> int:
    value = 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            value = zlib.crc32(chunk, value)
    return value
