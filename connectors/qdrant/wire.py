"""Search and write by gRPC in the engine's own messages.

Through the client's models a query takes some two thirds longer, and a point twice the time to make. What makes
messages of models the client keeps to itself: where a release has it no more, all goes through the models.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from cohorts.connectors.base import Payload, Vectors
from qdrant_client import QdrantClient, grpc, models

try:
    from qdrant_client.conversions.conversion import RestToGrpc, grpc_to_payload
except ImportError:
    RestToGrpc = None  # type: ignore[assignment, misc]

_NULL = {"null_value": 0}
_SCALARS = {str: "string_value", int: "integer_value", float: "double_value", bool: "bool_value"}


class Scored(NamedTuple):
    """A point that was found, as the other clients of the engine give it."""

    id: int | str
    score: float
    payload: dict[str, Any] | None


def takes_messages(client: QdrantClient) -> bool:
    """Tell whether the client was made for gRPC, and messages can be made for it."""
    return RestToGrpc is not None and bool(client.init_options.get("prefer_grpc"))


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


def upsert(
    client: QdrantClient,
    name: str,
    ids: Sequence[int | str],
    rows: Vectors,
    payloads: Sequence[Payload],
    *,
    most_bytes: int,
    timeout_s: int,
) -> None:
    """Write points, by halves where a message would be larger; each is applied on return. Raises grpc.RpcError."""
    request, half = _to_request(name, ids, rows, payloads), len(ids) // 2
    if half and request.ByteSize() > most_bytes:
        for some in (slice(half), slice(half, None)):
            upsert(
                client,
                name,
                ids[some],
                rows[some],
                payloads[some],
                most_bytes=most_bytes,
                timeout_s=timeout_s,
            )
        return
    client.grpc_points.Upsert(request, timeout=timeout_s)


def _to_request(
    name: str, ids: Sequence[int | str], rows: Vectors, payloads: Sequence[Payload]
) -> grpc.UpsertPoints:
    """Return the message; numbers are merged into it as they lie in memory, for protobuf copies them one by one."""
    request = grpc.UpsertPoints(collection_name=name, wait=True)
    raw, width, start = (
        rows.astype("<f4", copy=False).tobytes(),
        4 * rows.shape[1],
        _vector_start(rows.shape[1]),
    )
    for row, (point_id, payload) in enumerate(zip(ids, payloads, strict=True)):
        point = request.points.add(
            id={"uuid" if isinstance(point_id, str) else "num": point_id},
            payload={key: _value(value) for key, value in payload.items()},
        )
        point.MergeFromString(start + raw[row * width : (row + 1) * width])
    return request


@cache
def _vector_start(dim: int) -> bytes:
    """Return what stands before the numbers of a point that is nothing but a vector: its bytes end with them."""
    vector = grpc.Vector(dense=grpc.DenseVector(data=[0.0] * dim))
    point: bytes = grpc.PointStruct(vectors=grpc.Vectors(vector=vector)).SerializeToString()
    return point[: -4 * dim]


def _value(value: Any) -> Mapping[str, Any]:
    """Return a payload's value as a message's arguments, of which protobuf makes a whole tree at once."""
    kind = _SCALARS.get(type(value))
    if kind is not None:
        return {kind: value}
    if value is None:
        return _NULL
    return {"list_value": {"values": [{"string_value": one} for one in value]}}
