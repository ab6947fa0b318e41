"""Columns of text turned into typed ones; what can't be turned is named row by row and never guessed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from cohorts.errors import SourceError
from cohorts.records.tables import cells
from cohorts.records.tables.plain_columns import Cells
from cohorts.records.tables.reading import CHUNK_CHARS, CHUNK_ROWS, read_strings
from cohorts.records.tables.strings import Strings
from cohorts.records.tables.times import Dates, ends_with_year, lacks_century, read_times

_ROWS = 1 << 40  # more than one file has
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
    INTEGER = auto()  # identifier that is an integer of 64 bits, which may be less than 0, needed
    INTEGER_OR_NONE = auto()
    ID = auto()  # identifier that may be any text, needed
    ID_OR_NONE = auto()
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


def schema_of(table: Table) -> pa.Schema:
    """Return what the rows of a table are once they are read: its columns, and where each row stands."""
    kinds = {name: _TYPES.get(kind, pa.string()) for name, kind in table.columns.items()}
    return pa.schema({**kinds, "row": pa.int64(), "line": pa.int64()}.items())


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


@dataclass(frozen=True)
class _Column:
    """Typed values of a column, which of them are wrong and why, and of which there is a remark.

    Of dates, `shapes` tells which may not be understood in the whole column.
    """

    values: pd.Series
    wrong: "pd.Series[bool]"
    reason: "str | pd.Series[str]" = ""
    remarked: "dict[str, pd.Series[bool]]" = field(default_factory=dict)
    shapes: "dict[_Shape, pd.Series[bool]]" = field(default_factory=dict)


class _Shape(Enum):
    """What is counted of the dates of a column: most of one shape are those of a program, and are not understood."""

    GIVEN = auto()
    LACKS_CENTURY = auto()
    ENDS_WITH_YEAR = auto()


@dataclass(frozen=True)
class _Typed:
    """Rows of a chunk, whose numbers and lines may count from some others before them."""

    rows: pa.Table
    bad: list[tuple[int, int, str]]  # row, line, reason
    counts: Counter[str]  # of what a chunk counts
    remarks: Counter[str]
    shapes: Counter[tuple[str, _Shape]]  # by column

    def __len__(self) -> int:
        return len(self.rows) + len(self.bad) + self.counts["passed_over"]


def read_table(path: Path, table: Table, dates: Dates = Dates.ISO, *, workers: int = 1) -> Iterator[Chunk]:
    """Yield the table's rows, typed, in so many threads; at least one chunk.

    Raises SourceError where a column is missing or its dates can't be understood.
    """
    required = [name for name in table.columns if name not in table.optional]
    names = [*required, *table.optional]
    called = [table.called.get(name, name) for name in required]

    def typed(strings: Strings) -> _Typed:
        return _typed(table, names, strings, dates)

    pieces: list[_Typed] = []
    size = 0
    for made, before in read_strings(path, called, list(table.optional), typed, workers):
        pieces.append(_moved(made, *before))
        size += made.counts["bytes_fast"] + made.counts["bytes_strict"]
        if size >= CHUNK_CHARS or sum(map(len, pieces)) >= CHUNK_ROWS:
            yield _chunk(path, table, pieces, dates)
            pieces, size = [], 0
    if pieces:
        yield _chunk(path, table, pieces, dates)


def read_tables(
    files: Sequence[Path], table: Table, dates: Dates = Dates.ISO, *, workers: int = 1
) -> Iterator[Chunk]:
    """Yield the rows of a table in several files, each as `read_table` does; `row` is told apart by `place_of`."""
    for number, file in enumerate(files):
        for chunk in read_table(file, table, dates, workers=workers):
            yield _of_file(chunk, numbered(number, 0)) if number else chunk


def numbered(file: int, row: int) -> int:
    """Return the number of a row, from 1, in a file of several, from 0: what `place_of` tells apart."""
    return file * _ROWS + row


def place_of(row: int) -> tuple[int, int]:
    """Return in which of its table's files a row stands, from 0, and its number there, from 1."""
    return divmod(row, _ROWS)


def _of_file(chunk: Chunk, first: int) -> Chunk:
    rows, place = chunk.rows, chunk.rows.column_names.index("row")
    moved = rows.set_column(place, "row", pc.add(rows.column("row"), first))
    return replace(chunk, rows=moved, bad=[replace(bad, number=bad.number + first) for bad in chunk.bad])


def _moved(made: _Typed, rows: int, lines: int) -> _Typed:
    """Return the same rows as they stand behind so many rows and lines."""
    if not rows and not lines:
        return made
    moved = made.rows
    for place, (name, many) in enumerate((("row", rows), ("line", lines))):
        moved = moved.set_column(place, name, pc.add(moved[name], many))
    return replace(made, rows=moved, bad=[(row + rows, line + lines, why) for row, line, why in made.bad])


