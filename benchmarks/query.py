"""What our layer costs a query: through `Connector.search` against the raw client, on the same collection.

Run by `make bench-ours`, or `PYTHONPATH=tests python benchmarks/query.py`; it starts the real servers. Vectors are
synthetic.
One query a call, k = 100, calls of both interleaved in random order, the same parameters on both sides. Raw is what a
user of the client writes: its own call with a numpy row, then id, score and payload of each hit read into tuples
(embedded Qdrant converts a payload only when it is read).
"""

import argparse
import gc
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge
from cohorts.connectors.base import Collection, Connector, Payload, Points
from cohorts.connectors.index import Hnsw, SearchParams
from cohorts.connectors.milvus.server import MilvusConnector
from cohorts.connectors.qdrant.embedded import QdrantEdgeConnector
from cohorts.connectors.qdrant.server import QdrantConnector
from pymilvus import MilvusClient
from qdrant_client import models
from servers import Milvus, QdrantNode

DIM, K, EF = 256, 100, 128
FIELDS = {"age": float, "sex": str, "died": bool, "phenotype": str, "principal_code": str, "codes": list[str]}
Call = Callable[[Any], object]


def vectors(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(200, DIM))[rng.integers(0, 200, n)] + rng.normal(size=(n, DIM))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def payload(row: int) -> Payload:
    codes = [f"{250 + (row * j) % 500}" for j in range(12)]
    return {
        "patient_id": str(row),
        "admission_id": None,
        "admissions": row % 5,
        "age": float(row % 90),
        "sex": "FM"[row % 2],
        "died": row % 9 == 0,
        "icu_days": row % 70 / 10,
        "principal_system": "ICD9",
        "principal_code": codes[0],
        "principal_title": "Congestive heart failure, unspecified",
        "phenotype": f"phenotype {row % 13}",
        "codes": codes,
    }


def fill(connector: Connector, n: int) -> None:
    rows = vectors(n, 0)
    connector.create(Collection("bench", DIM, Hnsw(), FIELDS))
    for start in range(0, n, 5_000):
        some = range(start, min(n, start + 5_000))
        ids = [str(i) for i in some]
        connector.upsert("bench", Points(ids, rows[some.start : some.stop], [payload(i) for i in some]))
    connector.finalize("bench")


def ours(connector: Connector, with_payload: bool) -> Call:
    params = SearchParams(ef_search=EF)
    return lambda row: connector.search("bench", row[None, :], K, params=params, with_payload=with_payload)


@contextmanager
def qdrant_grpc(folder: Path, n: int) -> Iterator[tuple[Callable[[bool], Call], Callable[[bool], Call]]]:
    node = QdrantNode(folder / "qdrant")
    node.start()
    client = node.client(prefer_grpc=True)
    connector = QdrantConnector(client=client)
    fill(connector, n)
    how = models.SearchParams(hnsw_ef=EF)

    def raw(with_payload: bool) -> Call:
        def call(row: Any) -> object:
            found = client.query_points("bench", row, limit=K, search_params=how, with_payload=with_payload)
            return [(hit.id, hit.score, hit.payload) for hit in found.points]

        return call

    yield raw, lambda with_payload: ours(connector, with_payload)
    client.close()
    node.kill(signal.SIGTERM)


@contextmanager
def qdrant_embedded(folder: Path, n: int) -> Iterator[tuple[Callable[[bool], Call], Callable[[bool], Call]]]:
    with QdrantEdgeConnector(folder / "edge") as connector:
        fill(connector, n)
        shard = connector._shards["bench"]  # the engine lets one handle only open a shard
        how = edge.SearchParams(hnsw_ef=EF)

        def raw(with_payload: bool) -> Call:
            def call(row: Any) -> object:
                query = edge.QueryRequest(
                    K, query=edge.Query.Nearest(row), params=how, with_payload=with_payload
                )
                return [(hit.id, hit.score, hit.payload) for hit in shard.query(query)]

            return call

        yield raw, lambda with_payload: ours(connector, with_payload)


@contextmanager
def milvus(folder: Path, n: int) -> Iterator[tuple[Callable[[bool], Call], Callable[[bool], Call]]]:
    server = Milvus(folder / "milvus", settings={})
    server.start()
    client = MilvusClient(f"http://127.0.0.1:{server.port}", timeout=60)
    connector = MilvusConnector(client=client)
    fill(connector, n)
    how = {"params": {"ef": EF}}

    def raw(with_payload: bool) -> Call:
        fields = ["payload"] if with_payload else []

        def call(row: Any) -> object:
            (found,) = client.search(
                "bench",
                [row],
                limit=K,
                search_params=how,
                output_fields=fields,
                consistency_level="Session",
                timeout=60,
            )
            return [(hit["id"], hit["distance"], hit["entity"]) for hit in found]

        return call

    yield raw, lambda with_payload: ours(connector, with_payload)
    client.close()
    server.end()


def timed(call: Call, row: Any) -> float:
    began = time.perf_counter()
    call(row)
    return (time.perf_counter() - began) * 1000


def measure(raw: Call, layer: Call, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (pairs,) milliseconds of each, after a warm-up."""
    queries, order = vectors(pairs + 100, 1), random.Random(0)
    times = np.empty((2, pairs))
    gc.collect()
    for pair in range(-100, pairs):
        row, both = queries[pair], [0, 1]
        order.shuffle(both)
        for which in both:
            spent = timed((raw, layer)[which], row)
            if pair >= 0:
                times[which, pair] = spent
    return times[0], times[1]


def interval(raw: np.ndarray, layer: np.ndarray, percent: int) -> str:
    """Return the ratio of a percentile and its bootstrap 95 % interval."""
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(500):
        some = rng.integers(0, len(raw), len(raw))
        ratios.append(np.percentile(layer[some], percent) / np.percentile(raw[some], percent))
    low, high = np.percentile(ratios, [2.5, 97.5])
    return f"{np.percentile(layer, percent) / np.percentile(raw, percent):.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--vectors", type=int, default=50_000)
    parser.add_argument("--pairs", type=int, default=2_000)
    asked = parser.parse_args()
    print(
        f"{asked.vectors:,} synthetic vectors of {DIM}, k = {K}, {asked.pairs:,} interleaved pairs; milliseconds"
    )
    print(
        "engine            payload  raw p50/p99    ours p50/p99   ratio p50 (goal 1.05)  ratio p99 (goal 1.10)"
    )
    with tempfile.TemporaryDirectory() as folder:
        for engine in (qdrant_grpc, qdrant_embedded, milvus):
            with engine(Path(folder), asked.vectors) as (raw, layer):
                for with_payload in (False, True):
                    one, two = measure(raw(with_payload), layer(with_payload), asked.pairs)
                    shown = [f"{np.percentile(x, 50):.2f}/{np.percentile(x, 99):.2f}" for x in (one, two)]
                    yes = "yes" if with_payload else "no"
                    print(
                        f"{engine.__name__:<17} {yes:<8} {shown[0]:<14} {shown[1]:<14} "
                        f"{interval(one, two, 50):<22} {interval(one, two, 99)}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
