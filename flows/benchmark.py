"""Run dvc.yaml's graph, stages side by side where it allows: ``python -m flows.benchmark [target …]``.

A failed stage stops only what needs it; the run then ends with status 1 and names what failed and what was not reached.
The next run does only what is missing; after a whole one `dvc repro` finds nothing to do.
"""

import argparse
import os
import sys
from typing import Any

from prefect import flow
from prefect.futures import PrefectFuture, wait
from prefect.task_runners import ThreadPoolTaskRunner

from flows import HOME
from tasks.graph import SLOTS, read_graph, run_stage
from tasks.publish import publish
from tasks.server import server


class UnfinishedError(RuntimeError):
    """Some stages did not come to their end."""


@flow(name="benchmark", validate_parameters=False)
def benchmark(targets: tuple[str, ...] = (), gpus: int = 0, threads: int | None = None) -> None:
    """One Prefect task a DVC stage.

    Args:
        targets: stages or outputs as `dvc repro` takes them; none = the whole graph.
        gpus: how many GPUs to share out; a stage with `meta: {gpu: 1}` holds one while it runs. 0 = do not share out.
        threads: CPU threads a stage may use; None = all.
    """
    for slot in range(gpus):
        SLOTS.put(slot)
    runs: dict[str, PrefectFuture[Any]] = {}
    submit: Any = run_stage.submit  # its overloads do not know keyword arguments beside wait_for
    for node in read_graph(tuple(targets)):
        needs = [runs[name] for name in node.needs]
        runs[node.name] = submit(node=node, share_gpus=gpus > 0, threads=threads, wait_for=needs)
    wait(list(runs.values()))
    states = {name: str(run.state.name) for name, run in runs.items()}
    publish(states)
    unfinished = [f"{name} ({state})" for name, state in states.items() if state != "Completed"]
    if unfinished:
        raise UnfinishedError(f"failed or not reached: {', '.join(unfinished)}")


def main() -> None:
    """Parse the command line and run the flow against the configured Prefect server, or one of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="target", help="as for `dvc repro`; default: the whole graph")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="stages side by side")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs to share out among stages that ask for one")
    parser.add_argument("--threads", type=int, help="CPU threads a stage may use (default: cores / workers)")
    options = parser.parse_args()
    threads = options.threads or max(1, (os.cpu_count() or 1) // options.workers)
    runner: Any = ThreadPoolTaskRunner(max_workers=options.workers)
    run = benchmark.with_options(task_runner=runner)
    try:
        with server(HOME):
            run(tuple(options.targets), options.gpus, threads)
    except UnfinishedError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
