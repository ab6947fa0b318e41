"""Searches at one rate while points are written and deleted at another, as in a hospital that goes on admitting."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from cohorts.connectors.base import Points, Vectors
from cohorts.errors import InputError
from cohorts.harness.bench.load.arrivals import Open, Run, to_run
from cohorts.harness.bench.load.clients import Client, ConnectorClient, StoreOpener
from cohorts.harness.bench.load.samples import clock
from cohorts.harness.bench.load.workers import Crowds, StartBarrier, sleep_until
from cohorts.harness.bench.results import Floats, Written
from cohorts.loaders.journal.chunks import take_points

BATCH = 10  # points in one write: few enough that writes come steadily


@dataclass(frozen=True)
class Writes:
    """What is written for `seconds`: points, and ids to delete, `rate_per_s` of both together, evenly mixed."""

    points: Points
    deleted: Sequence[str]
    rate_per_s: float
    seconds: float


class _Write(NamedTuple):
    deletes: bool
    rows: range


class _Done(NamedTuple):
    write: _Write
    intended_ns: int
    started_ns: int
    ended_ns: int


def while_writing(
    crowds: Crowds,
    opener: StoreOpener,
    queries: Vectors,
    k: int,
    arrivals_s: Floats,
    clients: int,
    writes: Writes,
    *,
    server: int | None = None,
) -> tuple[Run, Written]:
    """Ask the queries as in the open loop, while a writer of its own writes.

    Return also the points, and then the ids to delete, each with the times of its write. Raises InputError, and as
    `search`, `upsert` and `delete` do.
    """
    if not len(queries) or clients < 1 or writes.rate_per_s <= 0:
        raise InputError("Queries, at least one client and a rate of writing above 0 are needed.")
    asking, writer = Open(queries, k, arrivals_s), _Writer(writes)
    crowd, done = crowds.run(opener, clients, asking, beside=writer, server=server)
    return to_run(crowd, clients, writes.seconds), _written(writes, done, crowd.began_ns)


@dataclass(frozen=True)
class _Writer:
    writes: Writes

    def __call__(self, client: Client, number: int, gate: StartBarrier) -> list[_Done]:  # noqa: ARG002 - there is one
        assert isinstance(client, ConnectorClient)  # noqa: S101 - a StoreOpener opened it
        connector, name, writes = client.connector, client.name, self.writes
        connector.count(name)  # which connects
        began_ns = gate.wait()
        end_ns = began_ns + int(writes.seconds * 1e9)
        done, sent = [], 0
        for write in _mixed(len(writes.points.ids), len(writes.deleted)):
            due_ns = began_ns + int(sent / writes.rate_per_s * 1e9)
            if max(due_ns, clock()) > end_ns:
                break
            sleep_until(due_ns)
            started_ns = clock()
            if write.deletes:
                connector.delete(name, [writes.deleted[row] for row in write.rows])
            else:
                connector.upsert(name, take_points(writes.points, write.rows))
            done.append(_Done(write, due_ns, started_ns, clock()))
            sent += len(write.rows)
        return done


def _mixed(written: int, deleted: int) -> Iterator[_Write]:
    """Yield writes of some points each, both kinds spread over the whole."""
    both = [
        (start / most, _Write(deletes, range(start, min(start + BATCH, most))))
        for deletes, most in ((False, written), (True, deleted))
        for start in range(0, most, BATCH)
    ]
    for _, write in sorted(both, key=lambda one: one[0]):
        yield write


def _written(writes: Writes, done: Sequence[_Done], began_ns: int) -> Written:
    points, deleted = len(writes.points.ids), len(writes.deleted)
    times_s = np.full((points + deleted, 3), np.inf)
    for one in done:
        first = one.write.rows.start + (points if one.write.deletes else 0)
        moments_ns = np.array([one.intended_ns, one.started_ns, one.ended_ns])
        times_s[first : first + len(one.write.rows)] = (moments_ns - began_ns) / 1e9
    ids = np.array([*writes.points.ids, *writes.deleted], dtype=np.str_)
    return Written(ids, np.arange(points + deleted) >= points, *times_s.T)
