"""Searches on a Qdrant server, by gRPC or REST."""

from typing import Any

from cohorts.connectors.base import Hit, Vectors
from cohorts.connectors.index import SearchParams
from cohorts.connectors.qdrant.layout import Layout
from cohorts.connectors.qdrant.translate import OVERSAMPLING, is_compressed
from cohorts.connectors.qdrant.transport import Transport
from cohorts.connectors.qdrant.wire import query, takes_messages
from qdrant_client import QdrantClient, models

# Compressed vectors order their nearest roughly: more of them than asked are compared by the whole vectors.
RESCORED = models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)


def nearest(
    transport: Transport,
    layout: Layout,
    name: str,
    rows: Vectors,
    k: int,
    condition: models.Filter | None,
    how: SearchParams,
    with_payload: bool,
) -> list[list[Hit]]:
    """Return the k nearest of each row, (n, dim) float32."""
    rescored = RESCORED if is_compressed(layout.collection.index) else None
    settings = models.SearchParams(hnsw_ef=how.ef_search, exact=how.exact, quantization=rescored)
    selector = layout.payload if with_payload else False
    using, rows = layout.vector or None, layout.unit(rows)

    def ask(client: QdrantClient) -> list[Any]:
        if takes_messages(client):
            return query(
                client,
                name,
                rows,
                k,
                using=using,
                condition=condition,
                settings=settings,
                with_payload=selector,
                timeout_s=transport.timeout_s,
            )
        asked = [
            models.QueryRequest(
                query=row, using=using, filter=condition, params=settings, limit=k, with_payload=selector
            )
            for row in rows.tolist()
        ]
        return [answer.points for answer in client.query_batch_points(name, asked)]

    found = transport.call(ask) if len(rows) else []
    return layout.hits(transport, name, found, with_payload)
