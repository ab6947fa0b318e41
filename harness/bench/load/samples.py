"""What clients see: every query that is asked, when, and what it found. Figures are made from it afterwards."""

import gc
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Vectors
from cohorts.harness.bench.load.clients import Answer, Client
from cohorts.harness.bench.results import Answers, Numbers

clock = time.perf_counter_ns  # one clock for all processes of a Linux machine


@contextmanager
def gc_paused() -> Iterator[None]:
    """Keep the collector of garbage from what lives already; what is made from here on is collected as ever."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@dataclass(frozen=True, eq=False, kw_only=True)
class Samples(Answers):
    """What all clients saw, in the order of the intended arrivals.

    `client` (n,) asked, and `found` (n,) neighbours came, of which ids and scores may not have been kept. `notes`
    counts what the connector did otherwise than asked.
    """

    client: Numbers
    found: Numbers
    notes: Mapping[str, int]


class _Asked(NamedTuple):
    query: int
    intended_ns: int
    started_ns: int
    ended_ns: int
    k: int
    found: int


@dataclass(frozen=True, kw_only=True)
class Log:
    """What one client saw, as it crosses from process to process: `asked` has the columns of `_Asked`."""

    asked: Numbers
    ids: npt.NDArray[np.str_]
    scores: npt.NDArray[np.float32]
    notes: Mapping[str, int]
    processor_s: float


class Recorder:
    """Asks for one client, (1, dim) float32 at a time, and writes every query down; what it found only with `keep`."""

    def __init__(self, client: Client, queries: Vectors, k: int, *, keep: bool = True) -> None:
        self._client, self._k, self._keep = client, k, keep
        self._rows = [queries[row : row + 1] for row in range(len(queries))]
        self.begin()

    def begin(self) -> None:
        """Forget what was asked so far: it was the warm-up."""
        self._asked: list[_Asked] = []
        self._answers: list[Answer] = []
        self._notes: Counter[str] = Counter()
        self._processor_s = time.process_time()

    def ask(self, row: int, intended_ns: int = 0) -> None:
        """Ask a query; without an intended arrival, that is when it starts."""
        ask, query, k = self._client.ask, self._rows[row], self._k
        started_ns = clock()
        answer = ask(query, k)
        ended_ns = clock()
        read = self._client.read(answer)
        self._asked.append(_Asked(row, intended_ns or started_ns, started_ns, ended_ns, k, len(read.ids)))
        if self._keep:
            self._answers.append(read)
        if read.notes:
            self._notes.update(read.notes)

    def log(self) -> Log:
        """Return everything since `begin`."""
        processor_s = time.process_time() - self._processor_s
        return Log(
            asked=np.array(self._asked, dtype=np.int64).reshape(-1, len(_Asked._fields)),
            ids=np.array([*chain.from_iterable(one.ids for one in self._answers)], np.str_),
            scores=np.array([*chain.from_iterable(one.scores for one in self._answers)], np.float32),
            notes=dict(self._notes),
            processor_s=processor_s,
        )


def merged(logs: Sequence[Log], began_ns: int) -> Samples:
    """Return what all clients saw as one table; times are since `began_ns`."""
    asked = np.concatenate([log.asked for log in logs])
    order = np.argsort(asked[:, 1], kind="stable")
    query, intended_ns, started_ns, ended_ns, k, found = asked[order].T
    ids, scores = (
        np.concatenate(parts) for parts in zip(*((log.ids, log.scores) for log in logs), strict=True)
    )
    got = found if len(ids) == found.sum() else np.zeros_like(found)  # all are kept, or none
    starts = (asked[:, -1].cumsum() - asked[:, -1])[order]  # of each answer's ids among those of all logs
    places = np.repeat(starts - (got.cumsum() - got), got) + np.arange(got.sum())
    return Samples(
        query=query,
        client=np.repeat(np.arange(len(logs)), [len(log.asked) for log in logs])[order],
        latency_ms=(ended_ns - intended_ns) / 1e6,
        started_s=(started_ns - began_ns) / 1e9,
        intended_s=(intended_ns - began_ns) / 1e9,
        asked=k,
        found=found,
        got=got,
        ids=ids[places],
        scores=scores[places],
        notes=sum((Counter(log.notes) for log in logs), Counter()),
    )
