"""The seven engines, each under the whole contract."""

import pytest
from engine_contract import EmbeddedContract, EngineContract, ServerContract
from servers import Milvus, QdrantCluster, QdrantNode

UNCHECKED = "check_compatibility=false"  # the client is newer than the server that can be run here


class TestMemory(EngineContract):
    @pytest.fixture
    def store(self) -> str:
        return "memory:"


class TestQdrantEdge(EmbeddedContract):
    address = "qdrant:{tmp}/store"


class TestMilvusLite(EmbeddedContract):
    address = "milvus:{tmp}/store.db"


class TestQdrantRest(ServerContract):
    @pytest.fixture
    def server(self, qdrant: QdrantNode) -> QdrantNode:
        return qdrant

    @pytest.fixture
    def store(self, server: QdrantNode) -> str:
        return f"qdrant+http://127.0.0.1:{server.http}?{UNCHECKED}"


class TestQdrantGrpc(ServerContract):
    @pytest.fixture
    def server(self, qdrant: QdrantNode) -> QdrantNode:
        return qdrant

    @pytest.fixture
    def store(self, server: QdrantNode) -> str:
        return f"qdrant+grpc://127.0.0.1:{server.grpc}?{UNCHECKED}"


class TestQdrantCluster(ServerContract):
    @pytest.fixture
    def server(self, qdrant_cluster: QdrantCluster) -> QdrantCluster:
        return qdrant_cluster

    @pytest.fixture
    def store(self, server: QdrantCluster) -> str:
        hosts = ",".join(f"127.0.0.1:{node.grpc}" for node in server.nodes)
        return f"qdrant+grpc://{hosts}?shards=6&replicas=2&{UNCHECKED}"


class TestMilvusServer(ServerContract):
    @pytest.fixture
    def server(self, milvus: Milvus) -> Milvus:
        return milvus

    @pytest.fixture
    def store(self, server: Milvus) -> str:
        return f"milvus+http://127.0.0.1:{server.port}"
