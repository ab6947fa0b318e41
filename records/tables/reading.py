"""Tables of a hospital as they come: CSV, JSON lines or Parquet, read row by row and never whole."""

import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from cohorts.errors import SourceError
from cohorts.records.tables import json_lines
from cohorts.records.tables.csv_pieces import CsvPieces, Piece
from cohorts.records.tables.csv_records import Broken, Record, Records
from cohorts.records.tables.file_kinds import Kind, foreign
from cohorts.records.tables.headers import folded, listed
from cohorts.records.tables.parquet_columns import ParquetColumns
from cohorts.records.tables.strings import Strings, empty_columns, places
from cohorts.records.tables.text_files import PACKED, fallback, open_text, open_utf8, plain_suffix

DELIMITERS = (",", ";", "\t", "|")
CSV = (".csv", ".tsv", ".txt")
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
READ = ".csv, .tsv, .txt, .jsonl or .ndjson, each as it is or packed (.gz, .bz2, .xz), and .parquet"
CHUNK_CHARS = 4 * 1024 * 1024
CHUNK_ROWS = 50_000

Fields = tuple[str, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class Rows:
    """Some rows of a table: the columns that were asked for, and where each row stands in the file.

    `numbers[i]` counts records from 1 after the header; `lines[i]` is the record's first physical line
    (0 in Parquet, which has none). `broken` holds (number, line, reason) of rows that can't be split into columns.
    `recoded` counts the bytes that are no UTF-8 and were read as Windows-1252. `chars` counts the
    characters of the rows that are not broken.
    """

    values: list[Fields] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    broken: list[tuple[int, int, str]] = field(default_factory=list)
    recoded: int = 0
    chars: int = 0


def find_table(folder: Path, name: str) -> Path | None:
    """Return the file of table `name` in `folder`, of a kind that is read and in any case, or None.

    Raises SourceError where there are two, or one of a kind that is not read.
    """
    named = sorted(folder.glob("*.*")) if folder.is_dir() else []
    named = [path for path in named if path.name.lower().startswith(f"{name}.".lower())]
    ends = {*PARQUET, *(end + packed for end in (*CSV, *JSON_LINES) for packed in ("", *PACKED))}
    found = [path for path in named if path.name.lower().removeprefix(name.lower()) in ends]
    if len(found) > 1:
        both = " and ".join(p.name for p in found)
        raise SourceError(f"{folder} holds table {name} twice: {both}. Move one of them away.")
    if not found:
        for path in named:
            if path.is_file() and (fault := foreign(path, Kind.TABLE)):
                raise SourceError(f"{fault} Tables are read from {READ}.")
    return found[0] if found else None


def find_files(folder: Path, name: str) -> list[Path]:
    """Return the files of table `name` in `folder`, none where it is not there.

    It is one file, or all of a folder NAME, NAME.csv, NAME.parquet or the like, as programs write that work in parts.
    Raises SourceError as `find_table` does.
    """
    found = find_table(folder, name)
    if found is not None and found.is_file():
        return [found]
    named = list(folder.glob("*")) if folder.is_dir() and found is None else []
    parts = found or next(
        (path for path in named if path.is_dir() and path.name.lower() == name.lower()), None
    )
    return sorted(path for path in parts.iterdir() if _is_part(path)) if parts else []


def _is_part(path: Path) -> bool:
    """Tell whether a file is a part of a table; hidden ones, and those that begin with _, are a program's own."""
    kinds = (".csv", ".tsv", *JSON_LINES, *PARQUET)
    return path.is_file() and path.name[0] not in "._" and plain_suffix(path) in kinds


def read_rows(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Rows]:
    """Yield the rows of a table in chunks; optional columns that the file lacks come as empty strings.

    Column names match without regard to case and blanks. CSV is separated as its header says: by what makes the columns
    stand in it. Text is UTF-8, or UTF-16 with its mark; bytes that are no UTF-8 are read as Windows-1252.
    Raises SourceError where a column is missing, or the file can't be read or is of another kind than its name says.
    """
    suffix = plain_suffix(path)
    with damage_told(path):
        if suffix in PARQUET:
            file = ParquetColumns(path)
            for strings in file.read(_places(path, file.names, columns, optional)):
                yield _as_rows(strings)
        else:
            yield from (_read_json if suffix in JSON_LINES else _read_csv)(path, columns, optional)


def read_strings(
    path: Path,
    columns: Sequence[str],
    optional: Sequence[str],
    work: Callable[[Strings], T],
    workers: int = 1,
) -> Iterator[Piece[T]]:
    """Yield what `work` makes of the rows that `read_rows` gives, piece by piece, at least one.

    Blocks of CSV are read in so many threads. Raises SourceError as `read_rows` does.
    """
    width, suffix = len(columns) + len(optional), plain_suffix(path)
    with damage_told(path):
        if suffix in PARQUET:
            file = ParquetColumns(path)
            for strings in file.read(_places(path, file.names, columns, optional)):
                yield Piece(work(strings), (0, 0))
        elif suffix in JSON_LINES or (stream := open_utf8(path)) is None:
            for rows in read_rows(path, columns, optional):
                yield Piece(work(_as_strings(rows, width)), (0, 0))
        else:
            with stream:
                pieces = CsvPieces[T](stream, str(path), _delimiter(path, columns))
                wanted = _places(path, _checked(path, pieces.header(), columns), columns, optional)
                yield from pieces.read(wanted, work, workers)


def lacking_columns(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the optional columns that a table lacks, by its header. Raises SourceError as `read_rows` does."""
    suffix = plain_suffix(path)
    with damage_told(path):
        if suffix in PARQUET:
            names = ParquetColumns(path).names
        elif suffix in JSON_LINES:
            names = _json_names(path, columns)
        else:
            with open_text(path) as stream:
                names = _checked(path, Records(stream, _delimiter(path, columns)).header(), columns)
        there = _places(path, names, columns, optional)[len(columns) :]
    return tuple(name for name, place in zip(optional, there, strict=True) if place < 0)


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Tell, as SourceError, what is wrong with the file, before it is read and while it is."""
    try:
        if fault := foreign(path, Kind.PARQUET if plain_suffix(path) in PARQUET else Kind.TABLE):
            raise SourceError(fault)
        yield
    except UnicodeError:
        raise SourceError(f"{path} begins as text in UTF-16, and is damaged. Is the file complete?") from None
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
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
    """Return about how many bytes of CSV the file holds; packing shrinks such tables some sixfold."""
    if plain_suffix(path) in PARQUET:
        with damage_told(path):
            return ParquetColumns(path).content_bytes
    size = path.stat().st_size
    return size * 6 if path.suffix.lower() in PACKED else size


def _read_csv(path: Path, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Rows]:
    delimiter, recoded = _delimiter(path, columns), fallback.count
    with open_text(path) as stream:
        records = Records(stream, delimiter)
        places = _places(path, _checked(path, records.header(), columns), columns, optional)
        yield from _chunks(records, places, recoded)


def _checked(path: Path, header: list[str] | None, columns: Sequence[str]) -> list[str]:
    """Return a header that is one. Raises SourceError."""
    if not header:
        why = "is empty" if header is None else "begins with an empty line, or one or a quote without an end"
        raise SourceError(f"{path} {why}: a header with {', '.join(columns)} was expected.")
    if header[0].startswith("sep="):
        raise SourceError(f"{path} has no header: its first line, sep=…, is a program's own: remove it.")
    return header


def _delimiter(path: Path, columns: Sequence[str]) -> str:
    """Return what separates the columns: never guessed, but what makes those that were asked for stand in the header.

    Where nothing does, what comes nearest, for a message. Raises SourceError where the header can be read in two ways.
    """
    wanted, headers = set(map(folded, columns)), {}
    for delimiter in DELIMITERS:
        with open_text(path) as stream:
            headers[delimiter] = Records(stream, delimiter).header() or []
    there = {delimiter: wanted & set(map(folded, header)) for delimiter, header in headers.items()}
    fitting = [delimiter for delimiter in DELIMITERS if there[delimiter] == wanted]
    if len({tuple(headers[delimiter]) for delimiter in fitting}) > 1:
        both = " and ".join(map(repr, fitting))
        raise SourceError(
            f"The header of {path} can be read with {both} between its columns: rename its columns."
        )
    return (
        fitting[0] if fitting else max(DELIMITERS, key=lambda one: (len(there[one]), len(headers[one]) > 1))
    )


def _read_json(path: Path, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Rows]:
    _places(path, _json_names(path, columns), columns, optional)  # raises where one is missing
    wanted, recoded = [*columns, *optional], fallback.count
    with open_text(path) as stream:
        yield from _chunks(json_lines.records(stream, wanted), range(len(wanted)), recoded)


def _json_names(path: Path, columns: Sequence[str]) -> list[str]:
    with open_text(path) as stream:
        names = json_lines.names(stream)
    if not names:
        raise SourceError(
            f"{path} holds no JSON lines: one object a line with {', '.join(columns)} was expected. An array of "
            "objects becomes lines by jq -c '.[]'."
        )
    return names


def _chunks(records: Iterable[Record | Broken], places: Sequence[int], recoded: int) -> Iterator[Rows]:
    """Yield the fields at some places; `recoded` is what the fallback had counted before the file was opened."""
    rows, chars = Rows(), 0
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
            yield replace(rows, recoded=fallback.count - recoded, chars=chars)
            rows, chars, recoded = Rows(), 0, fallback.count
    yield replace(rows, recoded=fallback.count - recoded, chars=chars)


def _as_rows(strings: Strings) -> Rows:
    """Return rows of Parquet, none of which is broken."""
    numbers, lines = (place.to_pylist() for place in strings.places.values())
    columns = [column.to_pylist() for column in strings.columns]
    return Rows(list(zip(*columns, strict=True)), numbers, lines)


def _as_strings(rows: Rows, width: int) -> Strings:
    columns = [pa.array(column, pa.string()) for column in zip(*rows.values, strict=True)]
    return Strings(
        columns or empty_columns(width, 0),
        places(rows.numbers, rows.lines),
        rows.broken,
        rows.recoded,
        bytes_strict=rows.chars,
    )


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
