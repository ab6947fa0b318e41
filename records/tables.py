"""Tables of a hospital as they come: CSV, gzipped CSV or Parquet, read row by row and never whole.

CSV is read by the standard library's strict parser and not by a faster one, because a broken row must cost
nothing but itself: after a quote that never closes, reading goes on at the next line that starts a record. Nor does a
line or a quote without an end fill the memory: of a record, so many characters are read and no more.
"""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from cohorts.errors import SourceError
from cohorts.records.file_kinds import Kind, foreign
from cohorts.records.headers import folded, listed

MAX_RECORD_CHARS = 16 * 1024 * 1024
_START_CHARS = 200  # of a line that is too long
_PASS_CHARS = 64 * 1024  # at once, of its rest
_MAX_AGAIN_CHARS = 2 * 1024**3  # read a second time behind quotes that are not closed: a minute's work
_ENDS = ("\n", "\r")
CHUNK_CHARS = 4 * 1024 * 1024
CHUNK_ROWS = 50_000

Fields = tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """Some rows of a table: the columns that were asked for, and where each row stands in the file.

    `numbers[i]` counts records from 1 after the header; `lines[i]` is the record's first physical line
    (0 in Parquet, which has none). `broken` holds (number, line, reason) of rows that can't be split into columns.
    `recoded` counts the bytes that are no UTF-8 and were read as Windows-1252. `lacking` are the optional columns that
    the file does not have.
    """

    values: list[Fields] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    broken: list[tuple[int, int, str]] = field(default_factory=list)
    recoded: int = 0
    lacking: tuple[str, ...] = ()


def find_table(folder: Path, name: str) -> Path | None:
    """Return the file of table `name` in `folder` (.csv or .csv.gz, any case), or None."""
    wanted = {f"{name}.csv".lower(), f"{name}.csv.gz".lower()}
    found = sorted(p for p in folder.iterdir() if p.name.lower() in wanted) if folder.is_dir() else []
    if len(found) > 1:
        both = " and ".join(p.name for p in found)
        raise SourceError(f"{folder} holds table {name} twice: {both}. Move one of them away.")
    return found[0] if found else None


def read_rows(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Rows]:
    """Yield the rows of a table in chunks; optional columns that the file lacks come as empty strings.

    Column names match without regard to case. Text is UTF-8; bytes that are not are read as Windows-1252.
    Raises SourceError where a column is missing, or the file can't be read or is of another kind than its name says.
    """
    read, kind = (_read_parquet, Kind.PARQUET) if _is_parquet(path) else (_read_csv, Kind.CSV)
    try:
        if fault := foreign(path, kind):
            raise SourceError(fault)
        yield from read(path, columns, optional)
    except (OSError, EOFError, zlib.error) as error:
        why = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
        # What a library says of a damaged file may quote it.
        raise SourceError(f"{path} can't be read{why}. Is the file complete?") from None


def read_all(path: Path, columns: Sequence[str]) -> list[Fields]:
    """Return the rows of a small table. Raises SourceError as `read_rows` does, and for a row that is broken."""
    rows: list[Fields] = []
    for chunk in read_rows(path, columns):
        for number, line, reason in chunk.broken:
            raise SourceError(f"{path}: row {number:,} (line {line:,}) can't be used: {reason}.")
        rows += chunk.values
    return rows


def content_bytes(path: Path) -> int:
    """Return about how many bytes of CSV the file holds; gzip shrinks such tables some sixfold."""
    size = path.stat().st_size
    return size * 6 if path.suffix == ".gz" else size


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def _read_csv(path: Path, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Rows]:
    csv.field_size_limit(MAX_RECORD_CHARS)
    recoded = _fallback.count
    with _open_text(path) as stream:
        records = _Records(stream)
        header = records.header()
        if not header:
            why = (
                "is empty"
                if header is None
                else "begins with an empty line, or one or a quote without an end"
            )
            raise SourceError(f"{path} {why}: a header with {', '.join(columns)} was expected.")
        places = _places(path, header, columns, optional)
        lacking = _lacking(places, columns, optional)
        rows, chars = Rows(lacking=lacking), 0
        for record in records:
            if isinstance(record, Broken):
                rows.broken.append((record.number, record.line, record.reason))
            else:
                padded = (*record.fields, "")
                rows.values.append(tuple([padded[place] for place in places]))
                rows.numbers.append(record.number)
                rows.lines.append(record.line)
                chars += record.chars
            if chars >= CHUNK_CHARS or len(rows.numbers) + len(rows.broken) >= CHUNK_ROWS:
                yield replace(rows, recoded=_fallback.count - recoded)
                rows, chars, recoded = Rows(lacking=lacking), 0, _fallback.count
        yield replace(rows, recoded=_fallback.count - recoded)


