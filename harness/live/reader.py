"""A collection in service: only read, at a bounded rate; a sample of it, and the true neighbours of queries.

Recall is of what `cohorts query` answers: with its fall-backs where a filtered search comes back short.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Connector, Description, Found, Payload, Points, Vectors
from cohorts.connectors.calibration.match import SAMPLE
from cohorts.connectors.checks import check_scan
from cohorts.connectors.filters.conditions import Filter, matches
from cohorts.connectors.index import Flat, SearchParams
from cohorts.connectors.padding import as_questions
from cohorts.connectors.spread import look
from cohorts.errors import InputError, MeasurementError
from cohorts.harness.bench.results import Floats
from cohorts.harness.live.queries import OWN, Sample
from cohorts.measures.neighbours import NearestRows
from cohorts.measures.recall import is_near, share_found
from cohorts.search.absent_values import Lookup

T = TypeVar("T")
PAGE = 1_000


def next_start(now_s: float, last_s: float | None, rate: float) -> float:
    """Return when the next request may start, in seconds: now, but not within 1 / `rate` of the last one."""
    return now_s if last_s is None else max(now_s, last_s + 1 / rate)


class Pace:
    """Spaces requests evenly: at most `rate` start in a second, however fast they are answered.

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
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._last_s: float | None = None

    def wait(self) -> None:
        """Block until the next request may start."""
        now_s = self._clock()
        start_s = next_start(now_s, self._last_s, self._rate)
        if start_s > now_s:
            self._sleep(start_s - now_s)
        self._last_s = max(start_s, self._clock())


class Point(NamedTuple):
    """A point's unit vector, (dim,) float32, and its payload."""

    vector: Vectors
    payload: Payload


class Reader:
    """One collection, of which nothing can be changed from here; every request waits for its turn."""

    def __init__(self, connector: Connector, name: str, pace: Pace) -> None:
        self._connector, self._name, self._pace = connector, name, pace
        self.abilities = connector.abilities

    def describe(self) -> Description:
        """Return what the engine says of the collection."""
        self._pace.wait()
        return self._connector.describe(self._name)

    def count(self, where: Filter | None = None) -> int:
        """Return the number of points (that match `where`). Raises FilterError."""
        self._pace.wait()
        return self._connector.count(self._name, where)

    def any_passes(self, where: Filter) -> bool:
        """Tell whether a point matches `where`."""
        return self.count(where) > 0

    def pages(self) -> Iterator[Points]:
        """Yield points with vectors and payloads, in the engine's order, until no more are taken."""
        return self._paced(self._connector.scroll(self._name, PAGE))

    def values(self, field: str) -> Iterator[list[tuple[str, Any]]]:
        """Yield the ids of points with what they hold in a payload field, in pages, until no more are taken."""
        return self._paced(self._connector.values(self._name, field))

    def warning(self, description: Description) -> str:
        """Return a sentence where the vectors hardly differ, "" where they do."""
        self._pace.wait()
        return look(self._connector, self._name, description.collection)

    def points(self, ids: Sequence[str]) -> dict[str, Point]:
        """Return those that are there."""
        found: dict[str, Point] = {}
        for start in range(0, len(ids), PAGE):
            self._pace.wait()
            page = self._connector.fetch(self._name, ids[start : start + PAGE])
            found.update(zip(page.ids, map(Point, page.vectors, page.payloads), strict=True))
        return found

    def search(
        self, vector: Vectors, k: int, where: Filter | None, params: SearchParams | None
    ) -> tuple[Found, float]:
        """Return the neighbours of one vector, (dim,) float32, and how long the answer took, in ms."""
        self._pace.wait()
        began = time.perf_counter()
        found = self._connector.search(
            self._name, vector[None, :], k, where=where, params=params, with_payload=False
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


def check_size(reader: Reader, description: Description, name: str, k: int) -> None:
    """Raise InputError where a point of the collection has no k neighbours, or too many points had to be read."""
    if description.count < k + 1:
        raise InputError(
            f"Collection {name} holds {description.count:,} vectors; for {k} neighbours of each it takes at least "
            f"{k + 1:,}. Ask for a smaller -k, or load it first."
        )
    if is_scanned(reader, description):
        check_scan(description.count, reader.abilities.engine)


def check_passing(reader: Reader, description: Description, where: Mapping[str, Filter]) -> dict[str, int]:
    """Return how many points pass each filter. Raises FilterError, and InputError for too few to have neighbours."""
    counts = {}
    for text, filter_ in where.items():
        counts[text] = reader.count(filter_)
        if counts[text] < 2:
            absent = Lookup(description.collection, reader.any_passes, reader.values).absent(filter_)
            raise InputError(
                f"{counts[text]} points pass the filter {text!r}: there are no neighbours to find among them"
                f"{''.join(f'; {one}' for one in absent)}."
            )
    return counts


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


def draw(reader: Reader, count: int, queries: int, seed: int, padding: int | None = None) -> Drawn:
    """Draw points as queries, without replacement, among the first 20,000 in the engine's order.

    They ask without the `padding` of their vectors. Points without a direction are left out. Raises InputError where
    none is left.
    """
    ids, vectors = first_points(reader)
    among = min(count, len(vectors))
    drawn = np.sort(np.random.default_rng(seed).choice(among, min(queries, among), replace=False))
    asked = as_questions(vectors[drawn], padding)
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


def is_scanned(reader: Reader, description: Description) -> bool:
    """Tell whether true neighbours are found by reading the whole collection: its engine has no exact search."""
    return reader.abilities.exact_by_scan and not isinstance(description.collection.index, Flat)


def exact_neighbours(
    reader: Reader,
    samples: Sequence[Sample],
    k: int,
    wheres: Sequence[Filter | None],
    description: Description,
) -> list[list[Answers]]:
    """Return the true neighbours among all points that pass each filter: for every sample one for each filter.

    By the engine's exact search; where it has none, by reading the collection once for all queries and filters.
    """
    if is_scanned(reader, description):
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
