"""How a collection that someone else made is read, and ours written beside theirs, on a Qdrant server."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cohorts.connectors.attached.attachment import COSINE, Attachment
from cohorts.connectors.attached.vectors import choose_vector, with_cosines
from cohorts.connectors.base import Hit, Payload, Points, Vectors
from cohorts.connectors.checks import check_points, unit_rows
from cohorts.connectors.collection import OUR_PREFIX
from cohorts.connectors.filters.conditions import Filter
from cohorts.connectors.qdrant.ids import KEY_FIELD, to_point_id
from cohorts.connectors.qdrant.inspection import index_of, vector_fields
from cohorts.connectors.qdrant.layout import Layout
from cohorts.connectors.qdrant.translate import key_of
from cohorts.connectors.qdrant.transport import Transport
from cohorts.errors import InputError
from qdrant_client import models


class AttachedLayout(Layout):
    """A collection of others, by its mapping: one of its vectors, and the mapped keys alone.

    The mapping is compared with `info`, what the engine says now. Raises InputError where they disagree.
    """

    def __init__(self, attachment: Attachment, info: Any) -> None:
        there = choose_vector(attachment.collection.name, vector_fields(info), attachment.searched)
        attachment.check_there(there)
        super().__init__(replace(attachment.collection, index=index_of(info, there.name)))
        self._attachment = attachment
        self.vector, self.paths = attachment.searched, attachment.paths
        self.payload = [*attachment.paths.values(), KEY_FIELD]

    def condition(self, where: Filter | None) -> models.Filter | None:
        """Return a filter in the engine's terms, where it names fields as their owner does, too."""
        return super().condition(None if where is None else self._attachment.named(where))

    def holding(self, where: Filter | None) -> models.Filter | None:
        """Return the filter of the points that match and hold the vector that is searched: ours, only some may have."""
        condition = self.condition(where)
        if self.vector != self._attachment.our_vector or not self.vector:
            return condition
        ours = models.HasVectorCondition(has_vector=self.vector)
        return models.Filter(must=[ours] if condition is None else [ours, condition])

    def unit(self, rows: Vectors) -> Vectors:
        """Return rows of length 1, where the engine compares by another metric than the cosine."""
        return rows if self._attachment.compared == COSINE else unit_rows(rows, rows.shape[1])

    def path(self, field: str) -> str:
        """Return the path to a mapped field. Raises InputError for another."""
        return self._attachment.path(field)

    def read(self, payload: Mapping[str, Any]) -> Payload:
        """Return the mapped fields."""
        return self._attachment.read(payload)

    def hits(
        self, transport: Transport, name: str, found: Sequence[Any], with_payload: bool
    ) -> list[list[Hit]]:
        """Return what was found for each query, with the cosine for a score."""
        if with_payload:
            hits = [
                [Hit(key_of(point), point.score, self.read(point.payload or {})) for point in points]
                for points in found
            ]
        else:
            hits = super().hits(transport, name, found, with_payload)
        return with_cosines(self._attachment.compared, hits)

    def build(self, transport: Transport, name: str, timeout_s: float) -> None:
        """Do nothing: the index is the owner's to build."""

    def check_changed(self) -> None:
        """Raise InputError."""
        raise InputError(
            f"Collection {self.collection.name} belongs to others: cohorts changes nothing of it."
        )

    def check_leased(self) -> None:
        """Raise InputError where the mapping is read-only."""
        if not self._attachment.writable:
            raise InputError(f"Collection {self.collection.name} is attached read-only.")

    def write(self, transport: Transport, name: str, points: Points) -> None:  # noqa: ARG002 - never by an alias
        """Write our named vector and our payload keys to points of others; theirs stay as they are.

        An upsert would replace the whole payload and drop the vectors that it was not given.
        """
        attachment, target = self._attachment, self.collection.name
        ours = [attachment.ours(row) for row in points.payloads]
        points = check_points(replace(points, payloads=ours), self.collection)
        attachment.check_write(vector_fields(transport.info(target)))
        self._check_there(transport, points.ids)
        vectors = [
            models.PointVectors(id=to_point_id(key), vector={attachment.our_vector: row})
            for key, row in zip(points.ids, points.vectors.tolist(), strict=True)
        ]
        payloads = [
            models.SetPayloadOperation(
                set_payload=models.SetPayload(
                    payload={OUR_PREFIX + field: value for field, value in row.items()},
                    points=[to_point_id(key)],
                )
            )
            for key, row in zip(points.ids, points.payloads, strict=True)
        ]
        transport.call(lambda client: client.update_vectors(target, vectors, wait=True))
        transport.call(lambda client: client.batch_update_points(target, payloads, wait=True))

    def _check_there(self, transport: Transport, ids: Sequence[str]) -> None:
        records = transport.retrieve(self.collection.name, [to_point_id(key) for key in ids], [KEY_FIELD])
        there = {key_of(record) for record in records}
        missing = [key for key in ids if key not in there]
        if missing:
            raise InputError(
                f"{len(missing):,} of {len(ids):,} ids are no points of {self.collection.name}: cohorts adds none to a "
                "collection of others. Nothing of this batch was written."
            )

    def delete(self, transport: Transport, name: str, ids: Sequence[str]) -> None:  # noqa: ARG002 - as `write`
        """Remove our named vector and our payload keys from points of others."""
        attachment, target = self._attachment, self.collection.name
        if not (attachment.writable and attachment.searched == attachment.our_vector != ""):
            self.check_changed()
        attachment.check_write(vector_fields(transport.info(target)))
        points: list[Any] = [to_point_id(key) for key in ids]
        vectors = models.DeleteVectors(points=points, vector=[attachment.our_vector])
        keys = [path for path in attachment.paths.values() if path.startswith(OUR_PREFIX)]
        steps: list[Any] = [
            models.DeleteVectorsOperation(delete_vectors=vectors),
            models.DeletePayloadOperation(delete_payload=models.DeletePayload(points=points, keys=keys)),
        ]
        transport.call(lambda client: client.batch_update_points(target, steps, wait=True))
