"""Many clients that begin together: processes where the engine takes several, else threads around one connection.

Processes stay for the next measurement: to start one takes as long as what it measures.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from threading import BrokenBarrierError
from typing import Any, Self

from cohorts.errors import EngineError
from cohorts.harness.bench.load.clients import Opener
from cohorts.harness.bench.load.processes import Meter
from cohorts.harness.bench.load.samples import Log, Samples, clock, gc_paused, merged

START_S = 120.0  # in which all must have connected and warmed up
LEAD_NS = 200_000_000  # so that nobody has missed the start when it is told
_SPIN_NS = 100_000  # a sleep wakes some 60 µs late
_SPAWN = get_context("spawn")  # a forked copy of a client's connection would be one connection


class StartBarrier:
    """What the clients share: the moment at which all begin, and the number of the next arrival that nobody has."""

    def __init__(self, parties: int) -> None:
        self._began_ns = _SPAWN.Value("q", 0, lock=False)
        self._next = _SPAWN.Value("q", 0)
        # The last one who comes sets both, before any is let through.
        self._barrier = _SPAWN.Barrier(parties, partial(_start, self._began_ns, self._next), START_S)

    def wait(self) -> int:
        """Wait for all others; return the moment to begin, which has come."""
        self._barrier.wait()
        sleep_until(self._began_ns.value)
        return int(self._began_ns.value)

    def take(self) -> int:
        """Return the number of the next arrival, which is nobody else's."""
        with self._next.get_lock():
            self._next.value += 1
            return int(self._next.value) - 1

    def abandon(self) -> None:
        """Let nobody wait for one who can't come."""
        self._barrier.abort()


def _start(began_ns: Any, next_: Any) -> None:
    next_.value, began_ns.value = 0, clock() + LEAD_NS


Work = Callable[[Any, int, StartBarrier], Any]
"""What one client does: it passes the barrier once it is warm; its number tells it from others. Returns what it saw."""


def sleep_until(moment_ns: int) -> None:
    """Return at the moment, at once where it has passed; the last tenth of a millisecond is waited for awake."""
    while (left_ns := moment_ns - clock()) > 0:
        if left_ns > _SPIN_NS:
            time.sleep((left_ns - _SPIN_NS) / 1e9)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What all clients saw since `began_ns`, and what one more saw who worked `beside` them.

    `client_cores` are processor seconds of all clients per second; of an engine that lives in the clients' process, its
    own are among them, and `how` says so. `server_cores` are those of the server; None where it can't be seen.
    """

    samples: Samples
    began_ns: int
    client_cores: float
    server_cores: float | None
    how: str
    beside: Any


class WorkerPool:
    """Runs many clients at a time, and keeps their processes until it is closed."""

    def __init__(self) -> None:
        self._idle: dict[int, tuple[StartBarrier, ProcessPoolExecutor]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for idle in self._idle.values():
            idle[1].shutdown()

    def run(
        self,
        opener: Opener,
        clients: int,
        work: Work,
        *,
        beside: Work | None = None,
        server: int | None = None,
    ) -> Run:
        """Let all clients do the work, which returns a Log, at the same time, and one more what is `beside` it.

        `server` is the process that they ask. Raises what the first client that fails raises, EngineError where one
        dies.
        """
        works = [work] * clients + ([beside] if beside else [])
        run = self._in_processes if opener.apart else _in_threads
        began_ns, server_s, seen = run(opener, works, server)
        logs: list[Log] = seen[:clients]
        samples = merged(logs, began_ns)
        lasted_s = float(samples.ended_s.max(initial=0)) or float("inf")
        # Every thread has read the seconds of the one process.
        spent_s = (sum if opener.apart else max)(log.processor_s for log in logs)
        return Run(
            samples=samples,
            began_ns=began_ns,
            client_cores=spent_s / lasted_s,
            server_cores=None if server_s is None else server_s / lasted_s,
            how=f"{clients} processes"
            if opener.apart
            else f"{clients} threads of one process, in which the engine is",
            beside=seen[-1],
        )

    def _in_processes(self, opener: Opener, works: Sequence[Work], server: int | None) -> "_Seen":
        many = len(works)
        barrier, pool = self._idle.pop(many) if many in self._idle else _started(many)
        tasks = [pool.submit(_alone, opener, one, number) for number, one in enumerate(works)]
        try:
            seen = _together(tasks, barrier, server)
        except BaseException:  # the barrier is broken, or a process
            pool.shutdown()
            raise
        self._idle[many] = barrier, pool
        return seen


_Seen = tuple[
    int, float | None, list[Any]
]  # when all began, seconds of the server's processor, what each saw


def _started(many: int) -> tuple[StartBarrier, ProcessPoolExecutor]:
    barrier = StartBarrier(many + 1)
    return barrier, ProcessPoolExecutor(many, _SPAWN, _enter, (barrier,))


def _in_threads(opener: Opener, works: Sequence[Work], server: int | None) -> _Seen:
    barrier = StartBarrier(len(works) + 1)
    with closing(opener.open()) as client, gc_paused(), ThreadPoolExecutor(len(works)) as pool:
        tasks = [pool.submit(one, client, number, barrier) for number, one in enumerate(works)]
        return _together(tasks, barrier, server)


def _together(tasks: Sequence[Future[Any]], barrier: StartBarrier, server: int | None) -> _Seen:
    """Let all begin once all have come."""
    for task in tasks:
        task.add_done_callback(lambda ended: barrier.abandon() if ended.exception() else None)
    meter = None
    with suppress(BrokenBarrierError):  # somebody failed: what is told is why
        began_ns = barrier.wait()
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
    return began_ns, meter.spent_s() if meter else None, [task.result() for task in tasks]


_barrier: (
    StartBarrier  # of this process, where it is a client: it can't be sent to a process that runs already
)


def _enter(barrier: StartBarrier) -> None:
    global _barrier
    _barrier = barrier


def _alone(opener: Opener, work: Work, number: int) -> Any:
    with closing(opener.open()) as client, gc_paused():
        return work(client, number, _barrier)
