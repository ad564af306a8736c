"""Run dvc.yaml's graph, stages side by side where it allows: ``python -m flows.benchmark [target …]``.

A failed stage stops only what needs it; the run then ends with status 1 and names what failed and what was not reached.
The next run does only what is missing; after a whole one `dvc repro` finds nothing to do.
``PREFECT_HOME=.prefect prefect server start`` shows past runs and their artifacts.
"""

import argparse
import os
import signal
import sys
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed, Failed

from flows import HOME
from tasks.graph import GraphError, read_graph, run_stage
from tasks.machine import Machine, at_least, launching, visible_gpus
from tasks.publish import publish
from tasks.server import ServerError, server


@flow(name="benchmark", validate_parameters=False)
def benchmark(
    targets: tuple[str, ...] = (),
    workers: int | None = None,
    gpus: int | None = None,
    threads: int | None = None,
    launch: str | None = None,
) -> State[Any]:
    """One Prefect task a DVC stage. A task that waits costs a thread and nothing else; `Machine` gives out the places.

    Args:
        targets: stages or outputs as `dvc repro` takes them; none = the whole graph.
        workers: stages side by side; None = one a core.
        gpus: GPUs to share out among stages with `meta: {gpu: 1}`; None = all there are, 0 = do not share out.
        threads: CPU threads a stage may use; None = cores / workers, or what `launch` gives it.
        launch: the command that runs a stage elsewhere, such as "srun --gpus={gpus}", where {gpus} stands for how many
            GPUs the stage asks for; stages then share files, not this machine's cores and GPUs. None = here.
    """
    cores = len(os.sched_getaffinity(0))  # of the allocation, not of the machine
    workers = workers or cores
    try:
        launcher = launching(launch, gpus)
    except ValueError as error:
        return Failed(message=str(error))
    found = [] if launcher else visible_gpus(gpus)
    if gpus is not None and len(found) < gpus:
        return Failed(message=f"--gpus {gpus}, but {len(found)} are found (CUDA_VISIBLE_DEVICES, nvidia-smi)")
    machine = Machine(workers, found, launcher)
    if threads is None and not launcher:
        threads = max(1, cores // workers)
    runs: dict[str, PrefectFuture[Any]] = {}
    try:
        for node in read_graph(tuple(targets)):
            needs = [runs[name] for name in node.needs]
            runs[node.name] = run_stage.submit(
                node=node, machine=machine, threads=threads, wait_for=needs, return_state=False
            )
        wait(list(runs.values()))
    except GraphError as error:
        return Failed(message=str(error))
    except BaseException:
        machine.stop()
        raise
    states = {name: str(run.state.name) for name, run in runs.items()}
    publish(states)
    unfinished = [f"{name} ({state})" for name, state in states.items() if state != "Completed"]
    if unfinished:
        return Failed(message=f"failed or not reached: {', '.join(unfinished)}")
    return Completed(message=f"{len(states)} stages are up to date")


def main() -> None:
    """Parse the command line and run the flow against the configured Prefect server, or one of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="target", help="as for `dvc repro`; default: the whole graph")
    parser.add_argument("--workers", type=at_least(1), help="stages side by side (default: one a core)")
    parser.add_argument("--gpus", type=at_least(0), help="GPUs to share out among stages that ask (default: all)")
    parser.add_argument("--threads", type=at_least(1), help="CPU threads a stage may use (default: cores / workers)")
    parser.add_argument("--launch", metavar="COMMAND", help="runs a stage elsewhere: 'srun --gpus={gpus}' (README)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server below is stopped in any case
    try:
        read_graph(tuple(options.targets))  # a mistake is told before a server is started
        launching(options.launch, options.gpus)
    except (GraphError, ValueError) as error:
        parser.exit(2, f"error: {error}\n")
    try:
        with server(HOME):
            state = benchmark(**vars(options) | {"targets": tuple(options.targets)}, return_state=True)
    except ServerError as error:
        parser.exit(1, f"error: {error}\n")
    if not state.is_completed():
        print(f"error: {state.message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
