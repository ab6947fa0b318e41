"""The charts of an experiment, as specifications over its long table."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pandas as pd
from cohorts.harness.bench.report.growth import RECALL
from cohorts.harness.bench.report.run_table import BUILDS, OF_BUILD, OF_SETTING, SETTINGS
from cohorts.harness.reports.charts import (
    Axis,
    ChartSpec,
    Figure,
    Place,
    log_scale,
    percentiles,
    recall_scale,
)
from cohorts.harness.reports.csv_table import wide
from cohorts.harness.reports.formats import count, number, percent, plain, share
from cohorts.harness.reports.long_table import Record, chosen, records
from cohorts.measures.front import Point, front

ENOUGH = 0.95  # recall of the setting that stands for an index where all of them would be too many lines
_STAND_IN = (
    f"Of each index its fastest search of recall {ENOUGH} or more unfiltered, or else that of most recall."
)
_PERCENTILES = {"p50": "p50_ms", "p95": "p95_ms", "p99": "p99_ms", "p99.9": "p999_ms"}
_PLACED = ["recall", *_PERCENTILES.values(), "most_qps", "qps"]


def _joined(points: Sequence[Place], *, larger: bool) -> list[Place]:
    kept = front([Point("", *point) for point in points], larger_is_better=larger)
    return [(point.recall, point.value) for point in kept]


def _front(k: int, title: str, y: Axis, where: str, *, larger: bool) -> ChartSpec:
    caption = f"{where} is better. A point is a setting; lines join those that none of their own kind beats, the broad "
    caption += "grey one those that no engine beats."
    x = Axis(f"recall@{k}", "recall", recall_scale, share)
    return ChartSpec(title=title, caption=caption, x=x, y=y, join=partial(_joined, larger=larger), best=True)


def _fronts(k: int) -> tuple[ChartSpec, ChartSpec]:
    return (
        _front(k, "Recall and latency", Axis("p50, ms", "p50_ms"), "Right and down", larger=False),
        _front(k, "Recall and throughput", Axis("q/s", "most_qps"), "Right and up", larger=True),
    )


def _by(title: str, column: str, show: Callable[[float], str]) -> Axis:
    return Axis(title, column, partial(log_scale, show=show), show)


_CORRELATED = f"{_STAND_IN} Dashed: the filter goes with the vectors (correlated). 100 %: no filter."
_SELECTIVITY = _by("selectivity", "selectivity", percent)
_FILTERED = (
    ChartSpec(
        title="Recall behind a filter",
        caption=_CORRELATED,
        x=_SELECTIVITY,
        y=Axis("recall", "recall", recall_scale, share),
    ),
    ChartSpec(
        title="Latency behind a filter", caption=_CORRELATED, x=_SELECTIVITY, y=Axis("p50, ms", "p50_ms")
    ),
)
_CLOSED = ChartSpec(
    title="Throughput by clients", caption=_STAND_IN, x=_by("clients", "clients", plain), y=Axis("q/s", "qps")
)
_OPEN = ChartSpec(
    title="Latency by rate of arrivals",
    caption=f"{_STAND_IN} From when a query was due to its answer. Dashed: p99.",
    x=_by("arrivals per s", "rate_per_s", plain),
    y=Axis("ms", "ms"),
)
_BUILDS = ChartSpec(
    title="Build time and memory",
    caption="Left and below is better. Memory that could not be seen is not drawn.",
    x=Axis("RssAnon, MiB", "rss_anon_mib"),
    y=Axis("build, s", "build_s"),
)


def figures_of(run: pd.DataFrame, k: int, stores: Sequence[str]) -> list[Figure]:
    """Return the charts of one k; those that nothing was measured for are left out."""
    settings = chosen(run, {"part": SETTINGS, "k": k})
    every = records(wide(settings, [*OF_SETTING, "name", "kind", "load", "among", "path"], _PLACED))
    every = [row for row in every if row["p50_ms"] == row["p50_ms"]]
    alone = [_named(row, "") for row in every if row["load"] == "alone"]
    order = list(dict.fromkeys(row["series"] for row in alone))
    alone.sort(key=lambda row: order.index(row["series"]))
    if not alone:
        return []
    caption = (
        "From the median to the last percentile told (p99.9 from 1,000 answers on), one client, no filter."
    )
    latency = percentiles("Latency, p50 to p99.9", caption, alone, _PERCENTILES, stores)
    loaded = [spec.draw(rows, stores) for spec, rows in _loads(every, list(_stand_ins(alone)))]
    found = [*(spec.draw(alone, stores) for spec in _fronts(k)), latency, *loaded]
    return [figure for figure in found if figure]


def build_figures(run: pd.DataFrame, stores: Sequence[str]) -> list[Figure]:
    """Return build time against memory, of the builds whose memory could be seen."""
    rows = [
        {
            **row,
            "kind": row["index_in_effect"].partition("(")[0],
            "name": f"{row['store']}, {row['index_in_effect']}",
        }
        for row in records(
            wide(chosen(run, {"part": BUILDS}), [*OF_BUILD, "path"], ["build_s", "rss_anon_mib"])
        )
        if row["rss_anon_mib"] > 0 and row["build_s"] > 0
    ]
    drawn = _BUILDS.draw([_named(row, row["path"]) for row in rows], stores)
    return [drawn] if drawn else []


def growth_figures(grown: pd.DataFrame, stores: Sequence[str]) -> list[Figure]:
    """Return a chart for each figure that grows, from the table of growth."""
    found = []
    for figure in grown["figure"].unique() if len(grown) else ():
        scale, show = (recall_scale, share) if figure == RECALL else (log_scale, number)
        spec = ChartSpec(
            title=f"Growth: {figure}",
            caption="Both axes logarithmic.",
            x=Axis("vectors", "n", log_scale, count),
            y=Axis(figure, "value", scale, show),
        )
        rows = records(chosen(grown, {"figure": figure, "measure": "value"}))
        found.append(spec.draw([_named(row, row["name"]) for row in rows], stores))
    return [figure for figure in found if figure]


def _named(row: Record, curve: str, name: str = "", *, dashed: bool = False) -> Record:
    series = f"{row['store']}, {row['kind']}"
    told = {"series": series, "curve": curve or series, "name": f"{row['name']}{name}", "dashed": dashed}
    return {**row, **told}


def _stand_ins(alone: Sequence[Record]) -> Iterator[Record]:
    """Yield for every build its fastest setting of enough recall, or else the one that finds most."""
    for path in dict.fromkeys(row["path"] for row in alone):
        yield min((row for row in alone if row["path"] == path), key=_rank)


def _rank(row: Record) -> tuple[bool, float]:
    enough = row["recall"] >= ENOUGH
    return not enough, row["p50_ms"] if enough else -row["recall"]


def _loads(every: Sequence[Record], stand_ins: Sequence[Record]) -> Iterator[tuple[ChartSpec, list[Record]]]:
    filtered: list[Record] = []
    closed: list[Record] = []
    opened: list[Record] = []
    for one in stand_ins:
        own = [row for row in every if (row["path"], row["search"]) == (one["path"], one["search"])]
        for correlated in (False, True):
            rows = [row for row in own if row["load"] == "filtered" and row["correlated"] == correlated]
            if rows:
                rows.append({**one, "selectivity": 1.0, "among": "no filter"})
            curve = f"{one['path']}, {correlated}"
            filtered += [_named(row, curve, f"; {row['among']}", dashed=correlated) for row in rows]
        for row in own:
            if row["load"] == "closed":
                closed.append(_named(row, row["path"], f"; {row['among']}"))
            if row["load"] == "open":
                for measure in ("p50_ms", "p99_ms"):
                    told = {**row, "ms": row[measure]}
                    name, dashed = f"; {measure.removesuffix('_ms')}", measure == "p99_ms"
                    opened.append(_named(told, f"{row['path']}, {measure}", name, dashed=dashed))
    yield from ((spec, filtered) for spec in _FILTERED)
    yield from ((_CLOSED, closed), (_OPEN, opened))
