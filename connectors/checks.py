"""What every connector checks before anything is sent."""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from cohorts.connectors.base import Abilities, Collection, Payload, PayloadValue, Points, Vectors
from cohorts.errors import InputError, UnsupportedIndex, VectorError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")  # Milvus' rule holds on all engines


def check_collection(collection: Collection, abilities: Abilities) -> None:
    """Raise InputError for a name or a dimension, UnsupportedIndex for an index, that the engine can't have."""
    if not _NAME.fullmatch(collection.name):
        raise InputError(
            f"{collection.name!r} can't name a collection: letters, digits and _, no digit first."
        )
    if collection.dim < 1:
        raise InputError(f"The dimension is {collection.dim}; it must be at least 1.")
    wrong = [field for field in collection.fields if not _NAME.fullmatch(field)]
    if wrong:
        raise InputError(
            f"{wrong[0]!r} can't name a field to filter by: letters, digits and _, no digit first."
        )
    if type(collection.index) not in abilities.indexes:
        has = ", ".join(kind.__name__.lower() for kind in abilities.indexes)
        asked = type(collection.index).__name__.lower()
        raise UnsupportedIndex(f"{abilities.engine} has no index {asked}. It has: {has}.")


def unit_rows(vectors: Vectors, dim: int) -> Vectors:
    """Return the rows scaled to length 1. Raises VectorError for a wrong size, NaN, infinity or zeros."""
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise VectorError(f"Vectors of shape {vectors.shape} were given; the collection takes (n, {dim}).")
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise VectorError(
            f"{len(bad)} vectors hold NaN or infinity, the first in row {bad[0]}; nothing was sent."
        )
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    zero = np.flatnonzero(lengths[:, 0] == 0)
    if len(zero):
        raise VectorError(f"{len(zero)} vectors are all zeros, the first in row {zero[0]}; nothing was sent.")
    return np.ascontiguousarray(vectors / lengths, dtype=np.float32)


def check_points(points: Points, collection: Collection) -> Points:
    """Return the points with unit rows and plain payloads. Raises VectorError, InputError."""
    vectors = unit_rows(points.vectors, collection.dim)
    if not len(points.ids) == len(vectors) == len(points.payloads):
        counts = f"{len(points.ids)} ids, {len(vectors)} vectors and {len(points.payloads)} payloads"
        raise InputError(f"{counts} were given; they must be as many.")
    if len(set(points.ids)) != len(points.ids):
        raise InputError(
            "A batch holds an id twice; which of the two is meant can't be known. Nothing was sent."
        )
    if not all(isinstance(one, str) and one for one in points.ids):
        raise InputError("An id is empty or no string; nothing was sent.")
    return Points(points.ids, vectors, [_plain(payload, collection.fields) for payload in points.payloads])


def _plain(payload: Payload, fields: Mapping[str, Any]) -> Payload:
    row = {key: _plain_value(key, value) for key, value in payload.items()}
    for key, kind in fields.items():
        value = row.get(key)
        if value is None:
            continue
        if kind is float and type(value) is int:
            row[key] = float(value)
        elif kind == list[str]:
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                raise InputError(f"Payload field {key} must be a list of strings.")
        elif type(value) is not kind:
            raise InputError(f"Payload field {key} must be {kind.__name__}, not {type(value).__name__}.")
    return row


def _plain_value(key: str, value: Any) -> PayloadValue:
    """Return the value as plain Python; a float NaN is a missing value and becomes None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (str, int, float, bool, list)) or value is None:
        return value
    raise InputError(
        f"Payload field {key} holds a {type(value).__name__}: str, int, float, bool, list[str] or None."
    )