def _chunk(path: Path, table: Table, pieces: Sequence[_Typed], dates: Dates) -> Chunk:
    """Put pieces together. Raises SourceError where most dates of a column can't be understood."""
    shapes: Counter[tuple[str, _Shape]] = sum((piece.shapes for piece in pieces), Counter())
    for name in table.columns:
        _refuse_dates(
            path, table.called.get(name, name), {shape: shapes[name, shape] for shape in _Shape}, dates
        )
    return Chunk(
        pa.concat_tables([piece.rows for piece in pieces]),
        [BadRow(table.name, *bad) for bad in sorted(bad for piece in pieces for bad in piece.bad)],
        sum((piece.remarks for piece in pieces), Counter()),
        **sum((piece.counts for piece in pieces), Counter()),
    )


def _refuse_dates(path: Path, name: str, many: Mapping[_Shape, int], dates: Dates) -> None:
    if many[_Shape.LACKS_CENTURY] > 0.5 * many[_Shape.GIVEN]:
        raise SourceError(
            f"{path}: the dates in {name} look like 3/5/94 0:00. A spreadsheet has opened and saved this file, and "
            "the century and the order of day and month are lost. Take the file as it was first downloaded "
            "(dates like 2094-03-05 00:00:00); nothing was read."
        )
    if dates is Dates.ISO and many[_Shape.ENDS_WITH_YEAR] > 0.5 * many[_Shape.GIVEN]:
        raise SourceError(
            f"{path}: the dates in {name} look like 03/05/2094, which may be the third of May or the fifth of March. "
            "Nothing was read.",
            remedy="Say which: day-first or month-first.",
            hint="dates",
        )


def _typed(table: Table, names: Sequence[str], strings: Strings, dates: Dates) -> _Typed:
    read = len(strings)
    for name, among in table.only.items():
        strings = strings.kept(_among(table, name, strings.columns[names.index(name)], among, dates))
    rows, faults = dict(strings.places), _Faults(len(strings))
    for name, texts in zip(names, strings.columns, strict=True):
        if table.columns[name] is Kind.TEXT:
            rows[name] = cells.texts(texts)
            continue
        if (plain := _plain(table.columns[name], texts)) is not None:
            rows[name] = plain
            faults.see_plain(name, plain)
            continue
        column, where = _distinct(table, name, texts, dates)
        kind = _TYPES.get(table.columns[name], pa.string())
        rows[name] = pa.array(column.values, kind, from_pandas=True).take(where)
        faults.see(name, column, where.to_numpy())
    bad = faults.bad(strings.places)
    remarks = faults.remarks()
    remarks["bytes are not UTF-8, read as Windows-1252"] += strings.recoded
    counts = Counter(
        passed_over=read - len(strings), bytes_fast=strings.bytes_fast, bytes_strict=strings.bytes_strict
    )
    good = pa.table(rows) if not bad else pa.table(rows).filter(pa.array(faults.good))
    return _Typed(good, [*bad, *strings.broken], counts, remarks, faults.shapes)


def _plain(kind: Kind, texts: pa.Array) -> pa.Array | None:
    """Return the typed column where every cell is plainly written, else None: its values are to be read one by one."""
    match kind:
        case Kind.KEY | Kind.REFERENCE:
            return Cells(texts).whole_numbers(needed=kind is Kind.KEY, most_digits=18)
        case Kind.INTEGER | Kind.INTEGER_OR_NONE:
            return Cells(texts).whole_numbers(needed=kind is Kind.INTEGER, most_digits=19, signed=True)
        case Kind.TIME | Kind.TIME_OR_NONE:
            return Cells(texts).times(needed=kind is Kind.TIME)
        case Kind.NUMBER:
            return Cells(texts).numbers()
        case Kind.FLAG:
            return Cells(texts).flags()
        case Kind.CODE | Kind.CODE_OR_NONE:
            codes = cells.plain_values(texts)
            return None if codes is None or (kind is Kind.CODE and codes.null_count) else codes
    return None


def _among(table: Table, name: str, texts: pa.Array, among: frozenset[str], dates: Dates) -> pa.Array:
    if table.columns[name] is Kind.TEXT:
        return pc.is_in(cells.texts(texts), pa.array(sorted(among), pa.string()))
    plain = _plain(table.columns[name], texts)
    if plain is not None and pa.types.is_string(plain.type):
        return pc.is_in(plain, pa.array(sorted(among), pa.string()))
    column, where = _distinct(table, name, texts, dates)
    return pa.array(column.values.isin(among), pa.bool_()).take(where)


def _distinct(table: Table, name: str, texts: pa.Array, dates: Dates) -> tuple[_Column, pa.Array]:
    """Read every text of a column once; return them, and which of them every row has."""
    encoded = texts.dictionary_encode()
    given = pd.Series(encoded.dictionary.to_pandas(), dtype="str")
    return read_column(table.called.get(name, name), table.columns[name], given, dates), encoded.indices


