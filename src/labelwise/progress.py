"""Progress bars with the time left, on standard error, so that standard output stays clean for results."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[..., None]  # without argument after a step, or with the number of steps done since the last call


@contextmanager
def progress(title: str, total: int, quiet: bool = False) -> Iterator[Advance]:
    """Show a bar titled `title` for `total` steps, with the time gone and an estimate of the time left.

    Gives a function to call after each step. Shows nothing if `quiet`.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=quiet) as bar:
        task = bar.add_task(title, total=total)
        yield lambda steps=1: bar.advance(task, steps)
