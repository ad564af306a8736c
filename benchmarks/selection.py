"""Label-free model selection: which of a training's checkpoints would a score that needs no labels have picked?

As a command: ``python -m benchmarks.selection --pair street --recipe stcl --seed 0 [--every 50] [--json FILE]`` trains
the recipe again, in a temporary folder and outside MLflow, from what the graph made before it; takes the network it
would deploy every so many steps; and prints, for each, mIoU on the pair's evaluation split beside the scores without
labels, and for each score its rank correlation with the mIoU, the checkpoint it would pick, and what that pick loses.
Nothing is chosen by any of it, and the training ends with the weights that it has without being watched.
"""

import argparse
import dataclasses
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crossfade.data.loading import Domain
from crossfade.device import choose_device
from crossfade.errors import UserError, unknown_name
from crossfade.evaluation import Options, evaluate
from crossfade.experiment import LEFT_OUT, TARGET, Place, adapt, open_domain
from crossfade.files import read_json, write_json
from crossfade.params import Continued, Params, read_params
from crossfade.report.ranking import FEWEST, Ranking, rank
from crossfade.snapshots import Snapshots
from crossfade.temporal.video_network import VideoNetwork
from crossfade.training import Knobs

NEVER = 1 << 40
"""Steps between checkpoints of a training that nobody resumes."""

Metrics = Mapping[str, Any]


def checkpoints(
    place: Place, params: Params, pair: str, recipe: str, seed: int, every: int, device: str | None = None
) -> dict[int, Metrics]:
    """Train a recipe again and evaluate it on the way; nothing in `place` is written.

    Args:
        place: where the graph was made up to the recipe's training.
        params: as params.yaml has them.
        pair, recipe, seed: of the training.
        every: steps between two checkpoints; the last step is always one.
        device: a torch device; None: a GPU if there is one.

    Returns:
        {steps done: the metrics of what would be deployed then}, at least `FEWEST`.

    Raises:
        UserError: something is not there, there are too few checkpoints, no labels to score them by, or nothing is
            trained.
    """
    domain = _labelled(place, params, pair)
    steps = params.training_of(recipe).steps
    if math.ceil(steps / every) < FEWEST:
        raise UserError(
            f"{steps} steps of '{recipe}' looked at every {every} give {math.ceil(steps / every)} checkpoints, but a "
            f"rank correlation needs {FEWEST}: set --every to at most {max(1, steps // FEWEST)}, or train longer"
        )
    found: dict[int, Metrics] = {}
    chosen = choose_device(device)

    def look(done: int, network: VideoNetwork) -> None:
        options = Options(strips=0, clip_frames=0)
        found[done] = evaluate(network, domain, checkpoint={}, device=chosen, options=options).metrics

    knobs = Knobs(device=device, snapshots=Snapshots(every, look), checkpoint_every=NEVER, figure_every=0)
    with _borrowed(place, params, pair, recipe, seed) as temporary:
        folder = adapt(temporary, params, pair, recipe, seed, knobs)
        if (folder / LEFT_OUT).is_file():
            raise UserError(f"recipe '{recipe}' is left out: {read_json(folder / LEFT_OUT)['reason']}")
    if not found:
        raise UserError(f"the method of recipe '{recipe}' trains no step, so there are no checkpoints: choose another")
    return found


def ranked(found: Mapping[int, Metrics]) -> list[Ranking]:
    """How well each score without labels orders the checkpoints; see `rank`."""
    return rank([(f"step {done}", metrics) for done, metrics in found.items()])


