"""The only file that knows DVC's Python API: read the graph, run one stage of it."""

import os
import queue
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
from dvc.repo import Repo
from dvc.stage import PipelineStage
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

SLOTS: queue.Queue[int] = queue.Queue()
"""GPUs that are free; filled by the flow that shares them out."""

RETRIES = 1
"""A training killed by the machine goes on from its last checkpoint when it is tried again."""


@dataclass(frozen=True)
class Node:
    """One stage of dvc.yaml by its DVC address (`adapt@street-stcl-0`), after the addresses it needs."""

    name: str
    needs: tuple[str, ...]
    gpus: int


def read_graph(targets: tuple[str, ...] = ()) -> list[Node]:
    """The stages that produce `targets` (all of them if empty), each after everything it needs.

    Raises:
        dvc.exceptions.DvcException: a target does not exist, or dvc.yaml is not valid.
    """
    with Repo() as repo:
        graph = repo.index.graph  # edges point from a stage to what it needs
        wanted = {stage for target in targets for stage in repo.stage.collect(target)} or set(graph)
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


@task(task_run_name="{node.name}", retries=RETRIES, retry_delay_seconds=1, cache_policy=NO_CACHE)
def run_stage(node: Node, share_gpus: bool = False, threads: int | None = None) -> str:
    """Bring one stage up to date in a process of its own; DVC decides whether there is anything to do.

    Args:
        node: the stage.
        share_gpus: hold one of `SLOTS` while it runs, if the stage asks for a GPU (`meta: {gpu: 1}` in dvc.yaml).
        threads: CPU threads it may use; None = all.

    Raises:
        RuntimeError: the stage failed; the message ends with the last lines it printed.
    """
    slot = SLOTS.get() if share_gpus and node.gpus else None
    try:
        _reproduce(node, slot, threads)
    finally:
        if slot is not None:
            SLOTS.put(slot)
    return node.name


def _reproduce(node: Node, slot: int | None, threads: int | None) -> None:
    environment = dict(os.environ)
    if slot is not None:
        environment["CUDA_VISIBLE_DEVICES"] = str(slot)
    if threads is not None:
        environment |= {"OMP_NUM_THREADS": str(threads), "CROSSFADE_WORKERS": str(threads)}
    dvc = str(Path(sys.executable).with_name("dvc"))
    command = [dvc, "--wait-for-lock", "repro", "--single-item", node.name]
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines = [*lines[-200:], line.rstrip()]
        if line.strip():
            get_run_logger().info(line.rstrip())
    if process.wait() != 0:
        raise RuntimeError(f"{node.name} failed:\n" + "\n".join(lines[-15:]))
