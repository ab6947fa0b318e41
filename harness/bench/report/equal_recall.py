"""Settings at equal recall: what each kind of index in each store costs there, on the front of its own settings.

Equal parameters are not equal work: an `ef_search` of one engine finds more than that of another one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cohorts.harness.bench.report.setting import Row
from cohorts.harness.bench.report.summary import Summary
from cohorts.measures.front import Point, Setting, at_recall, front, speed_up_at
from cohorts.measures.intervals import Estimate

RECALLS = (0.9, 0.95, 0.99, 0.999)
Loads = Mapping[tuple[str, str, int], Row]


@dataclass(frozen=True, kw_only=True)
class Series:
    """All settings of a kind of index in a store, for one k; a library without an engine is a reference."""

    store: str
    kind: str
    k: int
    reference: bool
    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        """Return what it is called beside others of its k."""
        return f"{self.store}, {self.kind}"


@dataclass(frozen=True, kw_only=True)
class AtRecall:
    """A rival at a recall, between its settings; None where it was not measured below and above.

    `passed` and `qps_passed`: all on its front find more. `speed_up` tells how many times faster by the median it is
    than `beside`, the best other store or index, which is no reference where engines were measured.
    """

    rival: Series
    recall: float
    p50_ms: float | None
    passed: bool
    beside: str
    speed_up: Estimate | None
    qps: float | None
    qps_passed: bool


def rivals(summary: Summary) -> tuple[Series, ...]:
    """Return what is compared, by k, in the order of the experiment."""
    rows: dict[tuple[int, str, str], list[Row]] = {}
    for row in summary.rows:
        own = rows.setdefault((row.cell.k, row.cell.build.store.name, row.kind), [])
        own += [row] if row.alone and row.measured else []
    return tuple(
        Series(store=store, kind=kind, k=k, reference=own[0].cell.build.store.reference, rows=tuple(own))
        for (k, store, kind), own in rows.items()
        if own
    )


def fastest_load(summary: Summary) -> Loads:
    """Return the measurement of most queries per second in the closed loop, by `load_key`."""
    found: dict[tuple[str, str, int], tuple[float, Row]] = {}
    for row in summary.rows:
        if "clients" in vars(row.cell.mode) and row.measured:
            qps = row.measured.qps.value
            if load_key(row) not in found or qps > found[load_key(row)][0]:
                found[load_key(row)] = qps, row
    return {key: row for key, (_, row) in found.items()}


def load_key(row: Row) -> tuple[str, str, int]:
    """Return what the modes of a setting share: index, search parameters and k."""
    return str(row.cell.build.path), str(row.cell.search), row.cell.k


def latency_points(rows: Sequence[Row]) -> list[Point]:
    """Return settings by recall and median latency, ms."""
    return [
        Point(row.name, row.measured.recall.value, row.measured.p50_ms.value) for row in rows if row.measured
    ]


def load_points(rows: Sequence[Row], loads: Loads) -> list[Point]:
    """Return settings by recall at one client, and the most queries per second at several."""
    pairs = [(row, loads.get(load_key(row))) for row in rows]
    return [
        Point(row.name, row.measured.recall.value, load.measured.qps.value)
        for row, load in pairs
        if row.measured and load and load.measured
    ]


def at_equal_recall(summary: Summary, recalls: Sequence[float] = RECALLS) -> tuple[AtRecall, ...]:
    """Return every rival at every recall, by k, beside the best other one."""
    every, loads = rivals(summary), fastest_load(summary)
    return tuple(
        one
        for k in summary.experiment.k
        for recall in recalls
        for one in _beside([rival for rival in every if rival.k == k], recall, loads)
    )


def _beside(every: Sequence[Series], recall: float, loads: Loads) -> Iterator[AtRecall]:
    p50_ms = {one: at_recall(latency_points(one.rows), recall, larger_is_better=False) for one in every}
    judges = [one for one in every if not one.reference] or every
    for one, own_ms in p50_ms.items():
        others = [(ms, other) for other in judges if other is not one and (ms := p50_ms[other]) is not None]
        best = min(others, key=lambda pair: pair[0])[1] if others and own_ms is not None else None
        throughput = load_points(one.rows, loads)
        yield AtRecall(
            rival=one,
            recall=recall,
            p50_ms=own_ms,
            passed=_passed(latency_points(one.rows), recall, larger_is_better=False),
            beside=best.name if best else "",
            speed_up=speed_up_at(recall, _samples(best), _samples(one)) if best else None,
            qps=at_recall(throughput, recall, larger_is_better=True),
            qps_passed=_passed(throughput, recall, larger_is_better=True),
        )


def _passed(points: Sequence[Point], recall: float, *, larger_is_better: bool) -> bool:
    """Tell whether all that is worth having finds more."""
    kept = front(points, larger_is_better=larger_is_better)
    return bool(kept) and kept[0].recall > recall


def _samples(rival: Series) -> list[Setting]:
    return [row.sample for row in rival.rows if row.sample]
