"""What every connector checks before anything is sent."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Abilities, Collection, Payload, PayloadValue, Points, Vectors
from cohorts.connectors.collection import OUR_PREFIX
from cohorts.connectors.filters.conditions import MAX_NUMBER, is_date
from cohorts.connectors.index import Hnsw, Index, Ivf, show_index
from cohorts.documents import is_text, names_a_field
from cohorts.errors import InputError, PointError, UnsupportedIndex, VectorError

MAX_DIM = 65_536  # of any engine: what Qdrant takes

MAX_TEXT = 1_000_000  # characters in one field of a payload: below what any server takes in one message

MAX_SCAN = 1_000_000  # points that are read from an engine to be compared here

_SHORT, _LONG = 1e-6, 1e6  # lengths whose squares are far from where float32 loses digits or overflows
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")  # Milvus' rule holds on all engines
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,254}")
_NEW_CHARACTERS = 240  # leaves room for the number of a version
_NAME_BYTES = 255  # of a folder


def check_name(name: str) -> None:
    """Raise InputError for a collection's name, whoever made it, that can't be the name of one folder.

    The runs of a collection are kept in a folder of its name: a path would lead out of the folder of runs.
    """
    if not isinstance(name, str) or not name.strip():
        raise InputError("The collection's name is empty: give it one, of letters, digits and _.")
    path = name in (".", "..") or not name.isprintable() or "/" in name or "\\" in name
    if path or len(name.encode(errors="replace")) > _NAME_BYTES:
        raise InputError(
            f"{name[:80]!r} can't name a collection: it may hold no /, \\ or control character, be no . or .., and "
            f"take at most {_NAME_BYTES} bytes."
        )


def check_new_name(name: str) -> None:
    """Raise InputError for a name that a collection of ours can't be made by."""
    check_name(name)
    if not _NAME.fullmatch(name) or len(name) > _NEW_CHARACTERS:
        raise InputError(
            f"{name!r} can't name a new collection: letters, digits and _, no digit first, at most "
            f"{_NEW_CHARACTERS} of them."
        )


def check_column(name: str) -> None:
    """Raise InputError for what can't be a column of Milvus: it would be pasted into an expression."""
    if not _COLUMN.fullmatch(name):
        raise InputError(f"{name[:80]!r} can't name a column: letters, digits, _ and $, no digit first.")


def check_field(name: str) -> None:
    """Raise InputError for a name that no engine can filter by."""
    if not names_a_field(name):
        raise InputError(
            f"{name[:80]!r} can't name a field to filter by: it may hold letters, digits, blanks and signs, but no "
            "double quote, backslash or control character."
        )


def check_collection(collection: Collection, abilities: Abilities) -> None:
    """Raise InputError for a name or a dimension, UnsupportedIndex for an index, that the engine can't have."""
    check_definition(collection)
    check_index(collection.index, abilities)


def check_definition(collection: Collection) -> None:
    """Raise InputError for what no collection of ours can be, on whatever engine."""
    if not _NAME.fullmatch(collection.name):
        raise InputError(
            f"{collection.name!r} can't name a collection: letters, digits and _, no digit first."
        )
    if not 1 <= collection.dim <= MAX_DIM:
        raise InputError(f"The dimension is {collection.dim}; it lies between 1 and {MAX_DIM:,}.")
    for field in collection.fields:
        check_field(field)
    if strange := set(collection.unindexed) - set(collection.fields):
        raise InputError(
            f"{min(strange)!r} is told to have no index, and is none of the fields to filter by."
        )
    for key in (*collection.fields, *collection.metadata):
        _check_key(key)
    for key, value in collection.metadata.items():
        if type(value) not in (str, int, float, bool, type(None)):
            raise InputError(
                f"Metadata {key} holds a {type(value).__name__}; it may hold str, int, float, bool or None."
            )


