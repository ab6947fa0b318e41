"""Of a collection's fields those alone get an index that are to, by each engine's own word; the others are read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import qdrant_edge as edge
from cohorts.connectors.base import Collection, Connector
from cohorts.connectors.filters.conditions import matches
from cohorts.connectors.filters.reading import parse_filter
from cohorts.connectors.index import Hnsw, SearchParams
from cohorts.connectors.milvus.server import MilvusConnector
from cohorts.connectors.qdrant.embedded import QdrantEdgeConnector
from cohorts.connectors.qdrant.server import QdrantConnector
from cohorts.errors import EngineError
from engine_contract import DIM, cloud, points
from pymilvus import MilvusClient
from qdrant_client import QdrantClient, models
from servers import Milvus, QdrantNode

FIELDS = {"age": float, "sex": str}


@pytest.fixture
def raw_qdrant(qdrant: QdrantNode) -> Iterator[QdrantClient]:
    client = qdrant.client()
    yield client
    client.close()


def fill(connector: Connector, many: int = 400) -> None:
    connector.create(Collection("c", DIM, Hnsw(m=8), FIELDS, unindexed=("age",)))
    connector.upsert("c", points(many))
    connector.finalize("c")


def test_qdrant_indexes_those_alone(raw_qdrant: QdrantClient) -> None:
    fill(QdrantConnector(client=raw_qdrant))
    assert list(raw_qdrant.get_collection("c").payload_schema) == ["sex"]


def test_embedded_qdrant_indexes_those_alone(tmp_path: Path) -> None:
    with QdrantEdgeConnector(tmp_path) as connector:
        fill(connector)
    shard = edge.EdgeShard.load(str(tmp_path / "c"))
    assert list(shard.info().payload_schema) == ["sex"]
    shard.close()


def test_milvus_indexes_those_alone(milvus: Milvus) -> None:
    client = MilvusClient(f"http://127.0.0.1:{milvus.port}", timeout=60, dedicated=True)
    fill(MilvusConnector(client=client))
    assert sorted(client.list_indexes("c")) == ["f_sex", "vector"]
    client.close()


def test_a_narrow_filter_without_an_index_finds_all_beside_a_graph(tmp_path: Path) -> None:
    """Above the size from which the engine walks its graph, in which no link follows such a field."""
    with QdrantEdgeConnector(tmp_path) as connector:
        fill(connector, 12_000)
        assert connector.describe("c").indexed == 12_000
        for text in ("age = 44", "age >= 80 and sex = 'F'", "age > 40"):
            where = parse_filter(text)
            there = connector.count("c", where)
            found = connector.search("c", cloud(5), 50, where=where).hits
            assert [len(hits) for hits in found] == [min(50, there)] * 5, text
            assert all(matches(where, hit.payload) for hits in found for hit in hits)
            exact = connector.search("c", cloud(5), 50, where=where, params=SearchParams(exact=True)).hits
            both = [{hit.id for hit in a} & {hit.id for hit in b} for a, b in zip(found, exact, strict=True)]
            assert sum(map(len, both)) >= 0.9 * sum(map(len, exact)), text


def test_a_qdrant_that_allows_no_such_filter_says_so(raw_qdrant: QdrantClient) -> None:
    connector = QdrantConnector(client=raw_qdrant)
    fill(connector)
    strict = models.StrictModeConfig(enabled=True, unindexed_filtering_retrieve=False)
    raw_qdrant.update_collection("c", strict_mode_config=strict)
    with pytest.raises(EngineError, match='Index required but not found for "age"'):
        connector.search("c", cloud(1), 5, where=parse_filter("age > 40"))
    with pytest.raises(EngineError, match='Index required but not found for "age"'):
        connector.count("c", parse_filter("sex = 'F' and age > 40"))
    assert connector.count("c", parse_filter("sex = 'F'")) > 0
