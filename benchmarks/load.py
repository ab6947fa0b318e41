"""How fast vectors get in: our loader against the raw clients' fastest ways and against langchain, in one run.

Ours is the loader itself, with its hashes and journal, without index and verification. Run by `make bench-load`, or
`PYTHONPATH=tests python benchmarks/load.py`; it starts the real servers. Vectors, ids and payloads are synthetic and
made beforehand; every contender gets a fresh collection, in random order within a round.
No index is built while loading: Qdrant's threshold is 0 for all (a large one for embedded), Milvus indexes only what
it has sealed, at 512 MB. The payload indexes of the filterable fields stand from the start for all on Qdrant. Every
contender is timed until all that it wrote can be counted, on embedded Qdrant until it is on disk.
On Milvus, langchain keeps a payload in one dynamic column, less work than our schema with a column per field; so does
one of the raw ways. What inserts is shown, but raw is compared with what upserts: inserted twice, a row stands twice.
langchain-qdrant is given a client that speaks gRPC, and once its default, REST.
"""

import argparse
import gc
import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

# The workers of `upload_collection(parallel=2)` import this file anew: what they don't need is imported where it is.

ROWS = 1_000  # in a call
FIELDS = {"age": float, "sex": str, "died": bool, "phenotype": str, "principal_code": str, "codes": list[str]}


@dataclass(frozen=True)
class Data:
    """What is loaded; `lists` are the vectors for the clients that take lists only."""

    vectors: np.ndarray
    lists: list[list[float]]
    ids: list[str]
    payloads: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.ids)

    def slices(self, rows: int = ROWS) -> Iterator[slice]:
        for start in range(0, len(self), rows):
            yield slice(start, start + rows)


@dataclass(frozen=True)
class Contender:
    """`prepare` makes an empty collection, `load` fills it, `count` asks for what is in it."""

    name: str
    prepare: Callable[[], None]
    load: Callable[[], None]
    count: Callable[[], int]


def payload(row: int) -> dict[str, Any]:
    codes = {f"{250 + (row * j) % 500}{row * j % 10}" for j in range(1, 7)}
    codes |= {code[:3] for code in codes}
    return {
        "patient_id": str(10_000_000 + row),
        "admission_id": None,
        "admissions": 1 + row % 5,
        "age": float(row % 90),
        "sex": "FM"[row % 2],
        "died": row % 9 == 0,
        "icu_days": row % 70 / 10,
        "principal_system": "ICD9",
        "principal_code": min(codes),
        "principal_title": "Congestive heart failure, unspecified",
        "phenotype": f"phenotype {row % 13}",
        "codes": sorted(codes),
    }


def make(n: int) -> Data:
    from query import vectors

    rows = vectors(n, 0)
    return Data(
        rows, rows.tolist(), [str(10_000_000 + row) for row in range(n)], [payload(row) for row in range(n)]
    )


class Made:
    """The data as an origin of units."""

    def __init__(self, data: Data) -> None:
        self.data, self.expected = data, len(data)

    def chunks(self, refuse: Callable[[str, str], None]) -> Iterator[Any]:  # noqa: ARG002 - none is bad
        from cohorts.connectors.base import Points
        from cohorts.loaders.journal.chunks import chunk_of_points

        for some in self.data.slices():
            yield chunk_of_points(
                Points(self.data.ids[some], self.data.vectors[some], self.data.payloads[some])
            )

    def encoded(self, chunks: Iterator[Any]) -> Iterator[Any]:
        return ((chunk, chunk.body) for chunk in chunks)

    def collection(self, name: str, first: Any) -> Any:
        raise NotImplementedError("it is there already")

    def check_fits(self, there: Any) -> None:
        pass


