"""Modes of load: how queries are asked. Each is a class that says what it needs, measures, and leaves a raw result.

In the closed loop a client asks again as soon as it has its answer: what it tells is throughput. In the open loop
queries arrive when they will, answered or not, and are timed from when they were due: an engine that can't keep up
shows in latencies that grow, and no arrival is left out (no coordinated omission).
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, ClassVar, Self

import numpy as np
from cohorts.connectors.base import Vectors
from cohorts.errors import InputError
from cohorts.harness.bench.load.clients import NOBODY, Client, Opener
from cohorts.harness.bench.load.processes import Meter
from cohorts.harness.bench.load.samples import Log, Recorder, Samples, clock, gc_paused, merged
from cohorts.harness.bench.load.workers import Run, StartBarrier, Work, WorkerPool, sleep_until
from cohorts.harness.bench.plan.dataset import Dataset
from cohorts.harness.bench.plan.experiment import Experiment
from cohorts.harness.bench.results import Floats, Written
from cohorts.reports.formats import plain

COLD = 10
WARM_UP = 100
EACH_WARM_UP = 20  # of each client among several
OPEN_CLIENTS = 8  # who take arrivals: enough that one slow answer holds no other back


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is measured: how clients come to it, its process, and its data, for `seconds`; draws follow from the seed.

    `opener` opens what is built of `data`; the queries of that are asked, for `k` neighbours each.
    """

    opener: Opener
    data: Dataset
    k: int
    pool: WorkerPool
    server: int | None = None
    seconds: float = 1.0
    seed: int = 0
    repeat: int = 1

    def run(self, clients: int, work: Work, *, beside: Work | None = None) -> Run:
        """Let several clients work at the same time. Raises InputError for none, and as `WorkerPool.run` does."""
        _check(self.data.queries, clients)
        return self.pool.run(self.opener, clients, work, beside=beside, server=self.server)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The raw result: every answer, what else was seen (`facts`, as JSON), and what was written meanwhile."""

    samples: Samples
    facts: Mapping[str, Any]
    written: Written | None = None


@dataclass(frozen=True)
class Mode:
    """One way to ask. Its fields are its settings; its class says what it needs and leaves.

    `kind` names it; `axes` are the lists of an experiment that its fields are from. `loaded`: several clients ask, for
    a while; without, it is crossed with every filter. `due`: queries arrive, answered or not. `keeps_ids`: what was
    found is kept. `writes_points`: it needs a store that can be written into, and is measured after all modes that
    leave it as it was built.
    """

    kind: ClassVar[str]
    axes: ClassVar[tuple[str, ...]] = ()
    loaded: ClassVar[bool] = True
    due: ClassVar[bool] = False
    keeps_ids: ClassVar[bool] = True
    writes_points: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """Return the mode as part of a path: `open,rate=50`."""
        return ",".join([self.kind, *(f"{name}={plain(value)}" for name, value in vars(self).items())])

    @classmethod
    def asked_by(cls, experiment: Experiment) -> Iterator[Self]:
        """Yield the mode with every setting that an experiment asks for, in the order in which they are shown."""
        yield from (cls(*values) for values in product(*(getattr(experiment, axis) for axis in cls.axes)))

    def measure(self, target: Target) -> Measurement:
        """Ask. Raises InputError, and as `search` does."""
        raise NotImplementedError


@dataclass(frozen=True)
class Single(Mode):
    """One query at a time, one client: latency and recall."""

    kind = "single"
    loaded = False

    def measure(self, target: Target) -> Measurement:
        """Ask every query once; tell also what a query costs that asks nobody."""
        queries, meter = target.data.queries, Meter(target.server)
        seen = one_by_one(target.opener, queries, target.k)
        server_cores = meter.cores()
        floor = one_by_one(NOBODY, queries, target.k).warm
        facts = {
            "cold_ms": seen.cold.latency_ms.round(4).tolist(),
            "floor_ms": float(np.median(floor.latency_ms)),
            "client_cores": seen.client_cores,
            "server_cores": server_cores,
        }
        return Measurement(samples=seen.warm, facts=facts)


@dataclass(frozen=True)
class Closed(Mode):
    """`clients` that each ask again once answered, for some seconds: throughput. What was found is not kept."""

    kind = "closed"
    axes = ("clients",)
    keeps_ids = False
    clients: int

    def measure(self, target: Target) -> Measurement:
        """Let every client ask one query after the other."""
        work = partial(
            _ask_again, queries=target.data.queries, k=target.k, clients=self.clients, seconds=target.seconds
        )
        return measured(target.run(self.clients, work), target.seconds)


@dataclass(frozen=True)
class Open(Mode):
    """Queries that arrive at `rate` per second, answered or not: latency under load."""

    kind = "open"
    axes = ("rates",)
    due = True
    rate: float

    def measure(self, target: Target) -> Measurement:
        """Ask until the last one that arrived is answered."""
        due_s = arrivals(self.rate, target.seconds, target.seed + target.repeat)
        return measured(ask_as_due(target, due_s), float(due_s.max(initial=0)))


@dataclass(frozen=True, kw_only=True)
class Alone:
    """One client's first queries after it opened its connection, and all queries once it was warm."""

    cold: Samples
    warm: Samples
    client_cores: float


