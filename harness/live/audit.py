"""Recall of a collection in service against exact search, by kind of query, whole and by filter: read-only."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
from cohorts.connectors.base import Description
from cohorts.connectors.index import SearchParams, search_to_json, show_index
from cohorts.harness.bench.results import Floats
from cohorts.harness.live.queries import Sample, perturbed
from cohorts.harness.live.reader import (
    Answers,
    Reader,
    answers,
    check_size,
    draw,
    exact_neighbours,
    parts_of,
    recall_by_query,
)
from cohorts.measures import intervals
from cohorts.plain_text import csv_cell
from cohorts.private_files import open_private, private_folder
from cohorts.provenance import made_with, write_manifest

WORST = 5  # queries that are named
_VERSIONS = ("numpy", "pymilvus", "milvus-lite", "qdrant-client", "qdrant-edge-py")


@dataclass(frozen=True, kw_only=True)
class Row:
    """Recall@k for one `kind` of queries under one filter ("" for none), and latency.

    Recall is the mean over queries with its 95 % bootstrap interval. `count` points pass the filter, a `share` of all.
    `asked` and `got` count neighbours; `short` is how many answers hold fewer than there are. Exact latency is NaN
    where exact neighbours are found by one scan for all queries. `worst` are the ids of the queries with the least
    recall, where that is below 1, as `Sample` has them.
    """

    kind: str
    where: str
    count: int
    share: float
    queries: int
    recall: float
    recall_low: float
    recall_high: float
    recall_p5: float
    asked: int
    got: int
    short: int
    p50_ms: float
    p95_ms: float
    exact_p50_ms: float
    exact_p95_ms: float
    worst: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was found of a collection: for every kind of queries a row without a filter, then one for each filter.

    `asked_with` says in words what queries each kind is. `search` are the parameters asked for; None for the
    collection's default. `scanned` tells that all points were read to find the true neighbours. `warning` is told where
    vectors hardly differ.
    """

    description: Description
    k: int
    seed: int
    drawn_from: int
    asked_with: Mapping[str, str]
    search: SearchParams | None
    scanned: bool
    rows: tuple[Row, ...]
    warning: str = ""

    @property
    def line(self) -> str:
        """Return in one line what answers: an index, or an exact scan."""
        collection = self.description.collection
        if self.description.exact:
            return self.description.note
        return f"{show_index(collection.index)}, {self.description.indexed:,} of {self.description.count:,} indexed"

    @property
    def truth(self) -> str:
        """Return in one line where the true neighbours come from."""
        count, engine = self.description.count, self.description.engine
        if self.scanned:
            return (
                f"all {count:,} points, read and compared here: {engine} has no exact search beside an index"
            )
        return f"the exact search of {engine}"


def audit(
    reader: Reader,
    *,
    k: int = 10,
    queries: int = 200,
    wheres: Sequence[str] = (),
    search: SearchParams | None = None,
    seed: int = 0,
    asked: Sample | None = None,
) -> Audit:
    """Measure the recall of a collection with its own points, with new ones near them, and with those `asked`.

    An own point is no neighbour of itself. Raises InputError for too few points, and too many where the engine has no
    exact search; FilterError, CollectionNotFound, EngineError, MeasurementError.
    """
    check_size(reader, k)
    parts = parts_of(reader, wheres)
    drawn = draw(reader, queries, seed)
    samples = [drawn.own, perturbed(drawn.own, drawn.nearest, seed), *([asked] if asked else [])]
    truths = exact_neighbours(reader, samples, k, [part.where for part in parts.values()])
    rows = []
    for sample, of_sample in zip(samples, truths, strict=True):
        for (text, part), exact in zip(parts.items(), of_sample, strict=True):
            given = answers(reader, sample, k, part.where, search)
            recall = recall_by_query(reader, sample, exact, given)
            share = part.count / reader.description.count
            figures = _figures(sample, exact, given, recall)
            rows.append(Row(where=text, count=part.count, share=share, asked=k * len(given.ids), **figures))
    return Audit(
        description=reader.description,
        k=k,
        seed=seed,
        drawn_from=drawn.first,
        asked_with={sample.kind: sample.about for sample in samples},
        search=search,
        scanned=reader.scanned,
        rows=tuple(rows),
        warning=reader.warning(),
    )


def write_audit(folder: Path, found: Audit, asked: Mapping[str, Any]) -> None:
    """Write audit.csv, a line per kind of queries and filter, and manifest.json with what was `asked`."""
    private_folder(folder)
    lines = [
        asdict(row) | {"worst": " ".join(row.worst), "notes": "; ".join(row.notes)} for row in found.rows
    ]
    with open_private(folder / "audit.csv") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows({key: csv_cell(value) for key, value in line.items()} for line in lines)
    there, collection = found.description, found.description.collection
    facts = {
        **made_with(_VERSIONS),
        **asked,
        "engine": there.engine,
        "version": collection.name,
        "index": show_index(collection.index),
        "default_search": search_to_json(collection.search),
        "search": None if found.search is None else search_to_json(found.search),
        "count": there.count,
        "indexed": there.indexed,
        "note": there.note,
        "exact": there.exact,
        "true_neighbours": found.truth,
        "synthetic": bool(collection.metadata.get("synthetic")),
        "k": found.k,
        "queries": {row.kind: row.queries for row in found.rows},
        "queries_are": dict(found.asked_with),
        "drawn_from_first": found.drawn_from,
        "seed": found.seed,
        "warnings": [found.warning] if found.warning else [],
    }
    write_manifest(folder / "manifest.json", facts)


def _figures(sample: Sample, exact: Answers, given: Answers, recall: Floats) -> dict[str, Any]:
    low, high = intervals.of_mean(recall, np.random.default_rng(0))
    got, there = (np.array([len(ids) for ids in lists]) for lists in (given.ids, exact.ids))
    worst = [query for query in np.argsort(recall, kind="stable")[:WORST] if recall[query] < 1]
    p50, p95 = np.percentile(given.latency_ms, [50, 95])
    exact_p50, exact_p95 = np.percentile(exact.latency_ms, [50, 95]) if len(exact.latency_ms) else (nan, nan)
    return {
        "kind": sample.kind,
        "queries": len(recall),
        "recall": float(recall.mean()),
        "recall_low": low,
        "recall_high": high,
        "recall_p5": float(np.percentile(recall, 5)),
        "got": int(got.sum()),
        "short": int((got < there).sum()),
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "exact_p50_ms": float(exact_p50),
        "exact_p95_ms": float(exact_p95),
        "worst": tuple(sample.ids[query] for query in worst),
        "notes": given.notes,
    }