def through(connector: Any, data: Data, folder: Path) -> None:
    """Load as `cohorts load` does, with hashes and journal, until all is acknowledged."""
    from cohorts.loaders.journal.journal import Journal
    from cohorts.loaders.lease import Lease
    from cohorts.loaders.load import Load, Summary
    from cohorts.loaders.targets import LoadRequest

    goal = LoadRequest("bench")
    file = Path(tempfile.mkdtemp(dir=folder)) / "journal.sqlite"
    with Journal(file) as journal, Lease(connector, journal.id, None) as lease:
        Load(
            Made(data), connector, goal, journal, lease, {}, Summary(), lambda *_: None, threading.Event()
        ).fill()


class Prepared:
    """Embeddings for langchain: the vectors made beforehand, in order."""

    def __init__(self, lists: list[list[float]]) -> None:
        self.lists, self.at = lists, 0

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        self.at += len(texts)
        return self.lists[self.at - len(texts) : self.at]

    def embed_query(self, _: str) -> list[float]:
        return self.lists[0]


@contextmanager
def qdrant_grpc(folder: Path, data: Data) -> Iterator[list[Contender]]:
    from cohorts.connectors.base import Collection
    from cohorts.connectors.index import Hnsw
    from cohorts.connectors.qdrant.building import _SCHEMA
    from cohorts.connectors.qdrant.server import QdrantConnector
    from langchain_qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient
    from servers import QdrantNode

    node = QdrantNode(folder / "qdrant")
    node.start()
    client, rest = node.client(prefer_grpc=True), node.client()
    connector, numbers = QdrantConnector(client=client), [int(one) for one in data.ids]

    def fresh(within: str = "") -> None:
        if "bench" in connector.collections():
            client.delete_collection("bench")
            connector._layouts.forget()
        connector.create(Collection("bench", data.vectors.shape[1], Hnsw(), {} if within else dict(FIELDS)))
        for field, kind in FIELDS.items() if within else ():
            client.create_payload_index("bench", within + field, _SCHEMA[str(kind)], wait=True)
        connector.count("bench")  # the definition is looked up outside of the time

    def raw(parallel: int) -> Callable[[], None]:
        def load() -> None:
            client.upload_collection(
                "bench",
                vectors=data.vectors,
                payload=data.payloads,
                ids=numbers,
                batch_size=ROWS,
                parallel=parallel,
                wait=False,
            )
            while client.count("bench", exact=True).count < len(data):
                time.sleep(0.002)

        return load

    def langchain(rows: int, by: QdrantClient) -> Callable[[], None]:
        def load() -> None:
            store = QdrantVectorStore(
                by,
                "bench",
                Prepared(data.lists),
                validate_embeddings=False,
                validate_collection_config=False,
            )
            store.add_texts([""] * len(data), data.payloads, numbers, batch_size=rows)

        return load

    def count() -> int:
        return int(client.count("bench", exact=True).count)

    theirs = partial(fresh, "metadata.")  # where langchain puts a payload
    yield [
        Contender("ours", fresh, lambda: through(connector, data, folder), count),
        Contender("raw upload_collection", fresh, raw(1), count),
        Contender("raw upload_collection, parallel=2", fresh, raw(2), count),
        *(
            Contender(f"langchain {how} add_texts by {rows}", theirs, langchain(rows, by), count)
            for how, by, rows in (("gRPC", client, 64), ("gRPC", client, ROWS), ("REST", rest, 64))
        ),
    ]
    client.close()
    node.kill(signal.SIGTERM)


