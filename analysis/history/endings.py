"""How it ended: the days from a patient's start to death, to another admission, or to when nothing more is known.

- A death counts up to when it would be known. Where a source knows deaths for a fixed time after the last contact, as
  MIMIC does, it is counted from the admission's own discharge: who comes back would else be followed longer, and who
  comes back is alive. Where it does not tell, deaths after the discharge do not count, unless the user says how long
  they are known (`follow_up`).
- A day of death without a time of day counts at noon, and on the day of the start half-way to its end.
- Who had died, or left, when time began is not at risk, nor is who has no start.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

CENSORED, HAPPENED, COMPETED = 0, 1, 2
_DAY = pd.Timedelta(days=1)
_SAME_DAYS = 2.0  # a year has 365 days or 366
_RETURN = 30.0  # days after discharge for which another admission is looked for
Days = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ending:
    """Days (n,) float64 from the start, NaN for who is not at risk, and how each ended (n,) int8."""

    days: Days
    kinds: npt.NDArray[np.int8]

    @property
    def at_risk(self) -> npt.NDArray[np.bool_]:
        """Return who is, (n,)."""
        return ~np.isnan(self.days)


@dataclass(frozen=True)
class FollowUp:
    """Up to when a death is known, by unit, and the rule in words."""

    until: "pd.Series[pd.Timestamp]"
    rule: str
    days: float | None = None  # after each discharge, where it is the same for all


def followed(people: pd.DataFrame, follow_up: timedelta | None = None) -> FollowUp:
    """Return up to when deaths of all patients of a source are known; `follow_up`: so long after discharge."""
    if follow_up is not None:
        rule = (
            f"Deaths count for {follow_up.days:,} days after discharge, as was asked for: that all of them are known "
            "is the user's word."
        )
        return FollowUp(people["discharged"] + follow_up, rule, follow_up.days)
    alive = people["death"].isna()
    told = (
        people if not alive.any() else people[alive]
    )  # of the dead a source may tell that they were until death
    spans = _days(told["followed_until"] - told["last_contact"])
    spans = spans[~np.isnan(spans)]
    if not len(spans):
        rule = (
            "The source does not tell up to when deaths are known: patients are censored at discharge, and deaths "
            "after it do not count."
        )
        return FollowUp(people["discharged"], rule, 0)
    low, high = np.percentile(spans, [5, 95])
    if high - low <= _SAME_DAYS:
        rule = f"Deaths count for {low:,.0f} days after discharge, for which the source knows of them."
        return FollowUp(people["discharged"] + timedelta(days=float(low)), rule, round(float(low)))
    rule = "Deaths count up to the day on which the source's records of a patient end; then the patient is censored."
    day = people["followed_until"]
    return FollowUp(
        day.mask(day == day.dt.normalize(), day + _DAY), rule
    )  # the whole of a day without a time


def death(people: pd.DataFrame, start: "pd.Series[pd.Timestamp]", until: "pd.Series[pd.Timestamp]") -> Ending:
    """Return the days from the start to death, or to when no death would be known."""
    died = _death(people, start)
    # Up to the end of the stay all is known, whatever the follow-up.
    known = until.where(until >= people["discharged"], people["discharged"]).fillna(until)
    happened = (died <= known).to_numpy(dtype=bool)
    ends = died.where(happened, known)
    days = _days(ends - start)
    days[~_alive(people, start, died) | (days < 0)] = np.nan
    return Ending(days, np.where(happened, HAPPENED, CENSORED).astype(np.int8))


def stay(people: pd.DataFrame, start: "pd.Series[pd.Timestamp]") -> Days:
    """Return the length of the stay (n,) in days, from admission to discharge, of who was there at the start."""
    days = _days(people["discharged"] - people["admitted"])
    days[~_there(people, start) | (days < 0)] = np.nan
    return days


def death_in_hospital(people: pd.DataFrame, start: "pd.Series[pd.Timestamp]") -> Days:
    """Return 1 for who died in the stay and 0 for who left it alive (n,), NaN for who was not there at the start."""
    died = people["died"].astype("float64").to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    died[~_there(people, start)] = np.nan
    return died.astype(np.float64)


def readmission(people: pd.DataFrame, until: "pd.Series[pd.Timestamp]") -> Ending:
    """Return the days from discharge to another stay, to death, which competes, or to the end of 30 days.

    Who died in hospital is not at risk. That nobody came back to this hospital is known for 30 days, whatever the
    follow-up of deaths.
    """
    left = people["discharged"]
    died = _death(people, left)
    died = died.where(died <= until)
    back, dead = _days(people["next_stay"] - left), _days(died - left)
    back[back < 0], dead[dead < 0] = np.nan, np.nan
    first = np.fmin(np.fmin(back, dead), _RETURN)
    kinds = np.select([back <= first, dead <= first], [HAPPENED, COMPETED], CENSORED).astype(np.int8)
    first[(people["died"].fillna(False).to_numpy(dtype=bool)) | left.isna().to_numpy(dtype=bool)] = np.nan
    return Ending(first, kinds)


def _death(people: pd.DataFrame, start: "pd.Series[pd.Timestamp]") -> "pd.Series[pd.Timestamp]":
    """Return when patients died: by the stay's own time, else the day's noon, or later on the day of the start.

    Of a death in the stay that has no time it is the end of the stay.
    """
    day = people["death"]
    day = day.mask(day == day.dt.normalize(), _within_day(day, start))
    in_stay = people["died"].fillna(False).to_numpy(dtype=bool)
    return people["died_at"].fillna(people["discharged"].where(in_stay)).fillna(day)


def _within_day(
    day: "pd.Series[pd.Timestamp]", start: "pd.Series[pd.Timestamp]"
) -> "pd.Series[pd.Timestamp]":
    noon = day + _DAY / 2
    half_way = start + (day + _DAY - start) / 2
    return noon.mask(start.dt.normalize() == day, half_way)


def _alive(
    people: pd.DataFrame, start: "pd.Series[pd.Timestamp]", died: "pd.Series[pd.Timestamp]"
) -> npt.NDArray[np.bool_]:
    """Return who lived when time began; a death in the stay, without its time, was at its end."""
    in_stay = people["died"].fillna(False).to_numpy(dtype=bool) & (start >= people["discharged"]).to_numpy(
        bool
    )
    return start.notna().to_numpy(dtype=bool) & ~in_stay & ~(died <= start).to_numpy(dtype=bool)


def _there(people: pd.DataFrame, start: "pd.Series[pd.Timestamp]") -> npt.NDArray[np.bool_]:
    """Return who was in hospital when time began, (n,)."""
    return ((start >= people["admitted"]) & (start < people["discharged"])).to_numpy(dtype=bool)


def _days(spans: "pd.Series[pd.Timedelta]") -> Days:
    return (spans / _DAY).to_numpy(dtype=np.float64, na_value=np.nan, copy=True).astype(np.float64)
