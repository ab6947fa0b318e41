"""A collection in service: only read, at a bounded rate; a sample of it, and the true neighbours of queries.

Recall is of what `cohorts query` answers: with its fall-backs where a filtered search comes back short.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Connector, Description, Found, Payload, Points, Vectors
from cohorts.connectors.calibration.match import SAMPLE
from cohorts.connectors.checks import check_scan
from cohorts.connectors.filters.conditions import Filter, matches
from cohorts.connectors.filters.reading import parse_filter
from cohorts.connectors.index import Flat, SearchParams
from cohorts.connectors.padding import as_questions, padding_of
from cohorts.connectors.spread import look
from cohorts.errors import InputError, MeasurementError
from cohorts.harness.bench.results import Floats
from cohorts.harness.live.queries import OWN, Sample
from cohorts.measures.neighbours import NearestRows
from cohorts.measures.recall import is_near, share_found
from cohorts.search.absent_values import Lookup

T = TypeVar("T")
PAGE = 1_000


class Pace:
    """Spaces requests evenly: no two start within 1 / `rate` seconds, however fast they are answered.

    Raises InputError for a rate that is none.
    """

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if not rate > 0:
            raise InputError(f"The rate is {rate:g} requests a second; it must be above 0.")
        self._apart_s, self._clock, self._sleep = 1 / rate, clock, sleep
        self._next_s = -inf

    def wait(self) -> None:
        """Block until the next request may start."""
        now_s = self._clock()
        if self._next_s > now_s:
            self._sleep(self._next_s - now_s)
        self._next_s = max(self._next_s, self._clock()) + self._apart_s


class Point(NamedTuple):
    """A point's unit vector, (dim,) float32, and its payload."""

    vector: Vectors
    payload: Payload


class Reader:
    """One collection, of which nothing can be changed from here; every request waits for its turn."""

    def __init__(self, connector: Connector, name: str, pace: Pace) -> None:
        self.name = name
        self.abilities = connector.abilities
        self._connector, self._pace = connector, pace

    @cached_property
    def description(self) -> Description:
        """What the engine says of the collection; it is asked once."""
        self._pace.wait()
        return self._connector.describe(self.name)

    @property
    def scanned(self) -> bool:
        """Tell whether true neighbours are found by reading all points: the engine has no exact search."""
        return self.abilities.exact_by_scan and not isinstance(self.description.collection.index, Flat)

    def count(self, where: Filter) -> int:
        """Return the number of points that match `where`. Raises FilterError."""
        self._pace.wait()
        return self._connector.count(self.name, where)

    def pages(self) -> Iterator[Points]:
        """Yield points with vectors and payloads, in the engine's order, until no more are taken."""
        return self._paced(self._connector.scroll(self.name, PAGE))

    def values(self, field: str) -> Iterator[list[tuple[str, Any]]]:
        """Yield the ids of points with what they hold in a payload field, in pages, until no more are taken."""
        return self._paced(self._connector.values(self.name, field))

    def warning(self) -> str:
        """Return a sentence where the vectors hardly differ, "" where they do."""
        self._pace.wait()
        return look(self._connector, self.name, self.description.collection)

    def points(self, ids: Sequence[str]) -> dict[str, Point]:
        """Return those that are there."""
        found: dict[str, Point] = {}
        for start in range(0, len(ids), PAGE):
            self._pace.wait()
            page = self._connector.fetch(self.name, ids[start : start + PAGE])
            found.update(zip(page.ids, map(Point, page.vectors, page.payloads), strict=True))
        return found

    def search(
        self, vector: Vectors, k: int, where: Filter | None, params: SearchParams | None
    ) -> tuple[Found, float]:
        """Return the neighbours of one vector, (dim,) float32, and how long the answer took, in ms."""
        self._pace.wait()
        began = time.perf_counter()
        found = self._connector.search(
            self.name, vector[None, :], k, where=where, params=params, with_payload=False
        )
        return found, 1_000 * (time.perf_counter() - began)

    def _paced(self, pages: Iterator[T]) -> Iterator[T]:
        while True:
            self._pace.wait()
            page = next(pages, None)
            if page is None:
                return
            yield page


