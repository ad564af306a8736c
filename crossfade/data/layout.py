"""What the loaders of published layouts share: list a folder once, and say in one sentence what is not there."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from crossfade.errors import UserError


def data_root(name: str, root: Path) -> Path:
    """The folder of a data set, absolute.

    Raises:
        UserError: it is not there.
    """
    found = root.expanduser().resolve()
    if not found.is_dir():
        raise UserError(f"data set '{name}': there is no folder {found}: set data_sets.{name}.root in params.yaml")
    return found


def files_in(name: str, folder: Path, ending: str, hint: str) -> list[str]:
    """Names of a folder's files that end so, sorted; one reading of the folder, however many there are.

    Raises:
        UserError: there is no such folder or none of them; `hint` says what to do.
    """
    if not folder.is_dir():
        raise UserError(f"data set '{name}': there is no folder {folder}: {hint}")
    with os.scandir(folder) as entries:
        found = sorted(entry.name for entry in entries if entry.name.endswith(ending))
    if not found:
        raise UserError(f"data set '{name}': {folder} holds no file …{ending}: {hint}")
    return found


def folders_in(name: str, folder: Path, hint: str) -> list[str]:
    """Names of a folder's folders, sorted. Raises as `files_in`."""
    if not folder.is_dir():
        raise UserError(f"data set '{name}': there is no folder {folder}: {hint}")
    found = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    if not found:
        raise UserError(f"data set '{name}': {folder} is empty: {hint}")
    return found


def lines_of(name: str, path: Path, hint: str, named: Callable[[str], str] = str) -> list[tuple[int, str]]:
    """(number, text) of the lines of a list file that are not empty, number 1 being the first.

    Args:
        name: the data set's.
        path: the list.
        hint: what to do if it is not as it should be.
        named: what a line names; no two lines may name the same.

    Raises:
        UserError: there is no such file, it is not text, it lists nothing, or something twice.
    """
    if not path.is_file():
        raise UserError(f"data set '{name}': there is no list {path}: {hint}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"data set '{name}': the list {path} is not UTF-8 text: save it as UTF-8") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise UserError(f"data set '{name}': the list {path} is empty: {hint}")
    first: dict[str, int] = {}
    for number, line in lines:
        before = first.setdefault(named(line), number)
        if before != number:
            what = f"{named(line)} twice, in lines {before} and {number}"
            raise UserError(f"data set '{name}': {path} lists {what}: remove one of them")
    return lines


def all_there(name: str, missing: Sequence[Path], of: int, hint: str) -> None:
    """Refuse where files are missing, and tell how many and which first.

    Args:
        name: the data set.
        missing: the files that are not there.
        of: how many there should be.
        hint: what to do.

    Raises:
        UserError: `missing` is not empty.
    """
    if missing:
        raise UserError(f"data set '{name}': {len(missing)} of {of} files are missing, first {missing[0]}: {hint}")
