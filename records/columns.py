"""Columns of text turned into typed ones; what can't be turned is named row by row and never guessed."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

import pandas as pd
from cohorts.errors import SourceError
from cohorts.records.tables import Rows, read_rows

_MISSING = {"", "NA", "NULL", "NaN", "nan", "None"}
_SPREADSHEET_DATE = re.compile(r"\d{1,2}/\d{1,2}/(\d{2}|\d{4})( \d{1,2}:\d{2}.*)?")


class Kind(Enum):
    """How the text of a column is read."""

    KEY = auto()  # identifier, needed in every row
    REFERENCE = auto()  # identifier, may be missing
    TIME = auto()  # ISO 8601 date or date and time, needed
    TIME_OR_NONE = auto()
    NUMBER = auto()  # float, may be missing
    CODE = auto()  # text that is never a number, needed
    TEXT = auto()  # as it is; empty is missing


@dataclass(frozen=True)
class Table:
    """A table of a source: its name, the columns it must have, and those that it may have."""

    name: str
    columns: dict[str, Kind]
    optional: tuple[str, ...] = ()


@dataclass(frozen=True)
class BadRow:
    """A row that can't be used: where it stands and why. The reason never quotes free text."""

    table: str
    number: int
    line: int
    reason: str


@dataclass(frozen=True)
class Chunk:
    """Typed rows of one table. `frame` has the table's columns, and `row`, `line` (where each row stands)."""

    frame: pd.DataFrame
    bad: list[BadRow]
    recoded: int


def read_table(path: Path, table: Table) -> Iterator[Chunk]:
    """Yield the table's rows, typed. Raises SourceError where a column is missing or its dates are mangled."""
    required = [name for name in table.columns if name not in table.optional]
    names = [*required, *table.optional]
    for rows in read_rows(path, required, table.optional):
        yield _typed(path, table, names, rows)


def _typed(path: Path, table: Table, names: Sequence[str], rows: Rows) -> Chunk:
    cells = list(zip(*rows.values, strict=True)) if rows.values else [()] * len(names)
    frame = pd.DataFrame({"row": rows.numbers, "line": rows.lines}, dtype="int64")
    reasons = pd.Series("", index=frame.index, dtype="str")
    for name, texts in zip(names, cells, strict=True):
        kind = table.columns[name]
        frame[name], wrong, reason = _read_column(path, name, kind, pd.Series(texts, dtype="str"))
        reasons = reasons.mask(wrong & (reasons == ""), reason)
    good = reasons == ""
    where = frame.loc[~good, ["row", "line"]].itertuples(index=False)
    bad = [BadRow(table.name, n, line, why) for (n, line), why in zip(where, reasons[~good], strict=True)]
    bad += [BadRow(table.name, *broken) for broken in rows.broken]
    return Chunk(frame[good].reset_index(drop=True), bad, rows.recoded)


def _read_column(path: Path, name: str, kind: Kind, text: pd.Series) -> tuple[pd.Series, pd.Series, str]:
    """Return the typed column, which rows of it are wrong, and the reason to give for those."""
    if kind is Kind.TEXT:
        return text.mask(text == ""), text.isna(), ""
    text = text.str.strip()
    text = text.mask(text.isin(_MISSING))
    if kind is Kind.CODE:
        return text, text.isna(), f"{name} is missing"
    if kind is Kind.NUMBER:
        number = pd.to_numeric(text, errors="coerce").astype("float64")
        return number, number.isna() & text.notna(), f"{name} is not a number"
    if kind in (Kind.KEY, Kind.REFERENCE):
        key = text.str.removesuffix(".0")
        wrong = key.notna() & ~key.str.fullmatch(r"\d{1,18}").fillna(False).astype(bool)
        wrong |= key.isna() if kind is Kind.KEY else False
        return key, wrong, f"{name} is not a whole number"
    return _read_time(path, name, kind, text)


def _read_time(path: Path, name: str, kind: Kind, text: pd.Series) -> tuple[pd.Series, pd.Series, str]:
    given = text.dropna()
    mangled = given.str.fullmatch(_SPREADSHEET_DATE)
    if len(given) and mangled.mean() > 0.5:
        raise SourceError(
            f"{path}: the dates in {name} look like 3/5/94 0:00. A spreadsheet has opened and saved this file, and "
            "the century and the order of day and month are lost. Take the file as it was first downloaded "
            "(dates like 2094-03-05 00:00:00); nothing was read."
        )
    time = pd.to_datetime(text, format="ISO8601", errors="coerce").astype("datetime64[us]")
    wrong = time.isna() & (text.notna() if kind is Kind.TIME_OR_NONE else True)
    return time, wrong, f"{name} is not a date like 2164-10-23 21:09:00"
