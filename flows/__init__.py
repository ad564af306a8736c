"""Prefect flows. Prefect reads its settings when it is imported, so they are made here."""

from pathlib import Path

from tasks.server import quiet_environment

HOME = Path.cwd() / ".prefect"

quiet_environment(HOME)
