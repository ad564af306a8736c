"""From params.yaml to running parts: the two sides of a pair, a recipe's network and method."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crossfade.data.checks import count_classes
from crossfade.data.labels import LabelSpace, load_label_space
from crossfade.data.loading import ClipDataset, Domain
from crossfade.data.manifest import Manifest
from crossfade.data.shards import shards_folder
from crossfade.diagnosis import Diagnosis, is_asked_for
from crossfade.errors import UserError
from crossfade.files import atomic_folder, read_json, write_json
from crossfade.methods import build_method, weigh_classes
from crossfade.methods.base import ClipNeeds, Method
from crossfade.model_folder import load_model, save_model
from crossfade.params import Continued, Pair, Params, Recipe
from crossfade.runs import read_run, write_run
from crossfade.temporal import TEMPORAL, ModelParameters, build_video_network
from crossfade.temporal.video_network import VideoNetwork
from crossfade.tracking import Tracker, open_tracker
from crossfade.training import Knobs, TrainingParameters, make_accelerator, train

SOURCE, TARGET = "source", "target"
LEFT_OUT = "left_out.json"
"""In the folder of a model that was not made: why."""


@dataclass(frozen=True)
class Place:
    """Where everything of the graph lies, relative to the project's folder."""

    root: Path = Path()

    def data(self, data_set: str) -> Path:
        """A data set's manifest and archives."""
        return self.root / "data" / data_set

    def motion(self, data_set: str) -> Path:
        """Its motion."""
        return self.root / "motion" / data_set

    def side(self, pair: str, side: str) -> Path:
        """The index of one side of a pair."""
        return self.root / "pairs" / pair / f"{side}.json"

    def pretrained(self, pair: str, network: str, seed: int) -> Path:
        """A network trained on the source."""
        return self.root / "pretrained" / pair / f"seed-{seed}" / network

    def model(self, pair: str, recipe: str, seed: int) -> Path:
        """An adapted model."""
        return self.root / "models" / pair / recipe / f"seed-{seed}"

    def metrics(self, pair: str, recipe: str, seed: int) -> Path:
        """Its numbers."""
        return self.root / "metrics" / pair / recipe / f"seed-{seed}.json"

    def evaluation(self, pair: str, recipe: str, seed: int) -> Path:
        """Its pictures."""
        return self.root / "evaluations" / pair / recipe / f"seed-{seed}"

    def checkpoints(self, *parts: str) -> Path:
        """Of a training under way; outside DVC's outputs, so that an interrupted stage finds them again."""
        return self.root.joinpath("checkpoints", *parts)


def open_domain(place: Place, pair_name: str, pair: Pair, side: str, splits: tuple[str, ...]) -> Domain:
    """One side of a pair, as its index says it was when it was checked.

    Raises:
        UserError: the index or the data are missing.
    """
    index = read_json(place.side(pair_name, side))
    manifest = Manifest.load(place.root / index["data"])
    space = load_label_space(pair.label_space)
    shards = os.environ.get("CROSSFADE_SHARDS")
    folder = None if shards is None else shards_folder(Path(shards), index["data_hash"], pair.size)
    if folder is not None and not folder.is_dir():
        raise UserError(
            f"CROSSFADE_SHARDS names {shards}, which has no shards of '{index['data_set']}' as it is now at "
            f"{pair.size[0]}x{pair.size[1]}: write them with crossfade shards {pair_name} {shards}, or unset it"
        )
    return Domain(manifest, place.root / index["motion"], space, pair.size, splits, folder)


def data_facts(place: Place, pair: str, *sides: str) -> dict[str, Any]:
    """Name and hashes of the data and motion of the sides, for run.json and the tracker."""
    facts = {}
    for side in sides:
        index = read_json(place.side(pair, side))
        facts[side] = {key: index[key] for key in ("data_set", "data_hash", "motion_hash", "estimator")}
    return facts


