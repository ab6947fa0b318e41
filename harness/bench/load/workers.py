"""Many clients that begin together: processes where the engine takes several, else threads around one connection.

Processes stay for the next measurement: to start one takes as long as what it measures.
"""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from threading import BrokenBarrierError
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from cohorts.errors import EngineError
from cohorts.harness.bench.load.clients import Client, Opener
from cohorts.harness.bench.load.heap import gc_paused
from cohorts.harness.bench.load.processes import Meter
from cohorts.harness.bench.load.samples import Log, clock

T = TypeVar("T", covariant=True)
START_S = 120.0  # in which all must have connected and warmed up
LEAD_NS = 200_000_000  # so that nobody has missed the start when it is told
_SPIN_NS = 100_000  # a sleep wakes some 60 µs late
_SPAWN = get_context("spawn")  # a forked copy of a client's connection would be one connection


class StartBarrier:
    """What the clients share: the moment at which all begin, and the number of the next arrival that nobody has."""

    def __init__(self, parties: int) -> None:
        self._barrier = _SPAWN.Barrier(parties)
        self._began_ns = _SPAWN.Value("q", 0, lock=False)
        self._next = _SPAWN.Value("q", 0)

    def open(self) -> int:
        """Wait until all are ready, then let them in; return the moment at which they begin."""
        self._barrier.wait(START_S)
        self._next.value = 0
        self._began_ns.value = clock() + LEAD_NS
        self._barrier.wait(START_S)
        return int(self._began_ns.value)

    def wait(self) -> int:
        """Wait for all others; return the moment to begin, which has come."""
        self._barrier.wait(START_S)
        self._barrier.wait(START_S)
        sleep_until(self._began_ns.value)
        return int(self._began_ns.value)

    def take(self) -> int:
        """Return the number of the next arrival, which is nobody else's."""
        with self._next.get_lock():
            number = self._next.value
            self._next.value = number + 1
        return int(number)

    def abandon(self) -> None:
        """Let nobody wait for one who can't come."""
        self._barrier.abort()


class Work(Protocol[T]):
    """What one of the clients does; it passes the gate once it is warm."""

    def __call__(self, client: Client, number: int, gate: StartBarrier) -> T:
        """Return what it saw; `number` tells the clients apart."""
        ...


@dataclass(frozen=True)
class WorkerPool:
    """What all clients saw, when they began, and what they were.

    `processor_s` are those of all clients, `server_s` those of the server; None where it can't be seen.
    """

    logs: list[Log]
    began_ns: int
    processor_s: float
    server_s: float | None
    how: str


def sleep_until(moment_ns: int) -> None:
    """Return at the moment, at once where it has passed; the last tenth of a millisecond is waited for awake."""
    while (left_ns := moment_ns - clock()) > 0:
        if left_ns > _SPIN_NS:
            time.sleep((left_ns - _SPIN_NS) / 1e9)


class _Waiting(NamedTuple):
    """Processes that wait for work, and the gate that they share."""

    gate: StartBarrier
    pool: ProcessPoolExecutor


class Crowds:
    """Runs crowds, one at a time, and keeps their processes until it is closed."""

    def __init__(self) -> None:
        self._waiting: dict[int, _Waiting] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for kept in self._waiting.values():
            kept.pool.shutdown()

    def run(
        self,
        opener: Opener,
        clients: int,
        work: Work[Log],
        *,
        beside: Work[Any] | None = None,
        server: int | None = None,
    ) -> tuple[WorkerPool, Any]:
        """Let all clients do the work at the same time; return it, and what one more saw who did `beside` meanwhile.

        `server` is the process that they ask. Raises what the first client that fails raises, EngineError where one
        dies.
        """
        works: list[Work[Any]] = [work] * clients + ([beside] if beside else [])
        if opener.apart:
            began_ns, server_s, seen = self._in_processes(opener, works, server)
            how = f"{clients} processes"
        else:
            began_ns, server_s, seen = _in_threads(opener, works, server)
            how = f"{clients} threads of one process, in which the engine is"
        spent_s = [log.processor_s for log in seen[:clients]]
        # Every thread has read the seconds of the one process.
        processor_s = sum(spent_s) if opener.apart else max(spent_s)
        return WorkerPool(seen[:clients], began_ns, processor_s, server_s, how), seen[
            clients
        ] if beside else None

    def _in_processes(self, opener: Opener, works: Sequence[Work[Any]], server: int | None) -> "_Seen":
        many = len(works)
        waiting = self._waiting.pop(many, None) or _started(many)
        tasks = [waiting.pool.submit(_alone, opener, one, number) for number, one in enumerate(works)]
        try:
            seen = _together(tasks, waiting.gate, server)
        except BaseException:  # the gate is broken, or a process
            waiting.pool.shutdown()
            raise
        self._waiting[many] = waiting
        return seen


class _Seen(NamedTuple):
    began_ns: int
    server_s: float | None
    seen: list[Any]


def _started(many: int) -> _Waiting:
    gate = StartBarrier(many + 1)
    return _Waiting(gate, ProcessPoolExecutor(many, _SPAWN, _enter, (gate,)))


def _in_threads(opener: Opener, works: Sequence[Work[Any]], server: int | None) -> _Seen:
    gate = StartBarrier(len(works) + 1)
    with closing(opener.open()) as client, gc_paused(), ThreadPoolExecutor(len(works)) as pool:
        return _together(
            [pool.submit(one, client, number, gate) for number, one in enumerate(works)], gate, server
        )


def _together(tasks: Sequence[Future[Any]], gate: StartBarrier, server: int | None) -> _Seen:
    """Open the gate once all have come; return when, what the server spent from then on, and what each saw."""
    for task in tasks:
        task.add_done_callback(lambda ended: gate.abandon() if ended.exception() else None)
    meter = None
    with suppress(BrokenBarrierError):  # somebody failed: what is told is why
        began_ns = gate.open()
        sleep_until(began_ns)
        meter = Meter(server)
    errors = [error for task in tasks if (error := task.exception())]
    for error in errors:
        if not isinstance(error, BrokenBarrierError | BrokenProcessPool):
            raise error
    if errors:
        raise EngineError(
            "A client of the measurement died, or was not ready in time: look for the system's own word of a process "
            f"killed for its memory. All clients must connect and warm up within {START_S:.0f} s."
        ) from errors[0]
    return _Seen(began_ns, meter.spent_s() if meter else None, [task.result() for task in tasks])


_gate: StartBarrier  # of this process, where it is a client: it can't be sent to a process that runs already


def _enter(gate: StartBarrier) -> None:
    global _gate
    _gate = gate


def _alone(opener: Opener, work: Work[T], number: int) -> T:
    with closing(opener.open()) as client, gc_paused():
        return work(client, number, _gate)