def check_index(index: Index, abilities: Abilities) -> None:
    """Raise UnsupportedIndex, which names what there is, for an index or a variant that the engine lacks."""
    has = [kind.__name__.lower() for kind in abilities.indexes]
    lacks = type(index) not in abilities.indexes
    match index:
        case Hnsw(quantization=kind) if kind != "none" and kind not in abilities.quantization:
            lacks = True
        case Ivf(variant=kind) if kind not in abilities.ivf:
            lacks = True
    if lacks:
        for name, variants in (("ivf", abilities.ivf), ("hnsw", abilities.quantization)):
            if variants and name in has:
                has[has.index(name)] = f"{name} ({', '.join(variants)})"
        raise UnsupportedIndex(
            f"{abilities.engine} has no index {show_index(index)}. It has: {', '.join(has)}."
        )


def check_k(k: int, abilities: Abilities) -> None:
    """Raise InputError for a number of neighbours that the engine can't return."""
    if not 1 <= k <= abilities.max_k:
        raise InputError(
            f"{k:,} neighbours were asked for; {abilities.engine} returns 1 to {abilities.max_k:,}."
        )


def check_scan(points: int, engine: str) -> None:
    """Raise InputError where an exact search would read too many points to compare them here."""
    if points > MAX_SCAN:
        raise InputError(
            f"{engine} has no exact search beside an index: {points:,} points would be read and compared here, and at "
            f"most {MAX_SCAN:,} are. Narrow the search by a filter, search without exact=true, or measure a smaller "
            "collection of the same kind."
        )


def check_queries(vectors: Vectors, dim: int) -> Vectors:
    """Return rows that an engine can take the cosine with: as they are, where its float32 squares do for them.

    Raises VectorError as `unit_rows` does. Beside a search of 1 ms, numpy's functions, cold, would take 3 % of it.
    """
    _check_shape(vectors, dim)
    if _have_directions(vectors.tolist()):
        return np.asarray(vectors, dtype=np.float32)
    return unit_rows(vectors, dim)


def check_query_rows(vectors: Vectors, dim: int) -> list[list[float]]:
    """Return what `check_queries` does as lists, which are made once: each time costs 1 % of an embedded search."""
    _check_shape(vectors, dim)
    rows: list[list[float]] = vectors.tolist()
    return rows if _have_directions(rows) else unit_rows(vectors, dim).tolist()


def _have_directions(rows: Iterable[Iterable[float]]) -> bool:
    return all(_SHORT < math.hypot(*row) < _LONG for row in rows)


def unit_rows(vectors: Vectors, dim: int) -> Vectors:
    """Return the rows scaled to length 1. Raises VectorError for a wrong size, NaN, infinity or zeros."""
    _check_shape(vectors, dim)
    lengths = row_lengths(vectors)
    if not ((lengths > 0) & (lengths < np.inf)).all():
        raise _no_direction(lengths)
    units: Vectors = np.empty(vectors.shape, dtype=np.float32)
    np.divide(vectors, lengths[:, None], out=units, dtype=np.float64, casting="unsafe")
    return units


def row_lengths(vectors: Vectors) -> npt.NDArray[np.float64]:
    """Return the Euclidean lengths of the rows, (n,)."""
    # In float64, where float32 squares can't overflow; by numpy's buffers, faster than a copy of that type.
    squares: npt.NDArray[np.float64] = np.einsum(
        "nd,nd->n", vectors, vectors, dtype=np.float64, casting="unsafe"
    )
    return np.sqrt(squares)


def _check_shape(vectors: Vectors, dim: int) -> None:
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise VectorError(f"Vectors of shape {vectors.shape} were given; the collection takes (n, {dim}).")


def _no_direction(lengths: npt.NDArray[np.float64]) -> VectorError:
    bad = np.flatnonzero(~np.isfinite(lengths))
    if len(bad):
        return VectorError(
            f"{len(bad)} vectors hold NaN or infinity, the first in row {bad[0]}; nothing was sent."
        )
    zero = np.flatnonzero(lengths == 0)
    return VectorError(f"{len(zero)} vectors are all zeros, the first in row {zero[0]}; nothing was sent.")


