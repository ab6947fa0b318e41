"""Searches at one rate while points are written and deleted at another, as in a hospital that goes on admitting.

Rows of the data are taken out, written back while others ask, and all put back after. Ids stay numbers of rows, and
every store gets and loses the same ones: truth and answers are compared as elsewhere.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
from cohorts.connectors.base import Points
from cohorts.errors import InputError
from cohorts.harness.bench.load.clients import Client
from cohorts.harness.bench.load.modes import Measurement, Mode, Target, arrivals, ask_as_due, measured
from cohorts.harness.bench.load.samples import clock
from cohorts.harness.bench.load.workers import StartBarrier, sleep_until
from cohorts.harness.bench.plan.experiment import rows_each
from cohorts.harness.bench.results import Floats, Numbers, Written
from cohorts.harness.bench.run.build import TIMEOUT_S, Rows, check_count
from cohorts.loaders.journal.chunks import CHUNK_UNITS, take_points

BATCH = 10  # points in one write: few enough that writes come steadily


@dataclass(frozen=True)
class Churn(Mode):
    """Queries that arrive at `rate` per second while `writes` points per second are written and deleted."""

    kind = "open"
    axes = ("rates", "writes")
    due = True
    writes_points = True
    rate: float
    writes: float

    def measure(self, target: Target) -> Measurement:
        """Ask and write, and leave the collection as it was. Raises also as `upsert`, `delete` and `finalize` do."""
        rows, seconds = Rows(target.data.vectors, target.data.columns), target.seconds
        written, deleted = draw(len(rows), rows_each(self.writes, seconds), (target.seed, target.repeat))
        writes = Writes(
            points=rows.take(written),
            deleted=[str(row) for row in deleted],
            rate_per_s=self.writes,
            seconds=seconds,
        )
        due_s = arrivals(self.rate, seconds, target.seed + target.repeat)
        with taken_out(target, written, deleted):
            return while_writing(target, due_s, writes)


def draw(rows: int, each: int, seed: tuple[int, ...]) -> tuple[Numbers, Numbers]:
    """Draw rows that are missing at first, and as many others that are deleted, (each,) both."""
    chosen = np.random.default_rng(seed).choice(rows, 2 * each, replace=False)
    return chosen[:each], chosen[each:]


@contextmanager
def taken_out(target: Target, written: Numbers, deleted: Numbers) -> Iterator[None]:
    """Delete what is to be written, and leave the collection whole and settled again, whatever happened in between.

    Raises as `delete`, `upsert` and `finalize` do, EngineError where it is not whole afterwards.
    """
    try:
        with closing(target.opener.open()) as client:
            connector, name = client.writable()
            for some in _parts(written):
                connector.delete(name, [str(row) for row in some])
            connector.finalize(name, timeout_s=TIMEOUT_S)
        yield
    finally:
        with closing(target.opener.open()) as client:
            connector, name = client.writable()
            rows = Rows(target.data.vectors, target.data.columns)
            # All of them, as after a failure nobody knows which are there: a point of the same id is replaced.
            for some in _parts(np.concatenate([written, deleted])):
                connector.upsert(name, rows.take(some))
            connector.finalize(name, timeout_s=TIMEOUT_S)
            check_count(connector, name, len(rows), "were put back")


@dataclass(frozen=True, kw_only=True)
class Writes:
    """What is written for `seconds`: points, and ids to delete, `rate_per_s` of both together, evenly mixed."""

    points: Points
    deleted: Sequence[str]
    rate_per_s: float
    seconds: float


def while_writing(target: Target, due_s: Floats, writes: Writes) -> Measurement:
    """Ask the queries as they are due, (n,) s, while a writer of its own writes.

    It tells of all points, and then of all ids to delete, when each was written. Raises InputError, and as `search`,
    `upsert` and `delete` do.
    """
    if writes.rate_per_s <= 0:
        raise InputError("A rate of writing above 0 is needed.")
    run = ask_as_due(target, due_s, beside=partial(_write, writes=writes))
    ids = np.array([*writes.points.ids, *writes.deleted], dtype=np.str_)
    times_s = np.full((len(ids), 3), np.inf)
    for rows, *moments_ns in run.beside:
        times_s[rows] = (np.array(moments_ns) - run.began_ns) / 1e9
    intended_s, started_s, ended_s = times_s.T
    written = Written(
        ids=ids,
        deleted=np.arange(len(ids)) >= len(writes.points.ids),
        intended_s=intended_s,
        started_s=started_s,
        ended_s=ended_s,
    )
    return measured(run, writes.seconds, written)


def _write(
    client: Client, _number: int, barrier: StartBarrier, *, writes: Writes
) -> list[tuple[range, int, int, int]]:
    """Return the places of what each write wrote, and when it was due, begun and done."""
    connector, name = client.writable()
    connector.count(name)  # which connects
    began_ns = barrier.wait()
    end_ns = began_ns + int(writes.seconds * 1e9)
    done, sent, points = [], 0, len(writes.points.ids)
    for rows in _mixed(points, len(writes.deleted)):
        due_ns = began_ns + int(sent / writes.rate_per_s * 1e9)
        if max(due_ns, clock()) > end_ns:
            break
        sleep_until(due_ns)
        started_ns = clock()
        if rows.start < points:
            connector.upsert(name, take_points(writes.points, rows))
        else:
            connector.delete(name, writes.deleted[rows.start - points : rows.stop - points])
        done.append((rows, due_ns, started_ns, clock()))
        sent += len(rows)
    return done


def _mixed(points: int, deleted: int) -> list[range]:
    """Return the places of some points each, then of ids to delete behind them, both kinds spread over the whole."""
    both = [
        ((start - first) / many, range(start, min(start + BATCH, first + many)))
        for first, many in ((0, points), (points, deleted))
        for start in range(first, first + many, BATCH)
    ]
    return [rows for _, rows in sorted(both, key=lambda one: one[0])]


def _parts(rows: Numbers) -> Iterator[Numbers]:
    return (rows[start : start + CHUNK_UNITS] for start in range(0, len(rows), CHUNK_UNITS))
