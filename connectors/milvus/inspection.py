"""What the server says of a Milvus collection that someone else made, in our terms."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from cohorts.connectors.attached.attachment import COSINE, Attachment, Inspection, Kinds, VectorField
from cohorts.connectors.attached.vectors import check_units, choose_vector
from cohorts.connectors.base import Collection, FieldType
from cohorts.connectors.checks import check_column
from cohorts.connectors.collection import ATTACHED
from cohorts.connectors.filters.conditions import MAX_NUMBER
from cohorts.connectors.index import Flat, Hnsw, Index, Ivf, Other
from cohorts.connectors.milvus.transport import Transport
from cohorts.errors import InputError
from pymilvus import DataType

MARK = "cohorts"  # our key in the description, which is JSON
SAMPLE = 100  # rows of others that are looked at for the keys of the dynamic column
UNITS = 1_000  # vectors of others whose length is looked at
MAX_SHORT_TEXT = 256
_TYPES: Mapping[DataType, FieldType] = {
    DataType.VARCHAR: str,
    DataType.BOOL: bool,
    DataType.INT8: int,
    DataType.INT16: int,
    DataType.INT32: int,
    DataType.INT64: int,
    DataType.FLOAT: float,
    DataType.DOUBLE: float,
    DataType.ARRAY: list[str],
}
_UNREAD: Mapping[DataType, str] = {
    DataType.BINARY_VECTOR: "binary",
    DataType.FLOAT16_VECTOR: "of float16",
    DataType.BFLOAT16_VECTOR: "of bfloat16",
    DataType.SPARSE_FLOAT_VECTOR: "sparse",
    DataType.INT8_VECTOR: "of int8",
}


def definition(about: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return our definition from the engine's description of a collection; None where it is not ours."""
    try:
        definition: dict[str, Any] = json.loads(about["description"])[MARK]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return definition


def inspect(transport: Transport, name: str, engine: str) -> Inspection:
    """Return what the engine says of a collection, whoever made it. Raises CollectionNotFound."""
    about = transport.about(name)
    target = str(about["collection_name"])
    vectors, fields, key = [], {}, ""
    for field in about["fields"]:
        kind = DataType(field["type"])
        if field.get("is_primary"):
            key = f"{field['name']} ({kind.name}{', given by the engine' if about['auto_id'] else ''})"
        if _is_vector(field):
            vectors.append(vector_field(field, transport.about_vector(target, field["name"])))
        else:
            fields[field["name"]] = kind.name
    state = transport.load_state(target)
    if about["enable_dynamic_field"]:
        fields["$meta"] = "dynamic"
        if state == "Loaded":
            rows = transport.query(target, "", ["$meta"], limit=SAMPLE)
            fields |= _dynamic_types(rows, [field["name"] for field in about["fields"]])
    return Inspection(
        name=target,
        engine=engine,
        count=_count(transport, target, state),
        key=key,
        vectors=tuple(vectors),
        fields=fields,
        state=state,
        aliases=tuple(about.get("aliases", ())),
        ours=definition(about) is not None,
    )


def _count(transport: Transport, target: str, state: str) -> int:
    """Return how many rows there are, those not flushed yet among them, as far as a released collection tells."""
    if state == "Loaded":
        return transport.count(target, "")
    return int(transport.call(lambda client: client.get_collection_stats(target))["row_count"])


def kinds(transport: Transport, name: str, path: str) -> Kinds:
    """Count what the rows hold in a column, or under a key of the dynamic one."""
    about = transport.about(name)
    field = next((one for one in about["fields"] if one["name"] == path), None)
    points = transport.count(name, "")
    if field is None and not about["enable_dynamic_field"]:
        return Kinds(0, 0, points)
    check_column(path)
    if field is None:
        there = transport.count(name, f"exists {path}")
        numbers = transport.count(name, f"{path} >= {-MAX_NUMBER}")
    else:
        there = transport.count(name, f"{path} is not null") if field.get("nullable") else points
        numbers = there if _TYPES.get(DataType(field["type"])) in (int, float) else 0
    return Kinds(numbers, there - numbers, points - there)