class Drawn(NamedTuple):
    """Points of the collection, drawn among the `first` in the engine's order.

    `nearest` is the cosine of each and the nearest other one of those, (queries,).
    """

    own: Sample
    nearest: Floats
    first: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Answers:
    """The neighbours of every query that pass a filter, best first and without itself, at most k; and notes.

    `last` is the last one's score, (queries,), NaN where there is none. `latency_ms` is empty where all were found in
    one scan.
    """

    where: Filter | None
    ids: list[list[str]]
    last: Floats
    latency_ms: Floats
    notes: tuple[str, ...] = ()


def check_size(reader: Reader, k: int) -> None:
    """Raise InputError where a point of the collection has no k neighbours, or too many points had to be read."""
    there = reader.description
    if there.count < k + 1:
        raise InputError(
            f"Collection {reader.name} holds {there.count:,} vectors; for {k} neighbours of each it takes at least "
            f"{k + 1:,}. Ask for a smaller -k, or load it first."
        )
    if reader.scanned:
        check_scan(there.count, reader.abilities.engine)


@dataclass(frozen=True)
class Part:
    """The points of a collection that pass a filter; all without one."""

    where: Filter | None
    count: int


def parts_of(reader: Reader, wheres: Sequence[str]) -> dict[str, Part]:
    """Return the whole collection, as "", and what of it passes each filter.

    Raises FilterError, and InputError for too few points to have neighbours.
    """
    parts = {"": Part(None, reader.description.count)}
    filters = {text: parse_filter(text) for text in wheres}
    for text, where in filters.items():
        count = reader.count(where)
        if count < 2:
            collection = reader.description.collection
            absent = Lookup(collection, lambda one: reader.count(one) > 0, reader.values).absent(where)
            raise InputError(
                f"{count} points pass the filter {text!r}: there are no neighbours to find among them"
                f"{''.join(f'; {one}' for one in absent)}."
            )
        parts[text] = Part(where, count)
    return parts


def first_points(reader: Reader) -> tuple[list[str], Vectors]:
    """Return ids and vectors, (n, dim) float32, of up to 20,000 points in the engine's order: more are not read."""
    ids: list[str] = []
    pages: list[Vectors] = []
    for page in reader.pages():
        ids += page.ids
        pages.append(page.vectors)
        if len(ids) >= SAMPLE:
            break
    return ids[:SAMPLE], np.concatenate(pages)[:SAMPLE] if pages else np.empty((0, 1), np.float32)


def draw(reader: Reader, queries: int, seed: int) -> Drawn:
    """Draw points as queries, without replacement, among the first 20,000 in the engine's order.

    They ask without the padding of their vectors. Points without a direction are left out. Raises InputError where
    none is left.
    """
    ids, vectors = first_points(reader)
    among = min(reader.description.count, len(vectors))
    drawn = np.sort(np.random.default_rng(seed).choice(among, min(queries, among), replace=False))
    asked = as_questions(vectors[drawn], padding_of(reader.description.collection))
    drawn, asked = drawn[asked.any(axis=1)], asked[asked.any(axis=1)]
    if not len(drawn):
        raise InputError("None of the points that were looked at has a vector to search by.")
    own = Sample(
        kind=OWN, ids=[ids[row] for row in drawn], vectors=asked, about=f"{len(drawn):,} of its points"
    )
    return Drawn(own, _nearest_others(vectors, asked, drawn), len(vectors))


def _nearest_others(vectors: Vectors, asked: Vectors, rows: npt.NDArray[np.int64]) -> Floats:
    """Return the cosine of each of those `asked`, which are some `rows`, and the nearest other row."""
    nearest = np.full(len(rows), -1.0)
    for start in range(0, len(vectors), PAGE):
        scores = asked @ vectors[start : start + PAGE].T
        here = np.flatnonzero((rows >= start) & (rows < start + PAGE))
        scores[here, rows[here] - start] = -1
        nearest = np.maximum(nearest, scores.max(axis=1))
    return nearest


