"""Tables of an experiment as they are read: on the page, in Markdown, in the terminal; the best of a column marked."""

from collections.abc import Callable, Iterable, Sequence
from math import floor, log10, nan
from typing import NamedTuple

from cohorts.connectors.index import show_index
from cohorts.harness.bench.load.churn import Churn
from cohorts.harness.bench.load.modes import Closed, Open
from cohorts.harness.bench.plan.experiment import plain
from cohorts.harness.bench.plan.matrix import Cell
from cohorts.harness.bench.report.equal_recall import AtRecall, Loads, fastest_load, load_key
from cohorts.harness.bench.report.growth import RECALL, Grown
from cohorts.harness.bench.report.setting import Measured, Row, asked_search
from cohorts.harness.bench.report.summary import BuildRow, Summary
from cohorts.measures.intervals import UNTOLD, Estimate

NONE = "–"
_HELD = "\u00a0"  # a space at which no line breaks


class Entry(NamedTuple):
    """One cell; `small` stands behind it, as an interval."""

    text: str
    small: str = ""
    best: bool = False


class Line(NamedTuple):
    """One row: its names, and its figures or, in their place, why there are none. A reference competes for no mark."""

    names: tuple[str, ...]
    entries: tuple[Entry, ...]
    fault: str = ""
    reference: bool = False


class View(NamedTuple):
    """A table: the headings of its names and of its figures."""

    title: str
    names: tuple[str, ...]
    columns: tuple[str, ...]
    lines: tuple[Line, ...]


class _Column(NamedTuple):
    """How a figure of a setting is shown; `best` is min or max, None where there is no better."""

    title: str
    value: Callable[[Row], Estimate | float]
    show: Callable[[float], str]
    best: Callable[[Iterable[float]], float] | None = None
    more: Callable[[Row], str] = lambda _: ""


def number(value: float) -> str:
    """Return a number with three digits that count, and never with an exponent; – where there is none."""
    if value != value:
        return NONE
    places = 2 - floor(log10(abs(value))) if value else 0
    return f"{value:,.{min(max(places, 0), 6)}f}"


def share(value: float) -> str:
    """Return a recall with four digits: .9996 is not 1."""
    return NONE if value != value else f"{value:.4f}"


def percent(value: float) -> str:
    """Return a share in per cent."""
    return f"{plain(float(f'{100 * value:.6g}'))} %"


def names_of(row: Row) -> tuple[str, str, str]:
    """Return store, index and search parameters, each with what is in effect where that is something else."""
    build, search = row.cell.build, asked_search(row.cell)
    store = f"{build.store.name} (reference)" if build.store.reference else build.store.name
    index = effect(show_index(build.index), row.index, default=build.default)
    return store, index, effect(search, row.search, default=row.cell.default_search)


def effect(asked: str, there: str, *, default: bool) -> str:
    """Return what was asked for, marked where it is the default, and what is in effect where that is another."""
    asked = f"{asked} (default)" if default and asked != "default" else asked
    return asked if there in (asked, asked.removesuffix(" (default)")) else f"{asked} → {there}"


def alone(summary: Summary, k: int) -> View:
    """Return the settings with one client and no filter, and the most queries per second of each."""
    loads = fastest_load(summary)
    columns = [
        *_recall(k),
        *_latency(),
        _figure("first query, ms", lambda one: one.cold_ms),
        _Column("most q/s", lambda row: _most(row, loads), number, max, lambda row: _clients(row, loads)),
        _figure("asked", lambda one: one.asked, lambda value: f"{value:,.0f}"),
        _figure("got", lambda one: one.got, lambda value: f"{value:,.0f}"),
        *_cores(),
        _figure("floor, µs", lambda one: 1000 * one.floor_ms),
    ]
    rows = [row for row in summary.rows if row.alone and row.cell.k == k]
    return _view(f"One client, no filter, k = {k}", (), columns, rows)


def filtered(summary: Summary, k: int) -> View:
    """Return the settings with one client and a filter."""
    columns = [
        *_recall(k),
        *_latency(),
        _figure("short answers", lambda one: one.short, percent, min),
        _figure("asked", lambda one: one.asked, lambda value: f"{value:,.0f}"),
        _figure("got", lambda one: one.got, lambda value: f"{value:,.0f}"),
    ]
    rows = [row for row in summary.rows if row.cell.where and row.cell.k == k]
    return _view(f"Filters, one client, k = {k}", ("filter",), columns, rows)


def closed(summary: Summary, k: int) -> View:
    """Return the throughput at several clients that each ask again once answered."""
    columns = [_figure("q/s", lambda one: one.qps, number, max), *_latency(), *_cores()]
    rows = [row for row in summary.rows if isinstance(row.cell.mode, Closed) and row.cell.k == k]
    return _view(f"Throughput, closed loop, k = {k}", ("clients",), columns, rows)


