"""The traps of engines.md that the contract of all engines does not hold already, each by what fails unheeded.

Held elsewhere: NaN and zeros, counts, ids, upserts, dimensions, payload values, ef below k, parameters that an index
does not know, narrow filters, hostile text, quantisation (engine_contract); payload schema of others (test_attached);
one node down (test_cluster).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohorts.commands import hints
from cohorts.connectors.base import Collection, Connector, Payload, Points
from cohorts.connectors.filters.reading import parse_filter
from cohorts.connectors.index import Annoy, Flat, Hnsw, Index, Ivf, SearchParams
from cohorts.connectors.milvus.server import MilvusConnector
from cohorts.connectors.qdrant.server import QdrantConnector
from cohorts.connectors.registry import connect
from cohorts.errors import CollectionExists, EngineError, InputError, UnsupportedIndex, VersionMismatch
from engine_contract import DIM, cloud, points
from pymilvus import DataType, MilvusClient
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException
from servers import Milvus, QdrantNode

UNCHECKED = "check_compatibility=false"


@pytest.fixture
def raw_qdrant(qdrant: QdrantNode) -> Iterator[QdrantClient]:
    client = qdrant.client()
    yield client
    client.close()


@pytest.fixture
def raw_milvus(milvus: Milvus) -> Iterator[MilvusClient]:
    client = MilvusClient(f"http://127.0.0.1:{milvus.port}", timeout=60, dedicated=True)
    yield client
    client.close()


def fill(connector: Connector, batch: Points, index: Index, fields: dict[str, type] | None = None) -> None:
    connector.create(Collection("c", batch.vectors.shape[1], index, fields or {}))
    connector.upsert("c", batch)
    connector.finalize("c")


def test_a_small_collection_has_an_index_too_on_qdrant(raw_qdrant: QdrantClient) -> None:
    """The engine indexes nothing below 10,000 kB a segment, and says green."""
    fill(QdrantConnector(client=raw_qdrant), points(400), Hnsw(m=8))
    about = raw_qdrant.get_collection("c")
    assert about.indexed_vectors_count == about.points_count == 400
    assert about.config.hnsw_config.m == 8


def test_a_collection_is_made_though_the_answer_was_lost_on_qdrant(
    raw_qdrant: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = raw_qdrant.create_collection

    def unheard(*given: Any, **settings: Any) -> None:
        create(*given, **settings)
        raise ResponseHandlingException(ConnectionResetError())

    monkeypatch.setattr(raw_qdrant, "create_collection", unheard)
    connector = QdrantConnector(client=raw_qdrant)
    connector.create(Collection("c", DIM))
    with pytest.raises(CollectionExists):
        connector.create(Collection("c", DIM))


def test_payload_indexes_stand_before_the_graph_is_built_on_qdrant(raw_qdrant: QdrantClient) -> None:
    connector = QdrantConnector(client=raw_qdrant)
    connector.create(Collection("c", DIM, Hnsw(), {"age": float, "codes": list[str]}))
    about = raw_qdrant.get_collection("c")
    assert about.config.optimizer_config.indexing_threshold == 0, "no graph before finalize"
    assert {key: one.data_type.value for key, one in about.payload_schema.items()} == {
        "age": "float",
        "codes": "keyword",
    }


def test_the_same_ids_twice_are_stored_once_on_a_milvus_server(raw_milvus: MilvusClient) -> None:
    """`insert` would store both, and a search for 10 return 5."""
    connector, batch = MilvusConnector(client=raw_milvus), points(100)
    fill(connector, batch, Hnsw())
    connector.upsert("c", batch)
    connector.finalize("c")
    assert connector.count("c") == 100
    found = [hit.id for hit in connector.search("c", cloud(1), 60).hits[0]]
    assert len(found) == len(set(found)) == 60


@pytest.mark.parametrize(
    ("index", "kind"),
    [
        (Flat(), "FLAT"),
        (Hnsw(m=16, ef_construction=100), "HNSW"),
        (Ivf(nlist=16), "IVF_FLAT"),
        (Ivf(nlist=16, variant="sq8"), "IVF_SQ8"),
        (Ivf(nlist=16, variant="pq"), "IVF_PQ"),
    ],
)
def test_a_milvus_server_builds_what_was_asked(raw_milvus: MilvusClient, index: Index, kind: str) -> None:
    connector, vectors = MilvusConnector(client=raw_milvus), cloud(1_500, 32)
    fill(connector, Points([str(i) for i in range(1_500)], vectors, [{}] * 1_500), index)
    about = raw_milvus.describe_index("c", "vector")
    assert (about["index_type"], about["metric_type"], about["pending_index_rows"]) == (kind, "COSINE", 0)
    found = connector.search("c", vectors[:20], 10, params=SearchParams(nprobe=100))
    own = sum(str(i) in [hit.id for hit in hits] for i, hits in enumerate(found.hits))
    assert own >= (10 if kind == "IVF_PQ" else 20), (
        "PQ may lose a vector's own neighbourhood: chance is .13 of 20"
    )
    told = "nprobe=100 was asked; there are 16 clusters: all were searched"
    assert (told in found.notes) == isinstance(index, Ivf)


@pytest.mark.parametrize("index", [Annoy(), Ivf(variant="pq"), Hnsw(quantization="scalar")])
def test_embedded_milvus_refuses_what_it_would_serve_by_brute_force(index: Index, tmp_path: Path) -> None:
    with connect(f"milvus:{tmp_path}/s.db") as connector:
        with pytest.raises(UnsupportedIndex, match=r"It has: flat, hnsw, ivf \(flat, sq8\)"):
            connector.create(Collection("c", DIM, index))
        assert connector.collections() == []


def test_a_narrow_filter_is_searched_wider_and_told_on_a_milvus_server(raw_milvus: MilvusClient) -> None:
    vectors = cloud(4_000, 32)
    rows: list[Payload] = [{"n": i % 100} for i in range(4_000)]
    connector = MilvusConnector(client=raw_milvus)
    fill(connector, Points([str(i) for i in range(4_000)], vectors, rows), Ivf(nlist=64), {"n": int})
    queries, few = cloud(10, 32, seed=1), np.arange(4_000) % 100 == 0
    found = connector.search("c", queries, 20, where=parse_filter("n = 0"), params=SearchParams(nprobe=2))
    twentieth = np.sort(queries @ vectors[few].T, axis=1)[:, -20]
    got = np.array([[hit.score for hit in hits] for hits in found.hits])
    assert got.shape == (10, 20)
    assert (got >= twentieth[:, None] - 1e-5).mean() >= 0.95
    assert any("times wider" in note for note in found.notes)


@pytest.mark.parametrize("protocol", ["http", "grpc", "milvus"])
def test_a_batch_beyond_the_limits_goes_in_by_parts(
    protocol: str, qdrant: QdrantNode, milvus: Milvus
) -> None:
    """32 MiB of JSON are the end of a request to Qdrant, 64 MiB of one to Milvus."""
    port = {"http": qdrant.http, "grpc": qdrant.grpc, "milvus": milvus.port}[protocol]
    store = (
        f"milvus+http://127.0.0.1:{port}"
        if protocol == "milvus"
        else f"qdrant+{protocol}://127.0.0.1:{port}?{UNCHECKED}"
    )
    many, dim = 2_500, 1_536
    vectors = np.random.default_rng(0).normal(size=(many, dim)).astype(np.float32)
    rows: list[Payload] = [{"text": "x" * 20_000} for _ in range(many)]
    with connect(store) as connector:
        for left in connector.collections():
            connector.drop(left)
        connector.create(Collection("c", dim, Flat()))
        connector.upsert("c", Points([str(i) for i in range(many)], vectors, rows))
        assert connector.count("c") == many
        connector.drop("c")


def test_a_build_that_takes_too_long_is_an_error(raw_milvus: MilvusClient) -> None:
    connector, many = MilvusConnector(client=raw_milvus), 6_000
    connector.create(Collection("c", 256, Hnsw(m=64, ef_construction=2_000)))
    vectors = np.random.default_rng(0).normal(size=(many, 256)).astype(np.float32)
    connector.upsert("c", Points([str(i) for i in range(many)], vectors, [{}] * many))
    raw_milvus.flush("c")
    with pytest.raises(EngineError):
        connector.finalize("c", timeout_s=0.2)
    connector.drop("c")


def test_collections_of_others_keep_their_names(raw_qdrant: QdrantClient, raw_milvus: MilvusClient) -> None:
    """Qdrant would say 409; Milvus accepts the same schema again and says nothing."""
    raw_qdrant.create_collection("c", models.VectorParams(size=DIM, distance=models.Distance.COSINE))
    raw_milvus.create_collection("c", dimension=DIM)
    for connector in (QdrantConnector(client=raw_qdrant), MilvusConnector(client=raw_milvus)):
        with pytest.raises(CollectionExists):
            connector.create(Collection("c", DIM))
        assert connector.collections() == ["c"]
        with pytest.raises(InputError, match="attach it") as refused:
            connector.drop("c")
        assert "cohorts attach" in hints.told(refused.value)


def test_another_metric_than_cosine_is_refused(raw_qdrant: QdrantClient, raw_milvus: MilvusClient) -> None:
    raw_qdrant.create_collection("c", models.VectorParams(size=DIM, distance=models.Distance.EUCLID))
    raw_milvus.create_collection("c", dimension=DIM, metric_type="L2")
    for connector in (QdrantConnector(client=raw_qdrant), MilvusConnector(client=raw_milvus)):
        assert connector.abilities.attaches
        with pytest.raises(
            InputError, match=r"compared by (Euclid|L2), which orders points as cosine does only where"
        ):
            connector.propose("c")


def test_a_collection_of_others_that_is_not_loaded_says_so(raw_milvus: MilvusClient) -> None:
    raw_milvus.create_collection("c", dimension=DIM, metric_type="COSINE")
    raw_milvus.release_collection("c")
    with pytest.raises(InputError, match="not loaded"):
        MilvusConnector(client=raw_milvus).propose("c")


def test_a_collection_of_ours_that_someone_released_is_loaded_again(raw_milvus: MilvusClient) -> None:
    fill(MilvusConnector(client=raw_milvus), points(20), Hnsw())
    raw_milvus.release_collection("c")
    assert MilvusConnector(client=raw_milvus).count("c") == 20


def test_a_failed_create_leaves_nothing_on_a_milvus_server(raw_milvus: MilvusClient) -> None:
    """The server takes at most 32,768 dimensions; the schema is refused by it, and not by us."""
    connector = MilvusConnector(client=raw_milvus)
    with pytest.raises(EngineError):
        connector.create(Collection("c", 40_000))
    assert connector.collections() == []


def test_filters_of_patients_stand_in_no_error(raw_milvus: MilvusClient) -> None:
    connector = MilvusConnector(client=raw_milvus)
    raw_milvus.create_schema()
    schema = MilvusClient.create_schema(enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIM)
    raw_milvus.create_collection("c", schema=schema)
    with pytest.raises(EngineError) as raised:
        connector._transport.query("c", 'nowhere == "Smith, John"', ["id"])
    assert "Smith" not in str(raised.value)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_server_of_another_age_is_warned_of_unless_the_address_says_so(
    protocol: str, qdrant: QdrantNode, recwarn: pytest.WarningsRecorder
) -> None:
    port = qdrant.http if protocol == "http" else qdrant.grpc
    with connect(f"qdrant+{protocol}://127.0.0.1:{port}?{UNCHECKED}") as connector:
        connector.collections()
    assert len(recwarn) == 0
    warned = pytest.warns(VersionMismatch, match=r"server 1\.16\.3.*check_compatibility=false")
    with connect(f"qdrant+{protocol}://127.0.0.1:{port}") as connector, warned:
        connector.collections()


@pytest.mark.parametrize(
    ("index", "params"),
    [
        (Hnsw(m=24, ef_construction=300), {"M": 24, "efConstruction": 300}),
        (Ivf(nlist=7), {"nlist": 7}),
        (Ivf(nlist=7, variant="sq8"), {"nlist": 7}),
    ],
)
def test_embedded_milvus_builds_with_the_parameters_asked_for(
    index: Index, params: dict[str, int], tmp_path: Path
) -> None:
    """It reads them from another place than its client writes them to, and takes its defaults in silence."""
    with connect(f"milvus:{tmp_path}/s.db") as connector:
        fill(connector, points(50), index)
    client = MilvusClient(f"{tmp_path}/s.db")
    told = client.describe_index("c", "vector")
    client.close()
    assert told["params"] == params


@pytest.mark.parametrize("timeout_s", [60.0, 0.2])
def test_embedded_milvus_may_build_for_longer_than_a_call_may_take(
    timeout_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine answers when it has built. A second call, where the first had no time left, finds the index there."""
    with connect(f"milvus:{tmp_path}/store.db") as connector:
        connector.create(Collection("c", 64))
        connector.upsert("c", Points([str(i) for i in range(2_000)], cloud(2_000, 64), [{}] * 2_000))
        monkeypatch.setattr(connector._transport, "timeout_s", 0.2)  # type: ignore[attr-defined]
        connector.finalize("c", timeout_s=timeout_s)
        monkeypatch.undo()
        assert connector.describe("c").indexed == 2_000


