"""A bar per stage on stderr; nothing where stderr is no terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from cohorts.loaders.versions import Tick
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

_LABELS = {"read": "reading", "encode": "encoding", "write": "writing", "index": "indexing"}


@contextmanager
def progress() -> Iterator[Tick]:
    """Yield the function to call with a stage and the units it has just done."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks = {}

        def tick(stage: str, units: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(_LABELS[stage], total=None, unit="units")
            bars.advance(tasks[stage], units)

        yield tick
        for task in tasks.values():
            bars.update(task, total=bars.tasks[task].completed)
