"""How cost grows with the number of vectors: the same settings in experiments of several sizes, by their reports."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from cohorts.documents import conform, read_json
from cohorts.errors import InputError
from cohorts.harness.bench.report.run_table import BUILDS, SETTINGS, kind_of
from cohorts.harness.bench.run.runner import DATA
from cohorts.measures.growth import LEAST_SIZES, growth
from cohorts.reports.formats import share
from cohorts.reports.long_table import Record, long_table, records

RECALL = "recall"
_OF_BUILDS = {"build_s": "build, s", "rss_anon_mib": "RssAnon, MiB"}
_OF_SETTINGS = {"p50_ms": "p50, ms", "recall": RECALL}
_KEY = ["figure", "name"]


def grown(folders: Sequence[Path]) -> pd.DataFrame:
    """Return how what is in the first experiment grows over the others, which have a report too; one client, no filter.

    It is a long table: a `value` for each size, and the `exponent` with its interval, from three sizes on and not of
    recall. Raises InputError for a folder without a report, and for two of one size.
    """
    frames: dict[int, pd.DataFrame] = {}
    for folder in folders:
        remedy = f"{folder} holds no report: measure that experiment first."
        about = read_json(folder / DATA, dict[str, Any], remedy=remedy)
        rows = conform(about.get("rows"), int, f"{folder / DATA}, rows,", remedy=remedy)
        try:
            tables = [pd.read_csv(folder / f"{name}.csv") for name in (BUILDS, SETTINGS)]
        except (OSError, ValueError) as error:
            raise InputError(remedy) from error
        if rows in frames:
            raise InputError(f"Two experiments have {rows:,} vectors; growth is between sizes.")
        frames[rows] = pd.concat(_figures(*tables)).assign(n=rows)
    every = pd.concat(frames.values()).merge(next(iter(frames.values()))[_KEY])
    return long_table(
        one for _, own in every.groupby(_KEY, sort=False) if len(own) > 1 for one in _lines(own)
    )


def _figures(builds: pd.DataFrame, settings: pd.DataFrame) -> Iterator[pd.DataFrame]:
    alone = settings[(settings["mode"] == "single") & settings["selectivity"].isna()]
    of_builds = builds["store"] + ", " + builds["index"]
    of_settings = (
        alone["store"] + ", " + alone["index"] + ", " + alone["search"] + ", k=" + alone["k"].astype(str)
    )
    for frame, names, titles in ((builds, of_builds, _OF_BUILDS), (alone, of_settings, _OF_SETTINGS)):
        kinds = frame["index"].map(kind_of)
        for column, title in titles.items():
            named = {"figure": title, "name": names, "store": frame["store"], "kind": kinds}
            yield pd.DataFrame(named | {"value": frame[column]}).dropna()


def _lines(own: pd.DataFrame) -> Iterator[Record]:
    """Yield one figure of one setting by the number of vectors, and how it grows."""
    own, recall = own.sort_values("n").assign(measure="value"), own["figure"].iloc[0] == RECALL
    yield from records(own.assign(text=own["value"].map(share)) if recall else own)
    if not recall and len(own) >= LEAST_SIZES and own["value"].min() > 0:
        exponent, low, high = growth(own["n"].tolist(), own["value"].tolist())
        of = records(own[["figure", "name", "store", "kind"]])[0]
        yield {**of, "measure": "exponent", "value": exponent, "low": low, "high": high}
