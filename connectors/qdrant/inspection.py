"""What the server says of a Qdrant collection that someone else made, in our terms."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from cohorts.connectors.attached.attachment import (
    COSINE,
    OUR_VECTOR,
    Attachment,
    Inspection,
    Kinds,
    VectorField,
)
from cohorts.connectors.attached.paths import field_names, keys_of
from cohorts.connectors.attached.vectors import check_units, choose_vector
from cohorts.connectors.base import Collection, FieldType
from cohorts.connectors.catalog import no_such_collection
from cohorts.connectors.collection import ATTACHED, OUR_PREFIX
from cohorts.connectors.filters.conditions import MAX_NUMBER
from cohorts.connectors.index import Flat, Hnsw, Index, Other, show_index
from cohorts.connectors.qdrant.building import METADATA
from cohorts.connectors.qdrant.layout import vector_of
from cohorts.connectors.qdrant.translate import to_path
from cohorts.connectors.qdrant.transport import Transport
from cohorts.errors import InputError
from qdrant_client import models

_TYPES: Mapping[str, FieldType] = {
    "keyword": str,
    "integer": int,
    "float": float,
    "bool": bool,
    "datetime": date,
    "uuid": str,
    "list": list[str],
}
UNITS = 1_000  # vectors of others whose length is looked at
SAMPLE = 100  # points of others whose payload is looked at for the types of its keys
_KEY = r'(?:"[^"]*"|[\w-]+)(?:\[\d*\])*'
_PATH = re.compile(rf"{_KEY}(?:\.{_KEY})*")
_PYTHON_TYPES = {str: "keyword", int: "integer", float: "float", bool: "bool"}


def inspect(transport: Transport, name: str) -> Inspection:
    """Return what the engine says of a collection, whoever made it. Raises CollectionNotFound."""
    names, aliases = transport.collections(), transport.aliases()
    target = aliases.get(name, name)
    if target not in names:
        raise no_such_collection(name, names)
    info = transport.info(target)
    indexed = {key: str(one.data_type.value) for key, one in (info.payload_schema or {}).items()}
    sample, _ = transport.page(target, SAMPLE, True)
    return Inspection(
        name=target,
        engine="qdrant",
        count=transport.count(target),
        key="unsigned integers or UUIDs",
        vectors=vector_fields(info),
        fields=field_types([record.payload or {} for record in sample], indexed),
        state=str(info.status.value),
        aliases=tuple(alias for alias, one in aliases.items() if one == target),
        ours=METADATA in (info.config.metadata or {}),
    )


def propose(transport: Transport, name: str, vector: str | None) -> Attachment:
    """Return a read-only mapping; fields can be filtered by under the last part of their path.

    Text that the owner has not indexed is left out: it may be a patient's note.
    """
    found = inspect(transport, name)
    info = transport.info(found.name)
    chosen = choose_vector(found.name, found.vectors, vector)
    indexed = set(info.payload_schema or {})
    kinds = {
        path: _TYPES[kind]
        for path, kind in found.fields.items()
        if kind in _TYPES and (path in indexed or kind in ("integer", "float", "bool"))
    }
    paths = field_names(kinds)
    fields = {field: kinds[path] for field, path in paths.items()}
    ours = [one for one in found.vectors if one.name == OUR_VECTOR and one.metric.lower() == COSINE]
    return Attachment(
        collection=Collection(found.name, chosen.dim, index_of(info, chosen.name), fields, {ATTACHED: True}),
        vector=chosen.name,
        paths=paths,
        our_vector=ours[0].name if ours else "",
        our_dim=ours[0].dim if ours else 0,
        metric=chosen.metric.lower(),
        units_seen=_units_seen(transport, found.name, chosen),
    )


def _units_seen(transport: Transport, name: str, vector: VectorField) -> int:
    """Return how many vectors of length 1 were looked at; 0 where the engine compares by cosine anyway."""
    if vector.metric.lower() == COSINE:
        return 0
    records, _ = transport.page(name, UNITS, False, [vector.name] if vector.name else True)
    rows = [row for record in records if (row := vector_of(record, vector.name)) is not None]
    sample = np.array(rows, dtype=np.float32).reshape(len(rows), vector.dim)
    return check_units(name, vector.name, vector.metric, sample)


def kinds(transport: Transport, name: str, path: str) -> Kinds:
    """Count what the points hold under a path; lists of numbers count as numbers."""
    _check_path(path)
    empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=path))
    number = models.FieldCondition(key=path, range=models.Range(gte=-MAX_NUMBER, lte=MAX_NUMBER))
    points = transport.count(name)
    numbers = transport.count(name, models.Filter(must=[number]))
    nothing = transport.count(name, models.Filter(must=[empty]))
    return Kinds(numbers, max(0, points - numbers - nothing), nothing)


def vector_fields(info: Any) -> tuple[VectorField, ...]:
    """Return its vectors; what one sets itself goes before what the collection sets for all."""
    fields = []
    for name, one in _named(info).items():
        metric, index = str(one.distance.value), index_of(info, name)
        unread = "several vectors a point (late interaction)" if one.multivector_config else ""
        if one.datatype == "uint8":
            unread = "of uint8, to which the numbers of a query would be cut"
        shown = "none" if isinstance(index, Flat) else show_index(index)
        fields.append(VectorField(name, int(one.size), metric, shown, unread))
    sparse = info.config.params.sparse_vectors or {}
    fields += [VectorField(name, 0, "Dot", "inverted", "sparse") for name in sparse]
    return tuple(fields)


def index_of(info: Any, name: str) -> Index:
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


def _check_path(path: str) -> None:
    """Raise InputError for what the engine takes for no path."""
    if not _PATH.fullmatch(path):
        raise InputError(
            f"{path[:80]} is no path on Qdrant. A key that holds anything but letters, digits, _ and - stands in "
            'double quotes, as in metadata."Admission Type"; one that holds a double quote itself can\'t be reached.'
        )
