"""run.json: what joins a model to the code, parameters, data and MLflow run it came from."""

import hashlib
import importlib.metadata
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from crossfade.device import device_name
from crossfade.files import read_json, write_json

LIBRARIES = ("torch", "torchvision", "timm", "kornia", "numpy", "opencv-python-headless", "accelerate")


def write_run(folder: Path, device: torch.device, **facts: Any) -> None:
    """Write `folder`/run.json: `facts` beside git revision, library versions, the device it ran on and time."""
    write_json(folder / "run.json", {**facts, **environment(device)})


def read_run(folder: Path) -> dict[str, Any]:
    """Read `folder`/run.json; empty where there is none."""
    path = folder / "run.json"
    return dict(read_json(path)) if path.exists() else {}


def environment(device: torch.device) -> dict[str, Any]:
    """Git revision (and whether files differ from it), versions, device, when."""
    return {
        "git": git_revision(),
        "code": code_hash(),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "device": device_name(device),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def code_hash() -> str:
    """A hash of what can change a result: the library's sources, but for reports and importers."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        if name.parts[0] not in ("report", "importing"):
            digest.update(name.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def git_revision() -> dict[str, Any] | None:
    """{"revision", "dirty"} of the working folder, None outside a repository."""
    try:
        revision = _git("rev-parse", "HEAD")
        return {"revision": revision, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None
