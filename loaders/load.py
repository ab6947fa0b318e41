"""Units from anywhere into a collection: read, encoded and written side by side, with a journal of what has arrived."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from threading import Event
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from cohorts.connectors.base import Collection, Connector, Points, Vectors
from cohorts.connectors.calibration.match import SAMPLE
from cohorts.errors import PointError, Stopped
from cohorts.loaders.interrupt import stop_on_interrupt
from cohorts.loaders.journal.chunks import Chunk, take_points
from cohorts.loaders.journal.digests import traces_of
from cohorts.loaders.journal.journal import Identity, Journal, Target
from cohorts.loaders.journal.verify import verify
from cohorts.loaders.lease import Lease
from cohorts.loaders.stages import Prefetcher, Times, in_flight
from cohorts.loaders.targets import Destination, LoadRequest, Plan
from cohorts.loaders.versions import FINALIZE_TIMEOUT_S
from cohorts.progress import ProgressCallback

T = TypeVar("T")


class PointSource(Protocol):
    """Where units come from, and how they become points of a collection."""

    @property
    def expected(self) -> int | None:
        """Return how many units there are in all, as far as is known."""
        ...

    def chunks(self, refuse: Callable[[str, str], None]) -> Iterator[Chunk]:
        """Yield every unit once, always in the same chunks; `refuse` takes id and reason of what can't be one."""
        ...

    def encoded(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Points]]:
        """Yield every chunk with its units' points, without those in which there is nothing to encode."""
        ...

    def collection(self, name: str, first: Chunk) -> Collection:
        """Return what a collection for these units is made from; its index is not looked at."""
        ...

    def check_fits(self, there: Collection) -> None:
        """Raise InputError where the units don't belong into a collection that is there already."""
        ...


