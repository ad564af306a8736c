"""Getting the files of a data set before it is indexed: out of archives, over the network, or by telling what to do.

Any data set with a `root` may have, beside its own keys, `archives` and `fetch` in params.yaml. What they name is
brought into `root` in the data set's own layout, as far as its parameters ask for it; then it is indexed as ever.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from crossfade.data.getting.accounts import explain_if_missing
from crossfade.data.getting.archives import open_archive
from crossfade.data.getting.bringing import bring_out
from crossfade.data.getting.downloads import RemoteFile, fetch
from crossfade.data.getting.members import choose


class GettingParameters(BaseModel):
    """Where the files of a data set come from.

    Attributes:
        archives: zip and tar files, of which only the members that the data set's parameters ask for are brought out.
        fetch: files to download first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    archives: tuple[Path, ...] = ()
    fetch: tuple[RemoteFile, ...] = ()

    @field_validator("fetch")
    @classmethod
    def _apart(cls, files: tuple[RemoteFile, ...]) -> tuple[RemoteFile, ...]:
        there: set[Path] = set()
        for file in files:
            if file.path(Path("root")) in there:
                raise ValueError(f"{file.url} would be written over another file: give one of them another 'to'")
            there.add(file.path(Path("root")))
        return files


KEYS = frozenset(GettingParameters.model_fields)


def own_keys(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A section of `data_sets` without the keys that say where files come from."""
    return {key: value for key, value in raw.items() if key not in KEYS}


def getting_parameters(raw: Mapping[str, Any]) -> GettingParameters:
    """The keys that say where files come from.

    Raises:
        pydantic.ValidationError: an unknown key or a wrong value.
    """
    return GettingParameters.model_validate({key: value for key, value in raw.items() if key in KEYS})


def get(name: str, kind: str, parameters: BaseModel, getting: GettingParameters, workers: int = 1) -> None:
    """Bring what is wanted into the data set's root; what is there already is left alone, see `bring_out`.

    Args:
        name: the data set's, for messages.
        kind: a key of DATASETS.
        parameters: the data set's own.
        getting: where its files come from.
        workers: threads.

    Raises:
        UserError: a file cannot be fetched, an archive is damaged, dangerous or holds nothing of use, the disk is too
            small; or nothing is there and nobody says where it comes from.
    """
    root = vars(parameters).get("root")
    if not (getting.archives or getting.fetch):
        explain_if_missing(name, kind, root)
        return
    assert isinstance(root, Path), kind  # data_set_parameters saw to it
    folder = root.expanduser().resolve()
    fetched = fetch(name, getting.fetch, folder, workers)
    archives = [open_archive(path.expanduser().resolve(), name) for path in (*getting.archives, *fetched)]
    if archives:
        bring_out(name, archives, choose(name, kind, parameters, archives, folder), folder, workers)
