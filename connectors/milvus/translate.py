"""What embedded Milvus and the server share: index and search parameters, filter expressions, schema and rows.

The vector stands beside two columns per filterable field, the value and whether it is there (older servers know no
null), and one JSON column with the whole payload, so that what comes back is exactly what went in.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from cohorts.connectors.base import Collection, Points
from cohorts.connectors.filters.conditions import (
    All,
    AnyOf,
    Comparison,
    Contains,
    Filter,
    IsNull,
    Not,
    OneOf,
    Value,
)
from cohorts.connectors.index import (
    DEFAULT_NPROBE,
    MAX_EF,
    Flat,
    Hnsw,
    Index,
    Ivf,
    Other,
    SearchParams,
    pq_subvectors,
)
from cohorts.errors import UnsupportedIndex
from pymilvus import DataType, MilvusClient

ID, VECTOR, PAYLOAD = "id", "vector", "payload"
# What a field's two columns begin with; it keeps a field called id apart from ours.
_VALUE, _PRESENT = "f_", "h_"
_PLAIN = re.compile(r"[A-Za-z0-9_]{1,250}")  # what the engine takes behind that; a field may have any name
MAX_TEXT_BYTES = 65_535
MAX_ID_BYTES = 512
MAX_ITEMS = 4_096

# What ends or bends a string literal; the engine knows no \\u escapes and takes every other character as it is.
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_SCALARS = {
    str: DataType.VARCHAR,
    date: DataType.VARCHAR,
    int: DataType.INT64,
    float: DataType.DOUBLE,
    bool: DataType.BOOL,
}
MISSING: Mapping[str, Any] = {
    str(str): "",
    str(date): "",
    str(int): 0,
    str(float): 0.0,
    str(bool): False,
    str(list[str]): [],
}


@dataclass(frozen=True)
class Column:
    """Where a field stands: the column's name, and the expression that holds where it has a value ('' for always)."""

    name: str
    present: str


Columns = Mapping[str, Column]


def to_index(index: Index, dim: int) -> tuple[str, dict[str, int]]:
    """Translate an index into Milvus' type and parameters. Raises UnsupportedIndex."""
    match index:
        case Flat():
            return "FLAT", {}
        case Hnsw(m, ef_construction, "none"):
            return "HNSW", {"M": m, "efConstruction": ef_construction}
        case Ivf(nlist, "flat"):
            return "IVF_FLAT", {"nlist": nlist}
        case Ivf(nlist, "sq8"):
            return "IVF_SQ8", {"nlist": nlist}
        case Ivf(nlist, "pq"):
            return "IVF_PQ", {"nlist": nlist, "m": pq_subvectors(dim), "nbits": 8}
    raise UnsupportedIndex(f"Milvus has no index {index!r}. It has: flat, hnsw, ivf (flat, sq8, pq).")


def to_search(index: Index, how: SearchParams, k: int, wider: int = 1) -> dict[str, int]:
    """Translate search parameters, `wider` times as wide.

    Both names are sent: the engine leaves the one that it doesn't know, and an alias may have been switched to a
    collection of the other kind a moment ago. An index of an unknown kind gets what was asked for alone: the engine's
    own default may be more.
    """
    if isinstance(index, Other) and wider == 1:
        asked = {"ef": max(how.ef_search, k) if how.ef_search else None, "nprobe": how.nprobe}
        return {name: value for name, value in asked.items() if value is not None}
    ef = min(wider * max(how.ef_search or 0, k), MAX_EF)
    nprobe = wider * (how.nprobe or DEFAULT_NPROBE)
    return {"ef": ef, "nprobe": min(nprobe, index.nlist) if isinstance(index, Ivf) else nprobe}


def value_column(field: str) -> str:
    """Return the column of a field's values."""
    return _column(_VALUE, field)


def present_column(field: str) -> str:
    """Return the column that tells where a field has a value."""
    return _column(_PRESENT, field)


def _column(begin: str, field: str) -> str:
    if _PLAIN.fullmatch(field):
        return begin + field
    return f"{begin[0]}x_{hashlib.sha256(field.encode()).hexdigest()[:32]}"


def our_columns(fields: Mapping[str, Any]) -> Columns:
    """Return where the fields of a collection of ours stand."""
    return {field: Column(value_column(field), f"{present_column(field)} == true") for field in fields}