def opened(summary: Summary, k: int) -> View:
    """Return the latency under a rate of arrivals, from when each was due."""
    columns = [*_recall(k), *_latency(), *_arrivals(), *_cores()]
    rows = [row for row in summary.rows if isinstance(row.cell.mode, Open) and row.cell.k == k]
    return _view(f"Latency at a rate of arrivals, open loop, k = {k}", ("arrivals per s",), columns, rows)


def written(summary: Summary, k: int) -> View:
    """Return what searches find and wait for while points are written and deleted."""
    columns = [
        *_recall(k),
        _figure("stale", lambda one: one.stale, percent, min),
        _figure("short answers", lambda one: one.short, percent, min),
        *_latency(),
        *_arrivals(),
        _figure("written per s", lambda one: one.written_per_s, number, max),
        *_cores(),
    ]
    rows = [row for row in summary.rows if isinstance(row.cell.mode, Churn) and row.cell.k == k]
    return _view(f"While points are written and deleted, k = {k}", ("arrivals, writes per s",), columns, rows)


def built(summary: Summary) -> View:
    """Return what the builds cost."""
    columns: tuple[tuple[str, Callable[[BuildRow], float]], ...] = (
        ("load, s", lambda row: row.load_s),
        ("searchable, s", lambda row: row.searchable_s),
        ("indexed, s", lambda row: row.indexed_s),
        ("build, s", lambda row: row.build_s),
        ("RssAnon, MiB", lambda row: row.rss_anon_mib),
        ("RssFile, MiB", lambda row: row.rss_file_mib),
        ("disk, MiB", lambda row: row.disk_mib),
    )
    best = [
        _best(min, [value(row) for row in summary.builds if not row.build.store.reference])
        for _, value in columns
    ]
    lines = []
    for row in summary.builds:
        store = row.build.store
        entries = [
            Entry(number(value(row)), best=not store.reference and _is(value(row), least))
            for (_, value), least in zip(columns, best, strict=True)
        ]
        index = effect(show_index(row.build.index), row.index, default=row.build.default)
        name = f"{store.name} (reference)" if store.reference else store.name
        says = f"{row.engine}: {row.says}" if row.says and row.says != row.index else row.engine
        lines.append(Line((name, index), (*entries, Entry(says), Entry(row.how)), reference=store.reference))
    titles = (*(title for title, _ in columns), "engine", "memory read as")
    return View("Builds", ("store", "index"), titles, tuple(lines))


def equal(found: Sequence[AtRecall], k: int) -> View:
    """Return p50 and throughput at equal recall: a line for each kind of index in each store."""
    here = [one for one in found if one.rival.k == k]
    recalls = list(dict.fromkeys(one.recall for one in here))
    cells = {(one.rival, one.recall): one for one in here}
    judged = [one for one in here if not one.rival.reference]
    least = {at: _best(min, [one.p50_ms or nan for one in judged if one.recall == at]) for at in recalls}
    most = {at: _best(max, [one.qps or nan for one in judged if one.recall == at]) for at in recalls}
    lines = []
    for rival in dict.fromkeys(one.rival for one in here):
        own = [cells[rival, recall] for recall in recalls]
        p50 = [
            Entry(
                _reached(one.p50_ms, passed=one.passed),
                _faster(one),
                not rival.reference and _is(one.p50_ms, least[one.recall]),
            )
            for one in own
        ]
        qps = [
            Entry(
                _reached(one.qps, passed=one.qps_passed),
                "",
                not rival.reference and _is(one.qps, most[one.recall]),
            )
            for one in own
        ]
        store = f"{rival.store} (reference)" if rival.reference else rival.store
        lines.append(Line((store, rival.kind), (*p50, *qps), reference=rival.reference))
    titles = [f"{what} at {plain(at)}" for what in ("p50, ms,", "q/s") for at in recalls]
    return View(f"At equal recall, k = {k}", ("store", "index"), tuple(titles), tuple(lines))


def grown(lines: Sequence[Grown]) -> View:
    """Return how figures grow with the number of vectors."""
    sizes = sorted({n for line in lines for n, _ in line.points})
    shown = []
    for line in lines:
        there = dict(line.points)
        fitted = line.growth
        exponent = (
            Entry(f"{fitted.exponent:.2f}", f"[{fitted.low:.2f},{_HELD}{fitted.high:.2f}]")
            if fitted
            else Entry(NONE)
        )
        show = share if line.measure == RECALL else number
        figures = [Entry(show(there.get(n, nan))) for n in sizes]
        shown.append(Line((line.measure, line.name), (*figures, exponent)))
    titles = (*(f"n = {n:,}" for n in sizes), "exponent")
    return View("Growth with the number of vectors", ("figure", "setting"), titles, tuple(shown))


