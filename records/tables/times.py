"""Times as tables write them: ISO 8601, and dates that begin with the day or the month where that was said.

A time is local and has no zone, as in MIMIC: of a time with a zone the clock is kept as it was written, so that a note
of nine in the morning stays one, and days in hospital are those of its calendar. Which of day and month comes first is
never guessed, and a year of two digits is never read: its century is lost.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import pandas as pd


class Dates(StrEnum):
    """How dates that do not begin with the year are read; those that do are read whatever is chosen."""

    ISO = "iso"  # not at all
    DAY_FIRST = "day-first"
    MONTH_FIRST = "month-first"


@dataclass(frozen=True)
class Times:
    """A column of times, datetime64[us]: NaT where nothing was given or it could not be read; which had a zone."""

    values: pd.Series
    zoned: "pd.Series[bool]"


_PLAIN = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)?"
_CLOCK = r"""
    (?P<hour>\d\d|\d(?=:)) (?: :?(?P<minute>\d\d) (?: :?(?P<second>\d\d) (?:[.,](?P<fraction>\d+))? )? )?
    (?:\ ?(?P<half>[AP])\.?\ ?M\b\.?)?
    (?P<zone>(?:\ ?(?:Z|UTC|GMT|[A-Z]{1,4}T|[+-]\d\d(?::?\d\d){0,2}|\[?[A-Z]\w*/[\w/+-]+\]?)){1,2})?
"""
_DATE = r"""
    (?P<year>\d{4}) (?P<by>[-/.\ ]) (?P<month>\d{1,2}) (?P=by) (?P<day>\d{1,2})
    | (?P<compact>\d{8})
    | (?P<first>\d{1,2}) (?P<between>[-/.]) (?P<next>\d{1,2}) (?P=between) (?P<last>\d{4})
"""
_TIME = re.compile(
    rf"(?:{_DATE}) (?: (?:T|,?\ +|(?<=\d{{8}})(?=\d{{6}})) {_CLOCK} )?", re.VERBOSE | re.IGNORECASE | re.ASCII
)
_YEAR_OR_MONTH = re.compile(r"(\d{4})(?:-(\d\d))?", re.ASCII)
_YEAR_LAST = r"[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{4}(?:[ T,].*)?"
_YEAR_OF_TWO = r"[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2}(?:[ T,].*)?"


def read_times(text: "pd.Series[str]", dates: Dates) -> Times:
    """Read a column of stripped text, missing where there is no time."""
    plain = text.str.fullmatch(_PLAIN, na=False).astype(bool)
    values = pd.to_datetime(text.where(plain), format="ISO8601", errors="coerce").astype("datetime64[us]")
    rest = text[~plain].dropna()
    read = [_read(one, dates) for one in rest]
    times = pd.Series([time for time, _ in read], index=rest.index, dtype="datetime64[us]")
    zoned = pd.Series([zone for _, zone in read], index=rest.index, dtype="bool")
    return Times(values.fillna(times), zoned.reindex(text.index, fill_value=False))


def lacks_century(text: "pd.Series[str]") -> "pd.Series[bool]":
    """Tell which dates have a year of two digits, as 3/5/94 has."""
    return text.str.fullmatch(_YEAR_OF_TWO, na=False).astype(bool)


def ends_with_year(text: "pd.Series[str]") -> "pd.Series[bool]":
    """Tell which dates end with the year, as 03/05/1994 does."""
    return text.str.fullmatch(_YEAR_LAST, na=False).astype(bool)


def _read(text: str, dates: Dates) -> tuple[datetime | None, bool]:
    """Return the local time, None where it is none, and whether it had a zone."""
    if partial := _YEAR_OR_MONTH.fullmatch(text):
        return _made(int(partial[1]), int(partial[2] or 1), 1), False
    found = _TIME.fullmatch(text)
    if found is None or (date := _date(found, dates)) is None or (clock := _clock(found)) is None:
        return None, False
    made = _made(*date, *clock)
    return made, made is not None and found["zone"] is not None


def _date(found: re.Match[str], dates: Dates) -> tuple[int, int, int] | None:
    if compact := found["compact"]:
        return int(compact[:4]), int(compact[4:6]), int(compact[6:])
    if found["year"]:
        return int(found["year"]), int(found["month"]), int(found["day"])
    first, second, year = int(found["first"]), int(found["next"]), int(found["last"])
    return {Dates.DAY_FIRST: (year, second, first), Dates.MONTH_FIRST: (year, first, second)}.get(dates)


def _clock(found: re.Match[str]) -> tuple[int, int, int, int] | None:
    """Return hour, minute, second and microsecond; None for an hour that its half of the day does not have."""
    hour = int(found["hour"] or 0)
    if half := found["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half in "Pp" else 0)
    fraction = (found["fraction"] or "0")[:6].ljust(6, "0")
    return hour, int(found["minute"] or 0), int(found["second"] or 0), int(fraction)


def _made(*parts: int) -> datetime | None:
    try:
        return datetime(*parts)  # type: ignore[arg-type]
    except ValueError:  # a day or an hour that there is not
        return None
