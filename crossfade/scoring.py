"""Score a trained model of a pair: metrics, pictures, and the same again in the run's MLflow record."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from crossfade.category_features import category_features
from crossfade.data.labels import load_label_space
from crossfade.data.loading import Domain
from crossfade.device import choose_device
from crossfade.errors import UserError, unknown_name
from crossfade.evaluation import PUBLISHED, Evaluation, Options, evaluate
from crossfade.experiment import LEFT_OUT, SOURCE, TARGET, Place, open_domain
from crossfade.files import atomic_folder, read_json, write_json
from crossfade.metrics.domain_gap import domain_gap
from crossfade.model_folder import load_model
from crossfade.params import Params
from crossfade.runs import code_hash, read_run
from crossfade.temporal.video_network import VideoNetwork
from crossfade.tracking import NoTracker, Tracker, open_tracker

HEADLINES = ("miou", "pixel_accuracy")
LIVE = ("with_decoding", "with_motion", "with_both")


def score(place: Place, params: Params, pair_name: str, recipe: str, seed: int, device: str | None = None) -> str:
    """Evaluate models/<pair>/<recipe>/seed-<n> on the pair's evaluation split; returns a line to print.

    The pretrained network of the same seed is the "source_only" of strips and video.
    """
    pair = params.pairs[pair_name]
    folder = place.model(pair_name, recipe, seed)
    metrics_file, pictures = place.metrics(pair_name, recipe, seed), place.evaluation(pair_name, recipe, seed)
    if (folder / LEFT_OUT).is_file():
        reason = read_json(folder / LEFT_OUT)["reason"]
        with atomic_folder(pictures) as temporary:
            write_json(temporary / LEFT_OUT, {"reason": reason})
        write_json(metrics_file, {"left_out": reason})
        return f"{pair_name} {recipe} seed {seed}: left out ({reason})"
    domain = open_domain(place, pair_name, pair, TARGET, (pair.evaluate_on,))
    run = read_run(folder)
    model = load_model(folder, domain.label_space)
    if "network" not in run:
        raise UserError(
            f"no recipe trained the model in {folder} (there is no run.json): score it with "
            f"crossfade evaluate {folder} --pair {pair_name}"
        )
    reference = load_model(place.pretrained(pair_name, run["network"], seed), domain.label_space)
    chosen = choose_device(device)
    result = evaluate(
        model.network,
        domain,
        checkpoint=model.checkpoint,
        reference=reference.network,
        device=chosen,
        options=Options(recipe=recipe),
    )
    source = open_domain(place, pair_name, pair, SOURCE, (pair.source_split,))
    gap, features = measure_gap({"before": reference.network, "after": model.network}, source, domain, chosen)
    facts = {
        "network": run["network"],
        "domain_gap": gap,
        "code": {"trained": run.get("code"), "scored": code_hash()},
    }
    result = replace(result, metrics=result.metrics | facts, features=features)
    result.save(pictures)
    write_json(metrics_file, result.metrics)
    # A failed evaluation stays in DVC's hands; MLflow is told only of whole ones.
    tracker = open_tracker(pair_name, f"{recipe} seed-{seed}", run.get("mlflow_run"))
    _record(tracker, result, pictures)
    tracker.close()
    miou, entropy = result.metrics["miou"], result.metrics["label_free"]["entropy"]
    said = f"no labels; entropy {entropy:.1%}" if miou is None else f"mIoU {miou:.1%}"
    return f"{pair_name} {recipe} seed {seed}: {said}"


def score_folder(place: Place, params: Params, pair_name: str, folder: Path, device: str | None = None) -> Evaluation:
    """Evaluate any model folder, a recipe's or an imported one, on a pair's evaluation split; nothing is written.

    Frames are brought to the size that the model works at, whatever the pair's.

    Raises:
        UserError: no such pair, or not indexed, or without labels there; not a model, or of another label space.
    """
    if pair_name not in params.pairs:
        raise unknown_name("pair (of those that params.yaml has switched on)", pair_name, params.pairs)
    pair = params.pairs[pair_name]
    if not place.side(pair_name, TARGET).is_file():
        raise UserError(f"{place.side(pair_name, TARGET)} is missing: dvc repro index@{pair_name} first")
    model = load_model(folder, load_label_space(pair.label_space))
    domain = open_domain(place, pair_name, pair, TARGET, (pair.evaluate_on,))
    if not any(frame.label for video in domain.videos for frame in video.frames):
        raise UserError(
            f"the split '{pair.evaluate_on}' of {pair.target} has no labels to score a model against: choose another "
            "pair, or look at what the model says with crossfade predict"
        )
    if domain.size != model.size:
        domain = replace(domain.without_shards(), size=model.size)
    chosen = choose_device(device)
    return evaluate(model.network, domain, checkpoint=model.checkpoint, device=chosen)


def measure_gap(
    networks: dict[str, VideoNetwork], source: Domain, target: Domain, device: torch.device
) -> tuple[dict[str, float | None], dict[str, np.ndarray]]:
    """How far apart the two sides lie in the features of each network (on `device`, in eval mode).

    Of the source the true classes are read, of the target what the network says: no label of the target is read.

    Returns:
        {network: proxy A-distance in [0, 2], None where too little is shown}, and the arrays that a figure of it needs.
    """
    gap: dict[str, float | None] = {}
    arrays: dict[str, np.ndarray] = {}
    for name, network in networks.items():
        sides = {
            SOURCE: category_features(network, source, labels=True, device=device),
            TARGET: category_features(network, target, labels=False, device=device),
        }
        distance = domain_gap(sides[SOURCE], sides[TARGET])
        gap[name] = round(distance, 6) if math.isfinite(distance) else None
        for side, features in sides.items():
            arrays[f"{name}_{side}_vectors"] = features.vectors.astype(np.float16)
            arrays[f"{name}_{side}_classes"] = features.classes.astype(np.uint8)
    return gap, arrays


def _record(tracker: Tracker, result: Evaluation, pictures: Path) -> None:
    """Headlines as metrics; the rest as a table, figures and files."""
    numbers = {f"eval/{name}": result.metrics[name] for name in HEADLINES}
    numbers["eval/temporal_consistency"] = result.metrics["temporal_consistency"]["value"]
    numbers |= {f"eval/{name}": value for name, value in result.metrics["label_free"].items()}
    numbers |= {f"eval/tc_{form}": result.metrics["temporal_consistency"][form] for form in PUBLISHED}
    numbers |= {
        f"eval/{name}": value for name, value in result.metrics["video_consistency"].items() if "windows" not in name
    }
    numbers["eval/domain_gap"] = result.metrics["domain_gap"]["after"]
    speed = result.metrics["frames_per_second"]
    numbers["eval/frames_per_second"] = speed["network"]
    numbers |= {f"eval/frames_per_second_{name}": speed[name] for name in LIVE}
    tracker.metrics({name: value for name, value in numbers.items() if value is not None})
    scored = result.metrics["frames"] > 0
    if scored:
        tracker.table("per_class", result.per_class())
    for path in sorted((pictures / "strips").glob("*.png")):
        tracker.file(path, "strips")
    for name in ("confusion.csv", "side_by_side.mp4") if scored else ("side_by_side.mp4",):
        if (pictures / name).is_file():
            tracker.file(pictures / name, "evaluation")
    if scored and not isinstance(tracker, NoTracker):
        from crossfade.report.figures import confusion_figure, figure_image

        tracker.figure("confusion", figure_image(confusion_figure(result.confusion, list(result.classes))))
