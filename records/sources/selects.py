"""SELECTs over the tables of some patients, by DuckDB: from a hospital's own tables to the frames of the contract.

A part of a source has all rows of its patients, so that joins and aggregates by patient are those of the whole. The
database sees what is handed to it and nothing else: no file, no network, no extension.
"""

import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from cohorts.errors import SourceError
from cohorts.records.sources.partitioned import Tables

_TEXT, _TIME, _NUMBER = pa.string(), pa.timestamp("us"), pa.float64()
_OF = {"patient_id": _TEXT, "admission_id": _TEXT}
FRAME_COLUMNS: Mapping[str, Mapping[str, pa.DataType]] = {
    "patients": {
        "patient_id": _TEXT,
        "sex": _TEXT,
        "born": _TIME,
        "death": _TIME,
        "followed_until": _TIME,
    },
    "admissions": {
        **_OF,
        "admission_type": _TEXT,
        "admitted": _TIME,
        "discharged": _TIME,
        "died": pa.bool_(),
        "died_at": _TIME,
        "discharge_location": _TEXT,
        "emergency_from": _TIME,
        "emergency_to": _TIME,
    },
    "codes": {
        **_OF,
        "kind": _TEXT,
        "system": _TEXT,
        "code": _TEXT,
        "rank": _NUMBER,
        "time": _TIME,
        "stop": _TIME,
        "route": _TEXT,
        "dose": _TEXT,
        "dose_uom": _TEXT,
        "ndc": _TEXT,
    },
    "notes": {**_OF, "category": _TEXT, "time": _TIME, "text": _TEXT},
    "measurements": {
        **_OF,
        "item": _TEXT,
        "time": _TIME,
        "value": _NUMBER,
        "uom": _TEXT,
        "kind": _TEXT,
        "code": _TEXT,
        "loinc": _TEXT,
        "flag": _TEXT,
        "low": _NUMBER,
        "high": _NUMBER,
    },
    "events": {
        **_OF,
        "kind": _TEXT,
        "system": _TEXT,
        "code": _TEXT,
        "name": _TEXT,
        "time": _TIME,
        "stop": _TIME,
        "value": _NUMBER,
        "uom": _TEXT,
        "rate": _NUMBER,
        "rate_uom": _TEXT,
        "result": _TEXT,
    },
    "stays": {**_OF, "code": _TEXT, "result": _TEXT, "time": _TIME, "stop": _TIME, "value": _NUMBER},
    "titles": {"system": _TEXT, "code": _TEXT, "title": _TEXT},
}
"""What a SELECT of each frame gives: columns by name, each of which it may leave out.

Beside them, `left_out` says why a row is not used (null for one that is), and `table`, `row` and `line` say where it
stands; every table has these three.
"""
_PLACE = {"left_out": _TEXT, "table": _TEXT, "row": pa.int64(), "line": pa.int64()}
_NEEDED = {
    "patients": ("patient_id",),
    "admissions": ("patient_id", "admission_id", "admitted"),
    "titles": (),
}
_QUOTING = (
    "Conversion",
    "OutOfRange",
    "InvalidInput",
    "InvalidType",
    "Constraint",
)  # errors that quote a value


class Selects:
    """The SELECTs of a source. `tables` are the columns of each table, `dictionaries` all rows of those of no patient.

    `made_of` gives, by table and column, the SQL of a column that the file lacks.
    """

    def __init__(
        self,
        selects: Mapping[str, str],
        tables: Mapping[str, pa.Schema],
        dictionaries: Mapping[str, pa.Table],
        made_of: Mapping[str, Mapping[str, str]],
    ) -> None:
        import duckdb

        self._connection: Any = duckdb.connect(config={"enable_external_access": False, "threads": 1})
        self._selects, self._made_of = dict(selects), made_of
        self._empty = {name: _with_place(name, schema.empty_table()) for name, schema in tables.items()}
        for name, rows in dictionaries.items():
            self._register(name, rows)

    def check(self) -> None:
        """Run every SELECT on empty tables, so that one that can't be run is found early. Raises SourceError."""
        for frame in self._selects:
            self.frame(frame, {})

    def frame(self, frame: str, tables: Tables) -> pa.Table:
        """Return the rows that the SELECT of a frame makes of some patients' tables: the contract's columns, typed.

        Raises SourceError.
        """
        select = self._selects.get(frame)
        if select is None:
            return pa.schema({**FRAME_COLUMNS[frame], **_PLACE}.items()).empty_table()
        for name, empty in self._empty.items():
            if reads(select, name):
                rows = tables.get(name)
                self._register(name, empty if rows is None else _with_place(name, rows))
        found = self._run(frame, select)
        return _as_contract(frame, found)

    def _run(self, frame: str, select: str) -> pa.Table:
        import duckdb

        try:
            return self._connection.sql(select).to_arrow_table()
        except duckdb.Error as error:
            raise SourceError(_said(frame, error)) from None

    def _register(self, name: str, rows: pa.Table) -> None:
        made = self._made_of.get(name, {})
        if not made:
            self._connection.register(name, rows)
            return
        self._connection.register(f"{name} as read", rows)
        columns = ", ".join(f'{value} AS "{column}"' for column, value in made.items())
        self._connection.execute(
            f'CREATE OR REPLACE TEMP VIEW "{name}" AS SELECT * REPLACE ({columns}) FROM "{name} as read"'  # noqa: S608
        )


def reads(select: str, table: str) -> bool:
    """Tell whether a SELECT reads a table: whether its name stands there as a word."""
    return re.search(rf"(?<!\w){re.escape(table)}(?!\w)", select, re.IGNORECASE) is not None


def _with_place(name: str, rows: pa.Table) -> pa.Table:
    """Return the rows with the name of their table."""
    same = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int8()), rows.num_rows), pa.array([name]))
    return rows.append_column("table", same)


def _as_contract(frame: str, found: pa.Table) -> pa.Table:
    """Return the columns of a frame in order, each of its type; nulls for those that were not selected."""
    columns = {**FRAME_COLUMNS[frame], **_PLACE}
    names = {name.casefold(): name for name in found.column_names}
    unknown = [name for name in found.column_names if name.casefold() not in columns]
    lacking = [name for name in _NEEDED.get(frame, ("patient_id",)) if name not in names]
    if unknown or lacking or len(names) < len(found.column_names):
        raise SourceError(
            f"The SELECT of {frame} gives the columns {', '.join(found.column_names)}. It may give "
            f"{', '.join(FRAME_COLUMNS[frame])}, each once, and left_out"
            + (f"; it lacks {', '.join(lacking)}." if lacking else ".")
        )
    return pa.table(
        {name: _typed(frame, name, found, names.get(name), kind) for name, kind in columns.items()}
    )


def _typed(frame: str, name: str, found: pa.Table, called: str | None, kind: pa.DataType) -> pa.ChunkedArray:
    if called is None:
        return pa.chunked_array([pa.nulls(found.num_rows, kind)])
    column = found.column(called)
    try:
        return column if column.type == kind else column.cast(kind)
    except pa.ArrowException:
        raise SourceError(
            f"The SELECT of {frame} gives {name} as {column.type}, which can't be read as {kind}: cast it."
        ) from None


def _said(frame: str, error: Exception) -> str:
    """Return what DuckDB says of a SELECT, without the values that a conversion failed on."""
    kind = type(error).__name__.removesuffix("Exception")
    said = "" if kind in _QUOTING else f": {str(error).splitlines()[0]}"
    return f"The SELECT of {frame} can't be run ({kind}{said})."
