"""An experiment as one long table: every figure of its settings, builds and comparisons; and the CSV made from it.

Setting columns say what was asked for and what is in effect. `part` is the CSV file, `load` how a setting was asked
(alone, filtered, closed, open, writing), `among` what tells it from others of its index and search; `path` and
`setting` are the folders of the build and of the setting's repeats, `shown_…` what tables show.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import nan
from operator import itemgetter
from typing import Any

import pandas as pd
from cohorts.connectors.index import index_from_json, show_index
from cohorts.harness.bench.plan.matrix import Build, Cell
from cohorts.harness.bench.report.setting import (
    ESTIMATES,
    MEASURES,
    Found,
    asked_search,
    name_of,
    shown_search,
)
from cohorts.measures.intervals import Estimate
from cohorts.reports.csv_table import wide
from cohorts.reports.formats import percent, plain
from cohorts.reports.long_table import FAULT, Record, chosen

SETTINGS, BUILDS, EQUAL = "settings", "builds", "equal_recall"
OF_BUILD = ["store", "reference", "index", "default_index", "index_in_effect"]
OF_SETTING = [
    *OF_BUILD,
    *("search", "default_search", "search_in_effect", "k", "selectivity", "correlated"),
    *("mode", "clients", "rate_per_s", "writes_per_s", "repeats"),
]
WORDS = ("engine", "says", "how")
COSTS = (
    *("load_s", "searchable_s", "indexed_s", "build_s", "settled_s", "core_s"),
    *("rss_anon_mib", "rss_file_mib", "disk_mib"),
)
_CSV: Mapping[str, Mapping[str, Any]] = {
    SETTINGS: {
        "settings": OF_SETTING,
        "measures": [*MEASURES, FAULT, "notes"],
        "intervals": ESTIMATES,
        "counts": ["k", "clients", "repeats", "answers", "asked", "got"],
    },
    BUILDS: {"settings": OF_BUILD, "measures": ["engine", "says", *COSTS, "how"]},
    EQUAL: {
        "settings": ["k", "recall", "store", "reference", "index"],
        "measures": ["p50_ms", "all_above", "beside", "speed_up", "qps"],
        "intervals": ["speed_up"],
        "counts": ["k"],
        "numbers": ["p50_ms", "qps"],
    },
}


def csv_tables(run: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the CSV files by name: a row per setting, per build, and per index and recall; units in the names."""
    return {
        part: wide(chosen(run, {"part": part}), **spec).rename(columns={FAULT: "faults"})
        for part, spec in _CSV.items()
    }


def effect(asked: str, there: str, *, default: bool) -> str:
    """Return what was asked for, marked where it is the default, and what is in effect where that is another."""
    asked = f"{asked} (default)" if default and asked != "default" else asked
    return asked if there in (asked, asked.removesuffix(" (default)")) else f"{asked} → {there}"


def build_records(build: Build, there: str, told: dict[str, Any]) -> Iterator[Record]:
    """Yield what it took to build an index that is `there` in effect, by `WORDS` and `COSTS`."""
    engine, says = told["engine"], told["says"]
    engine_says = f"{engine}: {says}" if says and says != there else engine
    for measure, value in (told | {"engine_says": engine_says}).items():
        yield _of_build(BUILDS, build, there) | figure(measure, value)


def setting_records(cell: Cell, found: Found) -> Iterator[Record]:
    """Yield the figures of a setting, by `MEASURES`, or its faults; and notes of what was done otherwise than asked."""
    index, search = show_index(cell.build.index), asked_search(cell)
    there, searched = index, search
    if found.manifests:
        there = show_index(index_from_json(found.manifests[0].effective_index))
        searched = shown_search(found.manifests[0].effective_search)
    mode, where, (kind, _, _) = vars(cell.mode), cell.where, cell.mode.label.partition(",")
    load = kind if cell.mode.loaded else "filtered" if where else "alone"
    setting = _of_build(SETTINGS, cell.build, there) | {
        "search": search,
        "default_search": cell.default_search,
        "search_in_effect": searched,
        "shown_search": effect(search, searched, default=cell.default_search),
        "k": cell.k,
        "selectivity": where.selectivity if where else nan,
        "correlated": where.correlated if where else None,
        "mode": kind,
        "clients": mode.get("clients", nan),
        "rate_per_s": mode.get("rate", nan),
        "writes_per_s": mode.get("writes", nan),
        "repeats": len(found.manifests),
        "name": name_of(cell),
        "kind": " as ".join(dict.fromkeys((kind_of(index), kind_of(there)))),
        "load": "writing" if cell.mode.writes_points else load,
        "among": _among(cell),
        "setting": str(cell.setting),
    }
    faults = {FAULT: "; ".join(found.faults)} if found.faults else {}
    for measure, value in {**found.figures, **faults, "notes": "; ".join(found.notes)}.items():
        yield setting | figure(measure, value)


def figure(measure: str, value: Estimate | float | str) -> dict[str, Any]:
    """Return a figure of the long table, without its setting."""
    if isinstance(value, Estimate):
        return {"measure": measure, **value._asdict()}
    return {"measure": measure, "text" if isinstance(value, str) else "value": value}


def most_qps(figures: Sequence[Record]) -> Iterator[Record]:
    """Yield of every setting with one client and no filter the most queries per second in the closed loop."""
    shared = itemgetter("path", "search", "k")
    most: dict[Any, Record] = {}
    for one in figures:
        if one["load"] == "closed" and one["measure"] == "qps":
            most[shared(one)] = max(most.get(shared(one), one), one, key=itemgetter("value"))
    for one in figures:
        if one["load"] == "alone" and one["measure"] == "notes":  # every setting has them, a faulty one too
            told: dict[str, Any] = {"measure": "most_qps", "text": ""}
            if load := most.get(shared(one)):
                told |= {bound: load[bound] for bound in Estimate._fields}
                told["note"] = f"at {load['clients']} client{'s' if load['clients'] > 1 else ''}"
            yield {**one, **told}


def _of_build(part: str, build: Build, there: str) -> dict[str, Any]:
    index, store = show_index(build.index), build.store
    return {
        "part": part,
        **of_store(store.name, reference=store.reference),
        "index": index,
        "default_index": build.default,
        "index_in_effect": there,
        "shown_index": effect(index, there, default=build.default),
        "path": str(build.path),
    }


def of_store(name: str, *, reference: bool) -> dict[str, Any]:
    """Return the columns of a store."""
    return {
        "store": name,
        "reference": reference,
        "shown_store": f"{name} (reference)" if reference else name,
    }


def _among(cell: Cell) -> str:
    if cell.where:
        kind = "correlated" if cell.where.correlated else "uncorrelated"
        return f"{percent(cell.where.selectivity)}, {kind}"
    return ", ".join(map(plain, vars(cell.mode).values()))


def kind_of(index: str) -> str:
    """Return the kind of an index that `show_index` wrote."""
    return index.partition("(")[0]
