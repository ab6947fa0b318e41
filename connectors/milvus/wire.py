"""Upsert in the engine's own message, which holds columns: from the client's rows it takes eight times longer to make.

The client sends no message that it has not made: what it keeps to itself is used here, and nowhere else. Where a
release has it no more, the client makes the message from rows.
"""

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

from cohorts.connectors.base import Collection, Payload, Points, Vectors
from cohorts.connectors.milvus.translate import (
    ID,
    MAX_ID_BYTES,
    MAX_ITEMS,
    MAX_TEXT_BYTES,
    MISSING,
    PAYLOAD,
    VECTOR,
    present_column,
    value_column,
)
from cohorts.errors import PointError
from pymilvus import DataType, MilvusClient
from pymilvus.grpc_gen.milvus_pb2 import UpsertRequest
from pymilvus.grpc_gen.schema_pb2 import ScalarField

try:
    from pymilvus.client.ts_utils import update_collection_ts
    from pymilvus.client.utils import check_status
except ImportError:
    update_collection_ts = check_status = None

_SCALARS: dict[Any, tuple[DataType, str]] = {
    str: (DataType.VARCHAR, "string_data"),
    date: (DataType.VARCHAR, "string_data"),
    int: (DataType.INT64, "long_data"),
    float: (DataType.DOUBLE, "double_data"),
    bool: (DataType.BOOL, "bool_data"),
}


def to_texts(collection: Collection, points: Points) -> list[bytes]:
    """Return the payloads as they are kept, in JSON. Raises InputError where a point can't be stored."""
    for key in points.ids:
        if len(key.encode()) > MAX_ID_BYTES:
            raise PointError(f"An id has {len(key.encode())} bytes; Milvus takes at most {MAX_ID_BYTES}.")
    texts = [json.dumps(payload, ensure_ascii=False).encode() for payload in points.payloads]
    for key, text in zip(points.ids, texts, strict=True):
        if len(text) > MAX_TEXT_BYTES:
            raise PointError(
                f"The payload of {key} has {len(text):,} bytes; Milvus takes at most {MAX_TEXT_BYTES:,}."
            )
    for field in (field for field, kind in collection.fields.items() if kind == list[str]):
        for key, payload in zip(points.ids, points.payloads, strict=True):
            _check_items(field, key, payload)
    return texts


def upsert(
    client: MilvusClient,
    name: str,
    collection: Collection,
    points: Points,
    texts: Sequence[bytes],
    *,
    timeout_s: float,
) -> None:
    """Write points; `texts` are their payloads as they are kept. Raises MilvusException, grpc.RpcError."""
    if _takes_messages(client):
        _send(client, _to_request(name, collection, points, texts), timeout_s)
    else:
        client.upsert(name, _to_rows(collection, points), timeout=timeout_s)


def _to_request(name: str, collection: Collection, points: Points, texts: Sequence[bytes]) -> UpsertRequest:
    """Return the message that writes points."""
    request = UpsertRequest(collection_name=name, num_rows=len(points.ids))
    _add(request, ID, DataType.VARCHAR, "string_data", points.ids)
    _add_vectors(request, points.vectors)
    _add(request, PAYLOAD, DataType.JSON, "json_data", texts)
    for field, kind in collection.fields.items():
        values = [payload.get(field) for payload in points.payloads]
        present = [value is not None and value != [] for value in values]
        _add(request, present_column(field), *_SCALARS[bool], present)
        missing = MISSING[str(kind)]
        values = [missing if value is None else value for value in values]
        if kind == list[str]:
            lists = [ScalarField(string_data={"data": value}) for value in values]
            _add(request, value_column(field), DataType.ARRAY, "array_data", lists)
        else:
            _add(request, value_column(field), *_SCALARS[kind], values)
    return request


def _to_rows(collection: Collection, points: Points) -> list[dict[str, Any]]:
    """Return what `_to_request` holds as the rows that the client takes: a value per column, the payload as it is."""
    rows = []
    for key, vector, payload in zip(points.ids, points.vectors, points.payloads, strict=True):
        row = {ID: key, VECTOR: vector, PAYLOAD: payload}
        for field, kind in collection.fields.items():
            value = payload.get(field)
            row[present_column(field)] = value is not None and value != []
            row[value_column(field)] = MISSING[str(kind)] if value is None else value
        rows.append(row)
    return rows


def _takes_messages(client: MilvusClient) -> bool:
    """Tell whether the client still has what `_send` uses of it."""
    if update_collection_ts is None or not hasattr(client, "_generate_call_context"):
        return False
    return hasattr(client, "_get_connection") and hasattr(client._get_connection(), "_stub")


def _send(client: MilvusClient, request: UpsertRequest, timeout_s: float) -> None:
    """Write as the client does: a search of the same session waits for it."""
    connection, context = client._get_connection(), client._generate_call_context()
    answer = connection._stub.Upsert(request, timeout=timeout_s, metadata=context.to_grpc_metadata())
    check_status(answer.status)
    update_collection_ts(
        request.collection_name, answer.timestamp, connection.server_address, context.get_db_name()
    )


def _check_items(field: str, key: str, payload: Payload) -> None:
    value = payload.get(field)
    if isinstance(value, list) and len(value) > MAX_ITEMS:
        raise PointError(f"{field} of {key} has {len(value):,} values; Milvus takes at most {MAX_ITEMS:,}.")


def _add(request: UpsertRequest, name: str, type_: DataType, slot: str, values: Sequence[Any]) -> None:
    column = request.fields_data.add(field_name=name, type=type_)
    getattr(column.scalars, slot).data.extend(values)


def _add_vectors(request: UpsertRequest, vectors: Vectors) -> None:
    """Merge the numbers into the message as they lie in memory: protobuf copies a list of them one by one."""
    column = request.fields_data.add(field_name=VECTOR, type=DataType.FLOAT_VECTOR)
    column.vectors.dim = vectors.shape[1]
    numbers = vectors.astype("<f4", copy=False).tobytes()
    column.vectors.float_vector.MergeFromString(
        b"\x0a" + _varint(len(numbers)) + numbers
    )  # field 1, of bytes


def _varint(number: int) -> bytes:
    """Return a number in protobuf's way: seven bits a byte, the least first, all but the last marked."""
    head = bytearray()
    while number > 0x7F:
        head.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*head, number))
