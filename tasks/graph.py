"""The only file that knows DVC's Python API: read the graph, run one stage of it."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import networkx as nx
from dvc.exceptions import DvcException, OutputNotFoundError
from dvc.repo import Repo
from dvc.stage import PipelineStage
from dvc.stage.exceptions import StageNotFound
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from tasks.machine import Machine

RETRIES = 1
"""A training killed by the machine goes on from its last checkpoint when it is tried again."""

USER_ERROR = "exited with 2"
"""How DVC reports a stage that ended with a sentence for the user; trying again does not help there."""


HINTS = ("To track the changes", "To enable auto staging", "Use `dvc push`", "Updating lock file", "\t")
"""How lines of DVC begin that say the same after every stage."""


class GraphError(Exception):
    """dvc.yaml cannot be read, or a target is not in it."""


@dataclass(frozen=True)
class Node:
    """One stage of dvc.yaml by its DVC address (`adapt@street-stcl-0`), after the addresses it needs."""

    name: str
    needs: tuple[str, ...]
    gpus: int


def read_graph(targets: tuple[str, ...] = ()) -> list[Node]:
    """The stages that produce `targets` (all of them if empty), each after everything it needs.

    Raises:
        GraphError: a target does not exist, or dvc.yaml is not valid.
    """
    try:
        with Repo() as repo:
            graph = repo.index.graph  # edges point from a stage to what it needs
            wanted = {stage for target in targets for stage in _producing(repo, target)} or set(graph)
            wanted |= {need for stage in wanted for need in nx.descendants(graph, stage)}
            return [
                Node(
                    name=stage.addressing,
                    needs=tuple(s.addressing for s in graph.successors(stage) if isinstance(s, PipelineStage)),
                    gpus=int((stage.meta or {}).get("gpu", 0)),
                )
                for stage in nx.dfs_postorder_nodes(graph)
                if stage in wanted and isinstance(stage, PipelineStage)
            ]
    except DvcException as error:
        raise GraphError(" ".join(str(error).split())) from error


def _producing(repo: Repo, target: str) -> list[Any]:
    """The stages behind a name (of one or of a whole group), or behind an output's path."""
    try:
        return list(repo.stage.collect(target))
    except StageNotFound:
        try:
            return [out.stage for out in repo.find_outs_by_path(target)]
        except OutputNotFoundError:
            raise GraphError(f"'{target}' is neither a stage nor an output in dvc.yaml: see dvc stage list") from None


def _worth_retrying(_task: Any, run: Any, state: State[Any]) -> bool:
    """Not after a mistake of the user; and the last try is ours to end, for Prefect would print an empty traceback."""
    return run.run_count <= RETRIES and USER_ERROR not in (state.message or "")


@task(
    task_run_name="{node.name}",
    retries=RETRIES + 1,
    retry_delay_seconds=1,
    retry_condition_fn=_worth_retrying,
    cache_policy=NO_CACHE,
)
def run_stage(node: Node, machine: Machine, threads: int | None) -> State[Any]:
    """Bring one stage up to date in a process of its own; DVC decides whether there is anything to do.

    Args:
        node: the stage.
        machine: gives it a place, and GPUs if it asks for them (`meta: {gpu: 1}` in dvc.yaml).
        threads: CPU threads it may use; None = those it finds where it runs.

    Returns:
        Completed, or Failed with what the stage said last.
    """
    log = get_run_logger()
    lines: list[str] = []
    dvc = str(Path(sys.executable).with_name("dvc"))
    with machine.hold(node.gpus) as gpus:
        try:
            command = [dvc, "--wait-for-lock", "repro", "--single-item", node.name]
            for line in machine.run(command, _environment(gpus, threads), node.gpus):
                if line.strip() and not line.startswith(HINTS):
                    lines = [*lines[-200:], line]
                    log.info(line)
        except CalledProcessError:
            return Failed(message=_what_went_wrong(lines))
    return Completed(message=node.name)


def _environment(gpus: list[str] | None, threads: int | None) -> Mapping[str, str]:
    """For a stage: `python` is ours, threads and GPUs are those it was given; the user's own settings win."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    share = {} if threads is None else dict.fromkeys(("OMP_NUM_THREADS", "CROSSFADE_WORKERS"), str(threads))
    given = {} if gpus is None else {"CUDA_VISIBLE_DEVICES": ",".join(gpus)}
    return {**share, **os.environ, **given, "PATH": path}


def _what_went_wrong(lines: list[str]) -> str:
    """The stage's own sentence if there is one, else the end of what it printed; then DVC's."""
    own = [line for line in lines if line.startswith("error: ")] or lines[-6:-1]
    return "\n".join(dict.fromkeys([*own, *lines[-1:]]))