def check_points(points: Points, collection: Collection) -> Points:
    """Return the points with unit rows and plain payloads. Raises VectorError, InputError."""
    vectors = unit_rows(points.vectors, collection.dim)
    if not len(points.ids) == len(vectors) == len(points.payloads):
        counts = f"{len(points.ids)} ids, {len(vectors)} vectors and {len(points.payloads)} payloads"
        raise InputError(f"{counts} were given; they must be as many.")
    if not all(is_text(one) and one for one in points.ids):
        raise PointError("An id is empty, no string or no valid Unicode; nothing was sent.")
    if len(set(points.ids)) != len(points.ids):
        raise PointError(
            "A batch holds an id twice; which of the two is meant can't be known. Nothing was sent."
        )
    payloads = points.payloads
    if not _are_plain(payloads, collection.fields):
        payloads = [_plain(payload, collection.fields) for payload in payloads]
    return Points(points.ids, vectors, payloads)


def _are_plain(payloads: Sequence[Payload], fields: Mapping[str, Any]) -> bool:
    """Tell whether dicts of the same keys can be kept as they are: five times faster by columns than by rows.

    What is no ordinary row is left to `_plain`, which mends it or says what is wrong with it.
    """
    keys = set(map(tuple, payloads))
    if len(keys) != 1 or set(map(type, payloads)) != {dict}:
        return False
    (names,) = keys
    for name in names:
        _check_key(name)
    columns = zip(*(payload.values() for payload in payloads), strict=True)
    return all(
        _is_plain_column(column, fields.get(name)) for name, column in zip(names, columns, strict=True)
    )


def _is_plain_column(column: Sequence[Any], kind: Any) -> bool:
    types = set(map(type, column))
    if type(None) in types:
        types.remove(type(None))
        column = [value for value in column if value is not None]
    if not types:
        return True
    found = types.pop()
    if types or kind not in (None, list[str] if found is list else found):
        return False
    if found is list:
        column = list(chain.from_iterable(column))
        found = str
        if not set(map(type, column)) <= {str} or sum(map(len, column)) > MAX_TEXT:
            return False
    if found is str and max(map(len, column), default=0) > MAX_TEXT:
        return False
    return found in _FITS and all(map(_FITS[found], column))


def _check_key(key: Any) -> None:
    if not is_text(key) or key.startswith(OUR_PREFIX):
        raise PointError(
            f"{key!r} can't be a key: it must be valid text that doesn't begin with {OUR_PREFIX}."
        )


_FITS: Mapping[type[Any], Callable[[Any], bool]] = {
    str: is_text,
    int: lambda value: abs(value) <= MAX_NUMBER,
    float: math.isfinite,
    bool: lambda _: True,
}


def _plain(payload: Payload, fields: Mapping[str, Any]) -> Payload:
    for key in payload:
        _check_key(key)
    row = {key: _plain_value(key, value) for key, value in payload.items()}
    for key, kind in fields.items():
        value = row.get(key)
        if value is None:
            continue
        if kind is float and type(value) is int:
            row[key] = float(value)
        elif kind == list[str]:
            if not isinstance(value, list):
                raise PointError(f"Payload field {key} must be a list of strings.")
        elif kind is date:
            if not is_date(value):
                raise PointError(f"Payload field {key} must be a date, 'YYYY-MM-DD'.")
        elif type(value) is not kind:
            raise PointError(f"Payload field {key} must be {kind.__name__}, not {type(value).__name__}.")
    return row


def _characters(value: Any) -> int:
    if isinstance(value, list):
        return sum(len(one) for one in value if isinstance(one, str))
    return len(value) if isinstance(value, str) else 0


def _plain_value(key: str, value: Any) -> PayloadValue:
    """Return the value as plain Python; a float NaN is a missing value and becomes None."""
    if isinstance(value, np.generic):
        value = value.item()
    size = _characters(value)
    if size > MAX_TEXT:
        raise PointError(f"Payload field {key} has {size:,} characters; a field keeps at most {MAX_TEXT:,}.")
    match value:
        case float() if math.isnan(value):
            return None
        case None | bool():
            return value
        case float() if math.isfinite(value):
            return value
        case int() if abs(value) <= MAX_NUMBER:
            return value
        case str() if is_text(value):
            return str(value)
        case list() if all(is_text(one) for one in value):
            return [str(one) for one in value]
    raise PointError(
        f"Payload field {key} holds a {type(value).__name__} that can't be kept. It may hold str, int (up to 2**53), "
        "finite float, bool, list[str] or None (for a missing value)."
    )