def exact_neighbours(
    reader: Reader, samples: Sequence[Sample], k: int, wheres: Sequence[Filter | None]
) -> list[list[Answers]]:
    """Return the true neighbours among all points that pass each filter: for every sample one for each filter.

    By the engine's exact search; where it has none, by reading the collection once for all queries and filters.
    """
    if reader.scanned:
        return _by_scan(reader, samples, k, wheres)
    exact = SearchParams(exact=True)
    return [[answers(reader, sample, k, where, exact) for where in wheres] for sample in samples]


def answers(
    reader: Reader, sample: Sample, k: int, where: Filter | None, params: SearchParams | None
) -> Answers:
    """Ask the engine for the neighbours of every query, one at a time; one more is asked for where it is a point."""
    ids, last, latency_ms = [], [], []
    notes: Counter[str] = Counter()
    for own, vector in zip(sample.selves, sample.vectors, strict=True):
        found, took_ms = reader.search(vector, k + (own is not None), where, params)
        hits = [hit for hit in found.hits[0] if hit.id != own][:k]
        ids.append([hit.id for hit in hits])
        last.append(hits[-1].score if hits else np.nan)
        latency_ms.append(took_ms)
        notes.update(found.notes)
    told = tuple(f"{note} (in {times:,} of {len(ids):,} answers)" for note, times in notes.items())
    return Answers(where=where, ids=ids, last=np.array(last), latency_ms=np.array(latency_ms), notes=told)


def recall_by_query(reader: Reader, sample: Sample, exact: Answers, given: Answers) -> Floats:
    """Return the recall of every query, (queries,).

    An answer counts, once, where it is one of the true neighbours, or passes the filter and is, by its whole vector, as
    near as the last of them. Raises MeasurementError where a query has no true neighbour.
    """
    if not all(exact.ids):
        raise MeasurementError(
            "The collection changed while it was measured: a query lost its neighbours. Measure again."
        )
    pairs = list(zip(map(set, exact.ids), map(set, given.ids), strict=True))
    doubtful = reader.points(sorted(set().union(*(found - true for true, found in pairs))))

    def counts(query: int, key: str) -> bool:
        point = doubtful.get(key)
        if point is None or (exact.where is not None and not matches(exact.where, point.payload)):
            return False
        return bool(is_near(point.vector @ sample.vectors[query], exact.last[query]))

    near = [
        sum(key in true or counts(query, key) for key in found) for query, (true, found) in enumerate(pairs)
    ]
    return share_found(np.array(near), np.array([len(true) for true, _ in pairs]))


def _by_scan(
    reader: Reader, samples: Sequence[Sample], k: int, wheres: Sequence[Filter | None]
) -> list[list[Answers]]:
    keys: list[str] = []
    best = [[NearestRows(len(sample.ids), k) for _ in wheres] for sample in samples]
    for page in reader.pages():
        rows = np.arange(len(keys), len(keys) + len(page.ids))
        keys += page.ids
        passing = [
            [where is None or matches(where, payload) for payload in page.payloads] for where in wheres
        ]
        for sample, of_sample in zip(samples, best, strict=True):
            scores = sample.vectors @ page.vectors.T
            scores[np.array(sample.selves)[:, None] == np.array(page.ids)] = -np.inf
            for those, one in zip(passing, of_sample, strict=True):
                one.add(rows[those], scores[:, those])
    return [[_scanned(*pair, keys) for pair in zip(wheres, of_sample, strict=True)] for of_sample in best]


def _scanned(where: Filter | None, best: NearestRows, keys: Sequence[str]) -> Answers:
    best.sort()
    there = np.isfinite(best.scores)
    return Answers(
        where=where,
        ids=[[keys[row] for row in rows[known]] for rows, known in zip(best.rows, there, strict=True)],
        last=np.where(there, best.scores, np.inf).min(axis=1, initial=np.inf).astype(np.float64),
        latency_ms=np.empty(0),
    )
