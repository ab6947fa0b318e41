"""What our layer costs a query: through `Connector.search` against the raw client, on the same collection.

Run by `make bench-ours`, or `PYTHONPATH=tests python benchmarks/query.py`; it starts the real servers. Vectors are
synthetic. One query a call, k = 100, ours and raw in turn, which of them first by lot. Shown are the medians, over all
queries, of ours / raw in wall time and in processor time (of this process: the engine's too where it is embedded), and
the ratio of the 99th percentiles, each with a 95 % interval.

Raw is what a user of the client writes: its own call, with the query as the client reads it fastest (a list for
embedded Qdrant, a row of numpy for the others), the filter made before, then id and score of each hit, and the payload
where it is asked for, read into a list of tuples. Ids stay as the engine has them; ours are strings.
Under a filter Milvus finds less at the same parameters, and ours searches wider. There are two raw calls: of the same
`ef`, and of the `ef` that ours sends, for the same recall. Raw asks for k, ours for 2 k. The recall of all is shown.
"""

import argparse
import gc
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge
from cohorts.connectors.base import Collection, Connector, Payload, Points
from cohorts.connectors.filters.reading import parse_filter
from cohorts.connectors.index import Hnsw, SearchParams
from cohorts.connectors.milvus.embedded import MilvusLiteConnector
from cohorts.connectors.milvus.searching import WIDER
from cohorts.connectors.milvus.server import MilvusConnector
from cohorts.connectors.qdrant.embedded import QdrantEdgeConnector
from cohorts.connectors.qdrant.server import QdrantConnector
from cohorts.measures.recall import neighbour_recall
from pymilvus import MilvusClient
from qdrant_client import models
from servers import Milvus, QdrantNode

DIM, K, EF = 256, 100, 128
WARM_UP = 100
OF_RECALL = 200  # queries
AGES = 90
FIELDS = {"age": float, "sex": str, "died": bool, "phenotype": str, "principal_code": str, "codes": list[str]}
Call = Callable[[Any], Any]


@dataclass(frozen=True)
class Case:
    """What is asked beside the query; `below` is the age of the filter, `wide` says that raw sends the `ef` of ours."""

    with_payload: bool = False
    below: int | None = None
    wide: bool = False


Raw = Callable[[Case], Call]
PLAIN = [Case(), Case(with_payload=True)]
SHARES = (9, 45)  # of 90 ages: filters that a tenth passes, and half
FILTERED = [*PLAIN, *(Case(below=age) for age in SHARES)]
WIDE = [
    *PLAIN,
    *(Case(paid, age, wide) for age in SHARES for paid in (False, True) for wide in (False, True)),
]


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
        "age": float(row % AGES),
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


def ours(connector: Connector, case: Case) -> Call:
    params = SearchParams(ef_search=EF)
    where = None if case.below is None else parse_filter(f"age < {case.below}")
    return lambda row: connector.search(
        "bench", row[None, :], K, where=where, params=params, with_payload=case.with_payload
    ).hits[0]


def tuples(hits: Sequence[Any], with_payload: bool) -> list[tuple[Any, ...]]:
    if with_payload:
        return [(hit.id, hit.score, hit.payload) for hit in hits]
    return [(hit.id, hit.score) for hit in hits]


@contextmanager
def qdrant_grpc(folder: Path, n: int) -> Iterator[tuple[Connector, Raw]]:
    node = QdrantNode(folder / "qdrant")
    node.start()
    client = node.client(prefer_grpc=True)
    connector = QdrantConnector(client=client)
    fill(connector, n)
    how = models.SearchParams(hnsw_ef=EF)

    def raw(case: Case) -> Call:
        younger = None
        if case.below is not None:
            younger = models.Filter(
                must=[models.FieldCondition(key="age", range=models.Range(lt=case.below))]
            )

        def call(row: Any) -> object:
            found = client.query_points(
                "bench", row, limit=K, query_filter=younger, search_params=how, with_payload=case.with_payload
            )
            return tuples(found.points, case.with_payload)

        return call

    yield connector, raw
    client.close()
    node.kill(signal.SIGTERM)


@contextmanager
def qdrant_embedded(folder: Path, n: int) -> Iterator[tuple[Connector, Raw]]:
    with QdrantEdgeConnector(folder / "edge") as connector:
        fill(connector, n)
        shard = connector._shards["bench"]  # the engine lets one handle only open a shard
        how = edge.SearchParams(hnsw_ef=EF)

        def raw(case: Case) -> Call:
            younger = None
            if case.below is not None:
                younger = edge.Filter(must=[edge.FieldCondition("age", range=edge.RangeFloat(lt=case.below))])

            def call(row: Any) -> object:
                query = edge.QueryRequest(
                    K,
                    query=edge.Query.Nearest(row.tolist()),
                    filter=younger,
                    params=how,
                    with_payload=case.with_payload,
                )
                return tuples(shard.query(query), case.with_payload)

            return call

        yield connector, raw


def raw_milvus(client: MilvusClient, consistency: str, case: Case) -> Call:
    # Where nothing is named, embedded Milvus sends every field, the vectors too.
    fields = ["payload"] if case.with_payload else ["id"]
    how = {"params": {"ef": WIDER[0] * 2 * K if case.wide else EF}}

    def call(row: Any) -> object:
        (found,) = client.search(
            "bench",
            [row],
            anns_field="vector",
            limit=K,
            filter="" if case.below is None else f"f_age < {case.below}",
            search_params=how,
            output_fields=fields,
            consistency_level=consistency,
            timeout=60,
        )
        if case.with_payload:
            return [(hit["id"], hit["distance"], hit["entity"]["payload"]) for hit in found]
        return [(hit["id"], hit["distance"]) for hit in found]

    return call


