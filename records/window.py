"""As of when: the part of a unit's records that an encoder sees, from one moment of an admission to another.

A window is of the admission that a unit describes. What was written, given or measured outside it is not there, and
what is only known later is missing:

- Diagnoses are coded after the stay, so they count from the end of their admission; so do drugs and procedures without
  a time, and diagnosis related groups.
- When a culture was taken is known at once; what grew, and what it is susceptible to, from the end of the admission.
- What goes on at the end of the window has no end yet, and nothing that is told by then: an amount, days, a last ward.
- A time of day that is midnight is a day without one, which counts if the whole day lies in the window. Notes,
  measurements and events without a day never do.

`units` stay as they are: who died, how long the stay was and its principal diagnosis are what encoders are trained
towards and judged by, never what they read.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from cohorts.errors import InputError
from cohorts.records.base import ADMISSION_COLUMNS, UNIT_COLUMNS, Batch, Source
from cohorts.records.transforms import View

if TYPE_CHECKING:
    import pandas as pd

WHOLE_STAY = "whole stay"
ADMISSION, DISCHARGE, ICU = "admission", "discharge", "icu"
_DAY = timedelta(days=1)
_MOMENT = re.compile(r"\s*([^\W\d](?:[\w ]*\w)?)\s*(?:([+-])\s*(\d{1,5})\s*([hd]))?\s*")
_WRITE = (
    "write admission+24h, icu+2d, discharge-0h, a column that holds a time as in emergency_to+6h, or a window from one "
    "to another as in admission..icu+24h"
)
ENDINGS = ("discharged", "died_at", "death", "readmitted", "last_contact", "followed_until")
"""Columns that tell how an admission ended and what came after it."""
_LATER = (*ENDINGS, "emergency_to")


@dataclass(frozen=True)
class Moment:
    """A moment of an admission: `admission`, `discharge`, `icu` (the first stay there) or a column, and what is added.

    A column is one of a batch's `units` or `admissions` that holds times, or a label whose values are ISO times.
    """

    anchor: str
    after: timedelta = timedelta()

    def __str__(self) -> str:
        """Return it as it is written."""
        if self.after:
            return f"{self.anchor}{self.after // timedelta(hours=1):+}h"
        return f"{DISCHARGE}-0h" if self.anchor == DISCHARGE else self.anchor

    def of(self, batch: Batch) -> "pd.Series[pd.Timestamp]":
        """Return the moment of every unit, in order, missing where it has none. Raises InputError for no column."""
        return _anchor(self.anchor, batch) + self.after


@dataclass(frozen=True)
class Window:
    """From `start` to `end`, both within; None is the beginning of all records, and their end. Raises InputError."""

    start: Moment | None = None
    end: Moment | None = None

    def __post_init__(self) -> None:
        if self.start is None and self.end is None:
            raise InputError(f"A window has a start or an end: {_WRITE}.")
        if (
            self.start
            and self.end
            and self.start.anchor == self.end.anchor
            and self.start.after >= self.end.after
        ):
            raise InputError(f"The window {self} ends before it has begun: name the earlier moment first.")

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.start or ''}..{self.end or ''}" if self.start else str(self.end)

    @property
    def columns(self) -> list[str]:
        """Return the columns that its moments are found in."""
        anchors = dict.fromkeys(moment.anchor for moment in (self.start, self.end) if moment)
        return [anchor for anchor in anchors if anchor not in (ADMISSION, DISCHARGE, ICU)]

    @property
    def reads(self) -> frozenset[str]:
        """Return the frames of a batch that its moments are found in, of those that a reader may do without."""
        anchors = {moment.anchor for moment in (self.start, self.end) if moment}
        return frozenset({"events"} if ICU in anchors else ())

    def cut(self, batch: Batch) -> tuple[Batch, int]:
        """Return what of a batch lies within, and how many of its units lack a moment: nothing is known of them.

        Raises InputError where a moment is of a column that is not there.
        """
        bounds, ended = _Bounds.of(self, batch), _Admissions.of(batch.admissions)
        known = replace(
            batch,
            codes=_codes(batch.codes, bounds, ended),
            notes=bounds.kept(batch.notes, batch.notes["time"]),
            measurements=bounds.kept(batch.measurements, batch.measurements["time"]),
            admissions=_admissions(batch.admissions, bounds),
            events=_events(batch.events, bounds, ended),
        )
        return known, int(bounds.end.isna().sum())


def parse_window(text: str) -> Window:
    """Read `admission+24h`, `icu+2d`, `discharge-0h`, `COLUMN`, or `START..END` of two of them. Raises InputError."""
    start, dots, end = text.partition("..")
    if not dots:
        return Window(end=_moment(text, start))
    return Window(
        _moment(text, start) if start.strip() else None, _moment(text, end) if end.strip() else None
    )


def seen(source: Source, window: Window | None) -> Source:
    """Return a source in a window, or as it is without one."""
    return source if window is None else AsOf(source, window)


class AsOf(View):
    """A source in a window: see the module. A unit that has not both of its moments stays, with nothing known of it."""

    def __init__(self, source: Source, window: Window) -> None:
        super().__init__(source)
        self.window = window

    @property
    def fingerprint(self) -> str:
        """Return a hash of the whole source's and of the window (hex)."""
        return hashlib.sha256(f"{self._source.fingerprint}/{self.window}".encode()).hexdigest()[:16]

    @property
    def frames(self) -> frozenset[str]:
        """Return what is read of the whole source; AttributeError where it reads all it has."""
        return super().frames

    @frames.setter
    def frames(self, wanted: frozenset[str]) -> None:
        self._source.frames = wanted | self.window.reads  # type: ignore[attr-defined]

    def batches(self) -> Iterator[Batch]:
        """Yield all units, with what is known of them. Raises InputError where no unit has both moments."""
        units = lacking = 0
        for batch in self._source.batches():
            known, more = self.window.cut(batch)
            units, lacking = units + len(batch), lacking + more
            yield known
        if units and units == lacking:
            raise InputError(
                f"No {self.unit} of {units:,} has the times of {self.window}: take another window, or a source that "
                "tells them."
            )