def one_by_one(opener: Opener, queries: Vectors, k: int) -> Alone:
    """Ask every query once, one after the other, at one client. `queries` are (n, dim) float32.

    Before, on the same connection: the first ten, of which the first opens it (cold), and a hundred more (warm-up).
    Raises InputError, and as `search` does.
    """
    _check(queries, 1)
    with closing(opener.open()) as client, gc_paused():
        recorder = Recorder(client, queries, k)
        cold, _ = _in_turn(recorder, min(COLD, len(queries)))
        _warm_up(recorder, 0, len(queries), WARM_UP)
        warm, client_cores = _in_turn(recorder, len(queries))
    return Alone(cold=cold, warm=warm, client_cores=client_cores)


def arrivals(rate_per_s: float, seconds: float, seed: int) -> Floats:
    """Return when queries arrive, (n,) s, as strangers do: independent of each other (Poisson)."""
    rng = np.random.default_rng(seed)
    most = int(rate_per_s * seconds + 10 * (rate_per_s * seconds) ** 0.5 + 10)  # ten standard deviations
    times = np.cumsum(rng.exponential(1 / rate_per_s, most))
    return times[times < seconds]


def ask_as_due(target: Target, due_s: Floats, *, beside: Work | None = None) -> Run:
    """Ask the queries in turn, each when it arrives, by whichever client is free. `due_s` (n,) ascend.

    With too few clients arrivals wait for one, which counts as latency too. Raises as `Target.run` does.
    """
    due_ns = (due_s * 1e9).astype(np.int64).tolist()
    work = partial(_ask_when_due, queries=target.data.queries, k=target.k, due_ns=due_ns)
    return target.run(OPEN_CLIENTS, work, beside=beside)


def measured(run: Run, seconds: float, written: Written | None = None) -> Measurement:
    """Return what several clients saw in the time that all of them shared.

    `qps` counts the answers within that time, and `behind_ms` is how long after its time, in the mean, an arrival of
    the last tenth was begun with.
    """
    samples = run.samples
    late_ms = 1000 * (samples.started_s - samples.intended_s)
    facts = {
        "how": run.how,
        "qps": float((samples.ended_s <= seconds).sum() / seconds) if seconds else 0.0,
        "behind_ms": float(late_ms[-max(1, len(late_ms) // 10) :].mean()) if len(samples) else 0.0,
        "client_cores": run.client_cores,
        "server_cores": run.server_cores,
        "fewest_found": int(samples.found.min()) if len(samples) else 0,
    }
    return Measurement(samples=samples, facts=facts, written=written)


def _ask_again(
    client: Client,
    number: int,
    barrier: StartBarrier,
    *,
    queries: Vectors,
    k: int,
    clients: int,
    seconds: float,
) -> Log:
    recorder, many = Recorder(client, queries, k, keep=False), len(queries)
    row = number * many // clients  # no two ask the same at the same time
    _warm_up(recorder, row, many)
    end_ns = barrier.wait() + int(seconds * 1e9)
    recorder.begin()
    while clock() < end_ns:
        recorder.ask(row)
        row = (row + 1) % many
    return recorder.log()


def _ask_when_due(
    client: Client, number: int, barrier: StartBarrier, *, queries: Vectors, k: int, due_ns: list[int]
) -> Log:
    """Take the next arrival that nobody has, wait for its time, and ask."""
    recorder, many = Recorder(client, queries, k), len(queries)
    _warm_up(recorder, number, many)
    began_ns = barrier.wait()
    recorder.begin()
    while (arrival := barrier.take()) < len(due_ns):
        sleep_until(began_ns + due_ns[arrival])
        recorder.ask(arrival % many, began_ns + due_ns[arrival])
    return recorder.log()


def _in_turn(recorder: Recorder, many: int) -> tuple[Samples, float]:
    """Ask the first queries; return what was seen, and the processor seconds per second of this process meanwhile."""
    recorder.begin()
    began_ns = clock()
    for row in range(many):
        recorder.ask(row)
    lasted_s, log = (clock() - began_ns) / 1e9, recorder.log()
    return merged([log], began_ns), log.processor_s / lasted_s


def _warm_up(recorder: Recorder, first: int, many: int, asked: int = EACH_WARM_UP) -> None:
    """Connect, and ask until the first costs of a connection are paid."""
    for row in range(first, first + asked):
        recorder.ask(row % many)


def _check(queries: Vectors, clients: int) -> None:
    if not len(queries) or clients < 1:
        raise InputError(
            f"{len(queries)} queries and {clients} clients were given; at least one of each is needed."
        )
