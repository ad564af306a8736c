"""Orchestration: what DVC and the Prefect flow cost beside the work itself, and what running side by side gains."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STAGES, SECONDS, WORKERS = 16, 2, 8
GRAPH = f"""
stages:
  work:
    foreach: {list(range(STAGES))}
    do:
      cmd: sleep {SECONDS} && echo ${{item}} > out-${{item}}
      params: [pause]
      outs:
      - out-${{item}}
"""


def measured(folder: Path, *command: str) -> float:
    """Seconds that a command takes in `folder`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    tools = str(Path(sys.executable).parent)
    environment |= {"PYTHONPATH": str(ROOT), "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def rows() -> list[dict[str, Any]]:
    """A graph of stages that sleep: nothing to do, and everything to do."""
    flow = (sys.executable, "-m", "flows.benchmark", "--workers", str(WORKERS), "--gpus", "0")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "dvc.yaml").write_text(GRAPH)
        for command in (("git", "init", "-q"), ("dvc", "init", "-q"), ("dvc", "config", "core.analytics", "false")):
            measured(folder, *command)
        (folder / "params.yaml").write_text("pause: 1\n")
        repro_all = measured(folder, "dvc", "repro")
        (folder / "params.yaml").write_text("pause: 2\n")
        flow_all = measured(folder, *flow)
        repro_none = min(measured(folder, "dvc", "repro") for _ in range(3))
        flow_none = min(measured(folder, *flow) for _ in range(2))
        one = min(measured(folder, *flow, "work@0") for _ in range(2))
    work = STAGES * SECONDS
    per_stage = (flow_none - one) / (STAGES - 1)
    return [
        {"what": f"dvc repro, nothing to do, {STAGES} stages", "value": repro_none, "unit": "s"},
        {"what": "dvc repro, overhead of a stage that runs", "value": (repro_all - work) / STAGES, "unit": "s"},
        {"what": "flow: start, server and end (one stage, nothing to do)", "value": one, "unit": "s"},
        {"what": "flow: every further stage with nothing to do", "value": per_stage, "unit": "s"},
        {
            "what": f"flow, {STAGES} stages of {SECONDS} s, {WORKERS} workers",
            "value": flow_all,
            "unit": "s",
            "against": "dvc repro, one after the other",
            "ratio": repro_all / flow_all,
        },
    ]
