"""What the clients keep to themselves may vanish in any release: their public names then give the same answers."""

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from cohorts.connectors.base import Collection, Points
from cohorts.connectors.filters.reading import parse_filter
from cohorts.connectors.milvus import embedded
from cohorts.connectors.milvus import wire as milvus_wire
from cohorts.connectors.qdrant import wire as qdrant_wire
from cohorts.connectors.registry import connect
from engine_contract import DIM, FIELDS, cloud, points
from pymilvus import MilvusClient
from qdrant_client import QdrantClient
from servers import QdrantNode


class PublicNames:
    """A client that has no private names, and counts the points that go through its `upsert`."""

    written = 0

    def __init__(self, *given: Any, **named: Any) -> None:
        self._client = MilvusClient(*given, **named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._client, name)

    def upsert(self, name: str, rows: list[dict[str, Any]], **named: Any) -> Any:
        PublicNames.written += len(rows)
        return self._client.upsert(name, rows, **named)


@pytest.fixture
def reloaded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Load a module of ours as where a client's module is missing: give the first, and the other's name."""
    ours, gone = request.param
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, gone, None)
        importlib.reload(ours)
    yield ours
    importlib.reload(ours)


def answers(address: str) -> tuple[list[Any], list[Any]]:
    """Write 300 points, half of them twice; return all that are there, and what searches find."""
    where = parse_filter("codes contains 'F' or admitted >= '2102-01-01' or not died")
    batch, again = points(300), points(150, seed=1)
    with connect(address) as connector:
        connector.create(Collection("c", DIM, fields=FIELDS))
        connector.upsert("c", batch)
        connector.upsert("c", Points(batch.ids[:150], again.vectors, again.payloads))
        connector.finalize("c")
        there = sorted(
            (key, vector.tolist(), payload)
            for part in connector.scroll("c")
            for key, vector, payload in zip(part.ids, part.vectors, part.payloads, strict=True)
        )
        found = [
            connector.search("c", cloud(rows), 20, where=where, with_payload=with_payload).hits
            for rows in (1, 5)
            for with_payload in (True, False)
        ]
        connector.drop("c")
    return there, found


def test_embedded_milvus_takes_rows_of_a_client_without_private_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    expected = answers(f"milvus:{tmp_path}/a.db")
    monkeypatch.setattr(embedded, "MilvusClient", PublicNames)
    monkeypatch.setattr(PublicNames, "written", 0)
    assert answers(f"milvus:{tmp_path}/b.db") == expected
    assert PublicNames.written == 450


@pytest.mark.parametrize("reloaded", [(milvus_wire, "pymilvus.client.ts_utils")], indirect=True)
def test_embedded_milvus_takes_rows_where_times_of_writes_have_no_place(
    reloaded: ModuleType, tmp_path: Any
) -> None:
    without = answers(f"milvus:{tmp_path}/a.db")
    importlib.reload(reloaded)
    assert answers(f"milvus:{tmp_path}/b.db") == without


@pytest.mark.parametrize("reloaded", [(qdrant_wire, "qdrant_client.conversions.conversion")], indirect=True)
def test_qdrant_answers_through_models_where_none_become_messages(
    reloaded: ModuleType, qdrant: QdrantNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"qdrant+grpc://127.0.0.1:{qdrant.grpc}?check_compatibility=false"
    asked, ask = [], QdrantClient.query_batch_points

    def watched(*given: Any, **named: Any) -> Any:
        asked.append(given)
        return ask(*given, **named)

    monkeypatch.setattr(QdrantClient, "query_batch_points", watched)
    without = answers(address)
    assert len(asked) == 4
    importlib.reload(reloaded)
    assert answers(address) == without
    assert len(asked) == 4
