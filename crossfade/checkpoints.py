"""Checkpoints: whole or absent, hash-checked, the newest few kept, safe to load."""

import hashlib
import io
import logging
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from crossfade.errors import UserError
from crossfade.files import atomic_path

if TYPE_CHECKING:
    from accelerate import Accelerator

KEEP = 2
"""How many are kept: the newest, and one to fall back to if it turns out damaged."""

SHORT = 12
"""Letters of the fingerprint in a file's name."""

_MAGIC = b"crossfade checkpoint 1\n"
_NAME = re.compile(r"step-(?P<step>\d+)-(?P<fingerprint>\w+)\.ckpt$")
_log = logging.getLogger(__name__)


class DamagedCheckpointError(Exception):
    """The file is not a whole checkpoint."""


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], rank: int = 0) -> Path:
    """Write a checkpoint atomically and prune all but the newest `KEEP` of this very training.

    Args:
        folder: of this training; each rank has a folder of its own inside.
        step: how many steps are done.
        state: tensors, plain numbers, strings, and containers of them; "fingerprint" says what it belongs to.
        rank: whose state this is.

    Raises:
        UserError: no space is left.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    fingerprint = str(state["fingerprint"])
    path = _folder(folder, rank) / f"step-{step:08d}-{fingerprint[:SHORT]}.ckpt"
    with atomic_path(path) as temporary:
        temporary.write_bytes(_MAGIC + hashlib.sha256(data).digest() + data)
    for old in checkpoints(folder, fingerprint, rank)[:-KEEP]:
        old.unlink(missing_ok=True)
    return path


def checkpoints(folder: Path, fingerprint: str, rank: int = 0) -> list[Path]:
    """A rank's checkpoints of one training, oldest first."""
    found = sorted(_folder(folder, rank).glob("step-*.ckpt"))
    return [p for p in found if (match := _NAME.match(p.name)) and match["fingerprint"] == fingerprint[:SHORT]]


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint (weights_only).

    Raises:
        DamagedCheckpointError: the content is not what was written.
    """
    data = path.read_bytes()
    head = len(_MAGIC) + 32
    content = data[head:]
    if not data.startswith(_MAGIC) or hashlib.sha256(content).digest() != data[len(_MAGIC) : head]:
        raise DamagedCheckpointError(f"{path} is damaged")
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise DamagedCheckpointError(f"{path} cannot be read: {error}") from error
    return state


def newest_checkpoint(
    folder: Path, fingerprint: str, rank: int = 0, at_most: int | None = None
) -> tuple[int, dict[str, Any]] | None:
    """The newest whole checkpoint of this very training, or None to begin afresh.

    A damaged one is passed over with a warning, in favour of the one before it. Those of another configuration, left
    behind by an edit of params.yaml, are not looked at: taken back, the edit finds them again.

    Args:
        folder: of this training.
        fingerprint: what it is made by.
        rank: whose state.
        at_most: steps; no later one is wanted.

    Returns:
        (steps done, state), or None.

    Raises:
        UserError: there are checkpoints, all of them damaged.
    """
    paths = checkpoints(folder, fingerprint, rank)
    damaged = []
    if not paths and any(_folder(folder, rank).glob("step-*.ckpt")):
        _log.warning("the checkpoints in %s are of another configuration: starting from the beginning", folder)
    for path in reversed(paths):
        try:
            state = load_checkpoint(path)
        except DamagedCheckpointError as error:
            _log.warning("%s: falling back to the checkpoint before it", error)
            damaged.append(path)
            continue
        if at_most is None or int(state["step"]) <= at_most:
            return int(state["step"]), state
    if damaged:
        raise UserError(
            f"every checkpoint in {_folder(folder, rank)} is damaged (the last: {damaged[0].name}): delete the folder "
            "to start this training from the beginning"
        )
    return None


def newest_common(folder: Path, fingerprint: str, accelerator: "Accelerator") -> tuple[int, dict[str, Any]] | None:
    """The newest checkpoint that every rank of a training has, as `newest_checkpoint`."""
    rank, newest = accelerator.process_index, None
    for _ in range(KEEP):
        found = newest_checkpoint(folder, fingerprint, rank, newest)
        steps = accelerator.gather(torch.tensor([found[0] if found else 0], device=accelerator.device))
        newest = int(steps.min())
        if int(steps.max()) == newest:
            return found
    return None


def _folder(folder: Path, rank: int) -> Path:
    return folder / f"rank-{rank}"
