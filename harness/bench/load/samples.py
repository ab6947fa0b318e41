"""Raw measurements: every query that was asked, when, and what it found. Metrics are computed from them afterwards."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Vectors
from cohorts.harness.bench.load.clients import Answer, Client

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
clock = time.perf_counter_ns  # one clock for all processes of a Linux machine


class _Asked(NamedTuple):
    query: int
    intended_ns: int
    started_ns: int
    ended_ns: int
    found: int


@dataclass(frozen=True)
class Samples:
    """One row per query asked, in the order of their intended arrivals. Times are ms since the measurement began.

    `query` (n,) is the row of the queries that was asked, by client `client` (n,); `found` (n,) is how many it got.
    `ids` (n, k) are text, '' where fewer were found, and `scores` (n, k) float32 cosine, NaN there; both are None where
    they weren't kept. `notes` counts what the connector did otherwise than asked.
    """

    query: Ints
    client: Ints
    intended_ms: Floats
    started_ms: Floats
    ended_ms: Floats
    found: Ints
    ids: npt.NDArray[np.str_] | None
    scores: npt.NDArray[np.float32] | None
    notes: Mapping[str, int]

    @property
    def latency_ms(self) -> Floats:
        """Return (n,) ms from the intended arrival to the answer: what a user waits who comes on time."""
        return self.ended_ms - self.intended_ms

    def __len__(self) -> int:
        return len(self.query)


@dataclass(frozen=True)
class Log:
    """What one client saw, as it crosses from process to process."""

    asked: Ints  # (n, 5), the columns of _Asked
    ids: npt.NDArray[np.str_] | None
    scores: npt.NDArray[np.float32] | None
    notes: Mapping[str, int]
    processor_s: float


class Recorder:
    """Asks for one client, and writes every query down; ids and scores only with `keep`."""

    def __init__(self, client: Client, queries: Vectors, k: int, *, keep: bool) -> None:
        self._client, self._k, self._keep = client, k, keep
        self._rows = [queries[row : row + 1] for row in range(len(queries))]
        self._asked: list[_Asked] = []
        self._answers: list[Answer] = []
        self._notes: Counter[str] = Counter()
        self._processor_s = time.process_time()

    def ask(self, row: int, intended_ns: int = 0) -> int:
        """Ask a query and return when it was answered; without an intended arrival, that is when it starts."""
        ask, query, k = self._client.ask, self._rows[row], self._k
        started_ns = clock()
        answer = ask(query, k)
        ended_ns = clock()
        read = self._client.read(answer)
        self._asked.append(_Asked(row, intended_ns or started_ns, started_ns, ended_ns, len(read.ids)))
        if self._keep:
            self._answers.append(read)
        if read.notes:
            self._notes.update(read.notes)
        return ended_ns

    def begin(self) -> None:
        """Forget what was asked so far: it was the warm-up."""
        self._asked.clear()
        self._answers.clear()
        self._notes.clear()
        self._processor_s = time.process_time()

    def log(self) -> Log:
        """Return everything since `begin`."""
        processor_s = time.process_time() - self._processor_s
        asked = np.array(self._asked, dtype=np.int64).reshape(-1, len(_Asked._fields))
        ids = scores = None
        if self._keep:
            ids, scores = _padded(self._answers, self._k)
        return Log(asked, ids, scores, dict(self._notes), processor_s)


def merged(logs: Sequence[Log], began_ns: int) -> Samples:
    """Return what all clients saw as one table."""
    asked = np.concatenate([log.asked for log in logs])
    order = np.argsort(asked[:, 1], kind="stable")
    query, intended_ns, started_ns, ended_ns, found = asked[order].T
    client = np.repeat(np.arange(len(logs)), [len(log.asked) for log in logs])[order]
    all_ids = [log.ids for log in logs if log.ids is not None]
    all_scores = [log.scores for log in logs if log.scores is not None]
    notes: Counter[str] = Counter()
    for log in logs:
        notes.update(log.notes)
    return Samples(
        query,
        client,
        (intended_ns - began_ns) / 1e6,
        (started_ns - began_ns) / 1e6,
        (ended_ns - began_ns) / 1e6,
        found,
        np.concatenate(all_ids)[order] if all_ids else None,
        np.concatenate(all_scores)[order] if all_scores else None,
        dict(notes),
    )


def _padded(answers: Sequence[Answer], k: int) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.float32]]:
    """Return ids and scores of (n, k), whatever each query found; an engine that gives more than k is cut there."""
    ids = [[*answer.ids[:k], *[""] * (k - len(answer.ids))] for answer in answers]
    scores = [[*answer.scores[:k], *[np.nan] * (k - len(answer.scores))] for answer in answers]
    shape = (len(answers), k)
    return np.array(ids, dtype=np.str_).reshape(shape), np.array(scores, dtype=np.float32).reshape(shape)
