"""What the server says of a Qdrant collection that someone else made, in our terms."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from cohorts.connectors.attachment import VectorField
from cohorts.connectors.base import FieldType
from cohorts.connectors.checks import OUR_PREFIX
from cohorts.connectors.index import Hnsw, show_index

THEIR_TYPES: Mapping[str, FieldType] = {
    "keyword": str,
    "integer": int,
    "float": float,
    "bool": bool,
    "datetime": date,
    "uuid": str,
    "list": list[str],
}
_PYTHON_TYPES = {str: "keyword", int: "integer", float: "float", bool: "bool"}


def vector_fields(info: Any) -> tuple[VectorField, ...]:
    """Return its vectors; what one sets itself goes before what the collection sets for all."""
    vectors = info.config.params.vectors
    named = vectors if isinstance(vectors, dict) else {"": vectors}
    whole = info.config.hnsw_config
    fields = []
    for name, one in named.items():
        own = one.hnsw_config
        m = own.m if own and own.m is not None else whole.m
        ef = own.ef_construct if own and own.ef_construct is not None else whole.ef_construct
        index = show_index(Hnsw(m=m, ef_construction=ef)) if m else "none"
        fields.append(VectorField(name, int(one.size), str(one.distance.value), index))
    return tuple(fields)


def field_types(payloads: Sequence[Mapping[str, Any]], indexed: Mapping[str, str]) -> dict[str, str]:
    """Return the type of every payload key, one level of nesting down; the index says nothing of lists."""
    types = dict(indexed)
    for payload in payloads:
        nested = {
            f"{key}.{inner}": one
            for key, value in payload.items()
            if isinstance(value, dict)
            for inner, one in value.items()
        }
        for path, value in {**payload, **nested}.items():
            if path.startswith(OUR_PREFIX):
                continue
            if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
                types[path] = "list"
            elif type(value) in _PYTHON_TYPES:
                types.setdefault(path, _PYTHON_TYPES[type(value)])
    return types
