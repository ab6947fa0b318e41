"""SELECTs over the tables of some patients, by DuckDB: from a hospital's own tables to the frames of the contract.

A part of a source has all rows of its patients, so that joins and aggregates by patient are those of the whole. The
database sees what is handed to it and nothing else: no file, no network, no extension.
"""

import re
from collections.abc import Callable, Container, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from cohorts.errors import SourceError
from cohorts.records.arrow_types import ARROW_TYPES
from cohorts.records.base import (
    ADMISSION_COLUMNS,
    CODE_COLUMNS,
    EVENT_COLUMNS,
    MEASUREMENT_COLUMNS,
    NOTE_COLUMNS,
)
from cohorts.records.sources.partitioned import Tables


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_local_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) and kind.tz is None)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


_TEXT, _TIME, _NUMBER = pa.string(), pa.timestamp("us"), pa.float64()
_MADE_OF_OTHERS = {"unit_id", "death", "readmitted", "last_contact", "followed_until"}  # of admissions


def _columns_of(
    columns: Mapping[str, str], less: Container[str] = ("unit_id", "admitted")
) -> dict[str, pa.DataType]:
    """Return what a SELECT gives of a frame of the contract: the patient, and all that is not made of other frames."""
    return {"patient_id": _TEXT} | {
        name: ARROW_TYPES[kind] for name, kind in columns.items() if name not in less
    }


_EVENTS = _columns_of(EVENT_COLUMNS)
_OF_STAYS = ("patient_id", "admission_id", "code", "result", "time", "stop", "value")
FRAME_COLUMNS: Mapping[str, Mapping[str, pa.DataType]] = {
    "patients": {"patient_id": _TEXT, "sex": _TEXT, "born": _TIME, "death": _TIME, "followed_until": _TIME},
    "admissions": _columns_of(ADMISSION_COLUMNS, _MADE_OF_OTHERS),
    "codes": _columns_of(CODE_COLUMNS) | {"rank": _NUMBER},
    "notes": _columns_of(NOTE_COLUMNS),
    "measurements": _columns_of(MEASUREMENT_COLUMNS),
    "events": _EVENTS,
    "stays": {
        name: _EVENTS[name]
        for name in ("patient_id", "admission_id", "code", "result", "time", "stop", "value")
    },
    "titles": {"system": _TEXT, "code": _TEXT, "title": _TEXT},
}
"""What a SELECT of each frame gives: columns by name, each of which it may leave out.

Beside them, `left_out` says why a row is not used (null for one that is), and `table`, `row` and `line` say where it
stands; every table has these three. `remark` is what there is to say of a row that is used all the same.
"""
_PLACE = {"left_out": _TEXT, "remark": _TEXT, "table": _TEXT, "row": pa.int64(), "line": pa.int64()}
_NEEDED = {
    "patients": ("patient_id",),
    "admissions": ("patient_id", "admission_id", "admitted"),
    "titles": (),
}
KINDS: Mapping[str, tuple[str, ...]] = {
    "codes": ("diagnosis", "procedure", "drug"),
    "measurements": ("laboratory", "vital", "output"),
}
"""What `kind` may be in frames where it is one of a few words; in measurements it may be missing."""
_TOLD = {
    "left_out": tuple(FRAME_COLUMNS),
    "remark": tuple(FRAME_COLUMNS),
    "system": ("codes",),
    "kind": ("events",),
}  # counted by their words
_MANY_WORDS = 100  # in one column of a part, of words that are told: they are no words but content
_CASTS: Mapping[pa.DataType, tuple[Callable[[pa.DataType], bool], str]] = {
    _TEXT: (lambda kind: _is_text(kind) or pa.types.is_integer(kind), "CAST(… AS VARCHAR)"),
    _TIME: (lambda kind: pa.types.is_date(kind) or _is_local_time(kind), "try_cast(… AS TIMESTAMP)"),
    _NUMBER: (_is_number, "try_cast(… AS DOUBLE)"),
    pa.bool_(): (pa.types.is_boolean, "CAST(… AS BOOLEAN)"),
    pa.int64(): (pa.types.is_integer, "CAST(… AS BIGINT)"),
}  # which types of a column are read as each, and how SQL writes what may be meant by another


