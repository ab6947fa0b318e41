"""The skeleton of every evaluation: a task says what it measures and how that is read; all else is done here.

A task yields figures, which are rows of one long table (reports/long_table.py) with the `sheet` they belong to.
Its tables on the page and in the terminal, its CSV files (`Sheet`) and its first sentence are made from that table
alone:

    class Lengths(Task[Source]):
        name, packages = "lengths", ("numpy",)       # of the template; their versions go to the manifest
        sheets = {"lengths": Sheet(("encoder", "seed"), ("mean",))}

        def measure(self, given, run):
            run.begin("judging", told="seed 1 of 1")
            yield from figures("lengths", {"encoder": "codes", "seed": 0}, mean=0.5)

    task = Lengths()
    run = evaluate(task, source)
    write_report(folder, task, run, task.told(run))      # report.html, lengths.csv, manifest.json
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, cast

import pandas as pd
from cohorts.harness.evaluate.note_categories import category_tables
from cohorts.measures.intervals import Estimate
from cohorts.provenance import made_from, made_with
from cohorts.records.base import Source
from cohorts.records.window import WHOLE_STAY, Window
from cohorts.reports import published
from cohorts.reports.csv_table import wide
from cohorts.reports.long_table import Record, ReportTable, long_table
from cohorts.reports.page import check_installed, keep, render
from cohorts.reports.stages import Stages

Given = TypeVar("Given")  # what is measured on: a source, or scored pairs
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Sheet:
    """A CSV file: a row for each of its settings, and a column per measure; see `wide` of the long table."""

    settings: tuple[str, ...]
    measures: tuple[str, ...]
    intervals: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return what is written of the long table."""
        return wide(table, self.settings, self.measures, intervals=self.intervals, counts=self.counts)


@dataclass(frozen=True)
class LongSheet:
    """A CSV file with a row per figure, of these columns; `renamed` gives the long table's name where it is another."""

    columns: tuple[str, ...]
    renamed: Mapping[str, str] = field(default_factory=dict)

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return what is written of the long table."""
        there = [self.renamed.get(name, name) for name in self.columns]
        return table.reindex(columns=there).set_axis(list(self.columns), axis=1)


@dataclass(frozen=True, kw_only=True)
class Told:
    """How a run is read: the first sentence, the tables by the section of the page, and what else its template takes.

    Tables with a column that has a short title stand in the terminal too; `warnings` and `notes` are told there.
    """

    finding: str
    tables: Mapping[str, Sequence[ReportTable]]
    drawn: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()


@dataclass(kw_only=True)
class Run:
    """A measurement under way, and what it found. `facts` are no figures, and stand in the manifest."""

    records: list[Record] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    stages: Stages = field(default_factory=Stages)
    manifest: dict[str, Any] = field(default_factory=dict)
    tell: Tell = lambda _: None

    def begin(self, stage: str, told: str = "") -> None:
        """Begin a stage, whose time and memory are kept, and tell of it."""
        if told:
            self.tell(told)
        self.stages.begin(stage)

    def table(self, sheet: str) -> pd.DataFrame:
        """Return the figures of one sheet, in the order in which they were measured, once all of them are."""
        return self._tables.get(sheet, long_table(()))

    @cached_property
    def _tables(self) -> dict[str, pd.DataFrame]:
        by_sheet: dict[str, list[Record]] = {}
        for record in self.records:
            by_sheet.setdefault(record["sheet"], []).append(record)
        return {sheet: long_table(own) for sheet, own in by_sheet.items()}


class Task(Generic[Given]):
    """One evaluation. `name` is that of its template; `packages` are those whose versions matter."""

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    sheets: ClassVar[Mapping[str, Sheet | LongSheet]]

    def measure(self, given: Given, run: Run) -> Iterator[Record]:
        """Yield every figure. Raises InputError, EncoderError."""
        raise NotImplementedError

    window: Window | None = None

    @property
    def as_of(self) -> str:
        """Return what encoders see of the records, in words; "" where no records are read."""
        return str(self.window or WHOLE_STAY)

    def asked(self) -> dict[str, Any]:
        """Return what was asked for, as the manifest keeps it."""
        return {}

    def origin(self, given: Given) -> dict[str, Any]:
        """Return what tells what was measured on from others, and whether it is synthetic."""
        return made_from(cast(Source, given))  # where a task says nothing else

    def told(self, run: Run) -> Told:
        """Return how the figures are read."""
        raise NotImplementedError

    def frames(self, run: Run) -> dict[str, pd.DataFrame]:
        """Return every sheet as it is written."""
        return {name: one.of(run.table(name)) for name, one in self.sheets.items()}


def figures(sheet: str, setting: Mapping[str, Any], **measured: float | str | Estimate) -> Iterator[Record]:
    """Yield a row of the long table for each measure; a text stands in place of a number, an empty one is none."""
    for measure, found in measured.items():
        if isinstance(found, Estimate):
            shown: Record = found._asdict()
        else:
            shown = {"text": found} if isinstance(found, str) else {"value": found}
        if found != "":
            yield {"sheet": sheet, **setting, "measure": measure, **shown}


def rows_of(sheet: str, rows: Iterable[Record], *settings: str) -> Iterator[Record]:
    """Yield the figures of rows: all their columns but the settings."""
    for row in rows:
        measured = {name: value for name, value in row.items() if name not in settings}
        yield from figures(sheet, {name: row[name] for name in settings}, **measured)


def evaluate(task: Task[Given], given: Given, tell: Tell = lambda _: None) -> Run:
    """Measure everything. Raises InputError, EncoderError, MissingExtra."""
    check_installed()
    run = Run(tell=tell)
    run.records += task.measure(given, run)
    run.stages.end()
    run.manifest = {
        **made_with(task.packages),
        **task.origin(given),
        **({"as_of": task.as_of} if task.as_of else {}),
        **({"plan": asked} if (asked := task.asked()) else {}),
        **({"counts": run.counts} if run.counts else {}),
        **run.facts,
        **run.stages.facts,
    }
    return run


def write_report(folder: Path, task: Task[Any], run: Run, told: Told) -> Path:
    """Write report.html, manifest.json and a CSV file per sheet; return the page's path."""
    frames = task.frames(run)
    page = render(
        f"{task.name}.html",
        manifest=run.manifest,
        finding=told.finding,
        categories=category_tables(run.manifest.get("note_categories", ())),
        published=published,
        files=[f"{name}.csv" for name in frames],
        **told.tables,
        **told.drawn,
    )
    return keep(folder, page, run.manifest, frames.items())
