"""What a payload, and an index of its fields, cost the build on embedded Qdrant, and a filter without one.

`PYTHONPATH=tests python benchmarks/payload_indexes.py [ROWS]`, in three interleaved rounds, each build in a process of
its own; medians. Processor seconds are of all threads. Vectors and payloads are synthetic: 256 numbers, and 12 fields
of an invented patient. Prints the table of docs/connectors.md.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from cohorts.connectors.base import Collection, Connector, Vectors
from cohorts.connectors.filters.reading import parse_filter
from cohorts.connectors.index import Hnsw
from cohorts.connectors.qdrant.embedded import QdrantEdgeConnector
from cohorts.harness.bench.load.processes import disk_mib, in_fresh_process
from cohorts.harness.bench.plan.dataset import Synthetic, synthetic
from cohorts.harness.bench.plan.payload import PayloadColumns, made_up
from cohorts.harness.bench.run.build import Rows, build
from cohorts.loaders.points.payload import FILTERABLE

ROUNDS, DIM, CLUSTERS, QUERIES = 3, 256, 200, 200
CASES: dict[str, tuple[str, ...] | None] = {
    "no payload": None,
    "payload of 13 fields, `--index-fields none`": (),
    "`--index-fields age,sex,died`": ("age", "sex", "died"),
    "all seven but `codes`": tuple(name for name in FILTERABLE if name != "codes"),
    "all seven (the default)": FILTERABLE,
}
FILTERS = ("sex = 'F'", "age >= 80", "codes contains '1000'")


class Cost(NamedTuple):
    """Of one build: processor seconds and MiB on disk; of each filter the median ms of a query for 10 neighbours."""

    cpu_s: float
    mib: float
    filtered_ms: tuple[float, ...]


def measure(rows: int, indexed: tuple[str, ...] | None) -> Cost:
    vectors, queries = synthetic(Synthetic(rows, DIM, CLUSTERS), QUERIES, 0)
    payload = PayloadColumns() if indexed is None else made_up(rows, [0], indexed)
    collection = Collection("c", DIM, Hnsw(), fields=payload.fields, unindexed=payload.unindexed)
    with tempfile.TemporaryDirectory() as folder, QdrantEdgeConnector(Path(folder)) as connector:
        before_s = spent_s()
        build(connector, collection, Rows(vectors, payload.columns))
        cpu_s, mib = spent_s() - before_s, disk_mib(Path(folder))
        filtered_ms = tuple(ask(connector, queries, text) for text in FILTERS) if payload.fields else ()
        return Cost(cpu_s, mib, filtered_ms)


def ask(connector: Connector, queries: Vectors, text: str) -> float:
    where, spent_ms = parse_filter(text), []
    for row in range(len(queries)):
        began = time.perf_counter()
        connector.search("c", queries[row : row + 1], 10, where=where, with_payload=False)
        spent_ms.append(1000 * (time.perf_counter() - began))
    return median(spent_ms)


def spent_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 8_000
    found: dict[str, list[Cost]] = {name: [] for name in CASES}
    for _ in range(ROUNDS):
        for name, indexed in CASES.items():
            found[name].append(in_fresh_process(measure, rows, indexed))
    print(
        f"{rows:,} × {DIM} synthetic vectors, hnsw by default, embedded Qdrant, medians of {ROUNDS} builds\n"
    )
    titles = ["indexed", "build, processor s", "disk, MiB", *(f"`{text}`, ms" for text in FILTERS)]
    print(f"| {' | '.join(titles)} |\n|{' --- |' * len(titles)}")
    for name, runs in found.items():
        filtered = [median(column) for column in zip(*(one.filtered_ms for one in runs), strict=True)]
        cells = [f"{median(one.cpu_s for one in runs):.1f}", f"{median(one.mib for one in runs):.0f}"]
        cells += [f"{ms:.2f}" for ms in filtered] or ["–"] * len(FILTERS)
        print(f"| {' | '.join([name, *cells])} |")


if __name__ == "__main__":
    main()
