"""Bringing chosen members out of large archives, without unpacking them.

A zip says where each member lies, so only the bytes of the chosen ones are read; so does a tar file that is not
compressed. A compressed tar has to be read from its beginning, twice (names, then members).

Nothing in an archive is trusted: names stay inside the folder; links, devices and encrypted members are refused; what
is declared and what comes out are both bounded; every member is written whole or not at all.
"""

import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal, final

from crossfade.data.bar import byte_bar, readable
from crossfade.data.getting.brought import Brought, memory_of, recall, remember
from crossfade.errors import UserError
from crossfade.files import atomic_path

LARGEST_RATIO = 200
"""Pictures hardly shrink, label images at most some tenfold: what grows more than this is a bomb."""
SMALL = 1 << 20
"""Below this many bytes no ratio is looked at."""
LARGEST_MEMBER = 16 << 30
"""Bytes; the largest single file that any of these data sets has is a few GB."""
LONGEST_TEXT = 1 << 24
CHUNK = 1 << 20
BATCH = 32
"""Members that a thread brings out at a time."""
SPARE = 64 << 20
"""Bytes that shall remain free on the disk."""
DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError, ValueError,
    OSError,
)  # fmt: skip
"""What the readers raise for archives that are truncated, corrupt, encrypted or packed in ways they do not know."""


@dataclass(frozen=True)
class Member:
    """One entry of an archive.

    Attributes:
        name: as the archive has it.
        size: bytes, as declared.
        packed: bytes it takes in the archive; None where the archive does not say.
        crc: of its content, None where the archive does not say.
        regular: whether it is a plain file.
    """

    name: str
    size: int
    packed: int | None
    crc: int | None
    regular: bool


class Archive(ABC):
    """An archive, listed and checked for dangerous names and sizes.

    Attributes:
        path: the file.
        members: by name; folders are left out.
        parallel: whether several threads may read it at once.
    """

    path: Path
    members: dict[str, Member]
    parallel: bool

    @abstractmethod
    def read(self, names: Sequence[str]) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """Yield each of the members with its content, in any order; the content is to be used up before the next."""


@final
class ZipArchive(Archive):
    """A zip file, also beyond 4 GB."""

    parallel = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip = zipfile.ZipFile(path)
        self._entries = {entry.filename: entry for entry in self._zip.infolist() if not entry.is_dir()}
        self.members = {name: _zip_member(entry) for name, entry in self._entries.items()}

    def read(self, names: Sequence[str]) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """See `Archive.read`. The checksum is verified when the content has been used up."""
        for name in names:
            yield self.members[name], self._chunks(name)

    def _chunks(self, name: str) -> Iterator[bytes]:
        with self._zip.open(self._entries[name]) as file:
            while chunk := file.read(CHUNK):
                yield chunk


def _zip_member(entry: zipfile.ZipInfo) -> Member:
    kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 when made on a system without such kinds
    regular = kind in (0, stat.S_IFREG)
    return Member(entry.filename, entry.file_size, entry.compress_size, entry.CRC, regular)