class Selects:
    """The SELECTs of a source over its tables, by their columns.

    `made_of` gives, by table and column, the SQL of a column that the file lacks. Each SELECT is run on empty tables
    first, so that one that can't be run is found before anything is read. Raises SourceError.
    """

    def __init__(
        self,
        selects: Mapping[str, str],
        tables: Mapping[str, pa.Schema],
        made_of: Mapping[str, Mapping[str, str]],
    ) -> None:
        import duckdb

        # Nothing but what is handed over: no file, no network, no extension, and none of Python's own variables.
        allowed = {"enable_external_access": False, "python_enable_replacements": False, "threads": 1}
        self._connection: Any = duckdb.connect(config={**allowed, "lock_configuration": True})
        self._selects, self._made_of = dict(selects), made_of
        self._empty = {name: _with_place(name, schema.empty_table()) for name, schema in tables.items()}
        self._names = pa.array(list(tables), pa.string())
        for name, empty in self._empty.items():
            self._register(name, empty)
        for frame, select in self._selects.items():
            self._check(frame, select)

    def keep(self, name: str, rows: pa.Table) -> None:
        """Let every SELECT see these rows of a table."""
        self._empty.pop(name, None)
        self._register(name, rows)

    def frame(self, frame: str, tables: Tables) -> pa.Table:
        """Return the rows that the SELECT of a frame makes of some patients' tables: the contract's columns, typed.

        Raises SourceError.
        """
        import duckdb

        select = self._selects.get(frame)
        if select is None:
            return pa.schema({**FRAME_COLUMNS[frame], **_PLACE}.items()).empty_table()
        for name, empty in self._empty.items():
            if reads(select, name):
                rows = tables.get(name)
                self._register(name, empty if rows is None else _with_place(name, rows))
        try:
            found = self._connection.sql(select).to_arrow_table()
        except duckdb.Error as error:  # what it says may quote a value
            raise SourceError(
                f"The SELECT of {frame} fails on a value ({_kind(error)}). try_cast(… AS DOUBLE) gives null for a text "
                "that is no number, where CAST fails; so it is with other types."
            ) from None
        made = _as_contract(frame, found, self._names)
        _check_words(frame, made)
        return made

    def _check(self, frame: str, select: str) -> None:
        import duckdb

        try:
            statements = self._connection.extract_statements(select)
            if [one.type.name for one in statements] != ["SELECT"]:
                raise SourceError(f"The SELECT of {frame} must be one SELECT, and no other statement.")
            found = self._connection.sql(select).to_arrow_table()
        except duckdb.Error as error:
            said = str(error).strip().splitlines()[0]
            tables = ", ".join(self._empty) or "none"
            raise SourceError(f"The SELECT of {frame} can't be run: {said} Its tables: {tables}.") from None
        _as_contract(frame, found, self._names)
        names_one = "admission_id" in map(str.casefold, found.column_names)
        if names_one and "admissions" not in self._selects:
            raise SourceError(
                f"The SELECT of {frame} gives admission_id, and there is no frame admissions: add one, or leave "
                "the column out."
            )

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


def _as_contract(frame: str, found: pa.Table, tables: pa.Array) -> pa.Table:
    """Return the columns of a frame in order, each of its type; nulls for those that were not selected.

    A row that names none of the tables stands in the SELECT itself.
    """
    columns = {**FRAME_COLUMNS[frame], **_PLACE}
    names = {name.casefold(): name for name in found.column_names}
    unknown = [name for name in found.column_names if name.casefold() not in columns]
    lacking = [name for name in _NEEDED.get(frame, ("patient_id",)) if name not in names]
    if unknown or lacking or len(names) < len(found.column_names):
        raise SourceError(
            f"The SELECT of {frame} gives the columns {', '.join(found.column_names)}. It may give "
            f"{', '.join(columns)}, each once" + (f"; it lacks {', '.join(lacking)}." if lacking else ".")
        )
    made = pa.table(
        {name: _typed(frame, name, found, names.get(name), kind) for name, kind in columns.items()}
    )
    known = pc.if_else(pc.is_in(made.column("table"), tables), made.column("table"), f"SELECT of {frame}")
    made = made.set_column(made.column_names.index("table"), "table", known)
    for name in ("row", "line"):
        made = made.set_column(made.column_names.index(name), name, pc.fill_null(made.column(name), 0))
    return made


def _typed(frame: str, name: str, found: pa.Table, called: str | None, kind: pa.DataType) -> pa.ChunkedArray:
    if called is None:
        return pa.chunked_array([pa.nulls(found.num_rows, kind)])
    column = found.column(called)
    fits, cast = _CASTS[kind]
    if column.type != kind and not pa.types.is_null(column.type) and not fits(column.type):
        raise SourceError(
            f"The SELECT of {frame} gives {name} as {column.type}, and it is read as {kind}: cast it, as in "
            f"{cast} AS {name}."
        )
    try:
        return column if column.type == kind else column.cast(kind)
    except pa.ArrowException:
        raise SourceError(f"The SELECT of {frame} gives a {name} that can't be read as {kind}.") from None


def _check_words(frame: str, rows: pa.Table) -> None:
    """Raise SourceError where what stands in a manifest is no word of a few."""
    if frame in KINDS:
        kinds = pc.unique(rows.column("kind"))
        allowed = [*KINDS[frame], *([None] if frame == "measurements" else [])]
        if any(kind not in allowed for kind in kinds.to_pylist()):
            raise SourceError(
                f"The SELECT of {frame} gives a kind that is none of {', '.join(KINDS[frame])}: write it there as in "
                f"'{KINDS[frame][0]}' AS kind."
            )
    for name, frames in _TOLD.items():
        if frame in frames and len(pc.unique(rows.column(name))) > _MANY_WORDS:
            raise SourceError(
                f"The SELECT of {frame} gives more than {_MANY_WORDS} values of {name}. Each is told with its number "
                "of rows, so it must be one of a few words, and no content."
            )


def _kind(error: Exception) -> str:
    return type(error).__name__.removesuffix("Exception")