class _Bounds(NamedTuple):
    """The first and the last moment known, by unit; missing where it has not both."""

    start: "pd.Series[pd.Timestamp]"
    end: "pd.Series[pd.Timestamp]"

    @classmethod
    def of(cls, window: Window, batch: Batch) -> "_Bounds":
        """Find them. Raises InputError."""
        import pandas as pd

        start, end = (
            moment.of(batch) if moment else pd.Series(np.datetime64(always, "us"), batch.units.index)
            for moment, always in ((window.start, "0001-01-01"), (window.end, "9999-12-31"))
        )
        lacking, units = start.isna() | end.isna(), batch.units["unit_id"]
        return cls(start.mask(lacking).set_axis(units), end.mask(lacking).set_axis(units))

    def until(self, rows: "pd.DataFrame") -> "pd.Series[pd.Timestamp]":
        """Return the end of the window of each row's unit."""
        return _look_up(self.end, rows["unit_id"])

    def kept(self, rows: "pd.DataFrame", time: "pd.Series[pd.Timestamp]") -> "pd.DataFrame":
        """Return the rows that lie within by their time; a day without a time of day does as a whole."""
        within = (time >= _look_up(self.start, rows["unit_id"])) & (_over(time) <= self.until(rows))
        return rows[within.to_numpy(dtype=bool)].reset_index(drop=True)


class _Admissions(NamedTuple):
    """When the admissions of units ended."""

    ended: "pd.Series[pd.Timestamp]"

    @classmethod
    def of(cls, admissions: "pd.DataFrame") -> "_Admissions":
        """Find it."""
        keys = _admission_key(admissions)
        return cls(admissions["discharged"].set_axis(keys)[~keys.duplicated().to_numpy(dtype=bool)])

    def end(self, rows: "pd.DataFrame") -> "pd.Series[pd.Timestamp]":
        """Return when the admission of each row ended; missing without one."""
        return _look_up(self.ended, _admission_key(rows))


def _admission_key(rows: "pd.DataFrame") -> "pd.Series[str]":
    return rows["unit_id"] + "/" + rows["admission_id"]


def _look_up(values: "pd.Series[pd.Timestamp]", keys: "pd.Series[str]") -> "pd.Series[pd.Timestamp]":
    """Return the value of every key, missing where there is none."""
    return values.reindex(keys.to_numpy()).set_axis(keys.index)