@final
class TarArchive(Archive):
    """A tar file, plain or compressed by gzip, bzip2 or xz. Of members of one name the last counts, as for tar."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.members, self._offsets = {}, {}
        limit = LARGEST_RATIO * path.stat().st_size + SMALL
        with tarfile.open(path) as tar:
            self.parallel = _is_plain(path)
            total = 0
            for entry in tar:
                total += entry.size
                if total > limit:  # while listing: skipping a member of a compressed archive means to unpack it
                    raise _bomb(path, name, entry.name)
                if not entry.isdir():
                    regular = entry.isreg() and not entry.issparse()
                    self.members[entry.name] = Member(entry.name, entry.size, None, None, regular)
                    self._offsets[entry.name] = entry.offset_data

    def read(self, names: Sequence[str]) -> Iterator[tuple[Member, Iterator[bytes]]]:
        """See `Archive.read`."""
        if not names:
            return
        if self.parallel:
            with self.path.open("rb") as file:
                for name in names:
                    file.seek(self._offsets[name])
                    yield self.members[name], _take(file.read, self.members[name].size)
            return
        wanted = set(names)
        with tarfile.open(self.path) as tar:
            for entry in tar:
                last = entry.name in wanted and entry.offset_data == self._offsets[entry.name]
                content = tar.extractfile(entry) if last and entry.isreg() else None
                if content is not None:
                    yield self.members[entry.name], _take(content.read, entry.size)


def _is_plain(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:"):
            return True
    except tarfile.ReadError:
        return False


def _take(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    while size:
        chunk = read(min(CHUNK, size))
        if not chunk:
            raise EOFError("it ends too early")
        size -= len(chunk)
        yield chunk


def open_archive(path: Path, name: str) -> Archive:
    """List an archive.

    Args:
        path: the archive.
        name: the data set's, for messages.

    Raises:
        UserError: it is missing, of a kind that cannot be read in part, damaged, or dangerous.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(6)
    except OSError as error:
        raise UserError(
            f"data set '{name}': the archive {path} cannot be read ({error.strerror}): mend data_sets.{name}.archives"
        ) from error
    if magic.startswith((b"Rar!", b"7z\xbc\xaf")):
        raise UserError(
            f"data set '{name}': {path} is a {'rar' if magic[:1] == b'R' else '7z'} archive, and only zip and tar are "
            f"read here: unpack it (unar, 7z) into data_sets.{name}.root and take it out of 'archives'"
        )
    try:
        archive: Archive = ZipArchive(path) if magic.startswith(b"PK") else TarArchive(path, name)
    except DAMAGED as error:
        raise UserError(
            f"data set '{name}': {path} is no zip or tar archive, or is truncated or damaged ({error}): get it again"
        ) from error
    for member in archive.members:
        _check_name(path, name, member)
    return archive


def read_text(archive: Archive, member: str, name: str) -> str:
    """A member that is a short text in UTF-8; what is not UTF-8 is replaced.

    Args:
        archive: where it is.
        member: its name.
        name: the data set's, for messages.

    Raises:
        UserError: it is a link or long, or the archive is damaged there.
    """
    _check_member(archive, name, archive.members[member])
    if archive.members[member].size > LONGEST_TEXT:
        raise _bomb(archive.path, name, member)
    try:
        content = b"".join(chunk for _, chunks in archive.read([member]) for chunk in chunks)
    except DAMAGED as error:
        raise _damaged(archive, name, member, error) from error
    return content.decode("utf-8-sig", "replace")


def _damaged(archive: Archive, name: str, where: str, error: Exception) -> UserError:
    return UserError(
        f"data set '{name}': {archive.path} is truncated, damaged or encrypted at {where} "
        f"({error}): get it again; what is there already is kept"
    )


def _check_name(path: Path, name: str, member: str) -> None:
    outside = member.startswith("/") or PureWindowsPath(member).drive or ".." in PurePosixPath(member).parts
    if outside or not member or "\\" in member or "\0" in member:
        raise UserError(
            f"data set '{name}': {path} holds {member!r}, which would be written outside its folder: do not use it"
        )


def _bomb(path: Path, name: str, member: str) -> UserError:
    return UserError(
        f"data set '{name}': {path} holds {member!r}, which would grow more than {LARGEST_RATIO}-fold when unpacked; "
        "no such data set does: do not use this archive"
    )


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
            _check_member(archive, name, member)
            total += member.size
            missing += member.size if not (folder / chosen[member.name]).is_file() else 0
        if sum(archive.members[m].size for m in names) > LARGEST_RATIO * archive.path.stat().st_size + SMALL:
            raise _bomb(archive.path, name, names[0])
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
    except OSError as error:  # the folder may be one's own where what is beside it is not
        print(
            f"{name}: {memory_of(folder)} cannot be written ({error.strerror}): the next time every file will be held "
            "against the archives again"
        )


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


def _check_member(archive: Archive, name: str, member: Member) -> None:
    if not member.regular:
        raise UserError(
            f"data set '{name}': {member.name!r} of {archive.path} is a link, a device or sparse, not a plain file: do "
            "not use this archive"
        )
    grows = member.packed is not None and member.size > LARGEST_RATIO * member.packed + SMALL
    if member.size > LARGEST_MEMBER or grows:
        raise _bomb(archive.path, name, member.name)


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
        raise _damaged(archive, to.name, current, error) from error
    return written


def _bounded(archive: Archive, member: Member, to: _Place, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The content, as long as it was declared to be."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > member.size:
            raise _bomb(archive.path, to.name, member.name)
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
