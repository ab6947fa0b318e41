"""Indexes of collections that others made: under which name, and which of them are said to be exact."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from cohorts.connectors import checks
from cohorts.connectors.base import Collection, Connector
from cohorts.connectors.checks import unit_rows
from cohorts.connectors.filters.reading import parse_filter
from cohorts.connectors.index import (
    Flat,
    Hnsw,
    Index,
    Ivf,
    Other,
    SearchParams,
    effective_search,
    index_from_json,
    index_to_json,
    show_index,
)
from cohorts.connectors.milvus.inspection import index_of
from cohorts.connectors.milvus.server import MilvusConnector
from cohorts.connectors.milvus.translate import to_search
from cohorts.connectors.qdrant.server import QdrantConnector
from cohorts.errors import InputError
from cohorts.harness.live.audit import audit
from cohorts.harness.live.queries import Sample
from cohorts.harness.live.reader import Pace, Reader
from cohorts.harness.live.tune import tune
from cohorts.loaders.attach import confirm, look
from cohorts.loaders.versions import IndexRequest
from pymilvus import MilvusClient
from qdrant_client import QdrantClient, models
from servers import Milvus, QdrantNode, wait_until


@pytest.fixture
def qdrant_client(qdrant: QdrantNode) -> Iterator[QdrantClient]:
    """A client of the owner of a collection."""
    client = qdrant.client(prefer_grpc=True)
    yield client
    client.close()


def random_units(rows: int, dim: int, seed: int) -> npt.NDArray[np.float32]:
    """Return vectors without clusters: a graph that is searched too narrowly misses many of their neighbours."""
    return unit_rows(np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32), dim)


def recall_of(connector: Connector, vectors: Any, queries: Any, params: SearchParams | None) -> float:
    """Return recall@10 of collection `theirs`, whose keys are row numbers, against numpy."""
    true = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    hits = connector.search("theirs", queries, 10, params=params).hits
    return float(
        np.mean(
            [len({int(hit.id) for hit in row} & set(near)) / 10 for row, near in zip(hits, true, strict=True)]
        )
    )


def test_an_index_that_milvus_chose_is_approximate_and_exact_search_reads_the_points(
    milvus: Milvus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, queries = random_units(1_500, 64, 0), random_units(50, 64, 1)
    client = MilvusClient(f"http://127.0.0.1:{milvus.port}", timeout=60)
    client.create_collection("theirs", dimension=64)  # the client's default index: AUTOINDEX
    client.insert("theirs", [{"id": i, "vector": row} for i, row in enumerate(vectors)])
    client.flush("theirs")
    wait_until(lambda: not client.describe_index("theirs", "vector")["pending_index_rows"], "an index")
    client.refresh_load("theirs")
    with MilvusConnector(client=client) as connector:
        _, proposed = look(connector, "theirs")
        written_before = replace(proposed, collection=replace(proposed.collection, index=Flat()))
        confirm(connector, written_before, tmp_path / "a.json", write=False)
        about = connector.describe("theirs")
        assert (about.collection.index, about.exact, about.note) == (Other("AUTOINDEX"), False, "")
        assert about.indexed == 1_500
        assert recall_of(connector, vectors, queries, None) < 0.95
        exactly = SearchParams(exact=True)
        assert recall_of(connector, vectors, queries, exactly) == 1.0
        (note,) = connector.search("theirs", queries, 10, params=exactly).notes
        assert "1,500 points were read and compared here" in note
        found = audit(Reader(connector, "theirs", Pace(1e9)), queries=50, asked=sample_of(queries))
        own, perturbed, new = found.rows
        assert new.recall == pytest.approx(recall_of(connector, vectors, queries, None))
        assert (found.line, own.recall > new.recall) == ("AUTOINDEX, 1,500 of 1,500 indexed", True)
        assert perturbed.recall < 0.95
        with pytest.raises(InputError, match="AUTOINDEX, whose search parameters are not known"):
            tune(Reader(connector, "theirs", Pace(1e9)), 0.9)
        monkeypatch.setattr(checks, "MAX_SCAN", 1_000)
        with pytest.raises(InputError, match=r"1,500 points would be read .* at most 1,000 are"):
            connector.search("theirs", queries, 10, params=exactly)
        with pytest.raises(InputError, match="at most 1,000 are"):
            audit(Reader(connector, "theirs", Pace(1e9)), queries=50)
        where = parse_filter("id < 1000")
        connector.attach(look(connector, "theirs", fields=["id=id:integer"])[1])
        assert len(connector.search("theirs", queries[:1], 5, where=where, params=exactly).hits[0]) == 5
    client.drop_collection("theirs")
    client.close()


def sample_of(queries: Any) -> Sample:
    return Sample(kind="vectors", ids=[str(row) for row in range(len(queries))], vectors=queries, about="")


@pytest.mark.parametrize("kind", ["AUTOINDEX", "DISKANN", "SCANN", "GPU_CAGRA", "IVF_HNSW", "HNSW_SQ", "NEW"])
def test_an_index_of_a_kind_that_is_not_known_keeps_its_name(kind: str) -> None:
    index = index_of({"index_type": kind, "M": "16", "efConstruction": "200", "nlist": "64"})
    assert (index, show_index(index)) == (Other(kind), kind)
    assert index_from_json(index_to_json(index)) == index


@pytest.mark.parametrize(
    ("told", "index"),
    [
        ({"index_type": "FLAT"}, Flat()),
        ({"index_type": "HNSW", "M": "16", "efConstruction": "200"}, Hnsw(16, 200)),
        ({"index_type": "HNSW", "params": {"M": 4, "efConstruction": 8}}, Hnsw(4, 8)),
        ({"index_type": "HNSW"}, Other("HNSW")),  # embedded Milvus: parameters that it does not tell
        ({"index_type": "HNSW", "M": "1", "efConstruction": "8"}, Other("HNSW")),
        ({"index_type": "IVF_SQ8", "nlist": "64"}, Ivf(64, "sq8")),
        ({"index_type": "IVF_PQ", "nlist": "64", "m": "8"}, Ivf(64, "pq")),
        ({}, Other("unknown")),
    ],
)
def test_an_index_of_others_in_our_terms(told: dict[str, Any], index: Index) -> None:
    assert index_of(told) == index


def test_a_copy_of_an_index_that_is_not_known_gets_the_default() -> None:
    of_others = Collection("c", 8, Other("AUTOINDEX"))
    assert IndexRequest().or_as(of_others).index == Hnsw()
    assert IndexRequest(Flat()).or_as(of_others).index == Flat()


def test_what_is_asked_of_an_index_that_is_not_known_is_passed_on_and_said() -> None:
    index = Other("AUTOINDEX")
    how, notes = effective_search(index, SearchParams(), SearchParams(ef_search=50), 10)
    assert to_search(index, how, 10) == {"ef": 50}
    assert notes == ("ef_search was passed on; what it does to AUTOINDEX is not known",)
    assert to_search(index, SearchParams(), 10) == {}  # the engine's own default: 10 would be less
    assert to_search(index, SearchParams(ef_search=5), 10) == {"ef": 10}


COSINE = models.Distance.COSINE
BINARY = models.BinaryQuantization(binary=models.BinaryQuantizationConfig())


def test_qdrant_tells_exact_search_from_what_only_looks_like_it(
    qdrant_client: QdrantClient, tmp_path: Path
) -> None:
    vectors, queries = random_units(600, 64, 0), random_units(20, 64, 1)

    def make(params: Any, names: tuple[str, ...] = ("",), **more: Any) -> QdrantConnector:
        """Make a collection of others, with the vector under each name, and attach the first."""
        qdrant_client.delete_collection("theirs")
        qdrant_client.create_collection("theirs", params, **more)
        points = [
            models.PointStruct(id=i, vector=dict.fromkeys(names, row) if names[0] else row)
            for i, row in enumerate(vectors.tolist())
        ]
        qdrant_client.upsert("theirs", points, wait=True)
        wait_until(lambda: qdrant_client.get_collection("theirs").status == "green", "an index")
        connector = QdrantConnector(client=qdrant_client)
        _, proposed = look(connector, "theirs", vector=names[0])
        confirm(connector, proposed, tmp_path / "a.json", write=False)
        return connector

    plain = models.VectorParams(size=64, distance=COSINE)
    unindexed = models.OptimizersConfigDiff(indexing_threshold=0)
    below = make(plain, optimizers_config=unindexed)
    assert below.describe("theirs").note == "no index yet or too few vectors for one: search is exact"
    assert recall_of(below, vectors, queries, None) == 1.0

    compressed = make(plain, optimizers_config=unindexed, quantization_config=BINARY)
    about = compressed.describe("theirs")
    assert (about.indexed, about.exact, about.note) == (0, False, "")
    assert isinstance(about.collection.index, Hnsw)
    assert about.collection.index.quantization == "binary"
    assert recall_of(compressed, vectors, queries, None) < 1.0
    assert recall_of(compressed, vectors, queries, SearchParams(exact=True)) == 1.0

    no_graph = models.HnswConfigDiff(m=0)
    bare = make(plain, hnsw_config=no_graph, quantization_config=BINARY)
    assert bare.describe("theirs").collection.index == Other("no graph, binary quantization")
    assert not bare.describe("theirs").exact

    two = {
        "a": models.VectorParams(size=64, distance=COSINE, hnsw_config=no_graph),
        "b": models.VectorParams(size=64, distance=COSINE),
    }
    small = models.OptimizersConfigDiff(indexing_threshold=1)
    flat = make(two, ("a", "b"), optimizers_config=small).describe("theirs")
    assert (flat.collection.index, flat.exact) == (Flat(), True)
    graph = make(two, ("b", "a"), optimizers_config=small).describe("theirs")
    assert (graph.collection.index, graph.exact) == (Hnsw(16, 100), False)
    assert graph.indexed <= graph.count == 600


def test_vectors_that_can_t_be_compared_one_by_one_are_refused(qdrant_client: QdrantClient) -> None:
    several = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    qdrant_client.delete_collection("theirs")
    qdrant_client.create_collection(
        "theirs", models.VectorParams(size=8, distance=COSINE, multivector_config=several)
    )
    connector = QdrantConnector(client=qdrant_client)
    with pytest.raises(InputError, match="several vectors a point"):
        look(connector, "theirs")
