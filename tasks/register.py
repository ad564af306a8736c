"""The model registry: a finished model gets a version and an alias in MLflow."""

import json
import os
from pathlib import Path

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

DEFAULT_URI = "sqlite:///mlflow.db"
ALIAS = "adapted"


@task(cache_policy=NO_CACHE)
def register(pair: str, recipe: str, seed: int) -> str:
    """Keep models/<pair>/<recipe>/seed-<n> with its run, and register it as the next version of model `pair`.

    Returns:
        "<pair> version <n>", or why there is none: a server that does not answer costs a warning, not the model.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    folder = Path("models") / pair / recipe / f"seed-{seed}"
    if not (folder / "run.json").is_file():
        return f"not registered: {recipe} was left out" if folder.is_dir() else f"not registered: there is no {folder}"
    run_id = json.loads((folder / "run.json").read_text())["mlflow_run"]
    if run_id is None:
        return "not registered: the run was not recorded"
    client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_URI))
    try:
        client.log_artifacts(run_id, str(folder), "model")
        if not client.search_registered_models(f"name = '{pair}'"):
            client.create_registered_model(pair, description="adapted by crossfade")
        source = f"{client.get_run(run_id).info.artifact_uri}/model"
        tags = {"recipe": recipe, "seed": str(seed)}
        version = client.create_model_version(pair, source, run_id, tags=tags)
        client.set_registered_model_alias(pair, ALIAS, version.version)
    except Exception as error:  # MLflow's have no common base, and whatever it is, the model is there
        get_run_logger().warning("the model is not registered: %s", error)
        return "not registered: MLflow did not take it"
    return f"{pair} version {version.version}"