class _Faults:
    """What is wrong with rows, and what is to be said of them, column by column; the first wrong one counts."""

    def __init__(self, rows: int) -> None:
        self.good: npt.NDArray[np.bool_] = np.ones(rows, np.bool_)
        self.shapes: Counter[tuple[str, _Shape]] = Counter()
        self._reasons: dict[int, str] = {}  # by row
        self._remarked: dict[str, npt.NDArray[np.bool_]] = {}

    def see(self, name: str, column: _Column, where: npt.NDArray[np.int32]) -> None:
        """Take in the values of a column, and which of them every row has."""
        for shape, those in column.shapes.items():
            if those.any():
                self.shapes[name, shape] += int(those.to_numpy()[where].sum())
        for remark, those in column.remarked.items():
            if those.any():
                before = self._remarked.get(remark, False)
                self._remarked[remark] = before | those.to_numpy()[where]
        if column.wrong.any():
            wrong = column.wrong.to_numpy()[where] & self.good
            reasons = pd.Series(column.reason, index=column.wrong.index).tolist()
            for row in np.flatnonzero(wrong).tolist():
                self._reasons[row] = reasons[where[row]]
            self.good &= ~wrong

    def see_plain(self, name: str, values: pa.Array) -> None:
        """Take in a column of which nothing is wrong, and nothing is to be said."""
        if pa.types.is_timestamp(values.type):
            self.shapes[name, _Shape.GIVEN] += len(values) - values.null_count

    def bad(self, places: Mapping[str, pa.Array]) -> list[tuple[int, int, str]]:
        """Return where bad rows stand, and why they are bad, in their order."""
        found = np.flatnonzero(~self.good)
        row, line = (places[name].take(pa.array(found)).to_pylist() for name in ("row", "line"))
        return list(zip(row, line, (self._reasons[at] for at in found.tolist()), strict=True))

    def remarks(self) -> Counter[str]:
        """Return of how many good rows there is a remark."""
        return Counter({remark: int((rows & self.good).sum()) for remark, rows in self._remarked.items()})


def read_column(name: str, kind: Kind, given: "pd.Series[str]", dates: Dates) -> _Column:
    """Read values of a column as it is called in the file, each for itself; not of a kind that is left as it is."""
    text, never = cells.values(given), pd.Series(False, index=given.index)
    match kind:
        case Kind.CODE_OR_NONE:
            return _Column(text, never)
        case Kind.CODE:
            return _Column(text, text.isna(), f"{name} is missing")
        case Kind.ID | Kind.ID_OR_NONE:
            return _read_ids(name, kind, text)
        case Kind.NUMBER:
            number = cells.numbers(text)
            return _Column(number, number.isna() & text.notna(), f"{name} is not a number")
        case Kind.FLAG:
            flag = cells.flags(text)
            return _Column(flag, flag.isna() & text.notna(), f"{name} is neither 0 nor 1")
        case Kind.ICD_VERSION:
            version = cells.whole_numbers(text)
            return _Column(version, ~version.isin(["9", "10"]), f"{name} is neither 9 nor 10")
        case Kind.KEY | Kind.REFERENCE | Kind.INTEGER | Kind.INTEGER_OR_NONE:
            return _read_whole_numbers(name, kind, text)
    return _read_time(name, kind, text, dates)


def _read_whole_numbers(name: str, kind: Kind, text: "pd.Series[str]") -> _Column:
    whole = cells.whole_numbers(text)
    shape = "[0-9]{1,18}" if kind in (Kind.KEY, Kind.REFERENCE) else "-?[0-9]{1,19}"
    wrong = whole.notna() & ~whole.str.fullmatch(shape, na=False).astype(bool)
    if kind in (Kind.KEY, Kind.INTEGER):
        wrong |= whole.isna()
    return _Column(whole, wrong, f"{name} is not a whole number")


def _read_ids(name: str, kind: Kind, text: "pd.Series[str]") -> _Column:
    ids, lost = cells.text_ids(text), cells.rounded(text)
    reason = text.isna().map({True: f"{name} is missing", False: f"{name} {_ROUNDED}"})
    lacking = ids.isna() & (kind is Kind.ID)
    return _Column(ids, lacking | lost, reason, {_LIKE_A_FLOAT: ids.notna() & (ids != text)})


def _read_time(name: str, kind: Kind, text: "pd.Series[str]", dates: Dates) -> _Column:
    times = read_times(text, dates)
    wrong = times.values.isna() & (text.notna() if kind is Kind.TIME_OR_NONE else True)
    shapes = {
        _Shape.GIVEN: text.notna(),
        _Shape.LACKS_CENTURY: lacks_century(text),
        _Shape.ENDS_WITH_YEAR: ends_with_year(text),
    }
    return _Column(
        times.values, wrong, f"{name} is not a date like {_NO_DATE[dates]}", {_WITH_ZONE: times.zoned}, shapes
    )
