"""How the points of a collection of ours are read and written on Milvus."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any

from cohorts.connectors.base import NOTHING, Collection, Hit, Points, Vectors, hits_of
from cohorts.connectors.checks import check_points
from cohorts.connectors.filters.conditions import Filter
from cohorts.connectors.filters.reading import check_filter
from cohorts.connectors.milvus.translate import (
    ID,
    PAYLOAD,
    VECTOR,
    Columns,
    one_of,
    our_columns,
    to_expression,
    to_points,
)
from cohorts.connectors.milvus.transport import Transport
from cohorts.connectors.milvus.wire import to_texts, upsert

BATCH_ROWS = 1_000
BATCH_BYTES = 8 * 1024 * 1024
_get = dict.__getitem__


class Layout:
    """A collection of ours: its vector, its key, and payloads as JSON beside a column per filterable field.

    `key` and `vector` are the columns of these, `shown` those that a payload is read from.
    """

    key, vector = ID, VECTOR
    shown: Sequence[str] = (PAYLOAD,)

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.columns: Columns = our_columns(collection.fields)

    @property
    def outputs(self) -> list[str]:
        """Return the columns that a point is made from."""
        return [self.key, self.vector, *self.shown]

    def expression(self, where: Filter | None) -> str:
        """Return a filter in the engine's language. Raises FilterError."""
        if where is None:
            return ""
        check_filter(where, self.collection.fields)
        return to_expression(where, self.collection.fields, self.columns, self.key)

    def keys(self, ids: Sequence[str]) -> list[Any]:
        """Return the keys of ids, each once, those left out that can be none."""
        return list(dict.fromkeys(ids))

    def unit(self, rows: Vectors) -> Vectors:
        """Return rows as the engine compares them: its cosine takes any length."""
        return rows

    def points(self, rows: Sequence[Mapping[str, Any]]) -> Points:
        """Return rows as points, with unit vectors."""
        return to_points(rows, self.collection.dim)

    def value_columns(self, field: str) -> list[str]:  # noqa: ARG002 - others keep a column for each
        """Return the columns that a field's value is read from."""
        return [PAYLOAD]

    def value(self, row: Mapping[str, Any], field: str) -> Any:
        """Return what a row holds in a field: None for nothing."""
        return row[PAYLOAD].get(field)

    def hits(self, found: Sequence[Any], with_payload: bool) -> list[list[Hit]]:
        """Return what was found for each query."""
        # The client's hits look a key up twice, in Python; ids and scores stand beside them in lists, of more hits.
        return [
            hits_of(
                row.ids,
                row.distances,
                [_get(hit, "entity")[PAYLOAD] for hit in row] if with_payload else repeat(NOTHING, len(row)),
            )
            for row in found
        ]

    def about_index(self, transport: Transport, name: str) -> dict[str, Any]:
        """Return what the engine says of the vector's index."""
        return transport.about_index(name)

    def build(self, by: Callable[[], None]) -> None:
        """Build the index."""
        by()

    def check_changed(self) -> None:
        """Raise InputError where nothing may be changed, neither the collection nor what it holds."""

    def write(self, transport: Transport, name: str, points: Points) -> None:
        """Write points in batches of bounded bytes, replacing those of the same id whole.

        Always an upsert: the server stores an insert of the same ids twice.
        """
        collection = self.collection
        points = check_points(points, collection)
        texts = to_texts(collection, points)
        # What can be filtered by goes twice: as a column and within the payload.
        largest = 2 * max(map(len, texts), default=0) + points.vectors.itemsize * collection.dim
        step = max(1, min(BATCH_ROWS, BATCH_BYTES // largest))
        for start in range(0, len(texts), step):
            some = slice(start, start + step)
            part = Points(points.ids[some], points.vectors[some], points.payloads[some])
            write = partial(
                upsert,
                name=transport.target(name),
                collection=collection,
                points=part,
                texts=texts[some],
                timeout_s=transport.timeout_s,
            )
            transport.call(write)

    def delete(self, transport: Transport, name: str, ids: Sequence[str]) -> None:
        """Remove points."""
        if ids:
            transport.delete(name, one_of(self.key, ids))
