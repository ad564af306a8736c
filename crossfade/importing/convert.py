"""From a published checkpoint to a model folder: strictly, and without running anything the file might contain."""

import pickle
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from crossfade.data.labels import LabelSpace, load_label_space
from crossfade.errors import UserError, unknown_name
from crossfade.files import sha256
from crossfade.importing import IMPORTERS
from crossfade.importing.base import Size, State, System
from crossfade.model_folder import DESCRIPTION, save_model
from crossfade.temporal import ModelParameters, build_video_network
from crossfade.temporal.video_network import VideoNetwork


@dataclass(frozen=True)
class Imported:
    """What came of a checkpoint.

    Attributes:
        network: with the weights, in eval mode.
        parameters: what it is made of.
        classes: how many.
        dropped: keys of the file that the published code never uses.
    """

    network: VideoNetwork
    parameters: ModelParameters
    classes: int
    dropped: tuple[str, ...]


def import_weights(
    system: str, file: Path, out: Path, label_space: str | None = None, size: Size | None = None
) -> Imported:
    """Write a model folder with the weights of a published checkpoint.

    Args:
        system: a key of `IMPORTERS`.
        file: as published (torch.save, today's format or the one before torch 1.6).
        out: the model folder to make.
        label_space: by name; default: the one that the system was published for with that many classes.
        size: (H, W) that the network will work at; default: as published.

    Raises:
        UserError: the file cannot be read, is of another system, or does not fit; `out` holds something else.
    """
    if system not in IMPORTERS:
        raise unknown_name("system", system, IMPORTERS)
    chosen = IMPORTERS[system]
    if out.exists() and not (out / DESCRIPTION).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not a model: give --out a folder that is new or empty")
    state = read_state(file, ("module.", *chosen.prefixes))
    _recognise(system, state, file)
    space = _label_space(chosen, state[chosen.classifier].shape[0], label_space, file)
    imported = converted(chosen, state, str(file))
    usual = next(iter(chosen.published.values()))
    at = size or chosen.published.get(imported.classes, usual)[1]
    source = {"system": system, "file": file.name, "sha256": sha256(file)}
    checkpoint = {"which": file.name, "rule": "imported"}
    save_model(out, imported.network, imported.parameters, space, at, checkpoint=checkpoint, imported=source)
    return imported


def converted(system: System, state: State, where: str) -> Imported:
    """A network of ours with the weights of a checkpoint.

    Args:
        system: that it is of.
        state: prefixes gone.
        where: it came from, for errors.

    Raises:
        UserError: a tensor is missing, left over, or of another shape.
    """

    def refused(problem: str) -> UserError:
        what = f"{where} is not a whole checkpoint of {system.title}"
        return UserError(f"{what}: {problem}; is it another version or variant of the system?")

    try:
        parameters = ModelParameters.model_validate(system.model(state))
    except KeyError as error:
        raise refused(f"{error.args[0]} is missing") from error
    classes = state[system.classifier].shape[0]
    named = {key: system.rename(key) for key in state}
    dropped = tuple(key for key, name in named.items() if name is None)
    published = {name: key for key, name in named.items() if name is not None}
    ours = {name: state[key] for name, key in published.items()}
    network = build_video_network(parameters, classes).eval()
    wanted = network.state_dict()
    for name in wanted:
        if name.endswith(".num_batches_tracked") and name not in ours:  # absent in files of the earliest versions
            ours[name] = torch.zeros_like(wanted[name])
    if missing := [name for name in wanted if name not in ours]:
        raise refused(f"{_few(missing)} missing (our names)")
    if left := [k for k, name in named.items() if name is not None and not (name in wanted and published[name] == k)]:
        raise refused(f"{_few(left)} left over")
    for name, value in ours.items():
        shape = wanted[name].shape
        if _long(value.shape) != _long(shape):
            raise refused(f"{published[name]} has shape {tuple(value.shape)} where {tuple(shape)} belongs")
        ours[name] = value.reshape(shape)
    network.load_state_dict(ours)
    return Imported(network, parameters, classes, dropped)


def read_state(file: Path, prefixes: tuple[str, ...] = ("module.",)) -> State:
    """The tensors of a checkpoint by key: out of `state_dict` if they lie in there, prefixes gone.

    Nothing but tensors and plain containers is ever unpickled.

    Raises:
        UserError: no such file, not a checkpoint, cut short, or holding Python objects.
    """
    if not file.is_file():
        raise UserError(f"there is no file {file}: give the checkpoint as it was downloaded")
    try:
        raw = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, OSError) as error:
        objects = re.search(r"GLOBAL (\S+)", str(error))
        if objects:
            raise UserError(
                f"{file} holds more than weights ({objects[1]}), which is not loaded because it could run code: where "
                "you trust the file, save the weights alone, with torch.save(torch.load(FILE, weights_only=False)"
                "['state_dict'], NEW)"
            ) from error
        raise UserError(f"{file} is not a whole checkpoint (cut short?): download it again") from error
    for wrapper in ("state_dict", "model"):
        if isinstance(raw, dict) and isinstance(raw.get(wrapper), dict):
            raw = raw[wrapper]
    state = {key: value for key, value in raw.items() if isinstance(value, Tensor)} if isinstance(raw, dict) else {}
    if not state:
        raise UserError(f"{file} holds no weights by name: it is not a checkpoint of a network")
    return {_without(key, prefixes): value for key, value in state.items()}


def _without(key: str, prefixes: tuple[str, ...]) -> str:
    while any(key.startswith(prefix) for prefix in prefixes):
        key = next(key.removeprefix(prefix) for prefix in prefixes if key.startswith(prefix))
    return key


def _recognise(system: str, state: State, file: Path) -> None:
    """Refuse a file that shows no sign of the system, and say whose signs it shows."""
    chosen = IMPORTERS[system]
    lacking = [key for key in (*chosen.sign, chosen.classifier) if key not in state]
    if lacking:
        shown = {name: len(s.sign) for name, s in IMPORTERS.items() if {*s.sign, s.classifier} <= state.keys()}
        others = [name for name, signs in shown.items() if signs == max(shown.values())]
        hint = f"it looks like {' or '.join(others)}" if others else f"it begins with {next(iter(state))}"
        raise UserError(f"{file} is not a checkpoint of {chosen.title} (there is no {lacking[0]}): {hint}")


def _label_space(system: System, classes: int, name: str | None, file: Path) -> LabelSpace:
    if name is None and classes not in system.published:
        raise UserError(f"{file} has {classes} classes: say which with --label-space (`crossfade labels` lists them)")
    space = load_label_space(name or system.published[classes][0])
    if len(space.classes) != classes:
        raise UserError(f"{file} has {classes} classes, but label space '{space.name}' has {len(space.classes)}")
    return space


def _long(shape: torch.Size) -> list[int]:
    """A shape without its dimensions of length 1: a linear layer is a 1x1 convolution."""
    return [n for n in shape if n != 1]


def _few(names: list[str]) -> str:
    """The first few names, and of how many."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more + (" is" if len(names) == 1 else " are")