def propose(transport: Transport, found: Inspection, vector: str | None) -> Attachment:
    """Return a read-only mapping; columns of numbers, flags and short text can be filtered by."""
    chosen = choose_vector(found.name, found.vectors, vector)
    if found.state != "Loaded":
        raise InputError(
            f"Collection {found.name} is not loaded ({found.state}); its owner must load it first."
        )
    about = transport.about(found.name)
    key = next(field for field in about["fields"] if field.get("is_primary"))
    fields: dict[str, FieldType] = {}
    present = {}
    for field in about["fields"]:
        present[field["name"]] = f"{field['name']} is not null" if field.get("nullable") else ""
        if _is_fit(field):
            fields[field["name"]] = _TYPES[DataType(field["type"])]
    index = index_of(transport.about_vector(found.name, chosen.name))
    return Attachment(
        collection=Collection(found.name, chosen.dim, index, fields, {ATTACHED: True}),
        vector=chosen.name,
        paths={field: field for field in fields},
        present=present,
        key=key["name"],
        integer_keys=DataType(key["type"]) is DataType.INT64,
        metric=chosen.metric.lower(),
        units_seen=_units_seen(transport, found.name, chosen),
        dynamic=bool(about["enable_dynamic_field"]),
    )


def _units_seen(transport: Transport, name: str, vector: VectorField) -> int:
    """Return how many vectors of length 1 were looked at; 0 where the engine compares by cosine anyway."""
    if vector.metric.lower() == COSINE:
        return 0
    rows = transport.query(name, "", [vector.name], limit=UNITS)
    sample = np.array([row[vector.name] for row in rows], dtype=np.float32)
    return check_units(name, vector.name, vector.metric, sample.reshape(len(rows), vector.dim))


def vector_field(field: Mapping[str, Any], about: Mapping[str, Any]) -> VectorField:
    """Return a vector column, with what the engine says of its index."""
    hidden = {"metric_type", "index_type", "field_name", "index_name", "state"}
    params = {key: value for key, value in about.items() if key not in hidden and not key.endswith("_rows")}
    shown = f"{about.get('index_type', 'none')} {params or ''}".strip()
    return VectorField(
        field["name"],
        int(field["params"].get("dim", 0)),
        str(about.get("metric_type", "none")),
        shown,
        _UNREAD.get(DataType(field["type"]), ""),
    )


def index_of(about: Mapping[str, Any]) -> Index:
    """Return the index of others in our terms; of another kind, or of parameters not told, by the engine's name."""
    kind = str(about.get("index_type", "unknown"))
    told = {**about, **about.get("params", {})}  # embedded Milvus nests them
    try:
        match kind:
            case "FLAT":
                return Flat()
            case "HNSW":
                return Hnsw(int(told["M"]), int(told["efConstruction"]))
            case "IVF_FLAT" | "IVF_SQ8" | "IVF_PQ":
                return Ivf(int(told["nlist"]), kind.removeprefix("IVF_").lower())
    except (KeyError, InputError):
        pass  # cohorts would not build it
    return Other(kind)


def _is_fit(field: Mapping[str, Any]) -> bool:
    """Tell whether a column of others is mapped unasked: long text may be a patient's note."""
    kind = DataType(field["type"])
    if field.get("is_primary") or kind not in _TYPES:
        return False
    short = int(field.get("params", {}).get("max_length", 0)) <= MAX_SHORT_TEXT
    return short and (kind is not DataType.ARRAY or field.get("element_type") == DataType.VARCHAR)


def _is_vector(field: Mapping[str, Any]) -> bool:
    """Tell whether a column holds vectors, of whatever numbers."""
    return DataType(field["type"]) in (DataType.FLOAT_VECTOR, *_UNREAD)


def _dynamic_types(rows: Sequence[Mapping[str, Any]], declared: Iterable[str]) -> dict[str, str]:
    """Return the type of every key that rows hold beside the declared columns, as the engine calls such a column."""
    kinds = {bool: "BOOL", int: "INT64", float: "DOUBLE", str: "VARCHAR"}
    types: dict[str, str] = {}
    for row in rows:
        for key, value in row.items():
            if key not in declared and type(value) in kinds:
                types.setdefault(key, kinds[type(value)])
    return types
