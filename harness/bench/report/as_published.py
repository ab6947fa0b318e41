"""The settings of the cohort paper's Tables 4 and 6, as measured here, beside what was published of them."""

from collections.abc import Iterator
from math import nan
from typing import NamedTuple

from cohorts.connectors.index import Annoy, Hnsw, Index, Ivf, SearchParams, show_index, show_search
from cohorts.harness.bench.report.equal_recall import fastest_load, load_key
from cohorts.harness.bench.report.summary import Summary
from cohorts.harness.reports import published
from cohorts.harness.reports.published import Figure

SETTINGS: dict[str, tuple[Index, SearchParams]] = {  # section 4.4
    "HNSW": (Hnsw(m=32, ef_construction=400), SearchParams(ef_search=128)),
    "IVF": (Ivf(nlist=1024), SearchParams(nprobe=16)),
    "ANNOY": (Annoy(n_trees=100), SearchParams()),
}
_MEMORY = ("Resource Footprint (HNSW)", "Index RAM (MIMIC-IV, 299k patients)")


class Line(NamedTuple):
    """A setting in one store; "" and NaN where it was not measured. Of memory the paper tells HNSW's alone."""

    setting: str
    store: str
    build_min: float
    p50_ms: float
    qps: float
    rss_anon_gb: float
    published: tuple[Figure | None, ...]


def published_lines(summary: Summary) -> list[Line]:
    """Return the paper's settings in every store that measured them; none unless the data are of the paper's size."""
    rows, dim, k = published.SEARCH_OF
    if (summary.facts.rows, summary.facts.dim) != (rows, dim) or k not in summary.experiment.k:
        return []
    return [line for name in SETTINGS for line in _lines(summary, name, k)]


def _lines(summary: Summary, name: str, k: int) -> Iterator[Line]:
    index, search = SETTINGS[name]
    figures = (
        *(published.SEARCH.figure((name,), column) for column in published.SEARCH.columns),
        published.RESOURCES.figure(_MEMORY, "Value") if name == "HNSW" else None,
    )
    title = ", ".join(filter(None, (show_index(index), show_search(search))))
    loads, builds = fastest_load(summary), {one.build.path: one for one in summary.builds}
    same = [
        row
        for row in summary.rows
        if row.alone and row.cell.k == k and (row.cell.build.index, row.cell.search) == (index, search)
    ]
    for row in same:
        build, load = builds.get(row.cell.build.path), loads.get(load_key(row))
        yield Line(
            title,
            row.cell.build.store.name,
            build.build_s / 60 if build else nan,
            row.measured.p50_ms.value if row.measured else nan,
            load.measured.qps.value if load and load.measured else nan,
            build.rss_anon_mib * 2**20 / 1e9 if build else nan,
            figures,
        )
    if not same:
        yield Line(title, "", nan, nan, nan, nan, figures)