def test_embedded_milvus_sends_no_vectors_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends every field of a hit where none is named: a search for two hundred took four times as long."""
    sent: set[str] = set()
    search = MilvusClient.search

    def watched(*args: Any, **named: Any) -> Any:
        found = search(*args, **named)
        sent.update(field for row in found for hit in row for field in hit["entity"])
        return found

    monkeypatch.setattr(MilvusClient, "search", watched)
    with connect(f"milvus:{tmp_path}/s.db") as connector:
        fill(connector, points(10), Flat())
        for with_payload in (True, False):
            assert connector.search("c", cloud(1), 3, with_payload=with_payload).hits
    assert sent == {"id", "payload"}


def test_embedded_milvus_makes_a_collection_whose_making_was_killed(tmp_path: Path) -> None:
    """The engine leaves a folder without a schema, knows no collection of that name, and refuses to make it."""
    with connect(f"milvus:{tmp_path}/s.db") as connector:
        fill(connector, points(10), Flat())
    torn = tmp_path / "s.db" / "collections" / "torn"
    torn.mkdir()
    (torn / "schema.json.tmp").write_text("{")
    with connect(f"milvus:{tmp_path}/s.db") as connector:
        connector.create(Collection("torn", 8, Flat()))
        assert connector.collections() == ["c", "torn"]
        assert (connector.count("c"), connector.count("torn")) == (10, 0)
