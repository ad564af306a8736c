"""A rehearsal: every training of a pair is built and asked what it will read, before hours go by until its turn comes.

Weights and maps are on torch's meta device, where nothing is computed and memory costs nothing.
"""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from crossfade.data.labels import LabelSpace, load_label_space
from crossfade.data.loading import Domain
from crossfade.errors import UserError
from crossfade.experiment import SOURCE, TARGET, check_spans, method_of
from crossfade.params import Params
from crossfade.temporal import ModelParameters, build_video_network


def rehearse(params: Params, pair: str, sides: Mapping[str, Domain]) -> Iterator[str]:
    """Build every network of params.yaml, and every recipe around its own.

    Pretrained encoders are fetched, as they will be. A network that cannot be built is told once, not with each recipe.

    Args:
        params: all of it.
        pair: a key of its pairs.
        sides: "source" and "target", each as the trainings will read it; one that is left out is not looked at.

    Yields:
        The sentence with which a training would stop.
    """
    space, unbuilt = load_label_space(params.pairs[pair].label_space), set()
    for name, network in params.networks.items():
        try:
            _rehearse(network.model, params.pretraining.method, space, sides)
        except UserError as error:
            unbuilt.add(name)
            yield f"networks.{name}: {error}"
    for name in params.recipe_names:
        recipe = params.recipe(name)
        if recipe.network in unbuilt:
            continue
        model = params.networks[recipe.network].model.model_copy(update={"temporal": params.temporal_of(recipe)})
        try:
            _rehearse(model.untrained(), recipe.method, space, sides)
        except UserError as error:
            yield f"recipe '{name}': {error}"


def _rehearse(
    model: ModelParameters, method: Mapping[str, Any], space: LabelSpace, sides: Mapping[str, Domain]
) -> None:
    """Raises UserError as the training would."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter")  # weights weigh nothing here
        built = method_of(method, build_video_network(model, len(space.classes)), space)
    for side, needs in ((SOURCE, built.source_needs), (TARGET, built.target_needs)):
        if needs is not None and side in sides:
            check_spans(sides[side], needs)
