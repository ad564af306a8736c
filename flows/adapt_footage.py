"""Adapt the built-in source to your own footage: ``python -m flows.adapt_footage --video 'drives/*.mp4'``.

Switches params.yaml to the pair `street_footage`, runs its part of the graph (clips chosen, motion, pretraining, every
recipe, label-free scores, comparison with before/after videos) and registers the chosen recipe's model in MLflow as
`street_footage@adapted`. Killed and started again, it goes on where it was; afterwards `dvc repro
compare@street_footage` finds nothing to do.
"""

import argparse
import signal
import subprocess
import sys
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import HOME
from flows.benchmark import benchmark
from tasks.machine import at_least
from tasks.register import ALIAS, register
from tasks.server import ServerError, server

PAIR = "street_footage"


@flow(name="adapt-footage", validate_parameters=False)
def adapt_footage(recipe: str, seed: int, workers: int | None = None, gpus: int | None = None) -> State[Any]:
    """Run the pair's graph, then register one model.

    Args:
        recipe: whose model is registered.
        seed: likewise.
        workers, gpus: as for `benchmark`.
    """
    state = benchmark((f"compare@{PAIR}",), workers, gpus, return_state=True)
    if not state.is_completed():
        return Failed(message=str(state.message))
    return Completed(message=register(PAIR, recipe, seed))


def main() -> None:
    """Parse the command line, switch params.yaml, run the flow, say where everything is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", nargs="+", required=True, help="videos, a pattern, or a folder of frames")
    parser.add_argument("--recipe", default="stcl", help="whose model is registered (default: stcl)")
    parser.add_argument("--seed", type=int, default=0, help="likewise (default: 0)")
    parser.add_argument("--workers", type=at_least(1), help="stages side by side (default: one a core)")
    parser.add_argument("--gpus", type=at_least(0), help="GPUs to share out (default: all)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    _stage("switch", PAIR, f"--recipe={options.recipe}", f"--seed={options.seed}", "--videos", *options.video)
    try:
        with server(HOME):
            state = adapt_footage(options.recipe, options.seed, options.workers, options.gpus, return_state=True)
    except ServerError as error:
        parser.exit(1, f"error: {error}\n")
    if not state.is_completed():
        print(f"error: {state.message}", file=sys.stderr)
        sys.exit(1)
    _stage("show")
    model = f"models/{PAIR}/{options.recipe}/seed-{options.seed}"
    print(f"model     {model}   (MLflow: {state.message}, alias '{ALIAS}')")
    print(f"predict   crossfade predict VIDEO --model {model} --out overlay.mp4")


def _stage(name: str, *arguments: str) -> None:
    """Run one of `stages` in a process of its own; what it says stands, its failure ends ours."""
    done = subprocess.run([sys.executable, "-m", f"stages.{name}", *arguments], check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
