"""A long table as it is written in CSV: a row per setting, a column per measure."""

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd
from cohorts.reports.long_table import records


def wide(
    frame: pd.DataFrame,
    settings: Sequence[str],
    measures: Sequence[str],
    *,
    intervals: Collection[str] = (),
    counts: Collection[str] = (),
    numbers: Collection[str] = (),
) -> pd.DataFrame:
    """Return a row per setting, in order, and a column per measure: what is written as CSV.

    Those of `intervals` have the columns `…_low` and `…_high` beside them, before the unit in their name
    (`p50_low_ms`); `counts` are whole numbers, or the text in place of one; of `numbers` no text is written that stands
    in place of one.
    """
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for record in records(frame):
        key = tuple(None if record[name] != record[name] else record[name] for name in settings)
        row = rows.setdefault(key, {name: record[name] for name in settings})
        row[record["measure"]] = (record["measure"] not in numbers and record["text"]) or record["value"]
        if record["measure"] in intervals:
            row |= {_bound(record["measure"], side): record[side] for side in ("low", "high")}
    columns = [
        part
        for name in measures
        for part in ((name, _bound(name, "low"), _bound(name, "high")) if name in intervals else (name,))
    ]
    made = pd.DataFrame(rows.values(), columns=[*settings, *columns])
    for name in counts:
        hidden = made[name].map(lambda one: isinstance(one, str)).any()
        made[name] = made[name].map(_whole) if hidden else made[name].astype("Int64")
    return made


def _whole(count: Any) -> Any:
    """Return a count beside others that are hidden: as a whole number, or the text in its place."""
    return count if isinstance(count, str) or count != count else int(count)


def _bound(measure: str, side: str) -> str:
    stem, unit = (measure[:-3], "_ms") if measure.endswith("_ms") else (measure, "")
    return f"{stem}_{side}{unit}"
