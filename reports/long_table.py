"""One long table per run, and specifications of the tables that are read: as HTML, Markdown, CSV, in the terminal.

The long table is a frame with a row per figure: setting columns, which the run names, then `measure`, `value`, `low`
and `high` (95 % interval, NaN where there is none), `text` (stands in place of the number: a fault, a figure as it was
printed) and `note` (small print behind it). Counts and p-values are measures of their own (`questions`, `auc_p`).
Further columns are carried along, and reach a cell through `ColumnSpec.beside`. How a page is declared:

    frame = long_table(
        {"view": "codes", "encoder": name, "k": 10, "measure": "precision", "value": 0.41, "low": 0.38, "high": 0.44}
        for name in ...
    )
    BEST = TableSpec(
        title="All questions, k = 10",
        where={"view": "codes", "k": 10},                     # these rows of the long table
        rows={"ranked by": "encoder"},                        # a row of the table: its names, and where they stand
        columns=(
            ColumnSpec(title="P@10", measure="precision", show=decimals(3), best=max, short="P@10"),
            ColumnSpec(title="p", measure="precision_p", show=decimals(3)),
            ColumnSpec(title="published", measure="published_precision", published=True),
        ),
    )
    made = BEST.of(frame)                                     # a ReportTable: nothing but texts
    render("page.html", best=made)      # in the page: {% from "table.html" import table %} and {{ table(best) }}
    markdown(made)                                            # reports/markdown.py
    report_table(made)                                        # commands/output/report_table.py: columns with a `short`
    wide(frame, ["view", "encoder", "k"], ["precision"])      # reports/csv_table.py: a frame for `keep`

A row that has the measure `fault` shows its text in place of figures. Charts over the same table: charts.py.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple, cast

import pandas as pd
from cohorts.reports.formats import NONE, Show, interval, number

FAULT = "fault"
Record = Mapping[str, Any]
_OPTIONAL: dict[str, Any] = {
    "value": float("nan"),
    "low": float("nan"),
    "high": float("nan"),
    "text": "",
    "note": "",
}


def long_table(records: Iterable[Record]) -> pd.DataFrame:
    """Return records as a long table; of `value`, `low`, `high`, `text` and `note`, what lacks is empty."""
    frame = pd.DataFrame([_OPTIONAL | dict(one) for one in records])
    return (
        frame[[*frame.columns.difference(list(_OPTIONAL), sort=False), *_OPTIONAL]] if len(frame) else frame
    )


def chosen(frame: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows whose columns have these values, or one of those in a tuple."""
    for column, wanted in where.items():
        frame = frame[frame[column].isin(wanted if isinstance(wanted, tuple) else (wanted,))]
    return frame


def records(frame: pd.DataFrame) -> list[Record]:
    """Return the rows of a frame, each by its columns."""
    return cast(list[Record], frame.to_dict("records"))


def by_interval(cell: Record, show: Show) -> str:
    """Return the interval of a cell: `[0.38, 0.44]`."""
    return interval(cell["low"], cell["high"], show)


def by_half_width(cell: Record, show: Show) -> str:
    """Return half of the interval of a cell: `± 0.03`."""
    return "" if cell["low"] != cell["low"] else f"± {show((cell['high'] - cell['low']) / 2)}"


def nothing(_: Record, __: Show) -> str:
    """Return no interval."""
    return ""


@dataclass(frozen=True, kw_only=True)
class ColumnSpec:
    """A column: which figures it holds, and how they are shown.

    `where` narrows the measure (`{"notes": "48 h"}`); `best` is min or max and marks one cell of those comparable;
    `short` is its title in the terminal, None where it stands on the page alone; columns of one `group` have a title
    in common above their own.
    """

    title: str
    measure: str
    where: Mapping[str, Any] = field(default_factory=dict)
    show: Show = number
    beside: Callable[[Record, Show], str] = by_interval
    missing: str = NONE
    best: Callable[[Iterable[float]], float] | None = None
    short: str | None = None
    group: str = ""
    published: bool = False

    def holds(self, record: Record) -> bool:
        """Tell whether a figure belongs to this column."""
        return record["measure"] == self.measure and all(
            record[name] == wanted for name, wanted in self.where.items()
        )


