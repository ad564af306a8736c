"""Seconds and memory of a piece of work: in a process of its own, so that the peak is that of this work alone."""

import multiprocessing
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Cost:
    """What a piece of work costs.

    Attributes:
        seconds: median of some calls.
        peak: MiB that the process held at most, above what it held before.
    """

    seconds: float
    peak: float


def compared(what: str, ours: Cost, against: str, other: Cost, unit: str = "s", scale: float = 1.0) -> dict[str, Any]:
    """A row of the table: what something costs beside an alternative, `scale` units a second."""
    return {
        "what": what,
        "value": scale * ours.seconds,
        "unit": unit,
        "against": against,
        "ratio": other.seconds / ours.seconds,
        "peak": ours.peak,
        "peak_ratio": other.peak / ours.peak,
    }


def cost(prepare: Callable[..., Callable[[], object]], *arguments: object, times: int = 5) -> Cost:
    """What it costs to call what `prepare(*arguments)` returns, on as many threads as this process has.

    Args:
        prepare: a function of a module, called in a new process; what it does itself is not measured.
        arguments: of `prepare`; picklable.
        times: measured calls, after one that warms up.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    worker = context.Process(target=_measured, args=(sender, torch.get_num_threads(), prepare, arguments, times))
    worker.start()
    sender.close()
    try:
        found: Cost = receiver.recv()
    except EOFError:
        raise SystemExit(f"benchmark: {prepare.__name__}{arguments} failed, see above") from None
    worker.join()
    return found


def median(work: Callable[[], object], times: int) -> float:
    """Median seconds of so many calls, after one that warms up."""
    work()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def _measured(sender, threads, prepare, arguments, times) -> None:  # type: ignore[no-untyped-def]
    torch.set_num_threads(threads)
    work = prepare(*arguments)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark becomes what is held now
    before = _kib("VmRSS")
    seconds = median(work, times)
    sender.send(Cost(seconds, (_kib("VmHWM") - before) / 1024))


def _kib(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])
