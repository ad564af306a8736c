"""A machine that is stopped: what runs on it ends, even what does not heed interrupts."""

import subprocess
import sys
import threading
import time

import pytest

from tasks import machine as module
from tasks.machine import Machine, launching, visible_gpus


@pytest.mark.parametrize("heeds", [True, False])
def test_stopping_ends_what_runs_and_lets_nothing_start(heeds, monkeypatch):
    monkeypatch.setattr(module, "GRACE", 10.0 if heeds else 0.2)
    machine, printed, ends = Machine(1), threading.Event(), []
    answer = "SIG_DFL" if heeds else "SIG_IGN"
    words = f"import signal as s, time; s.signal(s.SIGINT, s.{answer}); print('up', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", words]

    def stage():
        try:
            for _ in machine.run(command, {}):
                printed.set()
        except subprocess.CalledProcessError as error:
            ends.append(error.returncode)

    thread = threading.Thread(target=stage)
    thread.start()
    assert printed.wait(5)
    started = time.monotonic()
    machine.stop()
    thread.join(5)
    assert ends == [-2 if heeds else -15]
    assert time.monotonic() - started < 5
    with pytest.raises(subprocess.CalledProcessError):
        next(machine.run(["true"], {}))


@pytest.mark.parametrize(
    ("command", "gpus", "said"),
    [
        ("no-such-scheduler -n 1", None, "there is no command 'no-such-scheduler'"),
        ("env 'a", None, "no closing quotation in: env 'a"),
        ("env", 2, "leave one of them out"),
    ],
)
def test_a_mistaken_launcher_is_refused(command, gpus, said):
    with pytest.raises(ValueError, match=said):
        launching(command, gpus)


def test_a_launcher_is_words_in_front_of_the_command():
    machine = Machine(1, launcher=launching("env 'GIVEN={gpus} of them'"))
    assert [*machine.run(["sh", "-c", "echo $GIVEN"], {"PATH": "/bin:/usr/bin"}, gpus=2)] == ["2 of them"]


@pytest.mark.parametrize(("said", "found"), [("0\\n1\\n", ["0", "1"]), ("NVIDIA-SMI has failed", [])])
def test_gpus_are_those_that_nvidia_smi_lists(said, found, tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{said}'\nexit {0 if found else 9}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus(None) == found
