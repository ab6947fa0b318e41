"""Tables of a database at an address, copied out like those of a file: by ADBC or SQLAlchemy, whichever is there.

An address may hold a password: no message has any part of it but what comes before `://`.
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import pyarrow as pa
from cohorts.errors import CohortsError, InputError, SourceError
from cohorts.extras import require
from cohorts.records.sources.declared.databases import ROWS, Database, as_text, copy_tables, quoted
from cohorts.records.sources.declared.declaration import DeclaredTable

_FILES = ("duckdb", "sqlite")
_CATALOGUE = "information_schema.columns"


def file_of(address: str) -> Path | None:
    """Return the file that an address like duckdb:///PATH or sqlite:///PATH names, None for a server's."""
    scheme, _, rest = address.partition("://")
    if scheme.split("+")[0].lower() not in _FILES or not rest.startswith("/"):
        return None
    return Path(unquote(rest[1:].partition("?")[0]))


def copy_from_server(address: str, tables: Mapping[str, DeclaredTable], folder: Path) -> None:
    """Write tables of a database into a folder, as `copy_tables` does.

    `?schema=NAME` in the address names the schema that they stand in. Raises SourceError, InputError, MissingExtra.
    """
    scheme = address.partition("://")[0].lower()
    told = f"The database {scheme}://…"
    address, schema = _without_schema(address, told)
    with _opened(scheme, address, schema, told) as database:
        copy_tables(database, told, tables, folder)


def _without_schema(address: str, told: str) -> tuple[str, str]:
    try:
        parts = urlsplit(address)
    except ValueError:
        raise InputError(
            f"{told} has an address that can't be read: see docs/omop.md for how it is written."
        ) from None
    asked = parse_qsl(parts.query, keep_blank_values=True)
    schema = next((value for name, value in asked if name == "schema"), "")
    rest = urlencode([(name, value) for name, value in asked if name != "schema"])
    return urlunsplit(parts._replace(query=rest)), schema


@contextmanager
def _opened(scheme: str, address: str, schema: str, told: str) -> Iterator[Database]:
    """Open a database, and tell as SourceError what is wrong with it: what a driver says may quote the address."""
    driver = f"adbc_driver_{'postgresql' if scheme == 'postgres' else scheme}"
    try:
        if scheme.isidentifier() and find_spec(driver) is not None:
            made: _Adbc | _Sqlalchemy = _Adbc(import_module(f"{driver}.dbapi"), address, schema)
        else:
            require(f"SQLAlchemy, which reads {scheme}://…,", "sql")
            made = _Sqlalchemy(address, schema)
        with contextlib.closing(made) as database:
            yield database
    except CohortsError:
        raise
    except ModuleNotFoundError as error:
        raise InputError(f"{told} needs a driver of Python that is not installed: {error.name}.") from None
    except Exception as error:  # noqa: BLE001 - every driver has errors of its own
        raise SourceError(
            f"{told} can't be read ({type(error).__name__}). Are host, port, database, user and password right, and "
            "may the user read its tables?"
        ) from None


class _Sqlalchemy:
    """A database by SQLAlchemy. Rows are streamed; a column may come in several types, so each is text."""

    def __init__(self, address: str, schema: str) -> None:
        import sqlalchemy

        self._sql: Any = sqlalchemy
        self._schema = schema or None
        self._engine: Any = sqlalchemy.create_engine(address, hide_parameters=True)
        self._inspector: Any = sqlalchemy.inspect(self._engine)

    def tables(self) -> list[str]:
        found = self._inspector
        return sorted([*found.get_table_names(self._schema), *found.get_view_names(self._schema)])

    def columns(self, table: str) -> list[str]:
        return [column["name"] for column in self._inspector.get_columns(table, self._schema)]

    def batches(self, table: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
        named = [self._sql.column(self._sql.sql.quoted_name(one, quote=True)) for one in columns]
        schema = self._sql.sql.quoted_name(self._schema, quote=True) if self._schema else None
        there = self._sql.table(self._sql.sql.quoted_name(table, quote=True), *named, schema=schema)
        arrow = pa.schema([(name, pa.string()) for name in columns])
        yield pa.RecordBatch.from_pylist([], arrow)
        with self._engine.connect().execution_options(yield_per=ROWS) as connection:
            for rows in connection.execute(self._sql.select(*there.columns)).partitions():
                cells = zip(columns, zip(*rows, strict=True), strict=True)
                texts = [[as_text(table, name, cell) for cell in some] for name, some in cells]
                yield pa.record_batch([pa.array(one, pa.string()) for one in texts], arrow)

    def close(self) -> None:
        self._engine.dispose()


class _Adbc:
    """A database by ADBC, which gives columns of Arrow; its tables are those that its catalogue of columns tells."""

    def __init__(self, driver: Any, address: str, schema: str) -> None:
        self._connection: Any = driver.connect(address)
        self._schema = schema
        self._tables: dict[str, list[str]] = {}
        for name, column in self._told():
            self._tables.setdefault(name, []).append(column)

    def _told(self) -> list[tuple[str, str]]:
        told = self._rows(
            f"SELECT table_schema, table_name, column_name FROM {_CATALOGUE} ORDER BY 1, 2, ordinal_position"  # noqa: S608
        )
        found = [tuple(row.values()) for batch in told for row in batch.to_pylist()]
        if not self._schema:
            (current,) = (
                next(iter(self._rows("SELECT CAST(current_schema AS VARCHAR(128)) AS one")))
                .column(0)
                .to_pylist()
            )
            return [(name, column) for schema, name, column in found if schema == current]
        wanted = self._schema.casefold()
        self._schema = next((schema for schema, _, _ in found if schema.casefold() == wanted), self._schema)
        return [(name, column) for schema, name, column in found if schema == self._schema]

    def tables(self) -> list[str]:
        return sorted(self._tables)

    def columns(self, table: str) -> list[str]:
        return self._tables[table]

    def batches(self, table: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
        of = f"{quoted(self._schema)}." if self._schema else ""
        yield from self._rows(f"SELECT {', '.join(map(quoted, columns))} FROM {of}{quoted(table)}")  # noqa: S608

    def _rows(self, select: str) -> Iterator[pa.RecordBatch]:
        with self._connection.cursor() as cursor:
            cursor.execute(select)
            found = cursor.fetch_record_batch()
            schema = pa.schema([(field.name, _plain(field.type)) for field in found.schema])
            yield pa.RecordBatch.from_pylist([], schema)
            for batch in found:
                plain = [
                    column.storage if isinstance(column, pa.ExtensionArray) else column
                    for column in batch.columns
                ]
                yield pa.RecordBatch.from_arrays(plain, schema=schema)

    def close(self) -> None:
        self._connection.close()


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return how a type is stored: numbers of any precision come as texts under a name of the driver's."""
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
