"""Several seeds in one figure: the mean, its 95 % interval (Student's t), and a paired t-test against a baseline."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from cohorts.errors import InputError
from cohorts.measures.intervals import student
from cohorts.measures.paired import t_p
from cohorts.reports.findings import Score, against
from cohorts.reports.formats import HELD, Show
from cohorts.reports.long_table import ColumnSpec, Record, by_half_width, long_table, records
from cohorts.reports.published import Table


def check_seeds(seeds: int) -> None:
    """Raise InputError for none."""
    if seeds < 1:
        raise InputError(f"{seeds} seeds were asked for; at least 1 is needed.")


def over_seeds(
    frame: pd.DataFrame, settings: Sequence[str], base: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Return the long table of the means of every measure over `seed`, a row per setting, in order.

    `low` and `high` are of the mean, NaN for one seed; `sd` is that of the seeds. `p` is that of a two-sided paired
    test against the setting that `base` changes this one to (`{"encoder": "baseline"}`), NaN where there is none.
    """
    by = [*settings, "measure"]
    groups = {
        tuple(None if part != part else part for part in key): group.sort_values("seed")["value"]
        for key, group in frame[frame["text"] == ""].groupby(by, sort=False, dropna=False)
    }
    rows = []
    for key, values in groups.items():
        setting = dict(zip(by, key, strict=True))
        other = groups.get(tuple((setting | dict(base)).values())) if base else None
        p = float("nan") if other is None else t_p(values, other)
        told = student(values)._asdict() | {"sd": float(values.std()), "p": p}
        rows.append({**setting, **told, "quiet": False})
    return long_table(rows)


def mean_column(title: str, measure: str, show: Show, **more: Any) -> ColumnSpec:
    """Return a column of means with half of their interval, empty where there is none."""
    settings: dict[str, Any] = {"beside": by_half_width, "missing": ""} | more
    return ColumnSpec(title=title, measure=measure, show=show, **settings)


def printed_column(title: str, measure: str, table: Table, **more: Any) -> ColumnSpec:
    """Return a column of published figures, under the name of what they were published of."""
    return ColumnSpec(title=title, measure=measure, group=table.label, published=True, missing="", **more)


def by_deviation(cell: Record, show: Show) -> str:
    """Return the standard deviation of a cell over the seeds: `± 2.1`."""
    return "" if cell["sd"] != cell["sd"] else f"±{HELD}{show(cell['sd'])}"


def finding(
    measure: str, means: pd.DataFrame, base: str, *, among: Sequence[str] | None = None, percent: bool = False
) -> str:
    """Return whether any encoder reaches more than `base`, by the means of one measure, tested against it.

    `among` are those that are compared; all others where there is none.
    """
    of, scale = {one["encoder"]: one for one in records(means)}, 100 if percent else 1
    scores = {
        name: Score(name, scale * one["value"], scale * one["low"], scale * one["high"], percent)
        for name, one in of.items()
    }
    names = [name for name in of if name != base] if among is None else among
    return against(
        measure,
        [scores[name] for name in names],
        scores[base],
        [of[name]["p"] for name in names],
        "paired t-test over the seeds, Bonferroni's correction",
    )
