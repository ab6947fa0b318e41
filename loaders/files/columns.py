"""The columns of a table as payload: the types that a payload holds, and plain values out of the cells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
from cohorts.connectors.base import FieldType, PayloadValue
from cohorts.documents import parse_json
from cohorts.errors import InputError
from cohorts.loaders.files.format import AS, EMPTY, KEY
from cohorts.records.tables.headers import looks_like_name

PAYLOAD_TYPES = "text, whole numbers, floats, booleans, lists of text, dates, timestamps"
MISSING: Any = object()


@dataclass(frozen=True)
class Column:
    """A payload column: its place in the table, the payload's key, the type to filter by (None: mixed)."""

    name: str
    key: str
    kind: FieldType | None
    as_json: bool
    absent: bool

    def values(self, table: Any) -> list[Any]:
        """Return the column's plain values; `MISSING` where a point has no such key."""
        cells: list[Any] = table.column(self.name).to_pylist()
        if self.as_json:
            of = f"A cell of column {self.name}"
            return [MISSING if cell is None else parse_json(cell, Any, of) for cell in cells]
        empty = MISSING if self.absent else None
        return [empty if cell is None else _plain(cell) for cell in cells]


def payload_columns(path: Path, schema: Any, id_column: str) -> list[Column]:
    """Return the payload columns. Raises InputError for a type that no payload holds, and for ids of a wrong one."""
    columns = []
    for field in schema:
        if field.name == id_column:
            if _kind(field.type) not in (str, int) or pa.types.is_timestamp(field.type):
                raise InputError(
                    f"Column {id_column} of {path} is {field.type}; ids are text or whole numbers."
                )
            continue
        marks = field.metadata or {}
        as_json = marks.get(AS) == b"json"
        kind = _kind(field.type)
        if kind is None:
            raise unsupported(field.name, path, field.type)
        key = marks.get(KEY, field.name.encode()).decode(errors="replace")
        columns.append(
            Column(field.name, key, None if as_json else kind, as_json, marks.get(EMPTY) == b"absent")
        )
    return columns


def unsupported(name: str, path: Path, kind: Any) -> InputError:
    """Return the error for a column of a type that no payload holds."""
    return InputError(
        f"Column {shown_name(name)} of {path} is {kind}; a payload may hold {PAYLOAD_TYPES}. Drop or convert it."
    )


def shown_name(name: str) -> str:
    """Return a column's name as a message may hold it: what is none may be a patient's."""
    return name if looks_like_name(name) else "(its name is not shown)"


def _kind(arrow: Any) -> FieldType | None:
    """Return the payload type of an Arrow type, None where it has none."""
    if pa.types.is_dictionary(arrow):
        return _kind(arrow.value_type)
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow):
        return list[str] if _is_text(arrow.value_type) or pa.types.is_null(arrow.value_type) else None
    return next((kind for holds, kind in _KINDS if holds(arrow)), None)


def _is_text(arrow: Any) -> bool:
    return bool(
        pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow)
    )


_KINDS: Sequence[tuple[Callable[[Any], bool], FieldType]] = (
    (_is_text, str),
    (pa.types.is_integer, int),
    (pa.types.is_floating, float),
    (pa.types.is_boolean, bool),
    (pa.types.is_date, date),
    (pa.types.is_timestamp, str),
    (pa.types.is_null, str),
)


def _plain(cell: Any) -> PayloadValue:
    value: PayloadValue = cell.isoformat() if hasattr(cell, "isoformat") else cell
    return value