class Cell(NamedTuple):
    """A cell as it is read; `small` stands behind the text."""

    text: str
    small: str = ""
    best: bool = False


class Line(NamedTuple):
    """One row: its names, and its cells or, in their place, a fault. A quiet row competes for no mark."""

    names: tuple[str, ...]
    cells: tuple[Cell, ...]
    fault: str = ""
    quiet: bool = False


class ReportTable(NamedTuple):
    """A table as it is read: titles of the names, columns, lines, and the word before a fault."""

    title: str
    names: tuple[str, ...]
    columns: tuple[ColumnSpec, ...]
    lines: tuple[Line, ...]
    fault_word: str = "FAULT"

    @property
    def groups(self) -> list[tuple[str, list[ColumnSpec]]]:
        """Return the titles above the columns, each with those below it; none where no column has one."""
        if not any(column.group for column in self.columns):
            return []
        return [(title, list(some)) for title, some in groupby(self.columns, lambda column: column.group)]


@dataclass(frozen=True, kw_only=True)
class TableSpec:
    """A table over the long table.

    `rows` gives each name of a row its title, and the column, or what is made of a record, that it is read from; rows
    stand in the order in which they come first. Rows whose column `quiet` is true are dimmed, and compete for no mark;
    marks are given among the rows that have the columns `among` in common.
    """

    title: str
    rows: Mapping[str, str | Callable[[Record], str]]
    columns: Sequence[ColumnSpec]
    where: Mapping[str, Any] = field(default_factory=dict)
    quiet: str = ""
    among: Sequence[str] = ()
    fault_word: str = "FAULT"

    def of(self, frame: pd.DataFrame) -> ReportTable:
        """Return the table. Raises ValueError where two figures would stand in one cell."""
        rows: dict[tuple[str, ...], _Row] = {}
        for record in records(chosen(frame, self.where) if len(frame) else frame):
            names = tuple(
                str(record[name]) if isinstance(name, str) else name(record) for name in self.rows.values()
            )
            quiet = bool(self.quiet and record[self.quiet])
            row = rows.setdefault(names, _Row(quiet, tuple(record[name] for name in self.among), {}))
            for place in [FAULT] if record["measure"] == FAULT else self._places(record):
                if place in row.cells:
                    raise ValueError(
                        f"Two figures of {record['measure']} in one cell of {self.title}: {names}."
                    )
                row.cells[place] = record
        best = self._best(rows.values())
        lines = [
            Line(names, (), row.cells[FAULT]["text"], row.quiet)
            if FAULT in row.cells
            else Line(names, tuple(self._cells(row, best)), "", row.quiet)
            for names, row in rows.items()
        ]
        return ReportTable(self.title, tuple(self.rows), tuple(self.columns), tuple(lines), self.fault_word)

    def _places(self, record: Record) -> list[Any]:
        return [place for place, column in enumerate(self.columns) if column.holds(record)]

    def _best(self, rows: Iterable["_Row"]) -> dict[tuple[Any, ...], float]:
        """Return the best of what is told, by column and `among`; one alone is no best."""
        told: dict[tuple[Any, ...], list[float]] = {}
        for row in rows:
            for place, record in row.cells.items() if not row.quiet and FAULT not in row.cells else ():
                if record["value"] == record["value"]:
                    told.setdefault((place, row.among), []).append(record["value"])
        return {
            key: choose(values)
            for key, values in told.items()
            if (choose := self.columns[key[0]].best) and len(values) > 1
        }

    def _cells(self, row: "_Row", best: Mapping[tuple[Any, ...], float]) -> Iterable[Cell]:
        for place, column in enumerate(self.columns):
            record = row.cells.get(place)
            if record is None:
                yield Cell(column.missing)
                continue
            value = record["value"]
            text = record["text"] or (column.show(value) if value == value else column.missing)
            small = column.beside(record, column.show) if value == value else ""
            marked = not row.quiet and value == best.get((place, row.among))
            yield Cell(text, " ".join(filter(None, (small, record["note"]))), marked)


class _Row(NamedTuple):
    quiet: bool
    among: tuple[Any, ...]
    cells: dict[Any, Record]  # by the column's place, or FAULT
