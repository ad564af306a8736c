"""How far a training is: a bar in a terminal, a line now and then elsewhere."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class StepProgress:
    """Shows steps done, the loss, seconds a step and what is left."""

    def __init__(self, what: str, first: int, total: int, shown: bool) -> None:
        self.what, self.first, self.total, self.shown = what, first, total, shown and total > first
        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console,
            disable=not (self.shown and console.is_terminal),
        )  # fmt: skip
        self.lines = self.shown and not console.is_terminal
        self.start = time.perf_counter()
        self.seconds_per_step = 0.0

    def __enter__(self) -> "StepProgress":
        self.bar.start()
        self.task = self.bar.add_task(self.what, total=self.total, completed=self.first, note="")
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def tell(self, done: int, values: dict[str, float]) -> None:
        """A step is done; `values` are what there is to say, if anything."""
        self.seconds_per_step = (time.perf_counter() - self.start) / (done - self.first)
        note = f"loss {values['loss/total']:.3f}  {self.seconds_per_step:.2f} s/step" if values else None
        self.bar.update(self.task, completed=done)
        if note:
            self.bar.update(self.task, note=note)
        if self.lines and note and (done == self.total or done * 5 // self.total > (done - 10) * 5 // self.total):
            print(f"{self.what}: step {done}/{self.total}  {note}", file=sys.stderr, flush=True)
