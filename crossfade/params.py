"""params.yaml as typed objects. A key nobody declared is an error that names it and the nearest valid one."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from crossfade.data import check_places, data_set_parameters
from crossfade.data.getting import KEYS
from crossfade.data.labels import label_space_names
from crossfade.errors import UserError, unknown_key, unknown_name
from crossfade.methods import METHODS, method_parameters, reads_too_much, trains_no_key_frames
from crossfade.motion.parameters import MotionParameters
from crossfade.networks import FRAME_NETWORKS, NetworkParameters
from crossfade.networks.arguments import argument_names, checked_arguments
from crossfade.params_problem import problem
from crossfade.params_text import parse
from crossfade.presets import read_published
from crossfade.temporal import TEMPORAL, ModelParameters, TemporalParameters, temporal_arguments
from crossfade.temporal.base import TemporalModule
from crossfade.training import TrainingParameters

FILE = Path("params.yaml")
NAME = re.compile(r"[A-Za-z0-9_][\w-]*", re.ASCII)
"""What pairs, data sets, networks and recipes may be called: a word of folders, stages and command lines."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pair(_Section):
    """A labelled source and an unlabelled target.

    Attributes:
        source, target: keys of `data_sets`.
        label_space: a file of crossfade/data/label_spaces.
        size: [H, W] that networks work at.
        source_split: of the source, trained on.
        adapt_on: splits of the target that methods see, without labels.
        evaluate_on: the split of the target that is scored.
        published: a preset whose published results the comparison shows beside what is measured.
    """

    source: str
    target: str
    label_space: str
    size: tuple[PositiveInt, PositiveInt]
    source_split: str = "train"
    adapt_on: tuple[str, ...] = ("train",)
    evaluate_on: str = "val"
    published: str | None = None

    @field_validator("label_space")
    @classmethod
    def _known_space(cls, name: str) -> str:
        if name not in label_space_names():
            raise unknown_name("label space", name, label_space_names())
        return name

    @field_validator("adapt_on")
    @classmethod
    def _some_splits(cls, splits: tuple[str, ...]) -> tuple[str, ...]:
        if not splits or len(set(splits)) < len(splits):
            raise ValueError("name at least one split, and none twice")
        return splits

    @model_validator(mode="after")
    def _evaluated_apart(self) -> Self:
        if self.source == self.target and self.source_split == self.evaluate_on:
            raise ValueError(
                f"the labels of {self.target}'s split '{self.evaluate_on}' would be trained on and scored: set another "
                "source_split or evaluate_on"
            )
        return self

    @field_validator("published")
    @classmethod
    def _known_preset(cls, name: str | None) -> str | None:
        read_published(name)
        return name

    @property
    def notes(self) -> list[str]:
        """What a reader of the comparison must know."""
        if self.evaluate_on not in self.adapt_on:
            return []
        return [
            f"The evaluation split '{self.evaluate_on}' of {self.target} was seen, unlabelled, during adaptation "
            "(transductive); the oracle never trains on its labels."
        ]


class Network(NetworkParameters):
    """A per-frame network and, pretrained together with it, a temporal module."""

    temporal: TemporalParameters = TemporalParameters()

    @property
    def model(self) -> ModelParameters:
        """The two apart."""
        return ModelParameters(network=NetworkParameters(kind=self.kind, **self.arguments), temporal=self.temporal)


class Recipe(_Section):
    """One row of the comparison.

    Attributes:
        network: a key of `networks`; training starts from that network pretrained on the source.
        temporal: a temporal module that is added to the pretrained network; only one that starts as the identity.
        method: {name: …, and that method's parameters}.
        training: overrides of `adaptation`.
    """

    network: str
    temporal: TemporalParameters | None = None
    method: dict[str, Any]
    training: dict[str, Any] = Field(default_factory=dict)


class Continued(Recipe):
    """A recipe that starts from the model of another one: STCL after TPS, key frames on an adapted network.

    Attributes:
        name: of this recipe.
        start: the key of `recipes` whose model of the same pair and seed it starts from; a `temporal` of its own
            replaces that model's. Until the last step, whatever batch-norm statistics that model has count as the
            source's in `source_share`; those that are deployed are estimated anew.
    """

    name: str
    start: str


class Pretraining(_Section):
    """How a network is trained on the source before anything is adapted."""

    method: dict[str, Any]
    training: TrainingParameters


