"""What DVC runs: one module a stage. By hand: ``python -m stages.adapt --pair street --recipe stcl --seed 0``."""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from crossfade.errors import unknown_name
from crossfade.mishaps import sentence_for

if TYPE_CHECKING:
    from crossfade.params import Params
    from crossfade.training import Knobs

NAMED = {"data_set": "data_sets", "pair": "pairs", "network": "networks", "recipe": "recipes"}
"""Options that name an entry, and the section of params.yaml it has to be in."""


def run(main: Callable[[], None]) -> None:
    """Run a stage: what the user can mend ends in one sentence and exit status 2, never in a traceback."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    try:
        main()
    except Exception as error:
        said = sentence_for(error)
        if said is None:
            raise
        print(f"error: {said}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; start again to go on from the last checkpoint", file=sys.stderr)
        sys.exit(130)


def arguments(description: str, *names: str) -> argparse.Namespace:
    """Parse the options a stage takes: `names` of which --seed is a number, and the knobs that change no result."""
    parser = argparse.ArgumentParser(description=description)
    for name in names:
        parser.add_argument(f"--{name.replace('_', '-')}", required=True, type=_at_least(0) if name == "seed" else str)
    parser.add_argument("--device", default=os.environ.get("CROSSFADE_DEVICE"), help="cpu, cuda; default: a GPU if any")
    workers = os.environ.get("CROSSFADE_WORKERS", str(len(os.sched_getaffinity(0))))
    parser.add_argument("--workers", type=_at_least(0), default=workers, help="processes that read ahead or render")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network")
    parser.add_argument("--figure-every", type=_at_least(0), default=100, help="steps between mixed batches; 0: none")
    parser.add_argument("--checkpoint-every", type=_at_least(1), default=100, help="steps between checkpoints")
    return parser.parse_args()


def knobs(options: argparse.Namespace) -> "Knobs":
    """The knobs of a training; on the CPU the training itself needs the cores, so nothing reads ahead."""
    from crossfade.training import Knobs

    on_cpu = options.device == "cpu" or (options.device is None and not _gpu())
    return Knobs(
        device=options.device,
        workers=0 if on_cpu else options.workers,
        compile=options.compile,
        figure_every=options.figure_every,
        checkpoint_every=options.checkpoint_every,
    )


def _gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def load(options: argparse.Namespace) -> "Params":
    """params.yaml, all of it checked, narrowed to what dvc.yaml declares for this stage.

    Raises:
        UserError: it is not valid, or what an option names is not in it.
    """
    from crossfade.params import read_params

    params = read_params(only=sections())
    for option, section in NAMED.items():
        name = vars(options).get(option)
        known = [*vars(params).get(section, [])]
        if option == "recipe":
            known += [recipe.name for recipe in vars(params).get("continued", [])]
        if name is not None and known and name not in known:
            raise unknown_name(f"{option} (--{option.replace('_', '-')})", name, known)
    return params


def sections() -> dict[str, Any] | None:
    """What dvc.yaml declares of params.yaml for the running stage; None when run by hand.

    Reading anything else then raises, so a stage cannot use a value whose change DVC would not notice.
    """
    stage = os.environ.get("DVC_STAGE")  # set by DVC
    if stage is None:
        return None
    import dvc.api

    return dict(dvc.api.params_show(stages=stage, deps=True))


def _at_least(least: int) -> Callable[[str], int]:
    """For argparse: a whole number that is not smaller."""

    def number(text: str) -> int:
        if not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {least} up")
        return int(text)

    return number
