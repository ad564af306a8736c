"""What a person looks at in Prefect's UI after a run: how every stage ended, the results, the way to MLflow."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE


@task(cache_policy=NO_CACHE)
def publish(states: Mapping[str, str], reports: Path = Path("reports")) -> None:
    """Table of stages, every pair's comparison as table and Markdown, link to MLflow."""
    rows = [{"stage": name, "state": state} for name, state in states.items()]
    create_table_artifact(key="stages", table=rows, description="How every stage of dvc.yaml ended")
    for path in sorted(reports.glob("*/comparison.csv")):
        pair = path.parent.name.replace("_", "-").lower()
        with path.open(newline="") as file:
            create_table_artifact(key=f"comparison-{pair}", table=list(csv.DictReader(file)))
        create_markdown_artifact(key=f"report-{pair}", markdown=path.with_suffix(".md").read_text())
    tracking = os.environ.get("MLFLOW_TRACKING_URI", "")
    if tracking.startswith("http"):
        create_link_artifact(key="mlflow", link=tracking, link_text="MLflow comparison")
    else:
        create_markdown_artifact(key="mlflow", markdown="Runs are in `mlflow.db`: `make ui` shows them.")