def _moment(text: str, part: str) -> Moment:
    found = _MOMENT.fullmatch(part)
    if found is None:
        raise InputError(f"{text!r} is no window: {_WRITE}.")
    anchor, sign, many, unit = found.groups()
    after = timedelta(**{"hours" if unit == "h" else "days": int(f"{sign}{many}")}) if sign else timedelta()
    return Moment(anchor, after)


def _anchor(anchor: str, batch: Batch) -> "pd.Series[pd.Timestamp]":
    """Return when it was for each unit, in order. Raises InputError."""
    units = batch.units
    if anchor == ADMISSION:
        return units["admitted"]
    if anchor == ICU:
        stays = batch.events[batch.events["kind"] == "icu stay"]
        return _look_up(stays.groupby("admission_id")["time"].min(), units["admission_id"])
    if f"label_{anchor}" in units:
        return _times(units[f"label_{anchor}"], anchor)
    column = "discharged" if anchor == DISCHARGE else anchor
    for frame, columns in ((units, UNIT_COLUMNS), (batch.admissions, ADMISSION_COLUMNS)):
        if columns.get(column, "").startswith("datetime"):
            if frame is units:
                return units[column]
            times = frame.drop_duplicates("admission_id").set_index("admission_id")[column]
            return _look_up(times, units["admission_id"])
    labels = [name.removeprefix("label_") for name in map(str, units) if name.startswith("label_")]
    there = [ADMISSION, DISCHARGE, ICU, *labels, *_time_columns()]
    raise InputError(f"There is no column {anchor!r} to cut the records at. There are: {', '.join(there)}.")


def _time_columns() -> list[str]:
    every = UNIT_COLUMNS | ADMISSION_COLUMNS
    return [name for name, kind in every.items() if kind.startswith("datetime")]


def _times(texts: "pd.Series[str]", name: str) -> "pd.Series[pd.Timestamp]":
    """Read a label's values as times. Raises InputError, which counts those that are none."""
    import pandas as pd

    told = texts.where(texts.str.strip() != "")
    times = pd.to_datetime(told, format="ISO8601", errors="coerce").astype("datetime64[us]")
    if wrong := int((times.isna() & told.notna()).sum()):
        raise InputError(
            f"Column {name} holds {wrong:,} values that are no times: write them as 2101-05-03 14:00, or leave them "
            "empty."
        )
    return times


def _over(time: "pd.Series[pd.Timestamp]") -> "pd.Series[pd.Timestamp]":
    """Return when a time is over: a day without a time of day at its end."""
    return time.mask(time == time.dt.normalize(), time + _DAY)


def _codes(codes: "pd.DataFrame", bounds: _Bounds, ended: _Admissions) -> "pd.DataFrame":
    """Return those known: diagnoses of admissions that ended, and what else was given or done."""
    at_the_end = ((codes["kind"] == "diagnosis") & codes["admission_id"].notna()) | codes["time"].isna()
    known = bounds.kept(codes, codes["time"].mask(at_the_end, ended.end(codes)))
    return known.assign(stop=known["stop"].mask(_over(known["stop"]) > bounds.until(known)))


def _events(events: "pd.DataFrame", bounds: _Bounds, ended: _Admissions) -> "pd.DataFrame":
    """Return those known; what goes on has no end, amount or result, and a culture no result before the stay ends."""
    later = events["kind"].isin(["susceptibility", "drg"])
    known = bounds.kept(events, events["time"].mask(later, ended.end(events)))
    until = bounds.until(known)
    growing = (known["kind"] == "culture") & ~(ended.end(known) <= until)
    going_on = (_over(known["stop"]) > until) | ((known["kind"] == "icu stay") & known["stop"].isna())
    return known.assign(
        stop=known["stop"].mask(going_on),
        value=known["value"].mask(going_on),
        result=known["result"].mask(going_on | growing),
    )


def _admissions(admissions: "pd.DataFrame", bounds: _Bounds) -> "pd.DataFrame":
    """Return those that had begun; of one that goes on, how it ends is missing."""
    until = bounds.until(admissions)
    begun = admissions[(admissions["admitted"] <= until).to_numpy(dtype=bool)].reset_index(drop=True)
    until = bounds.until(begun)
    goes_on = ~(begun["discharged"] <= until)
    return begun.assign(
        **{name: begun[name].mask(_over(begun[name]) > until) for name in _LATER},
        discharge_location=begun["discharge_location"].mask(goes_on),
        died=begun["died"].mask(goes_on),
    )