def _read_parquet(path: Path, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Rows]:
    import pyarrow.lib
    import pyarrow.parquet

    try:
        yield from _parquet_rows(path, pyarrow.parquet.ParquetFile(path), columns, optional)
    except (pyarrow.lib.ArrowException, ValueError, OverflowError):
        raise SourceError(f"{path} is damaged, or no Parquet file. Is it complete?") from None


def _parquet_rows(path: Path, file: Any, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Rows]:
    names = file.schema_arrow.names
    places = _places(path, names, columns, optional)
    wanted = [names[place] if place >= 0 else None for place in places]
    lacking = _lacking(places, columns, optional)
    number = 1
    for batch in file.iter_batches(batch_size=2_000, columns=list(filter(None, dict.fromkeys(wanted)))):
        count = batch.num_rows
        cells = [_as_text(batch.column(name).to_pylist()) if name else [""] * count for name in wanted]
        numbers = list(range(number, number + count))
        yield Rows(list(zip(*cells, strict=True)), numbers, [0] * count, lacking=lacking)
        number += count
    if number == 1:
        yield Rows(lacking=lacking)


def _as_text(values: list[object]) -> list[str]:
    return ["" if value is None else str(value) for value in values]


def _places(path: Path, header: Sequence[str], columns: Sequence[str], optional: Sequence[str]) -> list[int]:
    """Return the place of every wanted column in the header; -1 for an optional one that is not there."""
    names = list(map(folded, header))
    known = {name: place for place, name in enumerate(names)}
    missing = [name for name in columns if folded(name) not in known]
    if missing:
        raise SourceError(
            f"{path} has no column {', '.join(missing)} (case does not matter). It has: {listed(header, columns)}."
        )
    twice = [name for name in (*columns, *optional) if names.count(folded(name)) > 1]
    if twice:
        raise SourceError(f"{path} has more than one column {', '.join(twice)}; rename or drop one of them.")
    return [known.get(folded(name), -1) for name in (*columns, *optional)]


def _lacking(places: Sequence[int], columns: Sequence[str], optional: Sequence[str]) -> tuple[str, ...]:
    names = (*columns, *optional)
    return tuple(name for name, place in zip(names, places, strict=True) if place < 0)


class _Fallback:
    """Decodes the bytes that are no UTF-8 as Windows-1252 (the five that it lacks: U+FFFD), and counts them."""

    count = 0

    def __call__(self, error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeDecodeError):
            raise error
        self.count += error.end - error.start
        return error.object[error.start : error.end].decode("cp1252", errors="replace"), error.end


_fallback = _Fallback()
codecs.register_error("cohorts-cp1252", _fallback)


def _open_text(path: Path) -> TextIO:
    raw = cast(BinaryIO, gzip.GzipFile(path)) if path.suffix.lower() == ".gz" else path.open("rb")
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="cohorts-cp1252", newline="")


@dataclass(frozen=True)
class Record:
    """One row: its fields, its number after the header, its first line, its length in characters."""

    fields: list[str]
    number: int
    line: int
    chars: int


@dataclass(frozen=True)
class Broken:
    """One row that can't be split into the header's columns."""

    number: int
    line: int
    reason: str


class _Start(str):
    """The start of a line that is too long to be kept; its rest is passed over."""

    __slots__ = ()


