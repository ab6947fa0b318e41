"""The settings of the cohort paper's Tables 4 and 6, as measured here, beside what was published of them."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from cohorts.connectors.index import Annoy, Hnsw, Index, Ivf, SearchParams, show_index, show_search
from cohorts.harness.bench.report.equal_recall import fastest_load, load_key
from cohorts.harness.bench.report.summary import Summary
from cohorts.harness.reports import published
from cohorts.harness.reports.formats import NONE
from cohorts.harness.reports.long_table import ColumnSpec, Record, TableSpec, long_table

SETTINGS: dict[str, tuple[Index, SearchParams]] = {  # section 4.4
    "HNSW": (Hnsw(m=32, ef_construction=400), SearchParams(ef_search=128)),
    "IVF": (Ivf(nlist=1024), SearchParams(nprobe=16)),
    "ANNOY": (Annoy(n_trees=100), SearchParams()),
}
_MEMORY = ("Resource Footprint (HNSW)", "Index RAM (MIMIC-IV, 299k patients)")  # of HNSW's alone
_OURS = {"build, min": "build_min", "p50, ms": "p50_ms", "most q/s": "qps", "RssAnon, GB": "rss_anon_gb"}
PUBLISHED = TableSpec(
    title="The cohort paper's settings",
    rows={"setting": "setting", "measured here": lambda record: record["store"] or NONE},
    columns=(
        *(ColumnSpec(title=title, measure=name, group="ours") for title, name in _OURS.items()),
        *(
            ColumnSpec(title=title, measure=title, group=published.SEARCH.label, published=True)
            for title in (*published.SEARCH.columns, "Index RAM")
        ),
    ),
)


def published_table(summary: Summary) -> pd.DataFrame:
    """Return the paper's settings in every store that measured them; none unless the data are of the paper's size."""
    rows, dim, k = published.SEARCH_OF
    same = (summary.facts.rows, summary.facts.dim) == (rows, dim) and k in summary.experiment.k
    return (
        long_table(one for name in SETTINGS for one in _records(summary, name, k)) if same else long_table(())
    )


def _records(summary: Summary, name: str, k: int) -> Iterator[Record]:
    index, search = SETTINGS[name]
    title = ", ".join(filter(None, (show_index(index), show_search(search))))
    loads, builds = fastest_load(summary), {one.build.path: one for one in summary.builds}
    stores = []
    for row in summary.rows:
        if row.alone and row.cell.k == k and (row.cell.build.index, row.cell.search) == (index, search):
            build, load = builds.get(row.cell.build.path), loads.get(load_key(row))
            ours: dict[str, float] = {}
            if build:
                ours |= {"build_min": build.build_s / 60, "rss_anon_gb": build.rss_anon_mib * 2**20 / 1e9}
            if row.measured:
                ours["p50_ms"] = row.measured.p50_ms.value
            if load and load.measured:
                ours["qps"] = load.measured.qps.value
            stores.append(row.cell.build.store.name)
            yield from (_told(title, stores[-1], measure, value=value) for measure, value in ours.items())
    printed = {column: published.SEARCH.figure((name,), column) for column in published.SEARCH.columns}
    printed["Index RAM"] = published.RESOURCES.figure(_MEMORY, "Value") if name == "HNSW" else None
    for store in stores or [""]:
        yield from (_told(title, store, column, text=one.printed) for column, one in printed.items() if one)


def _told(setting: str, store: str, measure: str, **told: Any) -> Record:
    return {"setting": setting, "store": store, "measure": measure, **told}
