"""Tables of an experiment, as specifications over its long table; what has a short title stands in the terminal too."""

from collections.abc import Mapping, Sequence

import pandas as pd
from cohorts.harness.bench.report.equal_recall import RECALLS
from cohorts.harness.bench.report.run_table import BUILDS, EQUAL, SETTINGS
from cohorts.reports.formats import count, decimals, number, percent, plain, share
from cohorts.reports.long_table import ColumnSpec, TableSpec

_STORE, _INDEX = {"store": "shown_store"}, {"index": "shown_index"}
_LATENCY = (
    ColumnSpec(title="p50, ms", measure="p50_ms", best=min, short="p50\nms"),
    ColumnSpec(title="p95, ms", measure="p95_ms", best=min),
    ColumnSpec(title="p99, ms", measure="p99_ms", best=min, short="p99\nms"),
    ColumnSpec(title="p99.9, ms", measure="p999_ms", best=min),
)
_ASKED = (
    ColumnSpec(title="asked", measure="asked", show=count),
    ColumnSpec(title="got", measure="got", show=count),
)
_CORES = (
    ColumnSpec(title="client's cores", measure="client_cores"),
    ColumnSpec(title="server's cores", measure="server_cores"),
)
_ARRIVALS = (
    ColumnSpec(title="behind, ms", measure="behind_ms", best=min),
    ColumnSpec(title="answered q/s", measure="qps"),
)
_SHORT = ColumnSpec(title="short answers", measure="short", show=percent, best=min)


def _recall(k: int) -> tuple[ColumnSpec, ...]:
    return (
        ColumnSpec(title=f"recall@{k}", measure="recall", show=share, best=max, short=f"recall@{k}"),
        ColumnSpec(title="5th percentile", measure="recall_p5", show=share, best=max),
    )


def of_k(k: int) -> list[TableSpec]:
    """Return the tables of one k: at equal recall, one client, filters, throughput, arrivals, writes."""
    alone = (
        *(*_recall(k), *_LATENCY),
        ColumnSpec(title="first query, ms", measure="cold_ms"),
        ColumnSpec(title="most q/s", measure="most_qps", best=max, short="most q/s"),
        *(*_ASKED, *_CORES),
        ColumnSpec(title="floor, µs", measure="floor_ms", show=lambda ms: number(1000 * ms)),
    )
    written = ColumnSpec(title="written per s", measure="written_per_s", best=max)
    stale = ColumnSpec(title="stale", measure="stale", show=percent, best=min)
    closed = (ColumnSpec(title="q/s", measure="qps", best=max), *_LATENCY, *_CORES)
    writing = (*_recall(k), stale, _SHORT, *_LATENCY, *_ARRIVALS, written, *_CORES)
    # By load: the title, what `among` tells, and the columns.
    loads: Mapping[str, tuple[str, Sequence[str], Sequence[ColumnSpec]]] = {
        "alone": ("One client, no filter", (), alone),
        "filtered": ("Filters, one client", ["filter"], (*_recall(k), *_LATENCY, _SHORT, *_ASKED)),
        "closed": ("Throughput, closed loop", ["clients"], closed),
        "open": (
            "Latency at a rate of arrivals, open loop",
            ["arrivals per s"],
            (*_recall(k), *_LATENCY, *_ARRIVALS, *_CORES),
        ),
        "writing": ("While points are written and deleted", ["arrivals, writes per s"], writing),
    }
    of_loads = [
        TableSpec(
            title=f"{title}, k = {k}",
            where={"part": SETTINGS, "load": load, "k": k},
            rows={**_STORE, **_INDEX, "search": "shown_search", **dict.fromkeys(among, "among")},
            columns=columns,
            quiet="reference",
            among=("among",),
        )
        for load, (title, among, columns) in loads.items()
    ]
    return [equal(k), *of_loads]


def equal(k: int, recalls: Sequence[float] = RECALLS) -> TableSpec:
    """Return p50 and throughput at equal recall: a line for each kind of index in each store."""
    at = {f"at {plain(recall)}": {"recall": recall} for recall in recalls}
    return TableSpec(
        title=f"At equal recall, k = {k}",
        where={"part": EQUAL, "k": k},
        rows={**_STORE, "index": "index"},
        columns=(
            *(
                ColumnSpec(
                    title=f"p50, ms, {one}", measure="p50_ms", where=where, best=min, short=f"p50\nms\n{one}"
                )
                for one, where in at.items()
            ),
            *(
                ColumnSpec(title=f"q/s {one}", measure="qps", where=where, best=max)
                for one, where in at.items()
            ),
        ),
        quiet="reference",
    )


BUILT = TableSpec(
    title="Builds",
    where={"part": BUILDS},
    rows={**_STORE, **_INDEX},
    columns=(
        ColumnSpec(title="load, s", measure="load_s", best=min),
        ColumnSpec(title="searchable, s", measure="searchable_s", best=min),
        ColumnSpec(title="indexed, s", measure="indexed_s", best=min, short="indexed\ns"),
        ColumnSpec(title="build, s", measure="build_s", best=min, short="build\ns"),
        ColumnSpec(title="settled, s", measure="settled_s", best=min, short="settled\ns"),
        ColumnSpec(title="processor, s", measure="core_s", best=min, short="processor\ns"),
        ColumnSpec(title="RssAnon, MiB", measure="rss_anon_mib", best=min, short="RssAnon\nMiB"),
        ColumnSpec(title="RssFile, MiB", measure="rss_file_mib", best=min),
        ColumnSpec(title="disk, MiB", measure="disk_mib", best=min, short="disk\nMiB"),
        ColumnSpec(title="engine", measure="engine_says", missing=""),
        ColumnSpec(title="memory read as", measure="how", missing=""),
    ),
    quiet="reference",
)


def growth(grown: pd.DataFrame) -> TableSpec:
    """Return how figures grow with the number of vectors, by the sizes in the table of growth."""
    sizes = sorted(grown["n"].dropna().astype(int).unique())
    return TableSpec(
        title="Growth with the number of vectors",
        rows={"figure": "figure", "setting": "name"},
        columns=(
            *(ColumnSpec(title=f"n = {n:,}", measure="value", where={"n": n}) for n in sizes),
            ColumnSpec(title="exponent", measure="exponent", show=decimals(2)),
        ),
    )
