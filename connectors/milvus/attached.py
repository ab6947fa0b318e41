"""What the server says of a Milvus collection that someone else made, in our terms."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from cohorts.connectors.attachment import Attachment, VectorField
from cohorts.connectors.base import FieldType, Hit, Points
from cohorts.connectors.index import Flat, Hnsw, Index, Ivf, Other
from cohorts.connectors.milvus.translate import ID
from cohorts.errors import InputError
from pymilvus import DataType

MAX_SHORT_TEXT = 256
THEIR_TYPES: Mapping[DataType, FieldType] = {
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


def is_fit(field: Mapping[str, Any]) -> bool:
    """Tell whether a column of others is mapped unasked: long text may be a patient's note."""
    kind = DataType(field["type"])
    if field.get("is_primary") or kind not in THEIR_TYPES:
        return False
    short = int(field.get("params", {}).get("max_length", 0)) <= MAX_SHORT_TEXT
    return short and (kind is not DataType.ARRAY or field.get("element_type") == DataType.VARCHAR)


_UNREAD: Mapping[DataType, str] = {
    DataType.BINARY_VECTOR: "binary",
    DataType.FLOAT16_VECTOR: "of float16",
    DataType.BFLOAT16_VECTOR: "of bfloat16",
    DataType.SPARSE_FLOAT_VECTOR: "sparse",
    DataType.INT8_VECTOR: "of int8",
}


def is_vector(field: Mapping[str, Any]) -> bool:
    """Tell whether a column holds vectors, of whatever numbers."""
    return DataType(field["type"]) in (DataType.FLOAT_VECTOR, *_UNREAD)


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


def their_index(about: Mapping[str, Any]) -> Index:
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


def their_hit(hit: Mapping[str, Any], attached: Attachment, with_payload: bool) -> Hit:
    """Return one hit; servers before 2.4 don't name the key, and it comes as `id`."""
    one = hit[attached.key] if attached.key in hit else hit[ID]
    return Hit(str(one), hit["distance"], _plain(attached.read(hit["entity"])) if with_payload else {})


def dynamic_types(rows: Sequence[Mapping[str, Any]], declared: Iterable[str]) -> dict[str, str]:
    """Return the type of every key that rows hold beside the declared columns, as the engine calls such a column."""
    kinds = {bool: "BOOL", int: "INT64", float: "DOUBLE", str: "VARCHAR"}
    types: dict[str, str] = {}
    for row in rows:
        for key, value in row.items():
            if key not in declared and type(value) in kinds:
                types.setdefault(key, kinds[type(value)])
    return types


def their_points(rows: Sequence[Mapping[str, Any]], attached: Attachment) -> Points:
    """Return rows as points, with unit rows: theirs may have any length."""
    dim = attached.collection.dim
    vectors = np.array([row[attached.vector] for row in rows], dtype=np.float32).reshape(len(rows), dim)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=vectors, where=lengths > 0)
    payloads = [_plain(attached.read(row)) for row in rows]
    return Points([str(row[attached.key]) for row in rows], unit, payloads)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        for key, value in row.items()
    }
