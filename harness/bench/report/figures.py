"""The charts of an experiment, each with the table that it is drawn from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import nan

from cohorts.harness.bench.load.modes import Closed, Open
from cohorts.harness.bench.plan.experiment import plain
from cohorts.harness.bench.report.comparison import Point, front
from cohorts.harness.bench.report.equal_recall import (
    Series,
    fastest_load,
    latency_points,
    load_key,
    load_points,
    rivals,
)
from cohorts.harness.bench.report.growth import RECALL, Grown
from cohorts.harness.bench.report.setting import Measured, Row
from cohorts.harness.bench.report.summary import Summary
from cohorts.harness.bench.report.tables import Entry, Line, View, narrowed, number, percent, share
from cohorts.harness.reports.charts import Bar, Bars, Chart, Curve, Mark, Scale, log_scale, recall_scale

SHAPES = {"flat": "diamond", "hnsw": "circle", "ivf": "square", "annoy": "triangle"}
COLOURS = 8
ENOUGH = 0.95  # recall of the setting that stands for an index where all of them would be too many lines


@dataclass(frozen=True)
class Figure:
    """A chart, what it shows, and the table behind it."""

    title: str
    caption: str
    chart: Chart | Bars
    data: View


def figures_of(summary: Summary, k: int) -> list[Figure]:
    """Return the charts of one k; those that nothing was measured for are left out."""
    return list(_figures(summary, k))


def _figures(summary: Summary, k: int) -> Iterator[Figure]:
    every = [one for one in rivals(summary) if one.k == k]
    if not every:
        return
    loads = fastest_load(summary)
    yield _front(
        summary, every, "Recall and latency", "p50, ms", lambda rows: latency_points(rows), larger=False
    )
    if any(load_points(one.rows, loads) for one in every):
        yield _front(
            summary, every, "Recall and throughput", "q/s", lambda rows: load_points(rows, loads), larger=True
        )
    yield _percentiles(summary, every)
    stand_ins = _stand_ins(every)
    yield from _filters(summary, stand_ins)
    yield from _load(summary, stand_ins)


def build_figure(summary: Summary) -> Figure | None:
    """Return build time against memory, of the builds whose memory could be seen."""
    seen = [row for row in summary.builds if row.rss_anon_mib > 0 and row.build_s > 0]
    if not seen:
        return None
    curves, lines = [], []
    for row in seen:
        kind = row.index.partition("(")[0]
        name = f"{row.build.store.name}, {row.index}"
        says = f"{name}: {number(row.build_s)} s, {number(row.rss_anon_mib)} MiB"
        mark = Mark(row.rss_anon_mib, row.build_s, says)
        store = row.build.store.name
        curves.append(Curve(f"{store}, {kind}", _colour(summary, store), SHAPES[kind], (mark,)))
        lines.append(Line((name,), (Entry(number(row.build_s)), Entry(number(row.rss_anon_mib)))))
    chart = Chart(
        log_scale("RssAnon, MiB", [row.rss_anon_mib for row in seen]),
        log_scale("build, s", [row.build_s for row in seen]),
        tuple(curves),
    )
    caption = "Left and below is better. Memory that could not be seen is not drawn."
    data = View("Build time and memory", ("index",), ("build, s", "RssAnon, MiB"), tuple(lines))
    return Figure("Build time and memory", caption, chart, data)


def growth_figures(summary: Summary, lines: Sequence[Grown]) -> list[Figure]:
    """Return a chart for each figure that grows."""
    return [
        _growing(summary, measure, [one for one in lines if one.measure == measure])
        for measure in dict.fromkeys(one.measure for one in lines)
    ]


def legend(figure: Figure) -> list[Curve]:
    """Return a curve for every name in a chart."""
    if isinstance(figure.chart, Bars):
        return []
    return list({curve.name: curve for curve in reversed(figure.chart.curves)}.values())[::-1]


def _colour(summary: Summary, store: str) -> int:
    return [one.name for one in summary.experiment.stores].index(store) % COLOURS


def _shape(rival: Series) -> str:
    return SHAPES[rival.kind.partition(" ")[0]]


def _front(
    summary: Summary,
    every: Sequence[Series],
    title: str,
    label: str,
    points: Callable[[Sequence[Row]], list[Point]],
    *,
    larger: bool,
) -> Figure:
    curves, lines = [], []
    for rival in every:
        own = points(rival.rows)
        marks = [
            Mark(
                one.recall, one.value, f"{one.name}: recall {share(one.recall)}, {number(one.value)} {label}"
            )
            for one in own
        ]
        line = [(one.recall, one.value) for one in front(own, larger_is_better=larger)]
        curves.append(
            Curve(rival.name, _colour(summary, rival.store), _shape(rival), tuple(marks), tuple(line))
        )
        lines += [Line((one.name,), (Entry(share(one.recall)), Entry(number(one.value)))) for one in own]
    engines = [point for one in every if not one.reference for point in points(one.rows)]
    whole = [point for one in every for point in points(one.rows)]
    best = [(one.recall, one.value) for one in front(engines, larger_is_better=larger)]
    chart = Chart(
        recall_scale(f"recall@{every[0].k}", [point.recall for point in whole]),
        log_scale(label, [point.value for point in whole]),
        tuple(curves),
        tuple(best),
    )
    where = "Right and up" if larger else "Right and down"
    caption = f"{where} is better. A point is a setting; lines join those that none of their own kind beats, the broad "
    caption += "grey one those that no engine beats."
    return Figure(title, caption, chart, View(title, ("setting",), ("recall", label), tuple(lines)))


def _percentiles(summary: Summary, every: Sequence[Series]) -> Figure:
    bars, lines = [], []
    for rival in every:
        for row in rival.rows:
            if not row.measured:
                continue
            told = row.measured
            named = (
                ("p50", told.p50_ms.value),
                ("p95", told.p95_ms),
                ("p99", told.p99_ms),
                ("p99.9", told.p999_ms),
            )
            values = tuple((name, value) for name, value in named if value == value)
            bars.append(Bar(row.name, _colour(summary, rival.store), _shape(rival), values))
            lines.append(Line((row.name,), tuple(Entry(number(value)) for _, value in named)))
    scale = log_scale("ms", [value for bar in bars for _, value in bar.values])
    data = View("Latency", ("setting",), ("p50, ms", "p95, ms", "p99, ms", "p99.9, ms"), tuple(lines))
    caption = (
        "From the median to the last percentile told (p99.9 from 1,000 answers on), one client, no filter."
    )
    return Figure("Latency, p50 to p99.9", caption, Bars(scale, tuple(bars)), data)


def _stand_ins(every: Sequence[Series]) -> dict[str, tuple[Series, Row]]:
    """Return for every build its fastest setting of enough recall, or else the one that finds most."""
    found: dict[str, tuple[Series, Row]] = {}
    for rival in every:
        for path in dict.fromkeys(str(row.cell.build.path) for row in rival.rows):
            rows = [row for row in rival.rows if str(row.cell.build.path) == path and row.measured]
            found[path] = rival, min(rows, key=_rank)
    return found


def _rank(row: Row) -> tuple[bool, float]:
    assert row.measured is not None  # noqa: S101 - those without figures were left out
    recall, p50_ms = row.measured.recall.value, row.measured.p50_ms.value
    return recall < ENOUGH, p50_ms if recall >= ENOUGH else -recall


_STAND_IN = (
    f"Of each index its fastest search of recall {ENOUGH} or more unfiltered, or else that of most recall."
)


def _filters(summary: Summary, stand_ins: dict[str, tuple[Series, Row]]) -> Iterator[Figure]:
    if not summary.experiment.filters:
        return
    measures: tuple[tuple[str, str, Callable[[Measured], float]], ...] = (
        ("Recall behind a filter", "recall", lambda one: one.recall.value),
        ("Latency behind a filter", "p50, ms", lambda one: one.p50_ms.value),
    )
    for title, label, value in measures:
        curves = []
        for rival, stand_in in stand_ins.values():
            for correlated in (False, True):
                rows = [
                    row
                    for row in summary.rows
                    if load_key(row) == load_key(stand_in) and row.cell.where and row.measured
                    if row.cell.where.correlated == correlated
                ]
                if rows:
                    curves.append(
                        _curve(
                            summary, rival, [*rows, stand_in], value, label, _selectivity, dashed=correlated
                        )
                    )
        if curves:
            scale = recall_scale if label == "recall" else log_scale
            caption = f"{_STAND_IN} Dashed: the filter goes with the vectors (correlated). 100 %: no filter."
            yield _curves(title, caption, curves, "selectivity", label, scale, percent)


def _load(summary: Summary, stand_ins: dict[str, tuple[Series, Row]]) -> Iterator[Figure]:
    closed, opened = [], []
    for rival, stand_in in stand_ins.values():
        own = [row for row in summary.rows if load_key(row) == load_key(stand_in) and row.measured]
        if rows := [row for row in own if isinstance(row.cell.mode, Closed)]:
            closed.append(
                _curve(summary, rival, rows, lambda one: one.qps.value, "q/s", _clients, dashed=False)
            )
        if rows := [row for row in own if isinstance(row.cell.mode, Open)]:
            opened.append(
                _curve(summary, rival, rows, lambda one: one.p50_ms.value, "p50, ms", _rate, dashed=False)
            )
            opened.append(_curve(summary, rival, rows, lambda one: one.p99_ms, "p99, ms", _rate, dashed=True))
    if closed:
        yield _curves("Throughput by clients", _STAND_IN, closed, "clients", "q/s", log_scale, plain)
    if opened:
        caption = f"{_STAND_IN} From when a query was due to its answer. Dashed: p99."
        yield _curves(
            "Latency by rate of arrivals", caption, opened, "arrivals per s", "ms", log_scale, plain
        )


def _selectivity(row: Row) -> float:
    return row.cell.where.selectivity if row.cell.where else 1.0


def _clients(row: Row) -> float:
    return row.cell.mode.clients if isinstance(row.cell.mode, Closed) else nan


def _rate(row: Row) -> float:
    return row.cell.mode.rate if isinstance(row.cell.mode, Open) else nan


def _curve(
    summary: Summary,
    rival: Series,
    rows: Sequence[Row],
    value: Callable[[Measured], float],
    label: str,
    across: Callable[[Row], float],
    *,
    dashed: bool,
) -> Curve:
    show = share if label == "recall" else number
    marks = [
        Mark(
            across(row),
            value(row.measured),
            f"{row.name}; {narrowed(row.cell) or 'no filter'}: {label} {show(value(row.measured))}",
        )
        for row in sorted(rows, key=across)
        if row.measured
    ]
    line = tuple((mark.x, mark.y) for mark in marks)
    return Curve(rival.name, _colour(summary, rival.store), _shape(rival), tuple(marks), line, dashed)


def _curves(
    title: str,
    caption: str,
    curves: Sequence[Curve],
    across: str,
    label: str,
    scale: Callable[[str, Sequence[float]], Scale],
    show: Callable[[float], str],
) -> Figure:
    marks = [mark for curve in curves for mark in curve.marks]
    chart = Chart(
        log_scale(across, [mark.x for mark in marks], show),
        scale(label, [mark.y for mark in marks]),
        tuple(curves),
    )
    lines = []
    for mark in marks:
        name, _, told = mark.says.rpartition(": ")
        lines.append(Line((name,), (Entry(show(mark.x)), Entry(told))))
    return Figure(title, caption, chart, View(title, ("setting",), (across, label), tuple(lines)))


def _growing(summary: Summary, measure: str, lines: Sequence[Grown]) -> Figure:
    curves, shown = [], []
    for one in lines:
        marks = [Mark(n, value, f"{one.name}; n = {n:,}: {number(value)}") for n, value in one.points]
        line = tuple((mark.x, mark.y) for mark in marks)
        colour = _colour(summary, one.store)
        curves.append(Curve(f"{one.store}, {one.kind}", colour, SHAPES[one.kind], tuple(marks), line))
        shown += [Line((one.name,), (Entry(f"{n:,}"), Entry(number(value)))) for n, value in one.points]
    whole = [mark for curve in curves for mark in curve.marks]
    scale = recall_scale if measure == RECALL else log_scale
    chart = Chart(
        log_scale("vectors", [mark.x for mark in whole]),
        scale(measure, [mark.y for mark in whole]),
        tuple(curves),
    )
    title = f"Growth: {measure}"
    return Figure(
        title, "Both axes logarithmic.", chart, View(title, ("setting",), ("vectors", measure), tuple(shown))
    )
