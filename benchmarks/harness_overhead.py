"""What the harness itself costs a query: its loop for one client against a bare loop over `Connector.search`.

Run by `make bench-ours`, or `PYTHONPATH=tests python benchmarks/harness_overhead.py`; it starts the real server.
Vectors are synthetic. Both ask the same query of the same open connector, one after the other in random order, and
record its latency. Latency: what the harness recorded against what the bare loop recorded. Throughput: all that a
client spends on a query, reading and keeping what was found included, against the same. The floor is a search that
finds nothing.
"""

import argparse
import gc
import random
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
from cohorts.connectors.base import Collection, Connector
from cohorts.connectors.index import Hnsw, SearchParams
from cohorts.connectors.registry import connect
from cohorts.harness.bench.load.clients import NOBODY, store_client
from cohorts.harness.bench.load.modes import one_by_one
from cohorts.harness.bench.load.samples import Recorder, merged
from cohorts.harness.bench.run.build import Rows, build
from query import vectors
from servers import QdrantNode

DIM, K, WARM_UP = 256, 100, 200
PARAMS = SearchParams(ef_search=128)


def measure(connector: Connector, pairs: int) -> np.ndarray:
    """Return (3, pairs) ms of a query: by the bare loop, as the harness recorded it, and the harness's whole turn."""
    queries, order = vectors(pairs + WARM_UP, 1), random.Random(0)
    client = store_client(connector, "bench", PARAMS)
    recorder = Recorder(client, queries, K)
    bare, turn = np.empty(len(queries)), np.empty(len(queries))
    gc.collect()
    gc.freeze()  # as the harness does: what is compared is the loop
    for row in range(len(queries)):
        query, both = queries[row : row + 1], [0, 1]
        order.shuffle(both)
        for which in both:
            began = time.perf_counter()
            if which:
                recorder.ask(row)
            else:
                connector.search("bench", query, K, params=PARAMS, with_payload=False)
            (bare, turn)[which][row] = (time.perf_counter() - began) * 1000
    gc.unfreeze()
    recorded = merged([recorder.log()], 0).latency_ms
    return np.stack([bare, recorded, turn])[:, WARM_UP:]


def overhead(ours: np.ndarray, theirs: np.ndarray) -> str:
    """Return by how much the median is larger, with its bootstrap 95 % interval over pairs."""
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(1_000):
        some = rng.integers(0, len(ours), len(ours))
        ratios.append(np.median(ours[some]) / np.median(theirs[some]) - 1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return f"{np.median(ours) / np.median(theirs) - 1:+.1%} [{low:+.1%}, {high:+.1%}]"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--vectors", type=int, default=50_000)
    parser.add_argument("--pairs", type=int, default=4_000)
    asked = parser.parse_args()
    floor = one_by_one(NOBODY, vectors(5_000, 1), K).warm.latency_ms
    print(f"{asked.vectors:,} synthetic vectors of {DIM}, k = {K}, {asked.pairs:,} pairs")
    print(f"floor: {np.median(floor) * 1000:.2f} µs in the latency of a query that finds nothing")
    with tempfile.TemporaryDirectory() as folder:
        node = QdrantNode(Path(folder) / "qdrant")
        node.start()
        grpc = f"qdrant+grpc://127.0.0.1:{node.grpc}?check_compatibility=false"
        for engine, address in (("qdrant server", grpc), ("qdrant embedded", f"qdrant:{folder}/embedded")):
            with connect(address) as connector:
                build(connector, Collection("bench", DIM, Hnsw()), Rows(vectors(asked.vectors, 0)))
                bare, recorded, turn = measure(connector, asked.pairs)
            print(
                f"{engine:<16} bare {np.median(bare):.3f} ms; overhead in latency {overhead(recorded, bare)}, "
                f"in throughput {overhead(turn, bare)} (goal: at most +2 %)",
                flush=True,
            )
        node.kill(signal.SIGTERM)


if __name__ == "__main__":
    main()
