"""How the points of a collection of ours are read and written on a Qdrant server."""

import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from cohorts.connectors.base import Collection, Hit, Payload, Points, Vectors
from cohorts.connectors.checks import check_points
from cohorts.connectors.filters.conditions import Filter
from cohorts.connectors.filters.reading import check_filter
from cohorts.connectors.qdrant.building import build
from cohorts.connectors.qdrant.ids import KEY_FIELD, is_hashed, to_point_id
from cohorts.connectors.qdrant.translate import Compiler, Terms, key_of, shown, to_bare_hits, to_hits, to_path
from cohorts.connectors.qdrant.transport import Selector, Transport
from cohorts.connectors.qdrant.wire import takes_messages, upsert
from qdrant_client import QdrantClient, models

BATCH_ROWS = 1_000
BATCH_BYTES = 8 * 1024 * 1024
BYTES_PER_NUMBER = 12  # of a float32 in JSON
TERMS = Terms(
    filter=models.Filter,
    field=models.FieldCondition,
    match=models.MatchValue,
    numbers=models.Range,
    dates=models.DatetimeRange,
    empty=lambda field: models.IsEmptyCondition(is_empty=models.PayloadField(key=field)),
    flag=lambda field, value: models.FieldCondition(key=field, match=models.MatchValue(value=value)),
)


class Layout:
    """A collection of ours: one vector without a name, which the engine normalises, and payloads as they were written.

    `vector` names the vector that is searched, `payload` what of a payload is asked for, `paths` where a field
    stands under another key.
    """

    vector = ""
    payload: Selector = True
    paths: Mapping[str, str] = MappingProxyType({})

    def __init__(self, collection: Collection) -> None:
        self.collection = collection

    @property
    def vectors(self) -> Selector:
        """Return which vectors are asked for."""
        return [self.vector] if self.vector else True

    def condition(self, where: Filter | None) -> models.Filter | None:
        """Return a filter in the engine's terms. Raises FilterError."""
        if where is None:
            return None
        check_filter(where, self.collection.fields)
        condition: models.Filter = Compiler(TERMS, self.collection.fields, self.paths).compile(where)
        return condition

    def holding(self, where: Filter | None) -> models.Filter | None:
        """Return the filter of the points that match and hold the vector that is searched."""
        return self.condition(where)

    def unit(self, rows: Vectors) -> Vectors:
        """Return rows as the engine compares them: its cosine takes any length."""
        return rows

    def read(self, payload: Mapping[str, Any]) -> Payload:
        """Return what of a payload is shown."""
        return shown(payload)

    def path(self, field: str) -> str:
        """Return the path to a field."""
        return self.paths.get(field) or to_path(field)

    def points(self, records: Sequence[Any]) -> Points:
        """Return records as points; those that lack the vector that is searched are left out."""
        rows = [(record, row) for record in records if (row := vector_of(record, self.vector)) is not None]
        vectors = np.array([row for _, row in rows], dtype=np.float32)
        return Points(
            [key_of(record) for record, _ in rows],
            self.unit(vectors.reshape(len(rows), self.collection.dim)),
            [self.read(record.payload or {}) for record, _ in rows],
        )

    def hits(
        self, transport: Transport, name: str, found: Sequence[Any], with_payload: bool
    ) -> list[list[Hit]]:
        """Return what was found for each query."""
        if with_payload:
            return [to_hits(points) for points in found]
        return to_bare_hits(found, lambda ids: _keys_of(transport, name, ids))

    def build(self, transport: Transport, name: str, timeout_s: float) -> None:
        """Block until the index is built. Raises EngineError on timeout."""
        build(transport, name, self.collection, timeout_s)

    def check_changed(self) -> None:
        """Raise InputError where nothing of the collection itself may be changed."""

    def check_leased(self) -> None:
        """Raise InputError where no lease may be kept in the collection."""

    def write(self, transport: Transport, name: str, points: Points) -> None:
        """Write points in batches of bounded bytes, replacing those of the same id whole."""
        points = check_points(points, self.collection)
        for start in range(0, len(points.ids), BATCH_ROWS):
            some = slice(start, start + BATCH_ROWS)
            _write(transport, name, Points(points.ids[some], points.vectors[some], points.payloads[some]))

    def delete(self, transport: Transport, name: str, ids: Sequence[str]) -> None:
        """Remove points."""
        selector = models.PointIdsList(points=[to_point_id(key) for key in ids])
        transport.call(lambda client: client.delete(name, selector, wait=True))


def vector_of(record: Any, name: str) -> Any:
    """Return a record's vector of this name; None where it has none."""
    return record.vector.get(name) if isinstance(record.vector, dict) else record.vector


def _keys_of(transport: Transport, name: str, ids: list[str]) -> dict[str, str]:
    return {str(record.id): key_of(record) for record in transport.retrieve(name, ids, [KEY_FIELD])}


def _write(transport: Transport, name: str, points: Points) -> None:
    ids: list[Any] = [to_point_id(key) for key in points.ids]
    payloads: list[Any] = [_kept(*row) for row in zip(points.ids, ids, points.payloads, strict=True)]

    def ask(client: QdrantClient) -> None:
        if takes_messages(client):
            upsert(
                client,
                name,
                ids,
                points.vectors,
                payloads,
                most_bytes=BATCH_BYTES,
                timeout_s=transport.timeout_s,
            )
            return
        for some in _batches(payloads, points.vectors.shape[1]):
            rows = points.vectors[some].tolist()
            client.upsert(name, models.Batch(ids=ids[some], vectors=rows, payloads=payloads[some]), wait=True)

    transport.call(ask)


def _batches(payloads: Sequence[Payload], dim: int) -> Iterator[slice]:
    """Yield slices of some 8 MiB: the REST interface takes 32 MiB of JSON."""
    start = size = 0
    for row, payload in enumerate(payloads):
        bytes_ = BYTES_PER_NUMBER * dim + len(json.dumps(payload))
        if row > start and size + bytes_ > BATCH_BYTES:
            yield slice(start, row)
            start, size = row, 0
        size += bytes_
    yield slice(start, len(payloads))


def _kept(key: str, point_id: int | str, payload: Payload) -> Payload:
    return {**payload, KEY_FIELD: key} if is_hashed(key, point_id) else payload
