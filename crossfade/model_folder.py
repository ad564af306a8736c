"""A trained model on disk: `model.safetensors` and the `model.json` that rebuilds the network from it alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from crossfade.data.labels import LabelSpace
from crossfade.errors import UserError
from crossfade.files import atomic_path, read_json, sha256, write_json
from crossfade.temporal import ModelParameters, build_video_network
from crossfade.temporal.video_network import VideoNetwork

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


@dataclass(frozen=True)
class Model:
    """A network and what it speaks of.

    Attributes:
        network: in eval mode, on the CPU.
        size: (H, W) it was trained at.
        label_space: its name.
        classes: class names in order.
        colours: (K, 3) uint8 RGB.
        description: the whole of model.json.
    """

    network: VideoNetwork
    size: tuple[int, int]
    label_space: str
    classes: tuple[str, ...]
    colours: np.ndarray
    description: dict[str, Any]

    @property
    def checkpoint(self) -> dict[str, str]:
        """{"which", "rule"}: which weights these are, chosen by which rule; empty where that is unknown."""
        return dict(self.description.get("checkpoint", {}))


def save_model(
    folder: Path,
    network: VideoNetwork,
    parameters: ModelParameters,
    label_space: LabelSpace,
    size: tuple[int, int],
    **notes: Any,
) -> None:
    """Write a model folder (weights first, description last: a folder with a description is whole).

    Args:
        folder: made if missing.
        network: built from `parameters`.
        parameters: what the network is made of.
        label_space: what its classes mean.
        size: (H, W) it was trained at.
        notes: more for model.json (method, rule, …).
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(tensors, str(temporary))
    write_json(
        folder / DESCRIPTION,
        {
            "model": parameters.model_dump(),
            "label_space": label_space.name,
            "classes": list(label_space.classes),
            "colours": label_space.colours.tolist(),
            "size": list(size),
            "weights": {"file": WEIGHTS, "sha256": sha256(folder / WEIGHTS)},
            **notes,
        },
    )


def load_model(folder: Path, label_space: LabelSpace | None = None) -> Model:
    """Rebuild a network from its folder.

    Args:
        folder: what `save_model` wrote.
        label_space: what the model has to speak of, if that matters.

    Raises:
        UserError: the folder is missing, damaged, of another label space, or its weights are of another network.
    """
    if not (folder / DESCRIPTION).is_file():
        raise UserError(f"{folder} is not a model (no {DESCRIPTION}): give a folder such as models/street/stcl/seed-0")
    raw = read_json(folder / DESCRIPTION)
    missing = [key for key in ("model", "label_space", "classes", "colours", "size", "weights") if key not in raw]
    if missing:
        raise UserError(f"{folder / DESCRIPTION} has no {missing[0]}: crossfade did not write it; train it again")
    if label_space is not None and tuple(raw["classes"]) != label_space.classes:
        raise UserError(
            f"the model in {folder} was trained for label space '{raw['label_space']}', not '{label_space.name}': "
            "choose a model of this pair, or train one"
        )
    weights = folder / WEIGHTS
    if not weights.is_file() or sha256(weights) != raw["weights"]["sha256"]:
        raise UserError(f"{weights} is missing or damaged (its hash is not that of {DESCRIPTION}): train it again")
    try:
        parameters = ModelParameters.model_validate(raw["model"])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, ("model", *first["loc"])))
        raise UserError(
            f"{folder / DESCRIPTION}: {place}: {first['msg']}: another version of crossfade wrote it; train it again"
        ) from error
    built = build_video_network(parameters.untrained(), len(raw["classes"]))
    try:
        built.load_state_dict(load_file(str(weights)), strict=True)
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{weights} holds the weights of another network than {DESCRIPTION} describes") from error
    size = (int(raw["size"][0]), int(raw["size"][1]))
    colours = np.array(raw["colours"], np.uint8)
    return Model(built.eval(), size, raw["label_space"], tuple(raw["classes"]), colours, raw)
