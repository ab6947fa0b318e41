"""The charts of an experiment, as specifications over its long table."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pandas as pd
from cohorts.harness.bench.report.growth import RECALL
from cohorts.harness.bench.report.run_table import BUILDS, OF_BUILD, OF_SETTING, SETTINGS, kind_of
from cohorts.measures.front import Point, front
from cohorts.reports.charts import (
    Axis,
    ChartSpec,
    Figure,
    Place,
    log_scale,
    percentiles,
    recall_scale,
)
from cohorts.reports.csv_table import wide
from cohorts.reports.formats import count, number, percent, plain, share
from cohorts.reports.long_table import Record, chosen, records

ENOUGH = 0.95  # recall of the setting that stands for an index where all of them would be too many lines
_STAND_IN = (
    f"Of each index its fastest search of recall {ENOUGH} or more unfiltered, or else that of most recall."
)
_PERCENTILES = {"p50": "p50_ms", "p95": "p95_ms", "p99": "p99_ms", "p99.9": "p999_ms"}
_PLACED = ["recall", *_PERCENTILES.values(), "most_qps", "qps"]


def _joined(points: Sequence[Place], *, larger: bool) -> list[Place]:
    kept = front([Point("", *point) for point in points], larger_is_better=larger)
    return [(point.recall, point.value) for point in kept]


def _fronts(k: int) -> Iterator[ChartSpec]:
    for title, y, where, larger in (
        ("Recall and latency", Axis("p50, ms", "p50_ms"), "Right and down", False),
        ("Recall and throughput", Axis("q/s", "most_qps"), "Right and up", True),
    ):
        yield ChartSpec(
            title=title,
            caption=f"{where} is better. A point is a setting; lines join those that none of their own kind beats, the "
            "broad grey one those that no engine beats.",
            x=Axis(f"recall@{k}", "recall", recall_scale, share),
            y=y,
            join=partial(_joined, larger=larger),
            best=True,
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
_LOADS = (*(("filtered", spec) for spec in _FILTERED), ("closed", _CLOSED), ("open", _OPEN))
_BUILDS = ChartSpec(
    title="Build time and memory",
    caption="Left and below is better. Memory that could not be seen is not drawn.",
    x=Axis("RssAnon, MiB", "rss_anon_mib"),
    y=Axis("build, s", "build_s"),
)


def figures_of(run: pd.DataFrame, k: int, stores: Sequence[str]) -> list[Figure]:
    """Return the charts of one k; those that nothing was measured for are left out."""
    settings = chosen(run, {"part": SETTINGS, "k": k})
    every = wide(settings, [*OF_SETTING, "name", "kind", "load", "among", "path"], _PLACED)
    every = every.dropna(subset="p50_ms")
    alone = every[every["load"] == "alone"]
    if alone.empty:
        return []
    series = pd.factorize(alone["store"] + ", " + alone["kind"])[0]
    alone = alone.iloc[series.argsort(kind="stable")]
    standing = [_stand_in(own) for _, own in alone.groupby("path", sort=False)]
    caption = (
        "From the median to the last percentile told (p99.9 from 1,000 answers on), one client, no filter."
    )
    latency = percentiles("Latency, p50 to p99.9", caption, records(alone), _PERCENTILES, stores)
    loaded = [spec.draw(_marks(load, records(every), standing), stores) for load, spec in _LOADS]
    found = [*(spec.draw(records(alone), stores) for spec in _fronts(k)), latency, *loaded]
    return [figure for figure in found if figure]


def build_figures(run: pd.DataFrame, stores: Sequence[str]) -> list[Figure]:
    """Return build time against memory, of the builds whose memory could be seen."""
    built = wide(chosen(run, {"part": BUILDS}), [*OF_BUILD, "path"], ["build_s", "rss_anon_mib"])
    seen = built[(built["rss_anon_mib"] > 0) & (built["build_s"] > 0)]
    there = seen["index_in_effect"]
    named = {"curve": seen["path"], "kind": there.map(kind_of), "name": seen["store"] + ", " + there}
    drawn = _BUILDS.draw(records(seen.assign(**named)), stores)
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
        values = chosen(grown, {"figure": figure, "measure": "value"})
        if figure != RECALL:  # memory that did not grow has no place on a logarithmic axis
            values = values[values["value"] > 0]
        found.append(spec.draw(records(values.assign(curve=values["name"])), stores))
    return [figure for figure in found if figure]


def _stand_in(own: pd.DataFrame) -> Record:
    """Return of the settings of a build the fastest of enough recall, or else the one that finds most."""
    enough = own[own["recall"] >= ENOUGH]
    return records(own.loc[[enough["p50_ms"].idxmin() if len(enough) else own["recall"].idxmax()]])[0]


def _marks(load: str, every: Sequence[Record], standing: Sequence[Record]) -> Iterator[Record]:
    """Yield how the search that stands for each build fares behind filters, beside it without one; or under a load."""
    for one in standing:
        same = (one["path"], one["search"], load)
        own = [row for row in every if (row["path"], row["search"], row["load"]) == same]
        if load == "closed":
            yield from (_named(row, row["among"]) for row in own)
        elif load == "open":
            for row in own:
                yield _named(row, "p50") | {"ms": row["p50_ms"]}
                yield _named(row, "p99", dashed=True) | {"ms": row["p99_ms"]}
        else:
            for dashed in (False, True):
                alike = [row for row in own if row["correlated"] == dashed]
                yield from (_named(row, row["among"], dashed=dashed) for row in alike)
                if alike:
                    yield _named(one, "no filter", dashed=dashed) | {"selectivity": 1.0}


def _named(row: Record, name: str, *, dashed: bool = False) -> dict[str, Any]:
    told = {"curve": f"{row['path']}, {dashed}", "name": f"{row['name']}; {name}", "dashed": dashed}
    return {**row, **told}