@dataclass
class Summary:
    """What a run did. Seconds of read, encode and write are of the stage at work, which others overlap."""

    units: int = 0
    unchanged: int = 0
    written: int = 0
    not_encodable: int = 0
    removed: int = 0
    vanished: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    times: Times = field(default_factory=Times)

    def spend(self, stage: str, spent_s: float) -> None:
        """Add to the seconds of a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + spent_s

    @property
    def stays(self) -> int:
        """Return how many units the source has no more and the collection still has."""
        return self.vanished - self.removed

    @property
    def vectors_per_s(self) -> float:
        """Return vectors written and indexed per second of writing and indexing."""
        busy_s = self.seconds.get("write", 0.0) + self.seconds.get("index", 0.0)
        return self.written / busy_s if busy_s else 0.0


class _Encoded(NamedTuple):
    chunk: Chunk
    points: Points


class _Sent(NamedTuple):
    number: int
    chunk: Chunk
    traces: Mapping[str, bytes]
    rejected: Mapping[str, str]


@dataclass
class Load:
    """One load of an origin's units into the goal's collection; `stop`, once set, ends it after the batches in hand.

    A first signal sets it. `identity` is what the run is about, for the journal. A load that is refused leaves no trace
    there.
    """

    origin: PointSource
    connector: Connector
    goal: LoadRequest
    journal: Journal
    lease: Lease
    identity: Identity
    summary: Summary
    tick: ProgressCallback
    stop: Event = field(default_factory=Event)

    def run(self) -> Collection:
        """Write everything to the collection, which is made if need be; leave it whole, indexed and verified.

        Of a run that is resumed, what the engine acknowledged is neither encoded nor sent again. A point that the
        engine can't keep is left out with its reason. Raises Stopped, FingerprintMismatch, UnsupportedIndex,
        EngineError, Unverified.
        """
        target = self.fill()
        if target is None:
            return Collection(self.goal.name, 0, self.goal.wanted.index)
        self._finish(target)
        return self.connector.describe(self.goal.name).collection

    def fill(self) -> Target | None:
        """Write everything; return where to, or None where there was nothing at all. Raises as `run` does."""
        self._destination.reserve()
        found = self._destination.find(self.identity, self.origin.check_fits)
        self.journal.begin(self.identity, resume=self.goal.resume)
        self._destination.begin(found)
        times = self.summary.times
        gc.freeze()  # what is there already is looked through no more: on an embedded engine 4 % of the time
        try:
            chunks = self._begun(self._to_send())
            with stop_on_interrupt(self.stop):
                read = Prefetcher(chunks, times.of("read"), times.of("encode"))
                with closing(
                    Prefetcher(self._encoded(read), times.of("encode"), times.of("write"))
                ) as encoded:
                    target = self._write_all(encoded, found)
        finally:
            gc.unfreeze()
            for stage in ("read", "encode", "write"):
                self.summary.spend(stage, times.of(stage).busy_s)
        if self.stop.is_set():
            raise Stopped(
                f"Stopped as asked: {self.journal.count():,} vectors stand in {self.goal.name}.",
                remedy="Resume the run to go on.",
                hint="resume",
            )
        return target

    def _begun(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """Read the first one: that takes long, and a signal can end it at once, for no batch is in hand."""
        own, began = self.summary.times.of("read"), time.perf_counter()
        first = next(chunks, None)
        own.busy_s += time.perf_counter() - began
        return iter(()) if first is None else chain([first], chunks)

    def _to_send(self) -> Iterator[Chunk]:
        """Yield what the engine does not have yet."""
        for chunk in _until(self.stop, self.origin.chunks(self.journal.refuse)):
            self.summary.units += len(chunk)
            self.tick("read", len(chunk), self.origin.expected)
            if fresh := self._fresh(chunk):
                yield fresh

    def _fresh(self, chunk: Chunk) -> Chunk:
        if self.goal.update:
            self.journal.saw(chunk.ids)
        if not (self.goal.update or self.goal.resume):
            return chunk
        had = self.journal.unchanged(chunk, of_this_run=not self.goal.update)
        self.summary.unchanged += len(had)
        return chunk.take([row for row, key in enumerate(chunk.ids) if key not in had])

    def _encoded(self, read: Prefetcher[Chunk]) -> Iterator[_Encoded]:
        with closing(read):
            for chunk, points in self.origin.encoded(read):
                yield _Encoded(chunk, points)
                self.tick("encode", len(chunk), self.origin.expected)

    @property
    def _destination(self) -> Destination:
        return Destination(self.connector, self.goal, self.journal, self.lease)

    def _write_all(self, encoded: Iterator[_Encoded], found: Target | None) -> Target | None:
        """Write what is encoded, several batches at once, and note what the engine acknowledges."""
        items = _until(self.stop, encoded)
        head = _head(items, SAMPLE if found is None and self.goal.wanted.lacking(self.connector) else 1)
        target = found or (self._made(head) if head and not self.stop.is_set() else None)
        if target is None:
            return None
        fresh = _until(self.stop, chain(head, items))
        numbered = ((self.journal.sending(one.chunk), one) for one in fresh)
        writers, times = self.connector.abilities.writers, self.summary.times.of("write")
        for sent in in_flight(numbered, lambda item: self._send(target.name, *item), writers, times):
            self.journal.acknowledged(sent.number, sent.chunk, sent.traces, sent.rejected)
            self.summary.written += len(sent.traces)
            self.summary.not_encodable += len(sent.chunk) - len(sent.traces) - len(sent.rejected)
            self.tick("write", len(sent.chunk), self.origin.expected)
        return target

    def _made(self, head: list[_Encoded]) -> Target:
        """Make the version to write to; shards but the first take the one that the first made."""
        destination = self._destination
        if self.goal.shard and self.goal.shard.number > 1:
            destination.wait_for_first_shard()
            destination.reserve()
            found = destination.find(self.identity, self.origin.check_fits)
            assert found is not None  # noqa: S101 - it is there
            destination.begin(found)
            return found
        return destination.make(
            Plan(lambda: self.origin.collection(self.goal.name, head[0].chunk), lambda: _sample(head))
        )

    def _send(self, target: str, number: int, encoded: _Encoded) -> _Sent:
        """Write one batch, and remove the points of units in which there is nothing to encode any more.

        What stands there of a unit that the engine can't keep as it is now is not touched.
        """
        chunk, points = encoded
        self.lease.check()
        rejected = upsert_possible(self.connector, target, points)
        ready = points is chunk.body  # then their traces are what is known of them
        traces = dict(zip(points.ids, chunk.contents if ready else traces_of(points), strict=True))
        nothing_to_encode = [key for key in chunk.ids if key not in traces]
        for key in rejected:
            del traces[key]
        if outdated := self.journal.written(nothing_to_encode):
            self.connector.delete(target, list(outdated))
        return _Sent(number, chunk, traces, rejected)

    def _finish(self, target: Target) -> None:
        if self.goal.update:
            self._tell_vanished(target)
        with self._spent("index"):
            self.connector.finalize(target.name, timeout_s=FINALIZE_TIMEOUT_S)
            self.tick("index", self.summary.written)
        with self._spent("verify"):
            alone = target.alone and self.goal.shard is None
            verify(self.connector, target.name, [self.journal], alone=alone).check(self.goal.name)
        if self.goal.replace:
            self._destination.take_over(target)
        else:
            self._destination.check_stands(target)
        self.journal.end()

    def _tell_vanished(self, target: Target) -> None:
        vanished = self.journal.unseen()
        self.summary.vanished = len(vanished)
        if self.goal.remove_vanished and vanished:
            with self.journal.removing(vanished):
                self.connector.delete(target.name, vanished)
            self.summary.removed = len(vanished)

    @contextmanager
    def _spent(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.summary.spend(stage, time.perf_counter() - began)


def upsert_possible(connector: Connector, name: str, points: Points) -> dict[str, str]:
    """Write the points that the engine can keep; return the others' ids, with the reason. Raises EngineError."""
    if not points.ids:
        return {}
    try:
        connector.upsert(name, points)
    except PointError as error:
        # Nothing of the batch was sent then: halves are tried until the bad one stands alone.
        if len(points.ids) == 1:
            return {points.ids[0]: str(error)}
        half = len(points.ids) // 2
        parts = (range(half), range(half, len(points.ids)))
        return {
            key: reason
            for rows in parts
            for key, reason in upsert_possible(connector, name, take_points(points, rows)).items()
        }
    return {}


def _until(stop: Event, items: Iterator[T]) -> Iterator[T]:
    for item in items:
        if stop.is_set():
            return
        yield item


def _head(encoded: Iterator[_Encoded], many: int) -> list[_Encoded]:
    """Take the first batches that hold `many` vectors: patients come in the order of a hash, so they are a sample."""
    head: list[_Encoded] = []
    while sum(len(one.points.ids) for one in head) < many and (one := next(encoded, None)) is not None:
        head.append(one)
    return head


def _sample(head: list[_Encoded]) -> Vectors:
    return np.concatenate([one.points.vectors for one in head])[:SAMPLE]
