"""Where numbers and pictures of a run go: MLflow if it is there, nowhere if it is not. Never in training's way.

Everything is handed to one thread with a bounded queue. A server that is slow, down or gone costs one warning; what it
did not take is dropped, and the training does not notice.
"""

import logging
import os
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final

import numpy as np

from crossfade.files import atomic_path

_log = logging.getLogger(__name__)

DEFAULT_URI = "sqlite:///mlflow.db"
ARTIFACTS = "mlartifacts"
QUEUE = 4096
"""Entries that may wait for the server before they are dropped."""

PATIENCE = 20.0
"""Seconds that the end of a run waits for the server to take what is left."""

IMPORT = 300.0
"""Seconds that it waits before that for mlflow to be imported, which takes its time from a slow disk."""


class Tracker(ABC):
    """One run's record."""

    @abstractmethod
    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Scalars at a step."""

    @abstractmethod
    def parameters(self, values: Mapping[str, Any]) -> None:
        """What the run was made with; nested mappings become dotted names."""

    @abstractmethod
    def tags(self, values: Mapping[str, str]) -> None:
        """Lineage: method, source, target, hashes."""

    @abstractmethod
    def data_set(self, name: str, digest: str, role: str, source: str) -> None:
        """A data set the run read."""

    @abstractmethod
    def figure(self, name: str, image: np.ndarray, step: int = 0) -> None:
        """(H, W, 3) uint8 RGB."""

    @abstractmethod
    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows with the same keys."""

    @abstractmethod
    def file(self, path: Path, folder: str = "") -> None:
        """A file to keep with the run."""

    @abstractmethod
    def close(self, failed: bool = False) -> str | None:
        """End the run; waits at most `PATIENCE` seconds for the server. Returns its id if the server ever gave one."""


