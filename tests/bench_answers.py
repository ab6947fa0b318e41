"""What tests of the harness share: answers written one by one, experiments as text, and a collection to be asked."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import servers
from cohorts.connectors.base import Collection
from cohorts.connectors.index import Hnsw, SearchParams
from cohorts.harness.bench.load import clients
from cohorts.harness.bench.load.clients import Client, Opener
from cohorts.harness.bench.load.modes import Target
from cohorts.harness.bench.load.samples import Samples
from cohorts.harness.bench.load.workers import WorkerPool
from cohorts.harness.bench.plan.dataset import Dataset
from cohorts.harness.bench.plan.experiment import Experiment, read_experiment
from cohorts.harness.bench.results import Answers
from cohorts.harness.bench.run.build import Rows
from engine_contract import cloud

N, DIM, K = 3_000, 32, 10
INDEX = Hnsw(m=16, ef_construction=100)
COLLECTION = Collection("c", DIM, INDEX, {"age": float, "sex": str})
VECTORS = cloud(N, DIM)
ROWS = Rows(VECTORS, {"age": np.arange(N) % 90 / 1.0, "sex": ["FM"[row % 2] for row in range(N)]})
QUERIES = VECTORS[:60]
PARAMS = SearchParams(ef_search=128)
DATA = Dataset(VECTORS, QUERIES.copy(), {}, synthetic=True)


def experiment_from(folder: Path, text: str) -> Experiment:
    """Return the experiment that a file with this text describes."""
    folder.mkdir(exist_ok=True)
    file = folder / "experiment.toml"
    file.write_text(text, encoding="utf-8")
    return read_experiment(file)


class Answer(NamedTuple):
    """One query's answer, best first."""

    query: int
    latency_ms: float
    asked: int
    ids: Sequence[str] | Sequence[int]
    scores: Sequence[float]
    started_s: float = nan
    intended_s: float = nan


def by_columns(answers: Iterable[Answer]) -> Answers:
    rows = list(answers)
    ids = [key for row in rows for key in row.ids]
    kind = np.int64 if all(isinstance(key, int | np.integer) for key in ids) else np.str_
    return Answers(
        query=np.array([row.query for row in rows], np.int64),
        latency_ms=np.array([row.latency_ms for row in rows], np.float64),
        asked=np.array([row.asked for row in rows], np.int64),
        got=np.array([len(row.ids) for row in rows], np.int64),
        ids=np.array(ids, kind),
        scores=np.array([score for row in rows for score in row.scores], np.float32),
        started_s=np.array([row.started_s for row in rows], np.float64),
        intended_s=np.array([row.intended_s for row in rows], np.float64),
    )


def qdrant_address(node: servers.QdrantNode) -> str:
    return f"qdrant+grpc://127.0.0.1:{node.grpc}?check_compatibility=false"


def target(pool: WorkerPool, opener: Opener, **changes: Any) -> Target:
    """Return what a mode of load measures, with the queries above; draws follow from seed 0 and no repeat."""
    return replace(Target(opener=opener, data=DATA, k=K, pool=pool, repeat=0), **changes)


def slow_opener(delay_s: float) -> Opener:
    """Return what opens clients that find nothing, after a while."""
    return Opener(open=partial(Client, ask=partial(_wait, delay_s), read=clients.Answer._make), apart=True)


def _wait(delay_s: float, *_: object) -> clients.Answer:
    time.sleep(delay_s)
    return clients.Answer((), ())


def kept(samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Return ids and scores, (n, most), '' and NaN where fewer were found."""
    assert (samples.got == samples.found).all()
    there = np.arange(samples.found.max(initial=0)) < samples.found[:, None]
    ids = np.full(there.shape, "", samples.ids.dtype)
    scores = np.full(there.shape, np.nan, np.float32)
    ids[there], scores[there] = samples.ids, samples.scores
    return ids, scores


def check_whole(samples: Samples, k: int = K) -> None:
    """Check what holds of every measurement on an engine that finds k for every query."""
    assert (samples.found == k).all()
    assert (samples.intended_s <= samples.started_s).all()
    assert (samples.started_s < samples.ended_s).all()
    service_ms = 1000 * (samples.ended_s - samples.started_s)
    assert (samples.latency_ms >= service_ms - 1e-9).all()  # they are rounded
