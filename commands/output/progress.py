"""How far each stage is: bars on a terminal, a line of JSON a second for a log, nothing where neither is read."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from cohorts.commands.output import log
from cohorts.loaders.stages import Times
from cohorts.progress import ProgressCallback
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_LABELS = {
    "read": "reading",
    "train": "training",
    "encode": "encoding",
    "write": "writing",
    "index": "indexing",
    "verify": "verifying",
    "people": "people",
    "diagnoses": "diagnoses",
    "laboratory values": "values",
    "drugs and procedures": "treatment",
    "reading": "reading",
}
_EVERY_S = 1.0
_SPEED_OF_S = 300  # a chunk may take a minute: what is left is told from the last ones


@contextmanager
def progress(times: Times | None = None) -> Iterator[ProgressCallback]:
    """Yield the function to call with a stage, the units it has just done, and how many are expected."""
    if log.is_json():
        lines = _Lines(times or Times())
        yield lines.tick
        lines.close()
        return
    with _bars() as bars:
        tasks: dict[str, TaskID] = {}

        def tick(stage: str, units: int, expected: int | None = None, /) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(_LABELS[stage], total=None, per_s="", waits="")
            bars.update(tasks[stage], advance=units, total=expected, waits=_waits(times, stage))
            speed = bars.tasks[tasks[stage]].speed
            bars.update(tasks[stage], per_s=f"{speed:,.0f}/s" if speed else "")

        yield tick
        for task in tasks.values():
            bars.update(task, total=bars.tasks[task].completed)


def _bars() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[per_s]:>9}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[waits]}"),
    )
    console = Console(stderr=True)
    disable = not console.is_terminal
    return Progress(*columns, console=console, disable=disable, speed_estimate_period=_SPEED_OF_S)


def _waits(times: Times | None, stage: str) -> str:
    """Tell whom a stage waits for, in seconds so far."""
    if times is None or stage not in times.stages:
        return ""
    own = times.of(stage)
    waits = (("input", own.starved_s), ("output", own.blocked_s))
    return ", ".join(f"waited {spent_s:.0f} s for {what}" for what, spent_s in waits if spent_s >= 1)


class _Lines:
    """Counts, and tells of a stage once a second and at the end."""

    def __init__(self, times: Times) -> None:
        self._times, self._began = times, time.monotonic()
        self._told = self._began
        self._done: dict[str, int] = {}
        self._expected: dict[str, int | None] = {}

    def tick(self, stage: str, units: int, expected: int | None = None, /) -> None:
        self._done[stage] = self._done.get(stage, 0) + units
        self._expected[stage] = expected
        if time.monotonic() - self._told >= _EVERY_S:
            self.close()

    def close(self) -> None:
        """Tell of every stage as it stands."""
        self._told = time.monotonic()
        spent_s = self._told - self._began
        for stage, done in list(self._done.items()):
            expected, per_s = self._expected[stage], done / spent_s if spent_s else 0.0
            left_s = (expected - done) / per_s if expected and per_s else None
            own = self._times.stages.get(stage)
            log.tell(
                "progress",
                stage=stage,
                units=done,
                expected=expected,
                per_s=round(per_s, 1),
                left_s=None if left_s is None else round(left_s, 1),
                waited_for_input_s=round(own.starved_s, 2) if own else 0.0,
                waited_for_output_s=round(own.blocked_s, 2) if own else 0.0,
            )
