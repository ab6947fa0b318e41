"""The settings of the cohort paper's Tables 4 and 6, as measured here, beside what was published of them."""

from collections.abc import Iterator

import pandas as pd
from cohorts.connectors.index import (
    Annoy,
    Hnsw,
    Index,
    Ivf,
    SearchParams,
    search_to_json,
    show_index,
    show_search,
)
from cohorts.harness.bench.report.run_table import BUILDS
from cohorts.harness.bench.report.setting import shown_search
from cohorts.harness.bench.report.summary import Summary
from cohorts.reports import published
from cohorts.reports.formats import NONE
from cohorts.reports.long_table import ColumnSpec, Record, TableSpec, chosen, long_table, records

SETTINGS: dict[str, tuple[Index, SearchParams]] = {  # section 4.4
    "HNSW": (Hnsw(m=32, ef_construction=400), SearchParams(ef_search=128)),
    "IVF": (Ivf(nlist=1024), SearchParams(nprobe=16)),
    "ANNOY": (Annoy(n_trees=100), SearchParams()),
}
_MEMORY = ("Resource Footprint (HNSW)", "Index RAM (MIMIC-IV, 299k patients)")  # of HNSW's alone
_OURS = {  # by our measure: its title, and how many of the title's unit one is
    "build_s": ("build, min", 1 / 60),
    "core_s": ("core-min", 1 / 60),
    "p50_ms": ("p50, ms", 1),
    "most_qps": ("most q/s", 1),
    "rss_anon_mib": ("RssAnon, GB", 2**20 / 1e9),
}
PUBLISHED = TableSpec(
    title="The cohort paper's settings",
    rows={"setting": "setting", "measured here": lambda record: record["store"] or NONE},
    columns=(
        *(ColumnSpec(title=title, measure=title, group="ours") for title, _ in _OURS.values()),
        *(
            ColumnSpec(title=title, measure=title, group=published.SEARCH.label, published=True)
            for title in (*published.SEARCH.columns, "Index RAM")
        ),
    ),
)


def published_table(summary: Summary) -> pd.DataFrame:
    """Return the paper's settings in every store that measured them; none unless the data are of the paper's size."""
    rows, dim, k = published.SEARCH_OF
    same = (summary.facts["rows"], summary.facts["dim"]) == (rows, dim) and k in summary.experiment.k
    return long_table(one for name in SETTINGS if same for one in _records(summary.run, name, k))


def _records(run: pd.DataFrame, name: str, k: int) -> Iterator[Record]:
    index, search = SETTINGS[name]
    setting = ", ".join(filter(None, (show_index(index), show_search(search))))
    of_index = chosen(run, {"index": show_index(index)})
    asked = {"load": "alone", "k": k, "search": shown_search(search_to_json(search))}
    measured, builds = chosen(of_index, asked), chosen(of_index, {"part": BUILDS})
    stores = list(measured["store"].unique())
    printed = {column: published.SEARCH.figure((name,), column) for column in published.SEARCH.columns}
    printed["Index RAM"] = published.RESOURCES.figure(_MEMORY, "Value") if name == "HNSW" else None
    for store in stores:
        for one in records(chosen(pd.concat([measured, builds]), {"store": store})):
            if one["measure"] in _OURS:
                title, unit = _OURS[one["measure"]]
                yield {"setting": setting, "store": store, "measure": title, "value": one["value"] * unit}
    for store in stores or [""]:
        for title, told in printed.items():
            if told:
                yield {"setting": setting, "store": store, "measure": title, "text": told.printed}
