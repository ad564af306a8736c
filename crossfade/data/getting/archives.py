"""Archives: listed, checked for what is dangerous, read member by member.

A zip says where each member lies, so only the bytes of the chosen ones are read; so does a tar file that is not
compressed. A compressed tar has to be read from its beginning, twice (names, then members).

Nothing in an archive is trusted: names stay inside the folder; links, devices and encrypted members are refused; what
is declared is bounded here, what comes out where it is brought out.
"""

import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import final

from crossfade.errors import UserError

LARGEST_RATIO = 200
"""Pictures hardly shrink, label images at most some tenfold: what grows more than this is a bomb."""
SMALL = 1 << 20
"""Below this many bytes no ratio is looked at."""
LARGEST_MEMBER = 16 << 30
"""Bytes; the largest single file that any of these data sets has is a few GB."""
LONGEST_TEXT = 1 << 24
CHUNK = 1 << 20
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
                    raise bomb(path, name, entry.name)
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
    check_member(archive, name, archive.members[member])
    if archive.members[member].size > LONGEST_TEXT:
        raise bomb(archive.path, name, member)
    try:
        content = b"".join(chunk for _, chunks in archive.read([member]) for chunk in chunks)
    except DAMAGED as error:
        raise damaged(archive, name, member, error) from error
    return content.decode("utf-8-sig", "replace")


def damaged(archive: Archive, name: str, where: str, error: Exception) -> UserError:
    """What is said of an archive that a reader gave up on."""
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


def bomb(path: Path, name: str, member: str) -> UserError:
    """What is said of a member that would grow beyond all measure."""
    return UserError(
        f"data set '{name}': {path} holds {member!r}, which would grow more than {LARGEST_RATIO}-fold when unpacked; "
        "no such data set does: do not use this archive"
    )


def check_member(archive: Archive, name: str, member: Member) -> None:
    """Refuse a member that is no plain file, or a bomb.

    Raises:
        UserError: it is.
    """
    if not member.regular:
        raise UserError(
            f"data set '{name}': {member.name!r} of {archive.path} is a link, a device or sparse, not a plain file: do "
            "not use this archive"
        )
    grows = member.packed is not None and member.size > LARGEST_RATIO * member.packed + SMALL
    if member.size > LARGEST_MEMBER or grows:
        raise bomb(archive.path, name, member.name)
