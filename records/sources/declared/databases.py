"""Tables of a database copied out to Parquet: private files that are read like others.

It is a file of DuckDB or SQLite, or a server's (servers.py). Nothing but SELECTs is sent to either.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.request import pathname2url

import pyarrow as pa
import pyarrow.parquet
from cohorts.errors import InputError, SourceError
from cohorts.private_files import touch_private
from cohorts.records.sources.declared.declaration import DeclaredTable
from cohorts.records.tables.headers import folded

ROWS = 50_000  # at once
_SQLITE, _DUCKDB, _DUCKDB_AT = b"SQLite format 3\0", b"DUCK", 8


def is_database(file: Path) -> bool:
    """Tell whether a file is a database that can be read, by its first bytes. Raises SourceError."""
    try:
        with file.open("rb") as stream:
            head = stream.read(16)
    except OSError as error:
        raise SourceError(f"{file} can't be read: {error.strerror}.") from None
    return head == _SQLITE or head[_DUCKDB_AT:].startswith(_DUCKDB)


class Database(Protocol):
    """What tables are copied from: it is read, and closed by who opened it."""

    def tables(self) -> list[str]:
        """Return the names of its tables and views."""
        ...

    def columns(self, table: str) -> list[str]:
        """Return the names of a table's columns."""
        ...

    def batches(self, table: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Yield some columns of all rows, at least one batch."""
        ...


def copy_out(file: Path, tables: Mapping[str, DeclaredTable], folder: Path) -> None:
    """Write tables of a database file into a folder. Raises as `copy_tables` does."""
    with _opened(file) as database:
        copy_tables(database, str(file), tables, folder)


def copy_tables(database: Database, called: str, tables: Mapping[str, DeclaredTable], folder: Path) -> None:
    """Write tables of a database, those of their columns that are there, into a folder as NAME.parquet.

    `called` names it in messages. Names match without regard to case. Of a table that may lack, one that has none of
    its columns is passed over. Raises SourceError where one is missing that must be there, and InputError where there
    is no room.
    """
    there = database.tables()
    for name, table in tables.items():
        for wanted, target in ((table.file or name, name), *((one, one) for one in table.also)):
            found = next((one for one in there if one.casefold() == wanted.casefold()), None)
            has = database.columns(found) if found else []
            if found and not (table.lost and _has_none(table, has)):
                batches = database.batches(found, _columns(called, found, has, table))
                _write(folder / f"{target}.parquet", batches)
            elif not table.lost and target == name:
                raise SourceError(f"{called} has no table {wanted}. It has: {', '.join(there) or 'none'}.")


def _has_none(table: DeclaredTable, there: list[str]) -> bool:
    return not set(map(folded, table.columns)) & set(map(folded, there))


def _columns(file: str, name: str, there: list[str], table: DeclaredTable) -> list[str]:
    """Return the columns of a table that are to be read. Raises SourceError where one is missing."""
    may_lack = map(folded, (*table.without, *table.unknown, *table.optional))
    needed = set(map(folded, table.columns)) - set(may_lack)
    wanted = set(map(folded, table.all_columns))
    known = {folded(column): column for column in there}
    if missing := sorted(needed - known.keys()):
        raise SourceError(
            f"Table {name} of {file} has no column {', '.join(missing)} (case does not matter). It has: "
            f"{', '.join(there)}."
        )
    return [column for plain, column in known.items() if plain in wanted] or there[:1]


def _write(file: Path, batches: Iterator[pa.RecordBatch]) -> None:
    try:
        first = next(batches)
        with pyarrow.parquet.ParquetWriter(touch_private(file), first.schema) as writer:
            writer.write_batch(first)
            for batch in batches:
                writer.write_batch(batch)
    except OSError as error:
        raise InputError(
            f"The tables of a database can't be copied to {file.parent.parent}: {error}.",
            remedy="Make room, or name another folder to work in.",
            hint="room_or_run_dir",
        ) from error


class _DuckDb:
    """A database of DuckDB, read only; a view of it can't read files."""

    def __init__(self, file: Path) -> None:
        import duckdb

        self._connection = duckdb.connect(
            str(file), read_only=True, config={"enable_external_access": False, "threads": 1}
        )

    def tables(self) -> list[str]:
        rows = self._connection.sql(
            "SELECT table_name FROM information_schema.tables ORDER BY ALL"
        ).fetchall()
        return [name for (name,) in rows]

    def columns(self, table: str) -> list[str]:
        return list(self._connection.sql(f"SELECT * FROM {quoted(table)} LIMIT 0").columns)  # noqa: S608

    def batches(self, table: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
        rows = self._connection.sql(_select(table, columns))
        # DuckDB 1.1 has the one alone, and 2.0 warns of it.
        found = (rows.to_arrow_reader if hasattr(rows, "to_arrow_reader") else rows.fetch_arrow_reader)(ROWS)
        yield pa.RecordBatch.from_pylist([], found.schema)
        yield from found

    def close(self) -> None:
        self._connection.close()


class _Sqlite:
    """A database of SQLite, read only. A column may hold values of several types, so each is text."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(f"file:{pathname2url(str(file.absolute()))}?mode=ro", uri=True)

    def tables(self) -> list[str]:
        rows = self._connection.execute(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
        )
        return [name for (name,) in rows]

    def columns(self, table: str) -> list[str]:
        found = self._connection.execute(f"SELECT * FROM {quoted(table)} LIMIT 0")  # noqa: S608
        return [column[0] for column in found.description]

    def batches(self, table: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
        schema = pa.schema([(name, pa.string()) for name in columns])
        found = self._connection.execute(_select(table, columns))
        yield pa.RecordBatch.from_pylist([], schema)
        while rows := found.fetchmany(ROWS):
            texts = [
                [as_text(table, name, cell) for cell in cells]
                for name, cells in zip(columns, zip(*rows, strict=True), strict=True)
            ]
            yield pa.record_batch([pa.array(one, pa.string()) for one in texts], schema)

    def close(self) -> None:
        self._connection.close()


@contextmanager
def _opened(file: Path) -> Iterator[_DuckDb | _Sqlite]:
    """Open a database, and tell as SourceError what is wrong with it, then and while it is read."""
    import duckdb

    with file.open("rb") as stream:
        kind = _Sqlite if stream.read(16) == _SQLITE else _DuckDb
    try:
        with contextlib.closing(kind(file)) as database:
            yield database
    except (sqlite3.Error, UnicodeError, duckdb.Error) as error:
        # What a database says of a damaged file may quote it.
        raise SourceError(
            f"{file} can't be read as a database ({type(error).__name__}). Is it complete? Does another program "
            f"write to it? Was it made by a newer DuckDB than {duckdb.__version__}? Does a view of it read files?"
        ) from None


def _select(table: str, columns: list[str]) -> str:
    return f"SELECT {', '.join(map(quoted, columns))} FROM {quoted(table)}"  # noqa: S608


def quoted(name: str) -> str:
    """Return a name as SQL writes it, whatever signs it has."""
    return '"' + name.replace('"', '""') + '"'


def as_text(table: str, column: str, cell: object) -> str | None:
    """Return a cell as text, None for none. Raises SourceError for raw bytes."""
    if isinstance(cell, bytes):
        raise SourceError(f"Column {column} of {table} holds raw bytes: a cell must be text or a number.")
    return None if cell is None else str(cell)
