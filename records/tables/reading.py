"""Tables of a hospital as they come: CSV, JSON lines or Parquet, read row by row and never whole."""

import lzma
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cohorts.errors import SourceError
from cohorts.records.tables import json_lines
from cohorts.records.tables.csv_records import Broken, Record, Records
from cohorts.records.tables.file_kinds import Kind, foreign
from cohorts.records.tables.headers import folded, listed
from cohorts.records.tables.text_files import PACKED, fallback, open_text, plain_suffix

DELIMITERS = (",", ";", "\t", "|")
CSV = (".csv", ".tsv", ".txt")
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
READ = ".csv, .tsv, .txt, .jsonl or .ndjson, each as it is or packed (.gz, .bz2, .xz), and .parquet"
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


def read_rows(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Rows]:
    """Yield the rows of a table in chunks; optional columns that the file lacks come as empty strings.

    Column names match without regard to case and blanks. CSV is separated as its header says: by what makes the columns
    stand in it. Text is UTF-8, or UTF-16 with its mark; bytes that are no UTF-8 are read as Windows-1252.
    Raises SourceError where a column is missing, or the file can't be read or is of another kind than its name says.
    """
    suffix = plain_suffix(path)
    read = _read_parquet if suffix in PARQUET else _read_json if suffix in JSON_LINES else _read_csv
    try:
        if fault := foreign(path, Kind.PARQUET if suffix in PARQUET else Kind.TABLE):
            raise SourceError(fault)
        yield from read(path, columns, optional)
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
    size = path.stat().st_size
    return size * 6 if path.suffix.lower() in PACKED else size


def _read_csv(path: Path, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Rows]:
    delimiter, recoded = _delimiter(path, columns), fallback.count
    with open_text(path) as stream:
        records = Records(stream, delimiter)
        header = records.header()
        if not header:
            why = (
                "is empty"
                if header is None
                else "begins with an empty line, or one or a quote without an end"
            )
            raise SourceError(f"{path} {why}: a header with {', '.join(columns)} was expected.")
        if header[0].startswith("sep="):
            raise SourceError(f"{path} has no header: its first line, sep=…, is a program's own: remove it.")
        places = _places(path, header, columns, optional)
        yield from _chunks(records, places, _lacking(places, columns, optional), recoded)


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
    with open_text(path) as stream:
        names = json_lines.names(stream)
    if not names:
        raise SourceError(
            f"{path} holds no JSON lines: one object a line with {', '.join(columns)} was expected. An array of "
            "objects becomes lines by jq -c '.[]'."
        )
    lacking = _lacking(_places(path, names, columns, optional), columns, optional)
    wanted, recoded = [*columns, *optional], fallback.count
    with open_text(path) as stream:
        yield from _chunks(json_lines.records(stream, wanted), range(len(wanted)), lacking, recoded)


def _chunks(
    records: Iterable[Record | Broken], places: Sequence[int], lacking: tuple[str, ...], recoded: int
) -> Iterator[Rows]:
    """Yield the fields at some places; `recoded` is what the fallback had counted before the file was opened."""
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
            yield replace(rows, recoded=fallback.count - recoded)
            rows, chars, recoded = Rows(lacking=lacking), 0, fallback.count
    yield replace(rows, recoded=fallback.count - recoded)


def _read_parquet(path: Path, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Rows]:
    import pyarrow.lib
    import pyarrow.parquet

    try:
        yield from _parquet_rows(path, pyarrow.parquet.ParquetFile(path), columns, optional)
    except (pyarrow.lib.ArrowException, ValueError, OverflowError):
        raise SourceError(f"{path} is damaged, or no Parquet file. Is it complete?") from None


def _parquet_rows(path: Path, file: Any, columns: Sequence[str], optional: Sequence[str]) -> Iterator[Rows]:
    import pyarrow.types

    names = file.schema_arrow.names
    places = _places(path, names, columns, optional)
    wanted = [names[place] if place >= 0 else None for place in places]
    for name in filter(None, wanted):
        kind = file.schema_arrow.field(name).type
        if pyarrow.types.is_nested(kind) or "binary" in str(kind):
            raise SourceError(
                f"Column {name} of {path} is {kind}: a cell must be text, a number, a flag or a time."
            )
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
