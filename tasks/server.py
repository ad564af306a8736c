"""A quiet Prefect: no telemetry, and a real server for the length of a flow unless one is configured already.

Prefect's own temporary server prints some 150 lines of cancelled tasks when a flow of many tasks ends; a server process
of our own, stopped after the last task, prints nothing.
"""

import atexit
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

START_UP = 120.0
"""Seconds a server may take."""

CONNECTING = 15.0
"""Seconds that a configured one may take to let itself be spoken to."""


def quiet_environment(home: Path) -> None:
    """Set what Prefect reads when it is imported; the user's own settings and profiles win."""
    profiles = Path.home() / ".prefect" / "profiles.toml"
    if "PREFECT_HOME" not in os.environ and profiles.is_file():
        os.environ.setdefault("PREFECT_PROFILES_PATH", str(profiles))
    for name, value in {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": str(int(START_UP)),
        "PREFECT_HOME": str(home),
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }.items():
        os.environ.setdefault(name, value)


class ServerError(RuntimeError):
    """There is no Prefect server to speak to."""


@contextmanager
def server(home: Path) -> Iterator[str]:
    """The address of a Prefect server: the configured one, or one that lives as long as this process.

    Raises:
        ServerError: it does not answer, or did not start.
    """
    from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

    configured = get_current_settings().api.url
    if configured:
        _reach(str(configured))
        yield str(configured)
        return
    home.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    prefect = str(Path(sys.executable).with_name("prefect"))
    log = home / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    # At exit, because Prefect sends its last logs and events when threads end, which comes first.
    atexit.register(_stop, process)
    address = f"http://127.0.0.1:{port}/api"
    _wait(f"{address}/health", process, log)
    with temporary_settings(updates={PREFECT_API_URL: address}):
        yield address


def _reach(api: str) -> None:
    """Connect once: Prefect itself would end in three chained tracebacks."""
    place = urlsplit(api)
    if place.hostname is None or place.scheme in urllib.request.getproxies():
        return
    try:
        port = place.port or (443 if place.scheme == "https" else 80)
        socket.create_connection((place.hostname, port), timeout=CONNECTING).close()
    except OSError as error:
        raise ServerError(
            f"the Prefect server at {api} does not answer ({error}): start it, or choose another one (PREFECT_API_URL, "
            "prefect profile use)"
        ) from error


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()


def _wait(health: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_UP
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerError(f"the Prefect server stopped at once; see {log}")
        try:
            with urllib.request.urlopen(health, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    raise ServerError(f"the Prefect server did not start within {START_UP:.0f} s; see {log}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
