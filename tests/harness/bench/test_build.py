"""Building a collection and measuring what that costs, on real engines; and engines that say what is not so.

Vectors are synthetic. Nothing here is judged by how long it took: where times are compared, a schedule implies them.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import servers
from bench_answers import COLLECTION, ROWS, VECTORS, N, experiment_from, qdrant_address
from cohorts.connectors.base import Collection, Connector, Points
from cohorts.connectors.filters.conditions import Comparison
from cohorts.connectors.index import Flat, Hnsw
from cohorts.connectors.qdrant.embedded import QdrantEdgeConnector
from cohorts.connectors.qdrant.server import QdrantConnector
from cohorts.connectors.registry import connect
from cohorts.errors import EngineError
from cohorts.harness.bench.load import processes
from cohorts.harness.bench.run.build import Built, Rows, build, build_and_weigh
from cohorts.harness.bench.run.runner import run
from engine_contract import cloud
from qdrant_client import models

SERVED = """
name = "served"
repeats = 1
queries = 5
k = [3]
settle = {settle}
[data]
rows = 60
dim = 4
clusters = 2
[[store]]
name = "server"
address = "{address}"
[[index]]
build = "flat"
"""


class Lossy(QdrantEdgeConnector):
    def upsert(self, name: str, points: Points) -> None:
        super().upsert(name, Points(points.ids[1:], points.vectors[1:], points.payloads[1:]))


class Hasty(QdrantEdgeConnector):
    def finalize(self, name: str, *, timeout_s: float = 0.0) -> None:
        """Say that it is done."""


class HastyServer(QdrantConnector):
    def finalize(self, name: str, *, timeout_s: float = 0.0) -> None:
        """Say that it is done."""


class OtherServer(QdrantConnector):
    """Is told one index, says so, and builds another."""

    def finalize(self, name: str, *, timeout_s: float = 60.0) -> None:
        coarse = models.HnswConfigDiff(m=8, ef_construct=50)
        self._transport.call(lambda client: client.update_collection(name, hnsw_config=coarse))
        super().finalize(name, timeout_s=timeout_s)


class Stubborn(QdrantEdgeConnector):
    def create(self, collection: Collection) -> None:
        super().create(replace(collection, index=Hnsw()))


class TestBuild:
    def check(self, built: Built, connector: Connector) -> None:
        assert built.rows == N
        assert 0 < built.load_s <= built.searchable_s <= built.indexed_s
        assert built.build_s == built.indexed_s - built.load_s
        assert N - 100 <= built.indexed <= N
        found = connector.fetch("c", ["0", "7", str(N - 1)])
        np.testing.assert_allclose(found.vectors, VECTORS[[0, 7, N - 1]], atol=1e-5)
        assert [payload["sex"] for payload in found.payloads] == ["F", "M", "M"]
        assert connector.count("c", Comparison("sex", "=", "F")) == N // 2

    def test_an_embedded_engine_is_built_and_weighed_in_a_process_of_its_own(self, tmp_path: Path) -> None:
        address, wide = f"qdrant:{tmp_path}/s", cloud(20_000, 128)
        collection = Collection("wide", 128, Flat())
        built, weight = build_and_weigh(address, collection, Rows(wide))
        assert (built.rows, built.engine, built.note) == (20_000, "qdrant-edge", "no index: search is exact")
        assert "less what it held before the build" in weight.how
        held = (weight.rss_anon_mib or 0) + (weight.rss_file_mib or 0)
        assert held > 0.5 * wide.nbytes / processes.MIB
        assert built.core_s is not None
        assert 0 < built.core_s < 60
        with connect(address) as connector:  # the other process has closed it
            assert connector.count("wide") == 20_000

    def test_a_server_is_weighed_from_outside(self, qdrant: servers.QdrantNode) -> None:
        address = qdrant_address(qdrant)
        built, weight = build_and_weigh(address, COLLECTION, ROWS, settle_s=0.2)
        with connect(address) as connector:
            self.check(built, connector)
            connector.drop("c")
        assert built.says == "hnsw(m=16, ef_construction=100)"
        assert qdrant.process is not None
        assert weight.how == f"RssAnon of qdrant (pid {qdrant.process.pid})"
        assert (weight.rss_anon_mib or 0) > 1
        assert built.core_s is not None  # the server's own, of an index that took it some
        assert built.core_s > 0
        assert (built.settled_s or 0) >= built.indexed_s

    @pytest.mark.parametrize("settle", [0, 1])
    def test_an_experiment_says_whether_a_server_must_rest_before_it_is_measured(
        self, qdrant: servers.QdrantNode, tmp_path: Path, settle: int
    ) -> None:
        text = SERVED.format(settle=settle, address=qdrant_address(qdrant))
        folder = run(experiment_from(tmp_path, text), tmp_path)
        (file,) = folder.rglob("build-1.json")
        told = json.loads(file.read_text(encoding="utf-8"))
        assert (told["settled_s"] is not None) == bool(settle)

    @pytest.mark.parametrize("address", ["qdrant:{}/s", "milvus:{}/s.db", "memory:"])
    def test_every_engine_is_built_alike(self, address: str, tmp_path: Path) -> None:
        with connect(address.format(tmp_path)) as connector:
            self.check(build(connector, COLLECTION, ROWS), connector)

    def test_milvus_tells_in_its_own_words_what_it_built(self, milvus: servers.Milvus) -> None:
        with connect(f"milvus+http://127.0.0.1:{milvus.port}") as connector:
            built = build(connector, COLLECTION, ROWS)
            self.check(built, connector)
        assert built.says == "HNSW {'M': '16', 'efConstruction': '100'}"

    def test_lost_rows_are_told(self, tmp_path: Path) -> None:
        with (
            Lossy(tmp_path / "s") as connector,
            pytest.raises(EngineError, match=r"holds 2,997 points of c after 3,000 were written"),
        ):
            build(connector, COLLECTION, ROWS)

    def test_an_unfinished_index_is_caught(self, tmp_path: Path, qdrant: servers.QdrantNode) -> None:
        hasty: list[Connector] = [
            Hasty(tmp_path / "s"),
            HastyServer(client=qdrant.client(prefer_grpc=True)),
        ]
        for connector in hasty:
            with connector, pytest.raises(EngineError, match=r"3,000 of 3,000 vectors of c have no index"):
                build(connector, COLLECTION, ROWS)

    def test_another_index_than_asked_is_caught(self, tmp_path: Path, qdrant: servers.QdrantNode) -> None:
        asked = r"hnsw\(m=16, ef_construction=100\) was asked for"
        with Stubborn(tmp_path / "s") as connector, pytest.raises(EngineError, match=rf"m=32.*{asked}"):
            build(connector, COLLECTION, ROWS)
        client = qdrant.client(prefer_grpc=True)
        with (
            OtherServer(client=client) as server,
            pytest.raises(EngineError, match=rf"{asked}.*built hnsw\(m=8"),
        ):
            build(server, COLLECTION, ROWS)
        client.close()

    def test_a_collection_too_small_for_an_index_is_not_measured_as_one(self, tmp_path: Path) -> None:
        with (
            connect(f"qdrant:{tmp_path}/s") as connector,
            pytest.raises(EngineError, match="take more vectors"),
        ):
            build(connector, COLLECTION, Rows(VECTORS[:5]))

    def test_batches_hold_every_row_once(self) -> None:
        batches = list(Rows(VECTORS[:2_500]).batches())
        assert [len(batch.ids) for batch in batches] == [1_000, 1_000, 500]
        assert [key for batch in batches for key in batch.ids] == [str(row) for row in range(2_500)]
