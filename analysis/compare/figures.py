"""What a comparison tells, as rows of one long table: of which group, of what, which measure, how much."""

from collections.abc import Iterator, Mapping
from math import isinf, isnan, nan
from typing import Any

from cohorts.measures.intervals import UNTOLD, Estimate

Figure = Mapping[str, Any]
Figures = Iterator[Figure]
DIFFERENCE, TEST = "difference", "test"  # in place of a group
COLUMNS = ("sheet", "item", "level", "at", "group", "measure", "value", "low", "high", "text")


def figure(
    sheet: str,
    item: str,
    measure: str,
    value: float | Estimate,
    *,
    group: str = "",
    level: str = "",
    at: float = nan,
    text: str = "",
) -> Figure:
    """Return a row: `at` is a day, or a step; `text` stands in place of a value that is not shown."""
    told = value if isinstance(value, Estimate) else Estimate(float(value), nan, nan)
    text = text or ("not known" if isnan(told.value) else "infinite" if isinf(told.value) else "")
    shown = UNTOLD if text else told
    return {
        "sheet": sheet,
        "item": item,
        "level": level,
        "at": at,
        "group": group,
        "measure": measure,
        "value": shown.value,
        "low": shown.low,
        "high": shown.high,
        "text": text,
    }
