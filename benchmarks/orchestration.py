"""What the graph costs when there is nothing to do: `dvc repro`, and the Prefect flow per stage (after `make demo`)."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent


def rows() -> list[dict[str, Any]]:
    """Seconds; the flow starts and stops a server of its own."""
    if not Path("dvc.lock").exists():
        raise SystemExit("benchmarks.orchestration: run `make demo` first, so that there is nothing to do")
    stages = len(_run([str(BIN / "dvc"), "stage", "list", "--name-only"])[1].splitlines())
    dvc, _ = _run([str(BIN / "dvc"), "repro"])
    flow, _ = _run([sys.executable, "-m", "flows.benchmark", "--workers", "2"])
    return [
        {"what": f"dvc repro, {stages} stages, nothing to do", "value": dvc, "unit": "s"},
        {
            "what": "python -m flows.benchmark, nothing to do, per stage",
            "value": flow / stages,
            "unit": "s/stage",
            "against": "dvc repro, per stage",
            "ratio": dvc / flow,
        },
    ]


def _run(command: list[str]) -> tuple[float, str]:
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - start, done.stdout
