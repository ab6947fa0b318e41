"""Search by gRPC in the engine's own messages: through the client's models a query takes some two thirds longer."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from cohorts.connectors.base import Vectors
from qdrant_client import QdrantClient, grpc, models
from qdrant_client.conversions.conversion import RestToGrpc, grpc_to_payload


class Scored(NamedTuple):
    """A point that was found, as the other clients of the engine give it."""

    id: int | str
    score: float
    payload: dict[str, Any] | None


def speaks_grpc(client: QdrantClient) -> bool:
    """Tell whether the client was made for gRPC."""
    return bool(client.init_options.get("prefer_grpc"))


def query(
    client: QdrantClient,
    name: str,
    rows: Vectors,
    k: int,
    *,
    using: str | None,
    condition: models.Filter | None,
    settings: models.SearchParams,
    with_payload: bool | list[str],
    timeout_s: int,
) -> list[list[Scored]]:
    """Return the k nearest of each row, (n, dim) float32. Raises grpc.RpcError."""
    filter_ = None if condition is None else RestToGrpc.convert_filter(condition)
    params = RestToGrpc.convert_search_params(settings)
    selector = RestToGrpc.convert_with_payload_interface(with_payload)
    asked = [
        grpc.QueryPoints(
            collection_name=name,
            query=grpc.Query(nearest=grpc.VectorInput(dense=grpc.DenseVector(data=row))),
            using=using,
            filter=filter_,
            params=params,
            limit=k,
            with_payload=selector,
        )
        for row in rows.tolist()
    ]
    if len(asked) == 1:
        return [_scored(client.grpc_points.Query(asked[0], timeout=timeout_s).result, with_payload)]
    batch = grpc.QueryBatchPoints(collection_name=name, query_points=asked)
    answer = client.grpc_points.QueryBatch(batch, timeout=timeout_s)
    return [_scored(one.result, with_payload) for one in answer.result]


def _scored(points: Iterable[Any], with_payload: bool | Sequence[str]) -> list[Scored]:
    if not with_payload:
        return [Scored(point.id.uuid or point.id.num, point.score, None) for point in points]
    return [
        Scored(point.id.uuid or point.id.num, point.score, grpc_to_payload(point.payload)) for point in points
    ]