class Params(_Section):
    """The whole file."""

    seeds: list[Annotated[int, Field(ge=0, strict=True)]] = Field(min_length=1)
    pairs: dict[str, Pair]
    data_sets: dict[str, dict[str, Any]]
    motion: dict[str, MotionParameters]
    networks: dict[str, Network]
    pretraining: Pretraining
    adaptation: TrainingParameters
    recipes: dict[str, Recipe]
    continued: list[Continued] = Field(default_factory=list)

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands there twice")
        return seeds

    @property
    def recipe_names(self) -> list[str]:
        """Every row of the comparison, those that continue another after the others."""
        return [*self.recipes, *(recipe.name for recipe in self.continued)]

    def recipe(self, name: str) -> Recipe:
        """A recipe, of its own or continued."""
        return {recipe.name: recipe for recipe in vars(self).get("continued", ())}.get(name) or self.recipes[name]

    def training_of(self, recipe: str) -> TrainingParameters:
        """`adaptation` with the recipe's overrides."""
        merged = _merged(self.adaptation.model_dump(), self.recipe(recipe).training)
        return TrainingParameters.model_validate(merged)

    def temporal_of(self, recipe: Recipe) -> TemporalParameters:
        """The temporal module of the network that a recipe trains."""
        earlier = self.recipes[recipe.start].temporal if isinstance(recipe, Continued) else None
        return recipe.temporal or earlier or self.networks[recipe.network].temporal


