"""Columns of text turned into typed ones; what can't be turned is named row by row and never guessed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

import pandas as pd
import pyarrow as pa
from cohorts.errors import SourceError
from cohorts.records.tables import cells
from cohorts.records.tables.reading import Rows, read_rows
from cohorts.records.tables.times import Dates, most_end_with_year, most_lack_century, read_times

_LIKE_A_FLOAT = "rows have an id like 105.0, which is read as 105"
_ROUNDED = "has lost digits, as 105000000001 does in 1.05E+11"
_WITH_ZONE = "rows have times with a zone; the clock is kept as written and the zone dropped"
_NO_DATE = {
    Dates.ISO: "2164-10-23 21:09:00; for 23/10/2164 and 10/23/2164 say which comes first, day or month",
    Dates.DAY_FIRST: "23/10/2164 21:09 or 2164-10-23 21:09:00",
    Dates.MONTH_FIRST: "10/23/2164 21:09 or 2164-10-23 21:09:00",
}


class Kind(Enum):
    """How the text of a column is read."""

    KEY = auto()  # identifier that is a whole number, needed in every row
    REFERENCE = auto()  # the same, may be missing
    ID = auto()  # identifier that may be any text, needed
    TIME = auto()  # date or date and time, needed
    TIME_OR_NONE = auto()
    NUMBER = auto()  # float, may be missing
    FLAG = auto()  # yes or no, may be missing
    ICD_VERSION = auto()  # 9 or 10, needed
    CODE = auto()  # text that is never a number, needed
    CODE_OR_NONE = auto()
    TEXT = auto()  # as it is; empty is missing


_TYPES = {
    Kind.TIME: pa.timestamp("us"),
    Kind.TIME_OR_NONE: pa.timestamp("us"),
    Kind.NUMBER: pa.float64(),
    Kind.FLAG: pa.bool_(),
}  # the others are text


@dataclass(frozen=True)
class Without:
    """What a table is without a column: what is lost, unless it has the columns that are read in its place."""

    loss: str
    instead: Mapping[str, "Kind"] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table of a source: its name, its columns, and those of them that a file may lack.

    `called` says how the file calls a column, where otherwise than it is called here. Of a column in `only`, rows of
    other values, or of none that can be read, are passed over: nothing else of them is read or found fault with.
    """

    name: str
    columns: dict[str, Kind]
    optional: Mapping[str, Without] = field(default_factory=dict)
    called: dict[str, str] = field(default_factory=dict)
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class BadRow:
    """A row that can't be used: where it stands and why. The reason never quotes free text."""

    table: str
    number: int
    line: int
    reason: str


@dataclass(frozen=True)
class Chunk:
    """Typed rows of one table: its columns, and `row`, `line` (int64), where each row stands.

    A column is string, timestamp("us"), double or bool, as its kind says, and null where nothing is. `remarks` counts
    what was read in another way than it was written, by what is to be said of it behind the number. `passed_over`
    counts the rows that `Table.only` leaves out. Of the file's text, unpacked, `bytes_fast` were read by a library and
    `bytes_strict` line by line.
    """

    rows: pa.Table
    bad: list[BadRow]
    remarks: Counter[str]
    passed_over: int = 0
    bytes_fast: int = 0
    bytes_strict: int = 0

    def frame(self) -> pd.DataFrame:
        """Return the rows with pandas' types: str, datetime64[us], float64 and boolean."""
        frame: pd.DataFrame = self.rows.to_pandas()
        flags = [field.name for field in self.rows.schema if field.type == pa.bool_()]
        return frame.astype(dict.fromkeys(flags, "boolean"))


@dataclass(frozen=True)
class _Column:
    """A typed column, which rows of it are wrong and why, and of which rows there is a remark."""

    values: pd.Series
    wrong: "pd.Series[bool]"
    reason: "str | pd.Series[str]" = ""
    remarked: "dict[str, pd.Series[bool]]" = field(default_factory=dict)


def read_table(path: Path, table: Table, dates: Dates = Dates.ISO) -> Iterator[Chunk]:
    """Yield the table's rows, typed. Raises SourceError where a column is missing or its dates can't be understood."""
    required = [name for name in table.columns if name not in table.optional]
    names = [*required, *table.optional]
    called = [table.called.get(name, name) for name in required]
    for rows in read_rows(path, called, list(table.optional)):
        yield _typed(path, table, names, rows, dates)


