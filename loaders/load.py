"""Units from anywhere into a collection: read, encoded and written side by side, with a journal of what has arrived."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from threading import Event
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from cohorts.connectors.base import Collection, Connector, Points, Vectors
from cohorts.connectors.matched_recall import SAMPLE
from cohorts.errors import PointError, Stopped
from cohorts.loaders.chunks import Chunk, take_points
from cohorts.loaders.journal import Journal, Target
from cohorts.loaders.pipeline import Ahead, Times, in_flight
from cohorts.loaders.targets import Goal, Plan, is_made, prepare, take_over
from cohorts.loaders.traces import Trace, traces_of
from cohorts.loaders.verify import verify
from cohorts.loaders.versions import FINALIZE_TIMEOUT_S, Tick

T = TypeVar("T")


class Origin(Protocol):
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
    traces: Mapping[str, Trace]
    rejected: Mapping[str, str]


def load(
    origin: Origin,
    connector: Connector,
    goal: Goal,
    journal: Journal,
    summary: Summary,
    tick: Tick,
    stop: Event,
) -> Collection:
    """Write the origin's units to the goal's collection, which is made if need be; leave it whole, indexed, verified.

    Of a run that is resumed, what the engine acknowledged is neither encoded nor sent again. A point that the engine
    can't keep is left out with its reason. Raises Stopped once `stop` is set and the batches in hand are written,
    FingerprintMismatch, UnsupportedIndex, EngineError, Unverified.
    """
    times = summary.times
    read = Ahead(_to_send(origin, goal, journal, summary, tick), times.of("read"), times.of("encode"))
    try:
        with closing(Ahead(_encoded(read, origin, tick), times.of("encode"), times.of("write"))) as encoded:
            target = _write_all(encoded, origin, connector, goal, journal, summary, tick, stop)
    finally:
        for stage in ("read", "encode", "write"):
            summary.spend(stage, times.of(stage).busy_s)
    if stop.is_set():
        raise Stopped(
            f"Stopped as asked: {journal.count():,} vectors stand in {goal.name}. The same command with --resume goes "
            "on."
        )
    if target is None:
        return Collection(goal.name, 0, goal.wanted.index)
    _finish(connector, goal, target, journal, summary, tick)
    return connector.describe(goal.name).collection


def _to_send(origin: Origin, goal: Goal, journal: Journal, summary: Summary, tick: Tick) -> Iterator[Chunk]:
    """Yield what the engine does not have yet."""
    for chunk in origin.chunks(journal.refuse):
        summary.units += len(chunk)
        tick("read", len(chunk), origin.expected)
        if goal.update:
            journal.saw(chunk.ids)
        if goal.update or goal.resume:
            had = journal.unchanged(chunk, of_this_run=not goal.update)
            summary.unchanged += len(had)
            chunk = chunk.take([row for row, key in enumerate(chunk.ids) if key not in had])
        if len(chunk):
            yield chunk


def _encoded(read: Ahead[Chunk], origin: Origin, tick: Tick) -> Iterator[_Encoded]:
    with closing(read):
        for chunk, points in origin.encoded(read):
            yield _Encoded(chunk, points)
            tick("encode", len(chunk), origin.expected)


def _write_all(
    encoded: Iterator[_Encoded],
    origin: Origin,
    connector: Connector,
    goal: Goal,
    journal: Journal,
    summary: Summary,
    tick: Tick,
    stop: Event,
) -> Target | None:
    """Write what is encoded, several batches at once; return where to, or None where there is nothing at all."""
    made = is_made(connector, goal, journal)
    head = _head(encoded, SAMPLE if not made and goal.wanted.lacking(connector) else 1)
    if not head:
        return journal.target
    plan = Plan(lambda: origin.collection(goal.name, head[0].chunk), origin.check_fits, lambda: _sample(head))
    target = prepare(connector, goal, journal, plan)
    numbered = ((journal.sending(one.chunk), one) for one in _until(stop, chain(head, encoded)))

    def write(item: tuple[int, _Encoded]) -> _Sent:
        return _send(connector, target.name, journal, *item)

    for sent in in_flight(numbered, write, connector.abilities.writers, summary.times.of("write")):
        journal.acknowledged(sent.number, sent.chunk, sent.traces, sent.rejected)
        summary.written += len(sent.traces)
        summary.not_encodable += len(sent.chunk) - len(sent.traces) - len(sent.rejected)
        tick("write", len(sent.chunk), origin.expected)
    return target


def _send(connector: Connector, target: str, journal: Journal, number: int, encoded: _Encoded) -> _Sent:
    """Write one batch; what stood there of a unit that could not be written again is removed."""
    chunk, points = encoded
    rejected = upsert_possible(connector, target, points)
    good = [row for row, key in enumerate(points.ids) if key not in rejected]
    kept = take_points(points, good) if rejected else points
    traces = dict(zip(kept.ids, traces_of(kept), strict=True))
    if outdated := journal.written([key for key in chunk.ids if key not in traces]):
        connector.delete(target, list(outdated))
    return _Sent(number, chunk, traces, rejected)


def upsert_possible(connector: Connector, name: str, points: Points) -> dict[str, str]:
    """Write the points that the engine can keep; return the others' ids, with the reason. Raises EngineError."""
    if not points.ids:
        return {}
    try:
        connector.upsert(name, points)
    except (
        PointError
    ) as error:  # then nothing of the batch was sent: halves are tried until the bad one stands alone
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


def _finish(
    connector: Connector, goal: Goal, target: Target, journal: Journal, summary: Summary, tick: Tick
) -> None:
    if goal.update:
        vanished = journal.unseen()
        summary.vanished = len(vanished)
        if goal.remove_vanished and vanished:
            connector.delete(target.name, vanished)
            journal.forget(vanished)
            summary.removed = len(vanished)
    began = time.perf_counter()
    connector.finalize(target.name, timeout_s=FINALIZE_TIMEOUT_S)
    summary.spend("index", time.perf_counter() - began)
    tick("index", summary.written)
    began = time.perf_counter()
    alone = target.alone and goal.shard is None
    verify(connector, target.name, [journal], alone=alone).check(goal.name)
    summary.spend("verify", time.perf_counter() - began)
    if goal.replace:
        take_over(connector, goal, target)
    journal.end()