def tables(found: Mapping[int, Metrics], rankings: Sequence[Ranking]) -> str:
    """Both tables, in Markdown."""
    lines = ["| step | mIoU % | TC % | entropy % | density |", "|---:|---:|---:|---:|---:|"]
    for done, m in found.items():
        free = m["label_free"]
        shares = (m["miou"], m["temporal_consistency"]["value"], free["entropy"])
        words = ("–" if share is None else f"{100 * share:.1f}" for share in shares)
        lines.append(f"| {done} | {' | '.join(words)} | {free['neighbourhood_density']:.3f} |")
    last = _last_miou(found)
    lines += ["", "| score without labels | ρ with mIoU | would pick | its mIoU % | lost: best | lost: last |"]
    lines.append("|---|---:|---|---:|---:|---:|")
    for r in rankings:
        rho = "–" if math.isnan(r.correlation) else f"{r.correlation:+.2f}"
        points = f"{100 * r.miou:.1f} | {100 * r.lost:.1f} | {100 * (last - r.miou):+.1f}"
        lines.append(f"| {r.score} | {rho} | {r.picked} | {points} |")
    lines += ["", f"ρ: Spearman's, over {len(found)} checkpoints of one training, which are alike: a hint, no proof."]
    lines.append("lost: mIoU points that the pick is below the best and the last checkpoint (−: above).")
    return "\n".join(lines)


def summary(found: Mapping[int, Metrics], rankings: Sequence[Ranking]) -> dict[str, Any]:
    """The same for a file: fractions, None for what is not known."""
    points = [
        {
            "step": done,
            "miou": m["miou"],
            "temporal_consistency": m["temporal_consistency"]["value"],
            **m["label_free"],
        }
        for done, m in found.items()
    ]
    last = _last_miou(found)
    scores = [
        dataclasses.asdict(r)
        | {"correlation": None if math.isnan(r.correlation) else r.correlation, "lost_to_last": last - r.miou}
        for r in rankings
    ]
    return {"checkpoints": points, "scores": scores}


def _last_miou(found: Mapping[int, Metrics]) -> float:
    return float(found[max(found)]["miou"])


def _labelled(place: Place, params: Params, pair: str) -> Domain:
    """The evaluation side of a pair.

    Raises:
        UserError: none of its frames has a label.
    """
    known = params.pairs[pair]
    domain = open_domain(place, pair, known, TARGET, (known.evaluate_on,))
    if not any(frame.label for video in domain.videos for frame in video.frames):
        raise UserError(f"{known.target} has no labels in {known.evaluate_on}: nothing can be ranked by mIoU there")
    return domain


@contextmanager
def _borrowed(place: Place, params: Params, pair: str, recipe: str, seed: int) -> Iterator[Place]:
    """A temporary place that shows what a training reads of another, and takes what it writes."""
    with tempfile.TemporaryDirectory(prefix="crossfade-selection-") as name:
        root = Path(name)
        read = [place.root / folder for folder in ("data", "motion", "pairs", "pretrained")]
        known = params.recipe(recipe)
        if isinstance(known, Continued):
            read.append(place.model(pair, known.start, seed))
        for folder in read:
            link = root / folder.relative_to(place.root)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(folder.resolve(), target_is_directory=True)
        yield Place(root)


def main() -> int:
    """Train, print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", required=True)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--every", type=int, default=50, metavar="N", help="steps between checkpoints (default: 50)")
    parser.add_argument("--device", help="cpu, cuda; default: a GPU if any")
    parser.add_argument("--json", type=Path, help="also write both tables to this file")
    arguments = parser.parse_args()
    os.environ["CROSSFADE_TRACKING"] = "off"
    try:
        params = read_params()
        for what, known in (("pair", list(params.pairs)), ("recipe", params.recipe_names)):
            if vars(arguments)[what] not in known:
                raise unknown_name(what, vars(arguments)[what], known)
        if arguments.every < 1:
            raise UserError("--every is at least 1: so many steps lie between two checkpoints")
        chosen = (arguments.pair, arguments.recipe, arguments.seed)
        found = checkpoints(Place(), params, *chosen, arguments.every, arguments.device)
    except UserError as error:
        print(f"selection: {error}", file=sys.stderr)
        return 2
    rankings = ranked(found)
    print(tables(found, rankings))
    if arguments.json:
        names = dict(zip(("pair", "recipe", "seed"), chosen, strict=True))
        write_json(arguments.json, names | summary(found, rankings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