def dataset_for(domain: Domain, needs: ClipNeeds | None) -> ClipDataset | None:
    """The clips a method asks of a side.

    Raises:
        UserError: there is nothing to read, or motion is asked for over a span that the side's motion does not have.
    """
    if needs is None:
        return None
    check_spans(domain, needs)
    return ClipDataset(domain, needs.offsets, needs.motion, needs.labels)


def check_spans(domain: Domain, needs: ClipNeeds) -> None:
    """Every span needed is in some archive, unless the side has no motion at all (its frames are too far apart).

    A method that cannot do without any refuses such a side, too.
    """
    lacking = {needs.offsets[j] - needs.offsets[i] for i, j in needs.motion}
    some = False
    for video in domain.videos:
        archive = domain.archive(video) if lacking else None
        if archive is None:
            break
        archive.close()
        lacking -= {j - i for i, j in archive.pairs}
        some = some or bool(archive.pairs)
    if lacking and (some or needs.moving):
        name, span = domain.manifest.data_set, min(lacking, key=abs)
        raise UserError(
            f"this recipe needs motion from each frame of '{name}' to the one {abs(span)} "
            f"{'before' if span < 0 else 'after'} it, and there is none: add {abs(span)} to motion.{name}.spans in "
            "params.yaml (and see that max_gap is no shorter), or choose a smaller span in the recipe"
        )


def method_of(raw: Mapping[str, Any], network: VideoNetwork, space: LabelSpace) -> Method:
    """A method as a section of params.yaml has it, around a network; raises as `build_method` does."""
    rest = {key: value for key, value in raw.items() if key != "name"}
    return build_method(str(raw["name"]), rest, network, space.classes)


def pretrain(place: Place, params: Params, pair_name: str, network: str, seed: int, knobs: Knobs) -> Path:
    """Train a network on the labelled source; writes pretrained/<pair>/seed-<n>/<network>."""
    pair, chosen = params.pairs[pair_name], params.pretraining
    source = open_domain(place, pair_name, pair, SOURCE, (pair.source_split,))
    parameters = params.networks[network].model
    accelerator = make_accelerator(chosen.training, knobs)
    _seed_everything(seed)
    built = build_video_network(parameters, len(source.label_space.classes)).to(accelerator.device)
    method = method_of(chosen.method, built, source.label_space)
    weigh_classes(method, chosen.method, _class_pixels(place, pair_name))
    what = f"pretrain {pair_name} {network} seed {seed}"
    folder = place.pretrained(pair_name, network, seed)
    facts = {
        "stage": "pretrain",
        "pair": pair_name,
        "network": network,
        "seed": seed,
        "data": data_facts(place, pair_name, SOURCE),
        "parameters": {
            "pair": pair.model_dump(),
            "network": parameters.model_dump(),
            "pretraining": chosen.model_dump(),
        },
    }
    run = _Run(place, folder, what, ("pretrain", pair_name, network, f"seed-{seed}"), facts)
    tracker = open_tracker(pair_name, f"pretrain {network} seed-{seed}", memo=run.memo)
    return run.train(method, (source, None), chosen.training, parameters, tracker, accelerator, knobs)


