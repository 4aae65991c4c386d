"""How far a long run has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]


@contextmanager
def shown(wanted: bool | Callable[[int, int | None], None], steps: int | None) -> Iterator[Advance]:
    """A function to call with the number of steps just done.

    Args:
        wanted: True shows a bar on stderr; a function is called with the steps done and ``steps``.
        steps: how many there are, if that is known.
    """
    if callable(wanted):
        report = wanted
        done = 0

        def count(more: int) -> None:
            nonlocal done
            done += more
            report(done, steps)

        yield count
    elif wanted:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        columns = ("steps", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("steps", total=steps)
            yield lambda more: bar.update(task, advance=more)
    else:
        yield lambda more: None
