"""An experiment whose raw results are written by hand, so that every figure of its report is known beforehand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench_answers import Answer, by_columns, experiment_from
from cohorts.connectors.index import index_to_json, search_to_json
from cohorts.harness.bench import results as raw
from cohorts.harness.bench.load.modes import Closed, Single
from cohorts.harness.bench.plan.dataset import make_dataset
from cohorts.harness.bench.plan.experiment import Experiment
from cohorts.harness.bench.plan.ground_truth import exact
from cohorts.harness.bench.plan.matrix import Cell, asked, builds, cells
from cohorts.harness.bench.report.page import Origin, write_report
from cohorts.harness.bench.report.summary import Summary, summarize
from cohorts.harness.bench.results import Answers
from cohorts.measures.intervals import Estimate
from cohorts.provenance import write_manifest
from cohorts.reports.long_table import chosen, records

QUERIES, K, ROWS = 20, 10, 200
TEXT = f"""
name = "planted"
repeats = 2
queries = {QUERIES}
k = [{K}]
clients = [2]
rates = [50]
seconds = 2
[data]
rows = {ROWS}
dim = 8
clusters = 4
[filters]
selectivities = [0.5]
[[store]]
name = "Ours"
address = "qdrant:ours"
[[store]]
name = "Theirs"
address = "milvus:theirs.db"
[[store]]
name = "faiss"
address = "reference:faiss"
[[index]]
build = "hnsw:m=8,ef_construction=40"
search = ["ef_search=10", "ef_search=20"]
"""
ALONE = Single()
FOUND = {10: 8, 20: 10}  # of 10 neighbours, by ef_search
MS = {
    ("Ours", 10): 2.0,
    ("Ours", 20): 4.0,
    ("Theirs", 10): 4.0,
    ("Theirs", 20): 8.0,
    ("faiss", 10): 0.5,
    ("faiss", 20): 1.0,
}


def experiment_of(folder: Path, text: str = TEXT) -> Experiment:
    return experiment_from(folder, text)


class Planter:
    """Writes results as they would have been measured: every figure is known beforehand."""

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        self.experiment, self.folder, self.data = experiment, folder, make_dataset(experiment)

    def all(self) -> None:
        for build in builds(self.experiment):
            for repeat in range(1, self.experiment.repeats + 1):
                for cell in cells(self.experiment, build, repeat):
                    if not (build.store.reference and cell.where):
                        self.write(cell, self.answers(cell))
            self.write_build(build)

    def write_build(self, build: Any, number: int = 1, **changes: Any) -> None:
        seconds = {"load_s": 1.0, "searchable_s": 1.5, "indexed_s": 4.0, "build_s": 3.0, "core_s": 6.0}
        sizes = {"rss_anon_mib": 50.0, "rss_file_mib": 5.0, "disk_mib": None}
        words = {"engine": "planted 1.0", "says": "", "how": "as planted", "rows": ROWS}
        told = {"checksum": self.data.checksum, **seconds, **sizes, **words, **changes}
        write_manifest(self.folder / build.path / f"build-{number}.json", told)

    def write(self, cell: Cell, answers: Answers, **measured: Any) -> None:
        facts: dict[str, Any] = {"client_cores": 0.5, "server_cores": None}
        if isinstance(cell.mode, Single):
            facts |= {"cold_ms": [30.0 + cell.repeat, 2.0], "floor_ms": 0.001}
        else:
            facts |= {"how": "threads", "qps": 0.0, "behind_ms": 3.0 * cell.repeat, "fewest_found": K}
        manifest = raw.manifest_of(
            asked(self.experiment, cell, self.data.payload.told),
            self.data.checksum,
            synthetic=True,
            server="planted 1.0",
            effective_index=index_to_json(cell.build.index),
            effective_search=search_to_json(cell.search),
            notes=["done otherwise"] if cell.build.store.name == "Theirs" else [],
            measured=facts | measured,
        )
        raw.write(self.folder / cell.path, answers, manifest)

    def answers(self, cell: Cell, found: int | None = None, many: int = 3) -> Answers:
        """Return answers with `found` true neighbours; latencies of query q are the setting's own, q/1000 on top."""
        ef = cell.search.ef_search or 0
        ms = MS[cell.build.store.name, ef]
        if isinstance(cell.mode, Closed):  # one answer each 100 or 200 ms; the last comes too late
            starts = np.arange(40) * ef / 100
            return by_columns(Answer(0, ms, K, [], [], at, at) for at in starts[: 210 // ef * cell.repeat])
        where = cell.where.column if cell.where else None
        nearest, passing = exact(self.data, where, K), np.arange(ROWS)
        if where:
            passing = np.flatnonzero(self.data.attributes[where])
        furthest = passing[np.argsort(self.data.queries @ self.data.vectors[passing].T, axis=1)]
        made = []
        for query in range(QUERIES):
            true = nearest.rows[query, : FOUND[ef] if found is None else found].tolist()
            ids = [str(row) for row in (*true, *furthest[query, : K - len(true)].tolist())]
            made.append(Answer(query, ms + query / 1000, K, ids, [0.5] * K, query / 10, query / 10))
        return by_columns(made)

    def cell(self, store: str, ef: int, mode: Any = ALONE, repeat: int = 1, *, where: bool = False) -> Cell:
        (build,) = [one for one in builds(self.experiment) if one.store.name == store]
        (found,) = [
            one
            for one in cells(self.experiment, build, repeat)
            if one.search.ef_search == ef and one.mode == mode and bool(one.where) == where
        ]
        return found


def summary_of(planter: Planter) -> Summary:
    return summarize(planter.experiment, planter.folder)


def estimates_of(summary: Summary, cell: Cell) -> dict[str, Estimate]:
    """Return what was measured of a setting, each with its interval."""
    rows = records(chosen(summary.run, {"setting": str(cell.setting)}))
    return {row["measure"]: Estimate(row["value"], row["low"], row["high"]) for row in rows}


def figures_of(summary: Summary, cell: Cell) -> dict[str, float]:
    """Return what was measured of a setting; nothing but its notes where it has faults."""
    return {measure: one.value for measure, one in estimates_of(summary, cell).items()}


def page_of(planter: Planter, others: Sequence[Path] = ()) -> str:
    """Write the report and return its page."""
    origin = Origin("cohorts bench experiment.toml --out results", TEXT)
    return write_report(planter.folder, summary_of(planter), origin, others).read_text(encoding="utf-8")