@contextmanager
def qdrant_embedded(folder: Path, data: Data) -> Iterator[list[Contender]]:
    import qdrant_edge as edge
    from cohorts.connectors.base import Collection
    from cohorts.connectors.index import Hnsw
    from cohorts.connectors.qdrant.embedded import _SCHEMA, QdrantEdgeConnector, to_config

    collection = Collection("bench", data.vectors.shape[1], Hnsw(), dict(FIELDS))
    connector, numbers = QdrantEdgeConnector(folder / "ours"), [int(one) for one in data.ids]
    shards: list[edge.EdgeShard] = []

    def fresh() -> None:
        if connector.collections():
            connector.drop("bench")
        connector.create(collection)

    def fresh_raw() -> None:
        while shards:
            shards.pop().close()
        path = Path(tempfile.mkdtemp(dir=folder))
        shard = edge.EdgeShard.create(str(path), to_config(collection))
        for field, kind in FIELDS.items():
            schema = edge.BoolIndexParams(on_disk=True) if kind is bool else _SCHEMA[str(kind)]
            shard.update(edge.UpdateOperation.create_field_index(field, schema))
        shard.flush()
        shards.append(shard)

    def raw(rows: int, lists: bool) -> Callable[[], None]:
        def load() -> None:
            (shard,) = shards
            for some in data.slices(rows):
                block = data.vectors[some].tolist() if lists else data.vectors[some]
                points = [
                    edge.Point(*one) for one in zip(numbers[some], block, data.payloads[some], strict=True)
                ]
                shard.update(edge.UpdateOperation.upsert_points(points))
            shard.flush()

        return load

    def count() -> int:
        return int(shards[0].count(edge.CountRequest(exact=True)))

    yield [
        Contender("ours", fresh, lambda: through(connector, data, folder), lambda: connector.count("bench")),
        Contender("raw update, lists", fresh_raw, raw(ROWS, lists=True), count),
        Contender("raw update, arrays", fresh_raw, raw(ROWS, lists=False), count),
        Contender("raw update by 5000, lists", fresh_raw, raw(5_000, lists=True), count),
    ]
    connector.close()
    fresh_raw()


def make_dynamic(client: Any, dim: int) -> None:
    """Make what langchain makes at its first write, with the index that ours has."""
    from cohorts.connectors.index import Hnsw
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("text", DataType.VARCHAR, max_length=65_535)
    schema.add_field("pk", DataType.VARCHAR, is_primary=True, max_length=65_535)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
    client.create_collection("bench", schema=schema, consistency_level="Strong")
    wanted = client.prepare_index_params()
    params = {"M": Hnsw().m, "efConstruction": Hnsw().ef_construction}
    wanted.add_index("vector", index_type="HNSW", metric_type="COSINE", params=params)
    client.create_index("bench", wanted)
    client.load_collection("bench")


def by_columns(data: Data, write: Callable[..., Any], rows: int) -> None:
    """Write rows of our own schema."""
    for some in data.slices(rows):
        block = []
        for key, row, one in zip(data.ids[some], data.lists[some], data.payloads[some], strict=True):
            values = {f"f_{field}": one[field] for field in FIELDS}
            present = {f"h_{field}": one[field] is not None for field in FIELDS}
            block.append({"id": key, "vector": row, "payload": one, **values, **present})
        write("bench", block)


def dynamically(data: Data, client: Any) -> None:
    for some in data.slices():
        parts = zip(data.ids[some], data.lists[some], data.payloads[some], strict=True)
        client.upsert("bench", [{"pk": key, "text": "", "vector": row, **one} for key, row, one in parts])