def read_params(path: Path = FILE, only: Mapping[str, Any] | None = None) -> Params:
    """Read and check params.yaml, all of it, before anything else happens.

    Args:
        path: the file.
        only: what a stage declared, as {section: {entry: …}}; reading another section raises AttributeError, another
            entry of a declared section KeyError. None = everything.

    Raises:
        UserError: missing, not YAML, an unknown key or name, a value out of range.
    """
    try:
        params = check_params(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: run from the project's folder") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}): save it as UTF-8") from error
    if only is None:
        return params
    return Params.model_construct(**{name: _declared(vars(params)[name], only[name]) for name in only})


def check_params(text: str) -> Params:
    """The text of params.yaml, checked.

    Raises:
        UserError: as `read_params`.
    """
    raw = parse(text)
    if not isinstance(raw, dict):
        raise UserError(f"{FILE} should hold sections ({', '.join(Params.model_fields)}), but is empty")
    try:
        params = Params.model_validate(raw)
        _check_names(params)
    except ValidationError as error:
        raise UserError(f"{FILE}: {problem(error)}") from error
    except UserError as error:
        raise UserError(f"{FILE}: {error}") from error
    return params


def _declared(section: Any, entries: Any) -> Any:
    """A section, of which only the declared entries are left where it is a mapping of them."""
    return {name: section[name] for name in entries} if isinstance(section, dict) else section


def _check_names(params: Params) -> None:
    """Every name that points into another section, and the parameters of data sets, methods and trainings."""
    for section, names in (
        ("pairs", params.pairs),
        ("data_sets", params.data_sets),
        ("networks", params.networks),
        ("recipes", params.recipe_names),
    ):
        for name in names:
            if not NAME.fullmatch(name):
                raise UserError(f"{section}: '{name}' cannot be a name: use letters, digits, _ and -")
    for name, pair in params.pairs.items():
        for data_set in (pair.source, pair.target):
            _known(f"data set (pairs.{name})", data_set, params.data_sets)
            _known(f"data set (pairs.{name}; no section under motion)", data_set, params.motion)
    for name, raw in params.data_sets.items():
        _check_data_set(f"data_sets.{name}", raw)
    check_places(params.data_sets)
    for name in params.data_sets:
        _known(f"data set (data_sets.{name}; no section under motion)", name, params.motion)
    for name, network in params.networks.items():
        _known(f"network kind (networks.{name}.kind)", network.kind, FRAME_NETWORKS)
        known = argument_names(FRAME_NETWORKS[network.kind], 1)  # the first is the number of classes
        for key in network.arguments:
            if key not in known:
                raise UserError(unknown_key(f"networks.{name}.{key}", [*known, "temporal"]))
        _placed(f"networks.{name}", lambda n: checked_arguments(FRAME_NETWORKS[n.kind], 1, n.arguments), network)
        _check_temporal(f"networks.{name}.temporal", network.temporal)
        by = TEMPORAL[network.temporal.kind].trained_by
        if by is not None:
            raise UserError(
                f"networks.{name}.temporal: '{network.temporal.kind}' comes after pretraining: make it the key "
                f"`temporal` of a recipe whose method is {by}"
            )
    _check_method("pretraining.method", params.pretraining.method)
    method = params.pretraining.method
    if method["name"] != "supervised" or method.get("domain", "source") != "source":
        raise UserError("pretraining.method is {name: supervised, domain: source}: adaptation comes after it")
    for name, recipe in params.recipes.items():
        _check_recipe(params, f"recipes.{name}", name, recipe)
    for k, recipe in enumerate(params.continued):
        where = f"continued[{k}]"
        _known(f"recipe ({where}.start)", recipe.start, params.recipes)
        if params.recipe_names.count(recipe.name) > 1:
            raise UserError(f"{where}.name: there is a recipe '{recipe.name}' already; choose another name")
        if recipe.network != params.recipes[recipe.start].network:
            raise UserError(f"{where}.network: the model of '{recipe.start}' has another network; name that one")
        _check_recipe(params, where, recipe.name, recipe)


def _check_data_set(where: str, raw: dict[str, Any]) -> None:
    try:
        data_set_parameters(raw)
    except ValidationError as error:
        raise UserError(problem(error, where, sorted(KEYS))) from error
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _check_recipe(params: Params, where: str, name: str, recipe: Recipe) -> None:
    _known(f"network ({where}.network)", recipe.network, params.networks)
    _check_method(f"{where}.method", recipe.method)
    if recipe.temporal is not None:
        own = TemporalParameters() if isinstance(recipe, Continued) else params.networks[recipe.network].temporal
        _check_added(f"{where}.temporal", recipe, own)
    kind = params.temporal_of(recipe).kind
    _check_trainable(where, str(recipe.method["name"]), kind)
    _checked(f"{where}.training", lambda _: params.training_of(name), None)
    start = params.recipes[recipe.start] if isinstance(recipe, Continued) else None
    trained = start is not None and params.temporal_of(start).kind == kind
    if TEMPORAL[kind].trained_by is not None and not trained and params.training_of(name).steps == 0:
        raise UserError(f"{where}.training.steps: 0 would leave the temporal module '{kind}' untrained; give it some")


def _check_trainable(where: str, name: str, kind: str) -> None:
    """A method that takes any temporal module but that kind, or that kind alone, says so before anything runs."""
    method, module = METHODS[name][1], TEMPORAL[kind]
    if module.light is not TemporalModule.light and not method.trains_key_frames:
        raise UserError(f"{where}.method: {trains_no_key_frames(name)}")
    if method.single_frames and kind != "none":
        raise UserError(f"{where}.temporal: {reads_too_much(name)}")
    trained = [known for known, other in TEMPORAL.items() if other.trained_by == name]
    if trained and kind not in trained:
        raise UserError(f"{where}.temporal: method '{name}' trains the temporal module '{trained[0]}': set it to that")


def _check_temporal(where: str, temporal: TemporalParameters) -> None:
    _known(f"temporal module ({where})", temporal.kind, TEMPORAL)
    known = temporal_arguments(temporal.kind)
    for key in temporal.arguments:
        if key not in known:
            raise UserError(unknown_key(f"{where}.{key}", known))
    _placed(where, TemporalParameters.checked, temporal)


def _check_added(where: str, recipe: Recipe, own: TemporalParameters) -> None:
    """A recipe may add a temporal module to a network that has none, if untrained it changes nothing.

    Or if its method trains that module and nothing else.
    """
    added = recipe.temporal
    assert added is not None
    _check_temporal(where, added)
    if own.kind != "none":
        raise UserError(f"{where}: the network has temporal module '{own.kind}' already; remove the key")
    by = TEMPORAL[added.kind].trained_by
    if by is not None and recipe.method.get("name") != by:
        raise UserError(f"{where}: '{added.kind}' is trained by method {by} alone; set {where[:-9]}.method to it")
    if by is None and not TEMPORAL[added.kind].starts_as_identity:
        raise UserError(
            f"{where}: '{added.kind}' has to be pretrained together with its network: make it the key `temporal` of an "
            "entry under `networks`, and let the recipe name that network"
        )


def _check_method(where: str, raw: Mapping[str, Any]) -> None:
    _known(f"method ({where}.name)", str(raw.get("name")), METHODS)
    rest = {key: value for key, value in raw.items() if key != "name"}
    _checked(where, lambda values: method_parameters(str(raw["name"]), values), rest)


def _known(what: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise unknown_name(what, name, known)


def _checked(where: str, check: Any, value: Any) -> None:
    """Run a model's validation, its errors placed at `where`."""
    try:
        check(value)
    except ValidationError as error:
        raise UserError(problem(error, where)) from error


def _placed(where: str, check: Callable[[Any], object], value: Any) -> None:
    """Run a check whose errors begin with the key that is wrong, which stands at `where`."""
    try:
        check(value)
    except UserError as error:
        raise UserError(f"{where}.{error}") from error


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _merged(result[key], value) if both else value
    return result
