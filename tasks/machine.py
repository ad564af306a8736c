"""What the stages of a flow share: so many at a time, the GPUs, and the way to another machine."""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import final

GRACE = 10.0
"""Seconds for a stage to end by itself when it is interrupted."""


@final
class Machine:
    """Places for stages and GPUs for those that ask; a stage that waits for either holds nothing."""

    def __init__(self, workers: int, gpus: Sequence[str] = (), launcher: Sequence[str] = ()) -> None:
        """Share out.

        Args:
            workers: stages side by side.
            gpus: as CUDA_VISIBLE_DEVICES names them; none = GPUs are not shared out.
            launcher: what `launching` returns: stands in front of every command.
        """
        self._workers, self._gpus, self._total = workers, list(gpus), len(gpus)
        self._launcher = launcher
        self._change = threading.Condition()
        self._running: set[int] = set()
        self._stopped = False

    @contextmanager
    def hold(self, gpus: int) -> Iterator[list[str] | None]:
        """Wait for a place and for `gpus` GPUs (at most all there are), and give them back afterwards.

        Yields the GPUs to see; None where they are not shared out, or the stage wants none.
        """
        wanted = min(gpus, self._total)
        with self._change:
            self._change.wait_for(lambda: self._workers > 0 and len(self._gpus) >= wanted)
            self._workers -= 1
            taken, self._gpus = self._gpus[:wanted], self._gpus[wanted:]
        try:
            yield taken or None
        finally:
            with self._change:
                self._workers += 1
                self._gpus += taken
                self._change.notify_all()

    def run(self, command: Sequence[str], environment: Mapping[str, str], gpus: int = 0) -> Iterator[str]:
        """Run a command, yielding the lines it prints.

        Args:
            command: program and arguments.
            environment: all of it.
            gpus: how many the launcher asks for.

        Raises:
            subprocess.CalledProcessError: it failed, or the machine was stopped.
        """
        command = [*(word.replace("{gpus}", str(gpus)) for word in self._launcher), *command]
        with self._change:
            if self._stopped:
                raise subprocess.CalledProcessError(-signal.SIGINT, command)
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True, text=True, errors="replace",
            )  # fmt: skip
            self._running.add(process.pid)
        assert process.stdout is not None
        try:
            for line in process.stdout:
                yield line.rstrip()
        finally:
            status = process.wait()
            with self._change:
                self._running.discard(process.pid)
                self._change.notify_all()
        if status:
            raise subprocess.CalledProcessError(status, command)

    def stop(self) -> None:
        """Interrupt everything that runs, as Ctrl-C would; nothing starts any more.

        What began in the background of a script ignores interrupts, and so do its children: after `GRACE` seconds they
        are terminated.
        """
        with self._change:
            self._stopped = True
            for signal_, patience in ((signal.SIGINT, GRACE), (signal.SIGTERM, 0.0)):
                for process in self._running:
                    os.killpg(process, signal_)
                self._change.wait_for(lambda: not self._running, patience)


def launching(command: str | None, gpus: int | None = None) -> list[str]:
    """The words of a launcher such as "srun --gpus={gpus}"; none where stages run here.

    Raises:
        ValueError: a quotation mark is open, there is no such program, or `gpus` of this machine are asked for too.
    """
    try:
        words = shlex.split(command or "")
    except ValueError as error:
        raise ValueError(f"--launch: {str(error).lower()} in: {command}") from error
    if words and shutil.which(words[0]) is None:
        raise ValueError(f"--launch: there is no command '{words[0]}' on this machine; start where it is")
    if words and gpus:
        raise ValueError("--gpus shares out this machine's GPUs, --launch asks for others: leave one of them out")
    return words


def visible_gpus(count: int | None) -> list[str]:
    """The first `count` GPUs (None: all) of those that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None and shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        said = subprocess.run(query, capture_output=True, text=True, check=False)
        listed = ",".join(said.stdout.split()) if said.returncode == 0 else ""
    found = [name.strip() for name in (listed or "").split(",") if name.strip()]
    return found[:count]


def at_least(least: int) -> Callable[[str], int]:
    """For argparse: a whole number that is not smaller."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {least} up")
        return value

    return number