def adapt(place: Place, params: Params, pair_name: str, recipe_name: str, seed: int, knobs: Knobs) -> Path:
    """Adapt the pretrained network with a recipe; writes models/<pair>/<recipe>/seed-<n>.

    A method that needs labels the target does not have is left out: the folder holds left_out.json with the reason.
    With CROSSFADE_DIAGNOSE=on the pseudo labels are compared with the true ones on the way (`crossfade.diagnosis`).
    """
    diagnosing = is_asked_for()
    pair, recipe = params.pairs[pair_name], params.recipe(recipe_name)
    training = params.training_of(recipe_name)
    source = open_domain(place, pair_name, pair, SOURCE, (pair.source_split,))
    target = open_domain(place, pair_name, pair, TARGET, pair.adapt_on)
    space = source.label_space
    origin = _origin(place, pair_name, recipe, seed)
    folder = place.model(pair_name, recipe_name, seed)
    accelerator = make_accelerator(training, knobs)

    def leave_out(reason: str) -> Path:
        return _leave_out(folder, reason) if accelerator.is_main_process else folder

    if (origin / LEFT_OUT).is_file():
        return leave_out(read_json(origin / LEFT_OUT)["reason"])
    start = load_model(origin, space)
    parameters = _model_of(params, recipe, start.description["model"])
    _seed_everything(seed)
    network = _started_from(start.network, start.description["model"], parameters, len(space.classes))
    method = method_of(recipe.method, network.to(accelerator.device), space)
    pixels = _class_pixels(place, pair_name)
    if method.target_needs is not None and method.target_needs.labels:
        target = _labelled_target(target, pair)
        if not any(frame.label for video in target.videos for frame in video.frames):
            return leave_out(
                f"{pair.target} has no labels in {'+'.join(target.splits) or 'a split apart from evaluation'}"
            )
        pixels = count_classes(target.manifest, target.splits, space).tolist()
    weigh_classes(method, recipe.method, pixels)
    facts = {
        "stage": "adapt",
        "pair": pair_name,
        "recipe": recipe_name,
        "network": recipe.network,
        "seed": seed,
        "data": data_facts(place, pair_name, SOURCE, TARGET),
        "parameters": {
            "pair": pair.model_dump(),
            "network": parameters.model_dump(),
            "recipe": recipe.model_dump(),
            "training": training.model_dump(),
        },
        "pretrained": {"mlflow_run": read_run(origin).get("mlflow_run"), "weights": start.description["weights"]},
    }
    what = f"{pair_name} {recipe_name} seed {seed}"
    if diagnosing:
        knobs = replace(knobs, diagnosis=Diagnosis(_labelled_target(target, pair)))
    run = _Run(place, folder, what, ("adapt", pair_name, recipe_name, f"seed-{seed}"), facts)
    tracker = open_tracker(pair_name, f"{recipe_name} seed-{seed}", memo=run.memo)
    return run.train(method, (source, target), training, parameters, tracker, accelerator, knobs)


def _model_of(params: Params, recipe: Recipe, described: Mapping[str, Any]) -> ModelParameters:
    """The video network that a recipe trains; `described` is that of the model it starts from."""
    model = params.networks[recipe.network].model
    if isinstance(recipe, Continued):
        model = model.model_copy(update={"temporal": ModelParameters.model_validate(described).temporal})
    return model if recipe.temporal is None else model.model_copy(update={"temporal": recipe.temporal})


def _origin(place: Place, pair: str, recipe: Recipe, seed: int) -> Path:
    """The model that a recipe starts from: the pretrained network, or that of the recipe it continues."""
    if isinstance(recipe, Continued):
        return place.model(pair, recipe.start, seed)
    return place.pretrained(pair, recipe.network, seed)


def _leave_out(folder: Path, reason: str) -> Path:
    with atomic_folder(folder) as temporary:
        write_json(temporary / LEFT_OUT, {"reason": reason})
    return folder


