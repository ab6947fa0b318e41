"""The cheapest parameters that reach a recall with confidence, on the user's own collection."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Connector, Vectors
from cohorts.connectors.calibration.match import Neighbours, calibration, split
from cohorts.connectors.calibration.match import least as least_reaching
from cohorts.connectors.index import Hnsw, Index, Ivf, SearchParams, show_index, show_search
from cohorts.errors import InputError
from cohorts.harness.bench.results import Floats
from cohorts.harness.live.queries import Sample, perturbed
from cohorts.harness.live.reader import (
    Reader,
    answers,
    check_size,
    draw,
    exact_neighbours,
    first_points,
    parts_of,
    recall_by_query,
)
from cohorts.measures import intervals
from cohorts.measures.recall import kth_score, near_rows

AS_FAST = 1.2  # times the latency of the fastest: so much is given for a smaller index
_M = (8, 16, 32)
_EF_CONSTRUCTION = (100, 400)
_NLIST = (64, 256, 1024)
_LEAST_IN_CLUSTER = 16

Measure = Callable[[SearchParams], tuple[Floats, Floats]]
"""Returns the recall of each query, and how long it took in ms, (queries,) both."""
SearchWith = Callable[[SearchParams], Neighbours]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One setting that was tried: the mean recall with its 95 % bootstrap interval, and the median latency."""

    params: SearchParams
    recall: float
    low: float
    high: float
    p50_ms: float


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The steps in the order tried, and the choice among them: the cheapest that reaches the target.

    Where none reaches it, the choice is the one that comes nearest. `queries` says in words what was asked.
    """

    target: float
    k: int
    queries: str
    steps: tuple[Step, ...]
    choice: Step

    @property
    def reached(self) -> bool:
        """Tell whether the whole interval of the choice lies at the target or above it."""
        return self.choice.low >= self.target

    @property
    def line(self) -> str:
        """Return the choice in words."""
        one = self.choice
        shown = (
            f"recall@{self.k} {one.recall:.3f} [{one.low:.3f}, {one.high:.3f}], p50 {one.p50_ms:.2f} ms. Asked with "
            f"{self.queries}; it says nothing of queries of another kind"
        )
        if self.reached:
            return f"{show_search(one.params)} is the least that reaches {self.target:g} with confidence: {shown}."
        most = max(self.steps, key=lambda step: step.params.ef_search or step.params.nprobe or 0)
        return (
            f"{self.target:g} is not reached with confidence, even by {show_search(most.params)}, the most that this "
            f"index allows. The best is {show_search(one.params)}: {shown}."
        )


@dataclass(frozen=True, kw_only=True)
class Built:
    """An index that was built on a sample of `rows` vectors, and how its search parameters were tuned there."""

    index: Index
    rows: int
    tuned: Tuned


def tune(
    reader: Reader,
    target: float,
    *,
    k: int = 10,
    queries: int = 200,
    where: str | None = None,
    seed: int = 0,
    asked: Sample | None = None,
) -> Tuned:
    """Find the least ef_search or nprobe whose recall reaches the target, for the queries `asked`.

    By default those are new ones near the collection's points: the points themselves would flatter the index. True
    neighbours are found once, and every step asks the same queries. Nothing is written.
    Raises InputError for a target that is none, a collection that is exact or has an index of an unknown kind, too few
    points, and too many where the engine has no exact search; FilterError, EngineError.
    """
    _check_target(target)
    check_size(reader, k)
    _check_tunable(reader)
    *_, part = parts_of(reader, [] if where is None else [where]).values()
    sample = asked or _near_points(reader, queries, seed)
    ((exact,),) = exact_neighbours(reader, [sample], k, [part.where])

    def measure(params: SearchParams) -> tuple[Floats, Floats]:
        given = answers(reader, sample, k, part.where, params)
        return recall_by_query(reader, sample, exact, given), given.latency_ms

    there = reader.description
    return _search(
        there.collection.index, measure, target=target, k=k, queries=sample.about, rows=there.count
    )


def _near_points(reader: Reader, queries: int, seed: int) -> Sample:
    drawn = draw(reader, queries, seed)
    return perturbed(drawn.own, drawn.nearest, seed)


def rebuild(
    connector: Connector,
    reader: Reader,
    target: float,
    *,
    k: int = 10,
    seed: int = 0,
    asked: Sample | None = None,
) -> list[Built]:
    """Build several indexes over a sample, each in a collection of its own that is dropped again, and tune each.

    By rising memory. Up to 20,000 vectors are read, of which a tenth, at most 200, are held out: they are the queries,
    where none are `asked`.
    Raises as `tune` does, and for a collection of others.
    """
    _check_target(target)
    collection = reader.description.collection
    if collection.attached:
        raise InputError(
            f"Collection {reader.name} belongs to others: only they can build another index of it."
        )
    base, held = split(first_points(reader)[1], k, seed)
    queries = asked.vectors if asked else held
    about = asked.about if asked else f"{len(held):,} of its points, held out of the index"
    nearest = kth_score(base, queries, k)
    built = []
    for index in grid(collection.index, len(base)):
        with calibration(connector, index, base) as search_with:

            def measure(params: SearchParams, search_with: SearchWith = search_with) -> tuple[Floats, Floats]:
                found, latency_ms = _one_by_one(search_with(params), queries, k)
                return near_rows(base, queries, found, nearest).mean(axis=1), latency_ms

            tuned = _search(index, measure, target=target, k=k, queries=about, rows=len(base))
        built.append(Built(index=index, rows=len(base), tuned=tuned))
    return built


def grid(there: Index, rows: int) -> list[Index]:
    """Return the indexes to try, by rising memory: of the kind that is there, or graphs where there is none."""
    if isinstance(there, Ivf):
        many = {nlist for nlist in (*_NLIST, there.nlist) if nlist * _LEAST_IN_CLUSTER <= rows}
        return [replace(there, nlist=nlist) for nlist in sorted(many)]
    like = there if isinstance(there, Hnsw) else Hnsw()
    sizes = {(m, ef) for m in _M for ef in _EF_CONSTRUCTION} | {(like.m, like.ef_construction)}
    return [replace(like, m=m, ef_construction=ef) for m, ef in sorted(sizes)]


def winner(built: Sequence[Built]) -> Built | None:
    """Return the smallest of the indexes that reach the target nearly as fast as the fastest; None where none does."""
    reaching = [one for one in built if one.tuned.reached]
    fastest_ms = min((one.tuned.choice.p50_ms for one in reaching), default=0.0)
    return next((one for one in reaching if one.tuned.choice.p50_ms <= AS_FAST * fastest_ms), None)


def write_default(connector: Connector, name: str, tuned: Tuned) -> None:
    """Make the choice the collection's default search parameters.

    Raises InputError where it does not reach the target, the collection belongs to others, or the engine can't.
    """
    if not tuned.reached:
        raise InputError(f"Nothing was written: {tuned.line}")
    connector.set_default_search(name, tuned.choice.params)


def _check_target(target: float) -> None:
    if not 0 < target <= 1:
        raise InputError(f"The target recall is {target:g}; it lies above 0 and is at most 1.")


def _check_tunable(reader: Reader) -> None:
    """Raise InputError where there is no parameter that is known to change the recall."""
    if reader.description.exact:
        raise InputError(
            f"Collection {reader.name} has nothing to tune ({reader.description.note}).",
            remedy="A rebuild tries indexes.",
            hint="rebuild",
        )
    index = reader.description.collection.index
    if not isinstance(index, Hnsw | Ivf):
        raise InputError(
            f"Collection {reader.name} has the index {show_index(index)}, whose search parameters are not known.",
            remedy="Try some by an audit, as in ef_search=200.",
            hint="audit_search",
        )


def _search(index: Index, measure: Measure, *, target: float, k: int, queries: str, rows: int) -> Tuned:
    """Bisect over the index's parameter, from the least on: recall rises with it, up to noise."""
    steps: dict[SearchParams, Step] = {}

    def low(params: SearchParams) -> float:
        recall, latency_ms = measure(params)
        least, most = intervals.of_mean(recall, np.random.default_rng(0))  # the same draws for every step
        p50_ms = float(np.median(latency_ms))
        steps[params] = Step(params=params, recall=float(recall.mean()), low=least, high=most, p50_ms=p50_ms)
        return least

    chosen, _ = least_reaching(index, low, target, k, rows)
    return Tuned(target=target, k=k, queries=queries, steps=tuple(steps.values()), choice=steps[chosen])


def _one_by_one(search: Neighbours, queries: Vectors, k: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the rows found, (q, k), and how long each query took, (q,) ms."""
    rows, latency_ms = [], []
    for query in queries:
        began = perf_counter()
        rows.append(search(query[None, :], k)[0])
        latency_ms.append(1_000 * (perf_counter() - began))
    return np.stack(rows), np.array(latency_ms)