@contextmanager
def milvus(folder: Path, data: Data) -> Iterator[list[Contender]]:
    from cohorts.connectors.base import Collection
    from cohorts.connectors.index import Hnsw
    from cohorts.connectors.milvus.server import MilvusConnector
    from langchain_core.documents import Document
    from langchain_milvus import Milvus as Store
    from pymilvus import MilvusClient
    from servers import Milvus

    server = Milvus(folder / "milvus", settings={})
    server.start()
    uri, dim = f"http://127.0.0.1:{server.port}", data.vectors.shape[1]
    client = MilvusClient(uri, timeout=60)
    connector = MilvusConnector(client=client)
    documents = [Document("", metadata=one) for one in data.payloads]
    texts = [""] * len(data)
    stores: list[Store] = []

    def fresh(dynamic: bool) -> None:
        stores.clear()
        if client.has_collection("bench"):
            client.drop_collection("bench")
            connector._layouts.forget()
        if dynamic:
            make_dynamic(client, dim)
            args = {"collection_name": "bench", "connection_args": {"uri": uri}, "enable_dynamic_field": True}
            stores.append(Store(Prepared(data.lists), **args))
        else:
            connector.create(Collection("bench", dim, Hnsw(), dict(FIELDS)))
            connector.count("bench")

    def count() -> int:
        found = client.query("bench", output_fields=["count(*)"], consistency_level="Strong")
        return int(found[0]["count(*)"])

    ours, theirs = partial(fresh, dynamic=False), partial(fresh, dynamic=True)
    yield [
        Contender("ours", ours, lambda: through(connector, data, folder), count),
        Contender("raw upsert", ours, lambda: by_columns(data, client.upsert, ROWS), count),
        Contender("raw upsert by 5000", ours, lambda: by_columns(data, client.upsert, 5_000), count),
        Contender("raw upsert, dynamic column", theirs, lambda: dynamically(data, client), count),
        Contender("(raw insert)", ours, lambda: by_columns(data, client.insert, ROWS), count),
        Contender("langchain upsert", theirs, lambda: stores[0].upsert(data.ids, documents), count),
        Contender(
            "langchain add_embeddings (an insert)",
            theirs,
            lambda: stores[0].add_embeddings(texts, data.lists, data.payloads, ids=data.ids),
            count,
        ),
    ]
    client.close()
    server.end()


def measure(contenders: Sequence[Contender], n: int, rounds: int) -> dict[str, np.ndarray]:
    """Return the (rounds,) vectors per second of each."""
    speeds: dict[str, list[float]] = {one.name: [] for one in contenders}
    order = random.Random(0)
    for _ in range(rounds):
        for one in order.sample(contenders, len(contenders)):
            one.prepare()
            gc.collect()
            time.sleep(0.5)  # the server is done with what came before
            began = time.perf_counter()
            one.load()
            speeds[one.name].append(n / (time.perf_counter() - began))
            if one.count() != n:
                raise RuntimeError(f"{one.name} wrote {one.count():,} of {n:,} points")
    return {name: np.array(values) for name, values in speeds.items()}


def report(engine: str, speeds: dict[str, np.ndarray]) -> None:
    ours = speeds["ours"]
    for name, values in speeds.items():
        ratio = ours / values
        print(
            f"{engine:<16} {name:<37} {np.median(values):>8,.0f} [{values.min():,.0f} to {values.max():,.0f}]"
            f"{'':<3}{np.median(ratio):.2f} [{ratio.min():.2f} to {ratio.max():.2f}]",
            flush=True,
        )
    for kind, goal in (("raw", 0.95), ("langchain", 2 if engine == "milvus" else 3)):
        rivals = [name for name in speeds if name.startswith(kind)]
        if rivals:
            best = max(rivals, key=lambda name: float(np.median(speeds[name])))
            ratio = float(np.median(ours / speeds[best]))
            verdict = "met" if ratio >= goal else "MISSED"
            print(f"{engine:<16} ours / best {kind} ({best}): {ratio:.2f}, goal {goal}: {verdict}")


def main() -> None:
    engines = {one.__name__: one for one in (qdrant_grpc, qdrant_embedded, milvus)}
    parser = argparse.ArgumentParser()
    parser.add_argument("--vectors", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", nargs="*", choices=engines, default=list(engines))
    asked = parser.parse_args()
    data = make(asked.vectors)
    print(
        f"{len(data):,} synthetic vectors of {data.vectors.shape[1]} with payloads, {asked.rounds} rounds; vectors per "
        "second: median [range]; ours / theirs, round by round: median [range]"
    )
    for name in asked.engines:
        with tempfile.TemporaryDirectory() as folder, engines[name](Path(folder), data) as contenders:
            report(name, measure(contenders, len(data), asked.rounds))


if __name__ == "__main__":
    main()
