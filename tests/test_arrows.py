"""Imports point one way."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    "errors": set(),
    "files": {"errors"},
    "device": {"errors"},
    "motion": {"errors", "files", "motion"},
    "data": {"errors", "files", "motion", "data"},
    "networks": {"errors", "files", "networks"},
    "temporal": {"errors", "motion", "networks", "temporal"},
    "objectives": {"errors", "data", "motion", "objectives"},
    "methods": {"errors", "data", "motion", "networks", "temporal", "objectives", "methods"},
    "metrics": {"errors", "data", "motion", "metrics"},
    "importing": {"errors", "files", "data", "temporal", "model_folder", "importing"},
}
ABOVE_DATA = {"crossfade/motion/estimate.py", "crossfade/motion/published.py", "crossfade/motion/score.py"}
"""Motion of whole data sets: they stand above `data`, which the rest of `motion` must not know."""

OUTSIDE = {
    "prefect": ("flows", "tasks"),
    "dvc": ("tasks", "stages"),
    "mlflow": ("crossfade/tracking.py", "tasks"),
    "torch": ("crossfade", "stages", "tests", "benchmarks"),
}


def python_files():
    for top in ("crossfade", "stages", "tasks", "flows"):
        yield from sorted((ROOT / top).rglob("*.py"))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", list(python_files()), ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows(path):
    name = path.relative_to(ROOT).as_posix()
    top, _, rest = name.partition("/")
    for module in imports(path):
        parts = module.split(".")
        if top == "crossfade":
            assert parts[0] not in ("stages", "tasks", "flows"), f"{name} imports {module}"
            own = rest.split("/")[0].removesuffix(".py")
            if parts[0] == "crossfade" and len(parts) > 1 and own in MAY_IMPORT:
                allowed = MAY_IMPORT[own] | ({"data"} if name in ABOVE_DATA else set())
                assert parts[1] in allowed, f"{name} imports {module}"
        if top in ("tasks", "flows"):
            assert parts[0] not in ("crossfade", "stages"), f"{name} imports {module}"
        if top == "stages":
            assert parts[0] not in ("tasks", "flows"), f"{name} imports {module}"
        if parts[0] in OUTSIDE:
            assert name.startswith(OUTSIDE[parts[0]]), f"{name} imports {module}"


def test_no_method_imports_another():
    from crossfade.methods import METHODS

    files = {method.__module__.split(".")[-1] for _, method in METHODS.values()}
    assert {"supervised", "stcl", "tps", "advent"} <= files
    for name in files:
        used = {m.split(".")[-1] for m in imports(ROOT / "crossfade" / "methods" / f"{name}.py")}
        assert not used & (files - {name})


def test_parts_know_no_method():
    for path in (ROOT / "crossfade" / "methods" / "parts").glob("*.py"):
        for module in imports(path):
            assert not module.startswith("crossfade.methods.") or module.split(".")[2] in ("parts", "base"), module


def test_stages_are_short_and_without_mathematics():
    for path in (ROOT / "stages").glob("*.py"):
        if path.name != "__init__.py":
            assert len(path.read_text().splitlines()) < 60, path
            assert not {"torch", "numpy"} & set(imports(path)), path


def test_the_loop_is_short():
    assert len((ROOT / "crossfade" / "training.py").read_text().splitlines()) <= 250