@final
class NoTracker(Tracker):
    """Keeps nothing."""

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Nothing."""

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Nothing."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Nothing."""

    def data_set(self, name: str, digest: str, role: str, source: str) -> None:
        """Nothing."""

    def figure(self, name: str, image: np.ndarray, step: int = 0) -> None:
        """Nothing."""

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Nothing."""

    def file(self, path: Path, folder: str = "") -> None:
        """Nothing."""

    def close(self, failed: bool = False) -> str | None:
        """Nothing."""
        return None


@final
class MlflowTracker(Tracker):
    """One MLflow run, written from a thread."""

    def __init__(
        self, uri: str, experiment: str, run_name: str, run_id: str | None = None, memo: Path | None = None
    ) -> None:
        """Start or continue a run; returns at once.

        Args:
            uri: tracking server or "sqlite:///…".
            experiment: its name: the pair.
            run_name: recipe and seed.
            run_id: the run to continue; None = a new one, or that of `memo`.
            memo: a file that the run's id is read from where it is there, and written to.
        """
        self.uri, self.experiment, self.run_name = uri, experiment, run_name
        known = memo.read_text() if memo is not None and memo.is_file() else None
        self.run_id: str | None = run_id or known
        self._memo = memo
        self._queue: queue.Queue[Callable[[Any, str], None] | None] = queue.Queue(QUEUE)
        self._gone = threading.Event()
        self._imported = threading.Event()
        self._failed = False
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """See Tracker."""
        now = int(time.time() * 1000)
        kept = {name: float(value) for name, value in values.items()}

        def work(client: Any, run: str) -> None:
            from mlflow.entities import Metric

            client.log_batch(run, metrics=[Metric(name, value, now, step) for name, value in kept.items()])

        self._put(work)

    def parameters(self, values: Mapping[str, Any]) -> None:
        """See Tracker."""
        flat = {name: str(value)[:500] for name, value in _flattened(values).items()}

        def work(client: Any, run: str) -> None:
            from mlflow.entities import Param

            known = client.get_run(run).data.params
            items = [Param(name, value) for name, value in flat.items() if name not in known]
            for k in range(0, len(items), 100):
                client.log_batch(run, params=items[k : k + 100])

        self._put(work)

    def tags(self, values: Mapping[str, str]) -> None:
        """See Tracker."""
        kept = dict(values)

        def work(client: Any, run: str) -> None:
            for name, value in kept.items():
                client.set_tag(run, name, value)

        self._put(work)

    def data_set(self, name: str, digest: str, role: str, source: str) -> None:
        """See Tracker."""

        def work(client: Any, run: str) -> None:
            from mlflow.entities import Dataset, DatasetInput, InputTag

            data = Dataset(name=name, digest=digest[:32], source_type="local", source=source)
            client.log_inputs(run, datasets=[DatasetInput(data, [InputTag("mlflow.data.context", role)])])

        self._put(work)

    def figure(self, name: str, image: np.ndarray, step: int = 0) -> None:
        """See Tracker."""
        self._put(lambda client, run: client.log_image(run, image, key=name, step=step))

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """See Tracker."""
        columns = {key: [row[key] for row in rows] for key in rows[0]} if rows else {}
        path = f"{name}.json"

        def work(client: Any, run: str) -> None:
            if any(known.path == path for known in client.list_artifacts(run)):  # log_table would append to it
                client.log_dict(run, {"columns": [*columns], "data": [[*row.values()] for row in rows]}, path)
            else:
                client.log_table(run, columns, path)

        self._put(work)

    def file(self, path: Path, folder: str = "") -> None:
        """See Tracker."""
        self._put(lambda client, run: client.log_artifact(run, str(path), folder or None))

    def close(self, failed: bool = False) -> str | None:
        """See Tracker."""
        self._failed = failed
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            self._gone.set()
        self._imported.wait(IMPORT)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self._lost(TimeoutError(f"no answer within {PATIENCE:.0f} s"))
        return self.run_id

    def _put(self, work: Callable[[Any, str], None]) -> None:
        if self._gone.is_set():
            return
        try:
            self._queue.put_nowait(work)
        except queue.Full:
            self._lost(TimeoutError(f"{QUEUE} entries are waiting"))

    def _lost(self, error: BaseException) -> None:
        """Say once that nothing more will be recorded."""
        if not self._gone.is_set():
            self._gone.set()
            first = (str(error).splitlines() or [type(error).__name__])[0][:200]
            _log.warning("MLflow at %s does not answer (%s): the run goes on without being recorded", self.uri, first)

    def _work(self) -> None:
        """The thread: everything MLflow raises ends here, as one warning (its exceptions have no common base)."""
        monitor = None
        try:
            client, run = self._open()
            monitor = _system_monitor(run)
            while (work := self._queue.get()) is not None:
                work(client, run)
            if monitor is not None:
                monitor.finish()
            client.set_terminated(run, "FAILED" if self._failed else "FINISHED")
        except Exception as error:
            self._lost(error)
        finally:
            self._imported.set()

    def _open(self) -> tuple[Any, str]:
        _quiet_environment()
        import mlflow
        from mlflow.entities import RunStatus
        from mlflow.exceptions import MlflowException

        self._imported.set()
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        logging.getLogger("alembic").setLevel(logging.ERROR)
        mlflow.set_tracking_uri(self.uri)
        client = mlflow.MlflowClient()
        found = client.get_experiment_by_name(self.experiment)
        if found is None:
            local = Path(ARTIFACTS).resolve().as_uri() if self.uri.startswith("sqlite") else None
            try:
                experiment = client.create_experiment(self.experiment, artifact_location=local)
            except MlflowException:  # another process was quicker
                other = client.get_experiment_by_name(self.experiment)
                if other is None:
                    raise
                experiment = other.experiment_id
        else:
            experiment = found.experiment_id
        if self.run_id is not None:
            try:
                client.update_run(self.run_id, status=RunStatus.to_string(RunStatus.RUNNING))
            except MlflowException:  # a run of another store, or deleted
                self.run_id = None
        if self.run_id is None:
            self.run_id = client.create_run(experiment, run_name=self.run_name).info.run_id
        if self._memo is not None:
            with atomic_path(self._memo) as temporary:
                temporary.write_text(self.run_id)
        return client, self.run_id


def open_tracker(experiment: str, run_name: str, run_id: str | None = None, memo: Path | None = None) -> Tracker:
    """The tracker of a run: MLflow at $MLFLOW_TRACKING_URI (default: sqlite in this folder), or none.

    `memo` is a file that keeps the run's id, so that a training that was killed goes on in the run it began.

    None where mlflow is not installed, CROSSFADE_TRACKING=off, or this is not the first process of several.
    """
    if os.environ.get("CROSSFADE_TRACKING", "on") == "off" or int(os.environ.get("RANK", "0")) > 0:
        return NoTracker()
    if find_spec("mlflow") is None:
        _log.warning("mlflow is not installed: the run is not recorded (in the project: pip install -e '.[pipeline]')")
        return NoTracker()
    return MlflowTracker(os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_URI), experiment, run_name, run_id, memo)


def _system_monitor(run: str) -> Any:
    """CPU, memory, disk, network (and GPU) series, sampled every 10 s; None where psutil is missing."""
    if find_spec("psutil") is None:
        return None
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run, resume_logging=True)
    monitor.start()
    return monitor


def _quiet_environment() -> None:
    """No telemetry, no progress bars, and short waits; the user's own settings win."""
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "GIT_PYTHON_REFRESH": "quiet",
    }.items():
        os.environ.setdefault(name, value)


def _flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flattened(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