def interval(found: Estimate, show: Callable[[float], str]) -> str:
    """Return an interval as it is shown; nothing where there is none."""
    return "" if found.low != found.low else f"[{show(found.low)},{_HELD}{show(found.high)}]"


def narrowed(cell: Cell) -> str:
    """Return what tells a setting from others of its index and search: filter, clients or rates."""
    if cell.where:
        return (
            f"{percent(cell.where.selectivity)}, {'correlated' if cell.where.correlated else 'uncorrelated'}"
        )
    if isinstance(cell.mode, Closed):
        return str(cell.mode.clients)
    if isinstance(cell.mode, Churn):
        return f"{plain(cell.mode.rate)}, {plain(cell.mode.writes)}"
    return plain(cell.mode.rate) if isinstance(cell.mode, Open) else ""


def _view(title: str, more: tuple[str, ...], columns: Sequence[_Column], rows: Sequence[Row]) -> View:
    best = {
        (column.title, narrowed(row.cell)): _best(
            column.best,
            [
                _value(column, other)
                for other in rows
                if other.measured and not other.cell.build.store.reference
                if narrowed(other.cell) == narrowed(row.cell)
            ],
        )
        for column in columns
        for row in rows
        if column.best
    }
    lines = []
    for row in rows:
        names = (*names_of(row), *((narrowed(row.cell),) if more else ()))
        reference = row.cell.build.store.reference
        if not row.measured:
            lines.append(Line(names, (), "; ".join(row.faults), reference))
            continue
        entries = [
            _entry(column, row, None if reference else best.get((column.title, narrowed(row.cell))))
            for column in columns
        ]
        lines.append(Line(names, tuple(entries), "", reference))
    titles = tuple(column.title for column in columns)
    return View(title, ("store", "index", "search", *more), titles, tuple(lines))


def _entry(column: _Column, row: Row, best: float | None) -> Entry:
    found = column.value(row)
    shown = interval(found, column.show) if isinstance(found, Estimate) else ""
    value = _value(column, row)
    return Entry(
        column.show(value),
        " ".join(filter(None, (shown, column.more(row)))),
        _is(value, best),
    )


def _value(column: _Column, row: Row) -> float:
    found = column.value(row)
    return found.value if isinstance(found, Estimate) else found


def _best(choose: Callable[[Iterable[float]], float] | None, values: Sequence[float]) -> float | None:
    """Return the best of what is told; None where fewer than two are, for one alone is no best."""
    told = [value for value in values if value == value]
    return choose(told) if choose and len(told) > 1 else None


def _figure(
    title: str,
    value: Callable[[Measured], Estimate | float],
    show: Callable[[float], str] = number,
    best: Callable[[Iterable[float]], float] | None = None,
) -> _Column:
    return _Column(title, lambda row: value(row.measured) if row.measured else nan, show, best)


def _recall(k: int) -> list[_Column]:
    return [
        _figure(f"recall@{k}", lambda one: one.recall, share, max),
        _figure("5th percentile", lambda one: one.recall_p5, share, max),
    ]


def _latency() -> list[_Column]:
    return [
        _figure("p50, ms", lambda one: one.p50_ms, number, min),
        _figure("p95, ms", lambda one: one.p95_ms, number, min),
        _figure("p99, ms", lambda one: one.p99_ms, number, min),
        _figure("p99.9, ms", lambda one: one.p999_ms, number, min),
    ]


def _arrivals() -> list[_Column]:
    return [
        _figure("behind, ms", lambda one: one.behind_ms, number, min),
        _figure("answered q/s", lambda one: one.qps),
    ]


def _cores() -> list[_Column]:
    return [
        _figure("client's cores", lambda one: one.client_cores),
        _figure("server's cores", lambda one: one.server_cores),
    ]


def _most(row: Row, loads: Loads) -> Estimate:
    load = loads.get(load_key(row))
    return load.measured.qps if load and load.measured else UNTOLD


def _clients(row: Row, loads: Loads) -> str:
    load = loads.get(load_key(row))
    if not load or not isinstance(load.cell.mode, Closed):
        return ""
    many = load.cell.mode.clients
    return f"at {many} clients" if many > 1 else "at 1 client"


def _is(value: float | None, best: float | None) -> bool:
    return value is not None and value == best


def _reached(value: float | None, *, passed: bool) -> str:
    if value is not None:
        return number(value)
    return "all above" if passed else NONE


def _faster(one: AtRecall) -> str:
    if one.speed_up is None:
        return ""
    return f"{number(one.speed_up.value)}×{_HELD}{interval(one.speed_up, number)} as fast as {one.beside}"
