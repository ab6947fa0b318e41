"""Searches at one client, at several (closed loop), at a fixed rate of arrivals (open loop), and while others write.

In the closed loop a client asks again as soon as it has its answer: what it tells is throughput. In the open loop
queries arrive when they will, answered or not, and are timed from when they were due: an engine that can't keep up
shows in latencies that grow, and no arrival is left out (no coordinated omission).
"""

from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from cohorts.connectors.base import Vectors
from cohorts.errors import InputError
from cohorts.harness.bench.load.clients import Client, Opener
from cohorts.harness.bench.load.heap import gc_paused
from cohorts.harness.bench.load.samples import Floats, Log, Recorder, Samples, clock, merged
from cohorts.harness.bench.load.workers import Crowds, StartBarrier, WorkerPool, sleep_until

COLD = 10
WARM_UP = 100
EACH_WARM_UP = 20  # of each client among several


class Single(NamedTuple):
    """One client's first queries after it opened its connection, and all queries once it was warm."""

    cold: Samples
    warm: Samples
    client_cores: float


@dataclass(frozen=True)
class Run:
    """What several clients saw.

    `client_cores` are processor seconds of all clients per second; of an engine that lives in the clients' process, its
    own are among them, and `how` says so. `server_cores` are those of the server; None where it can't be seen.
    """

    samples: Samples
    seconds: float
    clients: int
    client_cores: float
    server_cores: float | None
    how: str

    @property
    def qps(self) -> float:
        """Return the queries that were answered within the time that all clients shared, per second."""
        return float((self.samples.ended_ms <= self.seconds * 1000).sum() / self.seconds)

    @property
    def behind_ms(self) -> float:
        """Return how long after its time, in the mean, an arrival of the last tenth was begun with."""
        samples = self.samples
        late_ms = samples.started_ms - samples.intended_ms
        return float(late_ms[-max(1, len(late_ms) // 10) :].mean()) if len(late_ms) else 0.0


def single(opener: Opener, queries: Vectors, k: int) -> Single:
    """Ask every query once, one after the other, at one client. `queries` are (n, dim) float32.

    Before, on the same connection: the first ten, of which the first opens it (cold), and a hundred more (warm-up).
    Raises InputError, and as `search` does.
    """
    _check(queries, 1)
    with closing(opener.open()) as client, gc_paused():
        recorder = Recorder(client, queries, k, keep=True)
        cold, _ = _one_by_one(recorder, min(COLD, len(queries)))
        for row in range(WARM_UP):
            recorder.ask(row % len(queries))
        return Single(cold, *_one_by_one(recorder, len(queries)))


def closed_loop(
    crowds: Crowds,
    opener: Opener,
    queries: Vectors,
    k: int,
    clients: int,
    seconds: float,
    *,
    server: int | None = None,
) -> Run:
    """Let every client ask one query after the other for some seconds; which ones were found is not kept.

    `server` is the process that they ask. Raises InputError, and as `search` does.
    """
    _check(queries, clients)
    crowd, _ = crowds.run(opener, clients, _Closed(queries, k, clients, seconds), server=server)
    return to_run(crowd, clients, seconds)


def arrivals(rate_per_s: float, seconds: float, seed: int) -> Floats:
    """Return when queries arrive, (n,) s, as strangers do: independent of each other (Poisson)."""
    rng = np.random.default_rng(seed)
    most = int(rate_per_s * seconds + 10 * (rate_per_s * seconds) ** 0.5 + 10)  # ten standard deviations
    times = np.cumsum(rng.exponential(1 / rate_per_s, most))
    return times[times < seconds]


def open_loop(
    crowds: Crowds,
    opener: Opener,
    queries: Vectors,
    k: int,
    arrivals_s: Floats,
    clients: int,
    *,
    server: int | None = None,
) -> Run:
    """Ask the queries in turn, each when it arrives, by whichever client is free.

    `arrivals_s` (n,) ascend; with too few clients arrivals wait for one, which counts as latency too. It lasts until
    the last one is answered. Raises InputError, and as `search` does.
    """
    _check(queries, clients)
    crowd, _ = crowds.run(opener, clients, Open(queries, k, arrivals_s), server=server)
    return to_run(crowd, clients, float(arrivals_s[-1]) if len(arrivals_s) else 0.0)


@dataclass(frozen=True)
class _Closed:
    queries: Vectors
    k: int
    clients: int
    seconds: float

    def __call__(self, client: Client, number: int, gate: StartBarrier) -> Log:
        recorder, many = Recorder(client, self.queries, self.k, keep=False), len(self.queries)
        row = first = number * many // self.clients  # no two ask the same at the same time
        _warm_up(recorder, first, many)
        end_ns = gate.wait() + int(self.seconds * 1e9)
        recorder.begin()
        while clock() < end_ns:
            recorder.ask(row)
            row = (row + 1) % many
        return recorder.log()


@dataclass(frozen=True)
class Open:
    """Takes the next arrival that nobody has, waits for its time, and asks."""

    queries: Vectors
    k: int
    arrivals_s: Floats

    def __call__(self, client: Client, number: int, gate: StartBarrier) -> Log:
        """Return what this client saw of its arrivals."""
        recorder, many = Recorder(client, self.queries, self.k, keep=True), len(self.queries)
        offsets_ns = (self.arrivals_s * 1e9).astype(np.int64).tolist()
        _warm_up(recorder, number, many)
        began_ns = gate.wait()
        recorder.begin()
        while (arrival := gate.take()) < len(offsets_ns):
            due_ns = began_ns + offsets_ns[arrival]
            sleep_until(due_ns)
            recorder.ask(arrival % many, due_ns)
        return recorder.log()


def to_run(crowd: WorkerPool, clients: int, seconds: float) -> Run:
    """Return what the clients saw in `seconds`."""
    samples = merged(crowd.logs, crowd.began_ns)
    lasted_s = float(samples.ended_ms.max()) / 1000 if len(samples) else 0.0
    client_cores = crowd.processor_s / lasted_s if lasted_s else 0.0
    server_cores = crowd.server_s / lasted_s if lasted_s and crowd.server_s is not None else None
    return Run(samples, seconds, clients, client_cores, server_cores, crowd.how)


def _one_by_one(recorder: Recorder, many: int) -> tuple[Samples, float]:
    """Ask the first queries; return what was seen, and the processor seconds per second of this process meanwhile."""
    recorder.begin()
    began_ns = clock()
    for row in range(many):
        recorder.ask(row)
    lasted_s, log = (clock() - began_ns) / 1e9, recorder.log()
    return merged([log], began_ns), log.processor_s / lasted_s


def _warm_up(recorder: Recorder, first: int, many: int) -> None:
    """Connect, and ask until the first costs of a connection are paid."""
    for row in range(first, first + EACH_WARM_UP):
        recorder.ask(row % many)


def _check(queries: Vectors, clients: int) -> None:
    if not len(queries) or clients < 1:
        raise InputError(
            f"{len(queries)} queries and {clients} clients were given; at least one of each is needed."
        )
