"""Every figure as columns, units in their names: what is written as CSV, and read again where growth is asked for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from math import nan
from typing import Any

import pandas as pd
from cohorts.connectors.index import show_index
from cohorts.harness.bench.load.churn import Churn
from cohorts.harness.bench.load.modes import Closed, Open
from cohorts.harness.bench.report.equal_recall import AtRecall
from cohorts.harness.bench.report.setting import Measured, Row, asked_search
from cohorts.harness.bench.report.summary import Summary
from cohorts.measures.intervals import Estimate


def settings_frame(summary: Summary) -> pd.DataFrame:
    """Return a row per setting; figures are empty where there are faults."""
    return pd.DataFrame([_setting(row) for row in summary.rows])


def builds_frame(summary: Summary) -> pd.DataFrame:
    """Return a row per build."""
    rows = []
    for row in summary.builds:
        told = {field.name: getattr(row, field.name) for field in fields(row)[2:]}
        build = row.build
        names = {"store": build.store.name, "reference": build.store.reference}
        index = {
            "index": show_index(build.index),
            "default_index": build.default,
            "index_in_effect": row.index,
        }
        rows.append({**names, **index, **told})
    return pd.DataFrame(rows)


def equal_frame(found: Sequence[AtRecall]) -> pd.DataFrame:
    """Return a row per kind of index, store, k and recall."""
    return pd.DataFrame(
        [
            {
                "k": one.rival.k,
                "recall": one.recall,
                "store": one.rival.store,
                "reference": one.rival.reference,
                "index": one.rival.kind,
                "p50_ms": one.p50_ms,
                "all_above": one.passed,
                "beside": one.beside,
                **_estimate("speed_up", one.speed_up or Estimate(nan, nan, nan)),
                "qps": one.qps,
            }
            for one in found
        ]
    )


def _setting(row: Row) -> Mapping[str, Any]:
    cell = row.cell
    mode, where = cell.mode, cell.where
    return {
        "store": cell.build.store.name,
        "reference": cell.build.store.reference,
        "index": show_index(cell.build.index),
        "default_index": cell.build.default,
        "index_in_effect": row.index,
        "search": asked_search(cell),
        "default_search": cell.default_search,
        "search_in_effect": row.search,
        "k": cell.k,
        "selectivity": where.selectivity if where else nan,
        "correlated": where.correlated if where else None,
        "mode": mode.label.partition(",")[0],
        "clients": mode.clients if isinstance(mode, Closed) else nan,
        "rate_per_s": mode.rate if isinstance(mode, Open | Churn) else nan,
        "writes_per_s": mode.writes if isinstance(mode, Churn) else nan,
        "repeats": row.repeats,
        **dict(_figures(row.measured)),
        "faults": "; ".join(row.faults),
        "notes": "; ".join(row.notes),
    }


def _figures(measured: Measured | None) -> Iterator[tuple[str, Any]]:
    for field in fields(Measured):
        value = getattr(measured, field.name, None)
        if field.type is Estimate:
            yield from _estimate(field.name, value or Estimate(nan, nan, nan)).items()
        else:
            yield field.name, value


def _estimate(name: str, found: Estimate) -> dict[str, float]:
    stem, unit = (name[:-3], "_ms") if name.endswith("_ms") else (name, "")
    return {name: found.value, f"{stem}_low{unit}": found.low, f"{stem}_high{unit}": found.high}
