"""How cost grows with the number of vectors: the same settings in experiments of several sizes, by their reports."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from cohorts.documents import conform, read_json
from cohorts.errors import InputError
from cohorts.harness.bench.report.run_table import BUILDS, SETTINGS
from cohorts.harness.bench.run.runner import DATA
from cohorts.harness.reports.formats import share
from cohorts.harness.reports.long_table import long_table
from cohorts.measures.growth import LEAST_SIZES, Growth, growth

RECALL = "recall"
_OF_BUILDS = {"build_s": "build, s", "rss_anon_mib": "RssAnon, MiB"}
_OF_SETTINGS = {"p50_ms": "p50, ms", "recall": RECALL}


@dataclass(frozen=True, kw_only=True)
class Grown:
    """One figure of one setting by the number of vectors; `growth` is None below three sizes, and of recall."""

    measure: str
    name: str
    store: str
    kind: str
    points: tuple[tuple[int, float], ...]
    growth: Growth | None


def grown(folders: Sequence[Path]) -> tuple[Grown, ...]:
    """Return how what is in the first experiment grows over the others, which have a report too; one client, no filter.

    Raises InputError for a folder without a report, and for two of one size.
    """
    sizes, frames = [], []
    for folder in folders:
        remedy = f"{folder} holds no report: measure that experiment first."
        about = read_json(folder / DATA, dict[str, Any], remedy=remedy)
        rows = conform(about.get("rows"), int, f"{folder / DATA}, rows,", remedy=remedy)
        try:
            tables = [pd.read_csv(folder / f"{name}.csv") for name in (BUILDS, SETTINGS)]
        except (OSError, ValueError) as error:
            raise InputError(remedy) from error
        if rows in sizes:
            raise InputError(f"Two experiments have {rows:,} vectors; growth is between sizes.")
        sizes.append(rows)
        frames.append(pd.concat(_figures(*tables)).assign(n=rows))
    every, asked = pd.concat(frames).sort_values("n", kind="stable"), frames[0]
    groups = {key: group for key, group in every.groupby(_KEY, sort=False)}  # noqa: C416 - a GroupBy is no mapping
    wanted = asked[_KEY].itertuples(index=False, name=None)
    return tuple(_grown(groups[key]) for key in wanted if len(groups[key]) > 1)


def growth_table(lines: Sequence[Grown]) -> pd.DataFrame:
    """Return the long table of what grows: a `value` for each size, and the `exponent` with its interval."""
    records: list[dict[str, Any]] = []
    for line in lines:
        setting = {"figure": line.measure, "name": line.name, "store": line.store, "kind": line.kind}
        for n, value in line.points:
            text = share(value) if line.measure == RECALL else ""
            records.append(setting | {"n": n, "measure": "value", "value": value, "text": text})
        if line.growth:
            exponent, low, high = line.growth
            records.append(setting | {"measure": "exponent", "value": exponent, "low": low, "high": high})
    return long_table(records)


_KEY = ["measure", "name"]


def _figures(builds: pd.DataFrame, settings: pd.DataFrame) -> Iterator[pd.DataFrame]:
    alone = settings[(settings["mode"] == "single") & settings["selectivity"].isna()]
    of_builds = builds["store"] + ", " + builds["index"]
    of_settings = (
        alone["store"] + ", " + alone["index"] + ", " + alone["search"] + ", k=" + alone["k"].astype(str)
    )
    for frame, names, titles in ((builds, of_builds, _OF_BUILDS), (alone, of_settings, _OF_SETTINGS)):
        kinds = frame["index"].str.partition("(")[0]
        for column, title in titles.items():
            named = {"measure": title, "name": names, "store": frame["store"], "kind": kinds}
            yield pd.DataFrame(named | {"value": frame[column]}).dropna()


def _grown(group: pd.DataFrame) -> Grown:
    sizes, values = group["n"].tolist(), group["value"].tolist()
    named = {key: str(group[key].iloc[0]) for key in ("measure", "name", "store", "kind")}
    fits = named["measure"] != RECALL and len(sizes) >= LEAST_SIZES and min(values) > 0
    points = tuple(zip(sizes, values, strict=True))
    return Grown(points=points, growth=growth(sizes, values) if fits else None, **named)
