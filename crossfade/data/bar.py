"""A bar that counts bytes, on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def byte_bar(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of bytes that are done; `total` None: unknown."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.advance(task, count)


def readable(count: float) -> str:
    """Bytes as people say them: "22.5 GB"."""
    power = 0
    while count >= 1000 and power < 4:
        count, power = count / 1000, power + 1
    return f"{count:.{0 if power == 0 or count >= 100 else 1}f} {('bytes', 'KB', 'MB', 'GB', 'TB')[power]}"
