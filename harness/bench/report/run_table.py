"""An experiment as one long table: every figure of its settings, builds and comparisons; and the CSV made from it.

Setting columns say what was asked for and what is in effect. `part` is the CSV file, `load` how a setting was asked
(alone, filtered, closed, open, writing), `among` what tells it from others of its index and search.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from math import nan
from typing import Any

import pandas as pd
from cohorts.connectors.index import show_index
from cohorts.harness.bench.plan.matrix import Build, Cell
from cohorts.harness.bench.report.equal_recall import AtRecall, fastest_load, load_key
from cohorts.harness.bench.report.setting import Measured, Row, asked_search
from cohorts.harness.bench.report.summary import BuildRow, Summary
from cohorts.harness.reports.csv_table import wide
from cohorts.harness.reports.formats import HELD, interval, number, percent, plain
from cohorts.harness.reports.long_table import FAULT, Record, chosen, long_table
from cohorts.measures.intervals import UNTOLD, Estimate

SETTINGS, BUILDS, EQUAL = "settings", "builds", "equal_recall"
OF_BUILD = ["store", "reference", "index", "default_index", "index_in_effect"]
OF_SETTING = [
    *OF_BUILD,
    *("search", "default_search", "search_in_effect", "k", "selectivity", "correlated"),
    *("mode", "clients", "rate_per_s", "writes_per_s", "repeats"),
]
_ESTIMATES = [field.name for field in fields(Measured) if field.type is Estimate]


def run_table(summary: Summary, equal: Sequence[AtRecall]) -> pd.DataFrame:
    """Return all figures of an experiment."""
    return long_table([*_settings(summary), *_builds(summary), *_equal(equal)])


def csv_tables(run: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the CSV files by name: a row per setting, per build, and per index and recall; units in the names."""
    measures = [field.name for field in fields(Measured)]
    settings = wide(
        chosen(run, {"part": SETTINGS}),
        OF_SETTING,
        [*measures, FAULT, "notes"],
        intervals=_ESTIMATES,
        counts=["k", "clients", "repeats", "answers", "asked", "got"],
    )
    builds = wide(
        chosen(run, {"part": BUILDS}),
        OF_BUILD,
        [field.name for field in fields(BuildRow) if field.name not in ("build", "index")],
    )
    equal = wide(
        chosen(run, {"part": EQUAL}),
        ["k", "recall", "store", "reference", "index"],
        ["p50_ms", "all_above", "beside", "speed_up", "qps"],
        intervals=["speed_up"],
        counts=["k"],
        numbers=["p50_ms", "qps"],
    )
    return [(SETTINGS, settings.rename(columns={FAULT: "faults"})), (BUILDS, builds), (EQUAL, equal)]


def effect(asked: str, there: str, *, default: bool) -> str:
    """Return what was asked for, marked where it is the default, and what is in effect where that is another."""
    asked = f"{asked} (default)" if default and asked != "default" else asked
    return asked if there in (asked, asked.removesuffix(" (default)")) else f"{asked} → {there}"


def _settings(summary: Summary) -> Iterator[Record]:
    loads = fastest_load(summary)
    for row in summary.rows:
        setting = {**_of_build(SETTINGS, row.cell.build, row.index), **_of_cell(row)}
        for figure in _figures(row, loads.get(load_key(row))):
            yield {**setting, **figure}


def _of_build(part: str, build: Build, there: str) -> dict[str, Any]:
    return {
        "part": part,
        "store": build.store.name,
        "reference": build.store.reference,
        "index": show_index(build.index),
        "default_index": build.default,
        "index_in_effect": there,
        "path": str(build.path),
    }


def _of_cell(row: Row) -> dict[str, Any]:
    cell, settings = row.cell, vars(row.cell.mode)
    kind, _, _ = cell.mode.label.partition(",")
    load = "writing" if "writes" in settings else "filtered" if cell.where else kind
    return {
        "search": asked_search(cell),
        "default_search": cell.default_search,
        "search_in_effect": row.search,
        "k": cell.k,
        "selectivity": cell.where.selectivity if cell.where else nan,
        "correlated": cell.where.correlated if cell.where else None,
        "mode": kind,
        "clients": settings.get("clients", nan),
        "rate_per_s": settings.get("rate", nan),
        "writes_per_s": settings.get("writes", nan),
        "repeats": row.repeats,
        "name": row.name,
        "kind": row.kind,
        "load": "alone" if row.alone else load,
        "among": _among(cell),
    }


def _among(cell: Cell) -> str:
    if cell.where:
        return (
            f"{percent(cell.where.selectivity)}, {'correlated' if cell.where.correlated else 'uncorrelated'}"
        )
    return ", ".join(map(plain, vars(cell.mode).values()))


def _figures(row: Row, load: Row | None) -> Iterator[Record]:
    for name, value in vars(row.measured).items() if row.measured else ():
        yield _figure(name, value)
    if row.alone and row.measured:
        most = load.measured.qps if load and load.measured else UNTOLD
        clients = vars(load.cell.mode)["clients"] if load else 0
        note = f"at {clients} client{'s' if clients > 1 else ''}" if load else ""
        yield _figure("most_qps", most) | {"note": note}
    if row.faults:
        yield _figure(FAULT, "; ".join(row.faults))
    yield _figure("notes", "; ".join(row.notes))


def _figure(measure: str, value: Estimate | float | str) -> dict[str, Any]:
    if isinstance(value, Estimate):
        return {"measure": measure, **value._asdict()}
    return {"measure": measure, "text" if isinstance(value, str) else "value": value}


def _builds(summary: Summary) -> Iterator[Record]:
    for row in summary.builds:
        setting = _of_build(BUILDS, row.build, row.index)
        for name, value in vars(row).items():
            if name not in ("build", "index"):
                yield setting | _figure(name, value)
        says = f"{row.engine}: {row.says}" if row.says and row.says != row.index else row.engine
        yield setting | _figure("engine_says", says)


def _equal(found: Sequence[AtRecall]) -> Iterator[Record]:
    for one in found:
        setting = {
            "part": EQUAL,
            "k": one.rival.k,
            "recall": one.recall,
            "store": one.rival.store,
            "reference": one.rival.reference,
            "index": one.rival.kind,
        }
        faster = one.speed_up or UNTOLD
        times = f"{number(faster.value)}×{HELD}{interval(faster.low, faster.high, number)} as fast as {one.beside}"
        for name, value, passed, note in (
            ("p50_ms", one.p50_ms, one.passed, times if one.speed_up else ""),
            ("qps", one.qps, one.qps_passed, ""),
        ):
            told = {"value": value} if value is not None else {"text": "all above" if passed else ""}
            yield setting | {"measure": name, "note": note} | told
        yield setting | _figure("all_above", str(one.passed))
        yield setting | _figure("beside", one.beside)
        yield setting | _figure("speed_up", faster)