def to_expression(filter_: Filter, fields: Mapping[str, Any], columns: Columns, key: str = ID) -> str:
    """Translate a filter; every value is quoted here and nothing of the user's text is pasted in.

    `fields` are their types, `key` the primary key: nothing is one of no keys.
    """
    match filter_:
        case All(parts):
            return " and ".join(f"({to_expression(part, fields, columns, key)})" for part in parts)
        case AnyOf(parts):
            return " or ".join(f"({to_expression(part, fields, columns, key)})" for part in parts)
        case Not(part):
            return f"not ({to_expression(part, fields, columns, key)})"
    return _condition(filter_, fields, columns, f"{key} in []")


def _condition(filter_: Filter, fields: Mapping[str, Any], columns: Columns, never: str) -> str:
    column = columns[filter_.field]  # type: ignore[attr-defined]
    integral = fields[filter_.field] is int  # type: ignore[attr-defined]
    match filter_:
        case IsNull(_, negated):
            present = column.present or f"not ({never})"
            return present if negated else f"not ({present})"
        case Comparison(_, op, value):
            expression = _compared(column.name, op, value, integral) or never
            if op == "!=" and expression == never:
                return column.present or f"not ({never})"
        case OneOf(_, values, negated):
            kept = [_quoted(value, integral) for value in values if not (integral and not _whole(value))]
            if not integral and any(type(value) in (int, float) and value == 0 for value in values):
                kept += ["0.0", "-0.0"]  # embedded, `in` takes the two zeros for different numbers
            if not kept:
                return (column.present or f"not ({never})") if negated else never
            expression = f"{column.name} {'not in' if negated else 'in'} [{', '.join(kept)}]"
        case Contains(_, value, negated):
            expression = f"{'not ' if negated else ''}array_contains({column.name}, {_quoted(value)})"
        case _:
            raise TypeError(f"not a filter: {filter_!r}")
    return f"({expression}) and {column.present}" if column.present else expression


def _compared(name: str, op: str, value: Value, integral: bool) -> str:
    """Return the comparison; '' where a whole number equals none: the engine casts no fraction for a column of them."""
    if integral and not _whole(value):
        if op in ("=", "!="):
            return ""
        up = op in (">", ">=")
        op, value = (">=", math.ceil(value)) if up else ("<=", math.floor(value))  # type: ignore[arg-type]
    return f"{name} {'==' if op == '=' else op} {_quoted(value, integral)}"


def _whole(value: Value) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


def _quoted(value: Value, integral: bool = False) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    return repr(int(value)) if integral else repr(value)


def one_of(key: str, keys: Sequence[str | int]) -> str:
    """Return the expression for some primary keys; the client's own way with ids quotes nothing in them."""
    return f"{key} in [{', '.join(_quoted(one) for one in keys)}]"


def beyond(key: str, last: str | int) -> str:
    """Return the expression for the primary keys after one."""
    return f"{key} > {_quoted(last)}"


def to_schema(collection: Collection, description: str) -> Any:
    """Return the engine's schema of a collection of ours."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False, description=description)
    schema.add_field(ID, DataType.VARCHAR, is_primary=True, max_length=MAX_ID_BYTES)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=collection.dim)
    schema.add_field(PAYLOAD, DataType.JSON)
    for field, kind in collection.fields.items():
        more: dict[str, Any] = {}
        data_type = DataType.ARRAY if kind == list[str] else _SCALARS[kind]
        if data_type is DataType.ARRAY:
            more = {"element_type": DataType.VARCHAR, "max_capacity": MAX_ITEMS}
        if data_type in (DataType.ARRAY, DataType.VARCHAR):
            more["max_length"] = MAX_TEXT_BYTES
        schema.add_field(value_column(field), data_type, **more)
        schema.add_field(present_column(field), DataType.BOOL)
    return schema


def to_points(rows: Sequence[Mapping[str, Any]], dim: int) -> Points:
    """Return rows of a collection of ours as points; the vectors are the unit rows that were written."""
    vectors = np.array([row[VECTOR] for row in rows], dtype=np.float32).reshape(len(rows), dim)
    return Points([str(row[ID]) for row in rows], vectors, [row[PAYLOAD] for row in rows])