class _Lines:
    """Physical lines, remembering those of the record being parsed so that they can be parsed again.

    A record that is too long is as one that can't be parsed: csv.Error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._again: deque[str] = deque()
        self._chars = 0  # of the record
        self._again_chars = 0  # of all that was given back
        self.record: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._read()
        self.record.append(line)
        self._chars += len(line)
        if self._chars > MAX_RECORD_CHARS or type(line) is _Start:
            raise csv.Error
        return line

    def end_record(self) -> None:
        """Forget the lines of the record."""
        self.record.clear()
        self._chars = 0

    def keep_first(self) -> None:
        """Give all but the first line of the record back, to be parsed again. Raises SourceError for too many."""
        self._again_chars += self._chars
        if self._again_chars > _MAX_AGAIN_CHARS:
            raise SourceError(
                f"The quotes of {self._stream.name} are not closed or not doubled in so many rows that they can't be "
                "told apart. Write the table anew, with every quote within a field doubled."
            )
        self._again.extendleft(reversed(self.record[1:]))
        del self.record[1:]
        self._chars = len(self.record[0])

    def _read(self) -> str:
        line = self._stream.readline(MAX_RECORD_CHARS)
        if not line:
            raise StopIteration
        if len(line) < MAX_RECORD_CHARS or line.endswith(_ENDS):
            return line
        start = _Start(line[:_START_CHARS])
        while line and not line.endswith(_ENDS):
            line = self._stream.readline(_PASS_CHARS)
        return start


class _Records:
    """The records of a CSV stream; a broken one costs nothing but itself."""

    def __init__(self, stream: TextIO) -> None:
        self._lines = _Lines(stream)
        self._reader = csv.reader(self._lines, strict=True)
        self._width = 0
        self._number = 0
        self._line = 1
        self._damaged: re.Pattern[str] | None = None  # set while lines may be remains of a broken record

    def header(self) -> list[str] | None:
        fields = self._next_fields()
        if fields is not None:
            self._width = len(fields)
            self._advance()
        return fields

    def __iter__(self) -> Iterator[Record | Broken]:
        while (fields := self._next_fields()) is not None:
            record = self._judge(fields)
            self._advance()
            if record is not None:
                yield record

    def _next_fields(self) -> list[str] | None:
        """Return the next record's fields; [] for one that can't be parsed; None at the end."""
        try:
            return next(self._reader)
        except StopIteration:
            return None
        except csv.Error:
            self._reread_rest()
            return []

    def _reread_rest(self) -> None:
        self._lines.keep_first()
        self._reader = csv.reader(self._lines, strict=True)

    def _advance(self) -> None:
        self._line += len(self._lines.record)
        self._lines.end_record()

    def _judge(self, fields: list[str]) -> Record | Broken | None:
        """Return the record, or how it is broken, or None for a blank line and the remains of a broken one."""
        lines = self._lines.record
        first = lines[0]
        if not first.strip():
            return None
        reason = ""
        if type(first) is _Start:
            reason = f"a line of more than {MAX_RECORD_CHARS:,} characters"
        elif not fields or self._swallowed_another(lines):
            reason = "a quote in this row is not closed or not doubled"
        elif len(fields) != self._width:
            reason = f"{len(fields)} fields where the header has {self._width}"
        remains = self._damaged is not None and not self._damaged.match(first)
        if remains and len(fields) != self._width:
            self._reread_rest()
            return None
        self._number += 1
        if remains:
            return Broken(self._number, self._line, "stands behind a broken row and may be a part of it")
        if not reason:
            self._damaged = None
            return Record(fields, self._number, self._line, sum(map(len, lines)))
        if not fields or len(lines) > 1:
            self._damaged = _shape_of_start(first)
            self._reread_rest()
        return Broken(self._number, self._line, reason)

    def _swallowed_another(self, lines: list[str]) -> bool:
        """Tell whether an unclosed quote ran on into the next record and ended, unnoticed, at its opening quote."""
        last = lines[-1]
        return (
            len(lines) > 1
            and last.rstrip("\r\n").endswith(',"')
            and last.count(",") >= self._width - 1
            and bool(_shape_of_start(lines[0]).match(last))
        )


def _shape_of_start(line: str) -> re.Pattern[str]:
    """Return a pattern for lines whose first field has the shape of this line's: 12 like 7, D2N001 like D2N1."""
    first = line.split(",", 1)[0].strip().strip('"')
    shape = re.sub(r"[^\W\d_]+", "L", re.sub(r"\d+", "0", first))
    pattern = "".join({"0": r"\d+", "L": r"[^\W\d_]+"}.get(char, re.escape(char)) for char in shape)
    return re.compile(rf'\s*"?{pattern}"?\s*,')
