"""A Qdrant cluster of three, 6 shards × 2 replicas: a node is killed under load, and comes back."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from cohorts.connectors.base import Collection, Connector, Points
from cohorts.connectors.registry import connect
from cohorts.errors import CohortsError
from engine_contract import DIM, cloud
from servers import QdrantCluster, QdrantNode, wait_until

BATCH = 20
UNCHECKED = "check_compatibility=false"


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, server_folder: object) -> Iterator[QdrantCluster]:
    """Give a cluster of its own to a test that kills nodes."""
    started = QdrantCluster(tmp_path_factory.mktemp("cluster"))
    started.start()
    yield started
    started.kill()


def address(nodes: list[QdrantNode]) -> str:
    hosts = ",".join(f"127.0.0.1:{node.grpc}" for node in nodes)
    return f"qdrant+grpc://{hosts}?shards=6&replicas=2&timeout_s=10&{UNCHECKED}"


@dataclass
class Load:
    """Queries and upserts without pause, until told to end; what was acknowledged, and what failed."""

    store: str
    ended: threading.Event = field(default_factory=threading.Event)
    written: list[str] = field(default_factory=list)
    queries: int = 0
    failures: list[str] = field(default_factory=list)

    def write(self) -> None:
        with connect(self.store) as connector:
            while not self.ended.is_set():
                first = len(self.written)
                ids = [str(first + i) for i in range(BATCH)]
                try:
                    connector.upsert("c", Points(ids, cloud(BATCH, DIM, seed=first), [{}] * BATCH))
                    self.written += ids
                except CohortsError as error:
                    self.failures.append(f"write: {error}")

    def query(self) -> None:
        with connect(self.store) as connector:
            while not self.ended.is_set():
                try:
                    found = connector.search("c", cloud(2, DIM, seed=self.queries), 5).hits
                    if [len(hits) for hits in found] != [5, 5]:
                        self.failures.append("query: short")
                    self.queries += 1
                except CohortsError as error:
                    self.failures.append(f"query: {error}")

    def grows(self, by: int) -> bool:
        """Wait until so many more batches were written and queries answered; tell whether nothing failed."""
        written, queries = len(self.written) + by * BATCH, self.queries + by
        wait_until(
            lambda: len(self.written) >= written and self.queries >= queries,
            f"{written} writes and {queries} queries, after {len(self.written)} and {self.queries},",
        )
        return not self.failures


def all_active(nodes: list[QdrantNode]) -> bool:
    """Tell whether every replica is active, as every node sees it."""
    for node in nodes:
        client = node.client()
        about = client.collection_cluster_info("c")
        client.close()
        states = [str(vars(shard)["state"].value) for shard in [*about.local_shards, *about.remote_shards]]
        if len(states) != 12 or set(states) != {"Active"}:
            return False
    return True


@pytest.mark.parametrize("victim", [0, 2])
def test_a_killed_node_costs_no_query_and_no_point(cluster: QdrantCluster, victim: int) -> None:
    load = Load(address(cluster.nodes))
    connector: Connector
    with connect(load.store) as connector:
        connector.create(Collection("c", DIM))
        connector.upsert("c", Points([f"first {i}" for i in range(100)], cloud(100), [{}] * 100))
        workers = [threading.Thread(target=one) for one in (load.write, load.query, load.query)]
        for worker in workers:
            worker.start()
        try:
            assert load.grows(10)
            cluster.nodes[victim].kill()
            assert load.grows(30), load.failures
            cluster.nodes[victim].start()
            wait_until(lambda: all_active(cluster.nodes), "all replicas active again")
            assert load.grows(10), load.failures
        finally:
            load.ended.set()
            for worker in workers:
                worker.join()
        assert load.failures == []
        wait_until(lambda: all_active(cluster.nodes), "all replicas active")
        expected = 100 + len(load.written)
        for node in cluster.nodes:
            with connect(address([node])) as alone:
                assert alone.count("c") == expected
        back = {one for page in connector.scroll("c") for one in page.ids}
        assert back >= set(load.written)
