"""Builds one collection and measures apart what that costs: writing, being searchable, being indexed.

An engine's own word is not enough: what it counts, what it says it built, and how much of it the index covers are
compared with what was asked for before anything is measured.
"""

import os
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from cohorts.connectors.addresses import is_server
from cohorts.connectors.base import Collection, Connector, Description, Points, Vectors
from cohorts.connectors.index import Flat, show_index
from cohorts.connectors.registry import connect
from cohorts.errors import EngineError
from cohorts.harness.bench.load.processes import (
    Memory,
    Meter,
    growth,
    idle_since,
    in_fresh_process,
    memory,
    server_pid,
)
from cohorts.harness.bench.load.samples import gc_paused
from cohorts.loaders.journal.chunks import CHUNK_UNITS
from cohorts.loaders.stages import StageTimes, in_flight

TIMEOUT_S = 7200.0
LEFT_KIB = 64  # of vectors without an index, which an engine scans in microseconds


@dataclass(frozen=True)
class Rows:
    """What a collection is built from: (n, dim) float32 vectors, and columns of n values to filter by.

    Row i is stored under the id str(i).
    """

    vectors: Vectors
    columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.vectors)

    def batches(self, size: int = CHUNK_UNITS) -> Iterator[Points]:
        """Yield all rows once, in order; without a size, as many to a batch as an ingest writes."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))

    def take(self, rows: npt.NDArray[np.int64]) -> Points:
        """Return some rows, given by their numbers."""
        columns = [np.asarray(column)[rows].tolist() for column in self.columns.values()]
        values = zip(*columns, strict=True) if columns else [()] * len(rows)
        payloads = [dict(zip(self.columns, one, strict=True)) for one in values]
        return Points([str(row) for row in rows.tolist()], self.vectors[rows], payloads)


@dataclass(frozen=True, kw_only=True)
class Built:
    """Seconds since the first row was sent: until all were written, could be searched, and had an index.

    `indexed` counts the vectors that the index covers; `says` is the index in the engine's own words, '' where it
    tells nothing. `settled_s` is when a server came to rest, which may merge what it has and build that anew; None
    where that was not waited for. `core_s` are processor seconds of the engine's process from the first row until then,
    or to the index, the client's own among them where the engine is embedded; None where it can't be seen.
    """

    rows: int
    load_s: float
    searchable_s: float
    indexed_s: float
    indexed: int
    engine: str
    says: str
    note: str
    settled_s: float | None = None
    core_s: float | None = None

    @property
    def build_s(self) -> float:
        """Return the seconds that the index took after everything was written."""
        return self.indexed_s - self.load_s


def build(connector: Connector, collection: Collection, rows: Rows, *, timeout_s: float = TIMEOUT_S) -> Built:
    """Make the collection, write all rows the fastest way that the connector has, and build the index.

    Raises EngineError where the engine holds other rows than were written, built another index than was asked for, or
    says it is done with an index that is not; and as `create`, `upsert` and `finalize` do.
    """
    name = collection.name
    connector.create(collection)
    with gc_paused():
        began = time.perf_counter()
        written = in_flight(
            rows.batches(),
            lambda batch: connector.upsert(name, batch),
            connector.abilities.writers,
            StageTimes(),
        )
        deque(written, maxlen=0)
        load_s = time.perf_counter() - began
        check_count(connector, name, len(rows), "were written")
        connector.search(name, rows.vectors[-1:], 1, with_payload=False)
        searchable_s = time.perf_counter() - began
        connector.finalize(name, timeout_s=timeout_s)
        indexed_s = time.perf_counter() - began
    check_count(connector, name, len(rows), "were indexed")
    description = connector.describe(name)
    says = _says(connector, name)
    _check_index(description, collection, says)
    return Built(
        rows=len(rows),
        load_s=load_s,
        searchable_s=searchable_s,
        indexed_s=indexed_s,
        indexed=description.indexed,
        engine=description.engine,
        says=says,
        note=description.note,
    )


def build_and_weigh(
    address: str, collection: Collection, rows: Rows, settle_s: float = 0.0
) -> tuple[Built, Memory]:
    """Build at a store's address; return also the memory that the engine holds with it.

    A server's process is looked for by its port, and where it can be seen waited for until it has been idle for
    `settle_s`. An embedded engine builds in a process of its own, of which only the growth counts, and does nothing
    afterwards. Raises as `build` does, and EngineError where a server does not come to rest.
    """
    if not is_server(address):
        return in_fresh_process(_build_here, address, collection, rows)
    pid = server_pid(address)
    with connect(address) as connector:
        built = _metered(connector, collection, rows, pid, settle_s)
    return built, memory(pid)


def _build_here(address: str, collection: Collection, rows: Rows) -> tuple[Built, Memory]:
    with connect(address) as connector:
        grown = growth()
        built = _metered(connector, collection, rows, os.getpid())
        return built, grown()


def _metered(
    connector: Connector, collection: Collection, rows: Rows, pid: int | None, settle_s: float = 0.0
) -> Built:
    meter = Meter(pid)
    built, done = build(connector, collection, rows), time.perf_counter()
    rests = idle_since(pid, settle_s, TIMEOUT_S) if settle_s else None
    settled_s = None if rests is None else built.indexed_s + rests - done
    return replace(built, settled_s=settled_s, core_s=meter.spent_s())


def check_count(connector: Connector, name: str, wanted: int, what: str) -> None:
    """Raise EngineError where a collection holds another number of points than it should."""
    there = connector.count(name)
    if there != wanted:
        raise EngineError(
            f"{connector.abilities.engine} holds {there:,} points of {name} after {wanted:,} {what}: nothing was "
            "measured. Build it anew; if it happens again, the engine loses or doubles rows."
        )


def _says(connector: Connector, name: str) -> str:
    """Return the index as the engine itself describes it, where it can be asked."""
    return connector.inspect(name).vectors[0].index if connector.abilities.attaches else ""


def _check_index(description: Description, asked: Collection, says: str) -> None:
    there = description.collection.index
    if there != asked.index:
        raise EngineError(
            f"{asked.name} has the index {show_index(there)}; {show_index(asked.index)} was asked for."
        )
    if isinstance(asked.index, Flat):
        return
    numbers = {int(number) for number in re.findall(r"\d+", says)}
    wanted = {value for value in vars(asked.index).values() if isinstance(value, int)}
    if numbers and not wanted <= numbers:  # embedded Milvus tells the kind alone
        raise EngineError(
            f"{show_index(asked.index)} was asked for; {description.engine} says it built {says}."
        )
    missing = description.count - description.indexed
    if not description.indexed or missing * asked.dim * 4 > LEFT_KIB * 1024:
        raise EngineError(
            f"{missing:,} of {description.count:,} vectors of {asked.name} have no index though {description.engine} "
            "says that it is done: what it would answer from is not what was asked for. Wait for its index, or take "
            "more vectors where there are too few for one."
        )