def _typed(path: Path, table: Table, names: Sequence[str], rows: Rows, dates: Dates) -> Chunk:
    given = pd.DataFrame(rows.values, columns=list(names), dtype="str")
    places = pd.DataFrame({"row": rows.numbers, "line": rows.lines}, dtype="int64")
    kept = pd.Series(True, index=places.index)
    for name, among in table.only.items():
        kept &= _read_column(path, name, table.columns[name], given[name], dates).values.isin(among)
    given, places = given[kept].reset_index(drop=True), places[kept].reset_index(drop=True)
    typed: dict[str, pa.Array] = {name: pa.array(places[name], pa.int64()) for name in ("row", "line")}
    reasons = pd.Series("", index=given.index, dtype="str")
    remarked: dict[str, pd.Series[bool]] = {}
    for name in names:
        kind = table.columns[name]
        column = _read_column(path, table.called.get(name, name), kind, given[name], dates)
        typed[name] = pa.array(column.values, _TYPES.get(kind, pa.string()), from_pandas=True)
        reasons = reasons.mask(column.wrong & (reasons == ""), column.reason)
        for remark, where in column.remarked.items():
            remarked[remark] = remarked.get(remark, where) | where
    good = reasons == ""
    bad = [
        BadRow(table.name, row, line, why)
        for (row, line), why in zip(places[~good].itertuples(index=False), reasons[~good], strict=True)
    ]
    bad += [BadRow(table.name, *broken) for broken in rows.broken]
    remarks = Counter({remark: int((where & good).sum()) for remark, where in remarked.items()})
    remarks["bytes are not UTF-8, read as Windows-1252"] += rows.recoded
    return Chunk(pa.table(typed).filter(pa.array(good, pa.bool_())), bad, remarks, int((~kept).sum()))


def _read_column(path: Path, name: str, kind: Kind, given: "pd.Series[str]", dates: Dates) -> _Column:
    never = pd.Series(False, index=given.index)
    if kind is Kind.TEXT:
        return _Column(cells.texts(given), never)
    text = cells.values(given)
    match kind:
        case Kind.CODE_OR_NONE:
            return _Column(text, never)
        case Kind.CODE:
            return _Column(text, text.isna(), f"{name} is missing")
        case Kind.ID:
            return _read_ids(name, text)
        case Kind.NUMBER:
            number = cells.numbers(text)
            return _Column(number, number.isna() & text.notna(), f"{name} is not a number")
        case Kind.FLAG:
            flag = cells.flags(text)
            return _Column(flag, flag.isna() & text.notna(), f"{name} is neither 0 nor 1")
        case Kind.ICD_VERSION:
            version = cells.whole_numbers(text)
            return _Column(version, ~version.isin(["9", "10"]), f"{name} is neither 9 nor 10")
        case Kind.KEY | Kind.REFERENCE:
            key = cells.whole_numbers(text)
            lacking = key.isna() if kind is Kind.KEY else never
            wrong = lacking | (key.notna() & ~key.str.fullmatch("[0-9]{1,18}", na=False).astype(bool))
            return _Column(key, wrong, f"{name} is not a whole number")
    return _read_time(path, name, kind, text, dates)


def _read_ids(name: str, text: "pd.Series[str]") -> _Column:
    ids, lost = cells.text_ids(text), cells.rounded(text)
    reason = text.isna().map({True: f"{name} is missing", False: f"{name} {_ROUNDED}"})
    return _Column(ids, ids.isna() | lost, reason, {_LIKE_A_FLOAT: ids.notna() & (ids != text)})


def _read_time(path: Path, name: str, kind: Kind, text: "pd.Series[str]", dates: Dates) -> _Column:
    if most_lack_century(text):
        raise SourceError(
            f"{path}: the dates in {name} look like 3/5/94 0:00. A spreadsheet has opened and saved this file, and "
            "the century and the order of day and month are lost. Take the file as it was first downloaded "
            "(dates like 2094-03-05 00:00:00); nothing was read."
        )
    if dates is Dates.ISO and most_end_with_year(text):
        raise SourceError(
            f"{path}: the dates in {name} look like 03/05/2094, which may be the third of May or the fifth of March. "
            "Nothing was read.",
            remedy="Say which: day-first or month-first.",
            hint="dates",
        )
    times = read_times(text, dates)
    wrong = times.values.isna() & (text.notna() if kind is Kind.TIME_OR_NONE else True)
    return _Column(
        times.values, wrong, f"{name} is not a date like {_NO_DATE[dates]}", {_WITH_ZONE: times.zoned}
    )
