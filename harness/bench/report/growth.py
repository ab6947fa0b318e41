"""How cost grows with the number of vectors: the same settings in experiments of several sizes, by their reports."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from cohorts.documents import conform, read_json
from cohorts.errors import InputError
from cohorts.harness.bench.run.runner import DATA
from cohorts.measures.growth import LEAST_SIZES, Growth, growth

SETTINGS, BUILDS = "settings", "builds"  # the CSV files of a report
RECALL = "recall"
_OF_BUILDS = {"build_s": "build, s", "rss_anon_mib": "RssAnon, MiB"}
_OF_SETTINGS = {"p50_ms": "p50, ms", "recall": RECALL}


class Grown(NamedTuple):
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
        remedy = f"{folder} holds no report: run cohorts bench for it first."
        about = read_json(folder / DATA, dict[str, Any], remedy=remedy)
        rows = conform(about.get("rows"), int, f"{folder / DATA}, rows,", remedy=remedy)
        try:
            tables = [pd.read_csv(folder / f"{name}.csv") for name in (BUILDS, SETTINGS)]
        except (OSError, ValueError) as error:
            raise InputError(remedy) from error
        if rows in sizes:
            raise InputError(f"Two experiments have {rows:,} vectors; growth is between sizes.")
        sizes.append(rows)
        frames.append(pd.concat(_long(*tables)).assign(n=rows))
    every, asked = pd.concat(frames).sort_values("n", kind="stable"), frames[0]
    wanted = zip(asked["measure"], asked["name"], strict=True)
    groups = [every[(every["measure"] == measure) & (every["name"] == name)] for measure, name in wanted]
    return tuple(_grown(group) for group in groups if len(group) > 1)


def _long(builds: pd.DataFrame, settings: pd.DataFrame) -> Iterator[pd.DataFrame]:
    alone = settings[(settings["mode"] == "single") & settings["selectivity"].isna()]
    of_builds = builds["store"] + ", " + builds["index"]
    of_settings = (
        alone["store"] + ", " + alone["index"] + ", " + alone["search"] + ", k=" + alone["k"].astype(str)
    )
    for frame, names, titles in ((builds, of_builds, _OF_BUILDS), (alone, of_settings, _OF_SETTINGS)):
        for column, title in titles.items():
            kinds = frame["index"].str.partition("(")[0]
            made = {
                "measure": title,
                "name": names,
                "store": frame["store"],
                "kind": kinds,
                "value": frame[column],
            }
            yield pd.DataFrame(made).dropna()


def _grown(group: pd.DataFrame) -> Grown:
    sizes, values = group["n"].tolist(), group["value"].tolist()
    measure, name, store, kind = (str(group[key].iloc[0]) for key in ("measure", "name", "store", "kind"))
    fits = measure != RECALL and len(sizes) >= LEAST_SIZES and min(values) > 0
    points = tuple(zip(sizes, values, strict=True))
    return Grown(measure, name, store, kind, points, growth(sizes, values) if fits else None)
