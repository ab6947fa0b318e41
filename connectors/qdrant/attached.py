"""What the server says of a Qdrant collection that someone else made, in our terms."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from cohorts.connectors.attachment import VectorField, keys_of
from cohorts.connectors.base import FieldType
from cohorts.connectors.checks import OUR_PREFIX
from cohorts.connectors.index import Flat, Hnsw, Index, Other, show_index
from cohorts.connectors.qdrant.translate import to_path
from cohorts.errors import InputError

THEIR_TYPES: Mapping[str, FieldType] = {
    "keyword": str,
    "integer": int,
    "float": float,
    "bool": bool,
    "datetime": date,
    "uuid": str,
    "list": list[str],
}
_KEY = r'(?:"[^"]*"|[\w-]+)(?:\[\d*\])*'
_PATH = re.compile(rf"{_KEY}(?:\.{_KEY})*")
_PYTHON_TYPES = {str: "keyword", int: "integer", float: "float", bool: "bool"}


def vector_fields(info: Any) -> tuple[VectorField, ...]:
    """Return its vectors; what one sets itself goes before what the collection sets for all."""
    fields = []
    for name, one in _named(info).items():
        metric, index = str(one.distance.value), their_index(info, name)
        unread = "several vectors a point (late interaction)" if one.multivector_config else ""
        if one.datatype == "uint8":
            unread = "of uint8, to which the numbers of a query would be cut"
        shown = "none" if isinstance(index, Flat) else show_index(index)
        fields.append(VectorField(name, int(one.size), metric, shown, unread))
    sparse = info.config.params.sparse_vectors or {}
    fields += [VectorField(name, 0, "Dot", "inverted", "sparse") for name in sparse]
    return tuple(fields)


def their_index(info: Any, name: str) -> Index:
    """Return the index of one vector, in our terms where there are any."""
    one, whole = _named(info)[name], info.config.hnsw_config
    own, compressed = one.hnsw_config, one.quantization_config or info.config.quantization_config
    m = own.m if own and own.m is not None else whole.m
    ef = own.ef_construct if own and own.ef_construct is not None else whole.ef_construct
    kind = type(compressed).__name__.removesuffix("Quantization").lower() if compressed else "none"
    if not m:
        return Other(f"no graph, {kind} quantization") if compressed else Flat()
    try:
        return Hnsw(m=m, ef_construction=ef, quantization=kind)
    except InputError:  # none that cohorts would build
        return Other(f"hnsw(m={m}, ef_construction={ef}, quantization={kind})")


def surely_indexed(info: Any) -> int:
    """Return how many points have the vector that is read in an index, at least.

    The engine counts the vectors of all names together: those of the other names may be all indexed.
    """
    others = (len(_named(info)) - 1) * int(info.points_count or 0)
    return max(0, int(info.indexed_vectors_count or 0) - others)


def _named(info: Any) -> Mapping[str, Any]:
    vectors = info.config.params.vectors or {}  # none where all are sparse
    return vectors if isinstance(vectors, dict) else {"": vectors}


def field_types(payloads: Sequence[Mapping[str, Any]], indexed: Mapping[str, str]) -> dict[str, str]:
    """Return the type of every path, one level of nesting down; the index says nothing of lists.

    The engine has no path to a key that holds a double quote.
    """
    types = dict(indexed)
    spelt = {tuple(keys_of(path)): path for path in indexed}
    for payload in payloads:
        for keys, value in _values(payload):
            path = spelt.get(keys) or ".".join(map(to_path, keys))
            if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
                types[path] = "list"
            elif type(value) in _PYTHON_TYPES:
                types.setdefault(path, _PYTHON_TYPES[type(value)])
    return types


def _values(payload: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every value of the owner with the keys that lead to it."""
    for key, value in payload.items():
        if key.startswith(OUR_PREFIX) or '"' in key:
            continue
        yield (key,), value
        if isinstance(value, dict):
            yield from (((key, inner), one) for inner, one in value.items() if '"' not in inner)


def check_path(path: str) -> None:
    """Raise InputError for what the engine takes for no path."""
    if not _PATH.fullmatch(path):
        raise InputError(
            f"{path[:80]} is no path on Qdrant. A key that holds anything but letters, digits, _ and - stands in "
            'double quotes, as in metadata."Admission Type"; one that holds a double quote itself can\'t be reached.'
        )