@dataclass(frozen=True)
class _Run:
    """One training on its way from datasets to a model folder."""

    place: Place
    folder: Path
    what: str
    checkpoint: tuple[str, ...]
    facts: dict[str, Any]

    @property
    def identity(self) -> str:
        """What makes this training another one than before: data, starting weights, parameters."""
        return repr((self.facts["data"], self.facts.get("pretrained"), self.facts["parameters"]))

    @property
    def memo(self) -> Path:
        """Where the tracker notes its run, for the same training only."""
        digest = hashlib.sha256(self.identity.encode()).hexdigest()[:12]
        return self.place.checkpoints(*self.checkpoint) / f"mlflow-{digest}.txt"

    def train(
        self,
        method: Method,
        sides: tuple[Domain, Domain | None],
        training: TrainingParameters,
        parameters: ModelParameters,
        tracker: Tracker,
        accelerator: Any,
        knobs: Knobs,
    ) -> Path:
        """Train, then write the model folder and drop the checkpoints."""
        source, target = sides
        _announce(tracker, self.facts)
        checkpoints = self.place.checkpoints(*self.checkpoint)
        try:
            datasets = (
                dataset_for(source, method.source_needs),
                None if target is None else dataset_for(target, method.target_needs),
            )
            train(
                method, *datasets, training, int(self.facts["seed"]), checkpoints, accelerator, knobs, tracker,
                self.what, self.identity,
            )  # fmt: skip
        except BaseException:
            tracker.close(failed=True)
            raise
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            run_id = tracker.close()
            with atomic_folder(self.folder) as temporary:
                notes = {"checkpoint": {"which": f"step {training.steps}", "rule": method.rule}}
                space = source.label_space
                save_model(temporary, method.deployed(), parameters, space, source.size, **notes)
                write_run(temporary, accelerator.device, **self.facts, mlflow_run=run_id)
            shutil.rmtree(checkpoints, ignore_errors=True)
        accelerator.wait_for_everyone()
        return self.folder


def _announce(tracker: Tracker, facts: Mapping[str, Any]) -> None:
    """Parameters, tags and data sets of a run."""
    tracker.parameters(facts["parameters"])
    tags = {key: str(facts[key]) for key in ("stage", "pair", "recipe", "network", "seed") if key in facts}
    pretrained = facts.get("pretrained", {}).get("mlflow_run")
    tracker.tags(tags | ({"pretrained_run": pretrained} if pretrained else {}))
    for role, data in facts["data"].items():
        tracker.data_set(data["data_set"], data["data_hash"], role, f"data/{data['data_set']}")


def _class_pixels(place: Place, pair: str) -> list[int]:
    """How many pixels of each class the labelled source has."""
    return list(read_json(place.side(pair, SOURCE))["class_pixels"].values())


def _started_from(
    pretrained: VideoNetwork, described: Mapping[str, Any], parameters: ModelParameters, classes: int
) -> VideoNetwork:
    """The recipe's network with the weights it starts from; a temporal module that the recipe adds is new.

    A module of the same kind is the same module, whatever its schedule.

    Raises:
        UserError: the checkpoint is of another network than the recipe's, or has another module of that kind.
    """
    known = ModelParameters.model_validate(described)
    if known.network != parameters.network:
        raise UserError(
            "the network that this recipe starts from was built with other parameters than params.yaml now says: train "
            "that again"
        )
    kind = parameters.temporal.kind
    if known.temporal.kind == kind:
        differ = known.temporal.differs_in(parameters.temporal)
        if differ:
            mine, theirs = (temporal.checked()[differ[0]] for temporal in (parameters.temporal, known.temporal))
            raise UserError(
                f"the model that this recipe starts from has temporal module '{kind}' with {differ[0]}: {theirs}, and "
                f"params.yaml now says {mine}: name its value, train it again, or start from a model without one"
            )
    elif not (TEMPORAL[kind].starts_as_identity or TEMPORAL[kind].trained_by):
        raise UserError(
            f"the model that this recipe starts from has temporal module '{known.temporal.kind}', and params.yaml now "
            f"says '{kind}', which is pretrained with its network: train that again"
        )
    network = build_video_network(parameters.untrained(), classes)
    network.frame.load_state_dict(pretrained.frame.state_dict())
    if known.temporal.kind == kind:
        network.temporal.load_state_dict(pretrained.temporal.state_dict())
    return network.train()


def _labelled_target(target: Domain, pair: Pair) -> Domain:
    """The target for the oracle and for a diagnosis: the adaptation splits without the evaluation split."""
    splits = tuple(split for split in target.splits if split != pair.evaluate_on)
    return replace(target, splits=splits)


def _seed_everything(seed: int) -> None:
    """Before weights are drawn."""
    import torch

    torch.manual_seed(seed)
