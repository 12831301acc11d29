"""How far an ingest is: a bar with the time left on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 10.0


class Advance(Protocol):
    """What is called after each case."""

    def __call__(self) -> None:
        """One more case is done."""


@contextmanager
def progress_of(console: Console, total: int, done: int) -> Iterator[Advance]:
    """Gives what is called after each of `total` cases, of which `done` were done before."""
    if console.is_terminal and not console.quiet:
        columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("reading", total=total, completed=done)
            yield lambda: bar.advance(task)
        return
    start = shown = time.monotonic()
    count = done

    def advance() -> None:
        nonlocal count, shown
        count += 1
        now = time.monotonic()
        if now - shown >= _SECONDS_BETWEEN_LINES and count < total:
            shown = now
            left = (now - start) / (count - done) * (total - count)
            console.print(f"{count} of {total} cases, about {left / 60:.0f} min left", markup=False)

    yield advance