@contextmanager
def milvus(folder: Path, n: int) -> Iterator[tuple[Connector, Raw]]:
    server = Milvus(folder / "milvus", settings={})
    server.start()
    client = MilvusClient(f"http://127.0.0.1:{server.port}", timeout=60)
    connector = MilvusConnector(client=client)
    fill(connector, n)
    yield connector, partial(raw_milvus, client, "Session")
    client.close()
    server.end()


@contextmanager
def milvus_embedded(folder: Path, n: int) -> Iterator[tuple[Connector, Raw]]:
    with MilvusLiteConnector(folder / "milvus.db") as connector:
        fill(connector, n)
        client = connector._transport.call(lambda client: client)  # of the engine in this process
        yield connector, partial(raw_milvus, client, "Strong")


def timed(call: Call, row: Any) -> tuple[float, float]:
    """Return wall and processor milliseconds."""
    processor, wall = time.process_time_ns(), time.perf_counter_ns()
    call(row)
    return (time.perf_counter_ns() - wall) / 1e6, (time.process_time_ns() - processor) / 1e6


def measure(raw: Call, layer: Call, pairs: int) -> np.ndarray:
    """Return wall and processor milliseconds of raw and of ours, (2, 2, pairs), after a warm-up."""
    queries, order = vectors(pairs + WARM_UP, 1), random.Random(0)
    times = np.empty((2, 2, pairs))
    gc.collect()
    for pair in range(-WARM_UP, pairs):
        row, both = queries[pair], [0, 1]
        order.shuffle(both)
        for which in both:
            spent = timed((raw, layer)[which], row)
            if pair >= 0:
                times[:, which, pair] = spent
    return times


def interval(times: np.ndarray, ratio: Callable[[np.ndarray], float]) -> str:
    """Return a ratio of ours to raw, times (2, pairs), and its bootstrap 95 % interval."""
    rng = np.random.default_rng(0)
    pairs = times.shape[1]
    drawn = [ratio(times[:, rng.integers(0, pairs, pairs)]) for _ in range(500)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{ratio(times):.3f} [{low:.3f}, {high:.3f}]"


def median_ratio(times: np.ndarray) -> float:
    return float(np.median(times[1] / times[0]))


def ratio_of_p99(times: np.ndarray) -> float:
    raw, layer = np.percentile(times, 99, axis=1)
    return float(layer / raw)


def recall(call: Call, n: int, case: Case) -> float:
    """Return the mean share of the true nearest that pass the filter which a call finds."""
    base, queries = vectors(n, 0), vectors(OF_RECALL, 1)
    passing = np.flatnonzero(np.arange(n) % AGES < (AGES if case.below is None else case.below))
    exact = passing[np.argsort(-queries @ base[passing].T, axis=1)[:, :K]]
    found = np.full(exact.shape, -1)
    for row, query in enumerate(queries):
        ids = [int(hit[0]) for hit in call(query)]
        found[row, : len(ids)] = ids
    return float(neighbour_recall(base, queries, exact, found).mean())


ENGINES: list[tuple[Any, list[Case], int]] = [  # and one in how many pairs is asked: of a slow one, fewer
    (qdrant_embedded, FILTERED, 1),
    (qdrant_grpc, FILTERED, 2),
    (milvus, WIDE, 4),
    (milvus_embedded, WIDE, 20),
]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--vectors", type=int, default=50_000)
    parser.add_argument("--pairs", type=int, default=2_000)
    parser.add_argument("--engine", choices=[engine.__name__ for engine, _, _ in ENGINES])
    asked = parser.parse_args()
    print(f"{asked.vectors:,} synthetic vectors of {DIM}, k = {K}, ef = {EF}, pairs in turn; milliseconds")
    print(
        "engine           passes payload raw    n     raw p50/p99    ours p50/p99   wall                 "
        "processor            p99                  recall raw, ours\n"
        "Goals: embedded Qdrant 1.05; Milvus with a filter, at the same recall (wide), 1.10; p99 1.10."
    )
    for engine, cases, one_in in ENGINES:
        if asked.engine not in (None, engine.__name__):
            continue
        with tempfile.TemporaryDirectory() as folder, engine(Path(folder), asked.vectors) as (connector, raw):
            for case in cases:
                calls = raw(case), ours(connector, case)
                times = measure(*calls, asked.pairs // one_in)
                show(engine.__name__, case, times, [recall(call, asked.vectors, case) for call in calls])


def show(engine: str, case: Case, times: np.ndarray, recalls: list[float]) -> None:
    wall, processor = times
    passes = "all" if case.below is None else f"{case.below / AGES:.0%}"
    shown = ["{:.2f}/{:.2f}".format(*np.percentile(one, [50, 99])) for one in wall]
    ratios = [
        interval(wall, median_ratio),
        interval(processor, median_ratio),
        interval(wall, ratio_of_p99),
    ]
    print(
        f"{engine:<16} {passes:<6} {'yes' if case.with_payload else 'no':<7} {'wide' if case.wide else 'same':<6} "
        f"{wall.shape[1]:<5} {shown[0]:<14} {shown[1]:<14} {ratios[0]:<20} {ratios[1]:<20} {ratios[2]:<20} "
        f"{recalls[0]:.3f}, {recalls[1]:.3f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
