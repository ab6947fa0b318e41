"""What the server says of a Milvus collection that someone else made, in our terms."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from cohorts.connectors.attachment import Attachment
from cohorts.connectors.base import FieldType, Hit, Points
from cohorts.connectors.index import Flat, Hnsw, Index, Ivf
from cohorts.connectors.milvus_terms import ID
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


def their_index(about: Mapping[str, Any]) -> Index:
    """Return the index of others in our terms, for the search parameters that it takes."""
    kind = str(about.get("index_type", "FLAT"))
    if kind.startswith("HNSW"):
        return Hnsw(int(about.get("M", 16)), int(about.get("efConstruction", 200)))
    if kind.startswith("IVF"):
        return Ivf(int(about.get("nlist", 128)))
    return Flat()


def their_hit(hit: Mapping[str, Any], attached: Attachment, with_payload: bool) -> Hit:
    """Return one hit; servers before 2.4 don't name the key, and it comes as `id`."""
    one = hit[attached.key] if attached.key in hit else hit[ID]
    return Hit(str(one), hit["distance"], _plain(attached.read(hit["entity"])) if with_payload else {})


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
