"""Onset of sepsis by Sepsis-3: SOFA of 2 or more about a suspected infection.

Source: Singer et al., JAMA 2016;315:801-10; Seymour et al., JAMA 2016;315:762-74 (SOFA from 48 h before to 24 h after);
mimic-code (sepsis3.sql). A SOFA of 0 is assumed before the illness, so 2 points are a rise of 2: chronic organ failure
counts as acute, as it does in mimic-code.

Conventions of onset differ: here it is the earliest time at which a patient had both, the later of suspicion and SOFA.
mimic-code keeps both times and names none; the PhysioNet Challenge 2019 takes the earlier of the two where SOFA comes
at most 24 h before and 12 h after; Seymour's cohorts begin with the suspicion.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from cohorts.records.base import Batch
from cohorts.records.scores.observed import HOUR, NEVER, Floats, Ints, Observed
from cohorts.records.scores.sofa import PARTS, sofa
from cohorts.records.scores.worst import SOFA_INPUTS, IcuStay, hourly_worst, observed

if TYPE_CHECKING:
    import pandas as pd

ENOUGH = 2  # points
_BEFORE, _AFTER = 48 * HOUR, 24 * HOUR


class Dysfunction(NamedTuple):
    """SOFA of each unit's first stay in intensive care, hour by hour from its beginning; all rows of a unit together.

    `first` and `hours` (units,): a unit's first row, and its last hour, -1 without any. `points` and `unseen` (rows,):
    the sum of the parts' worst of the last 24 h, in which an unseen part has 0, and how many parts were unseen.
    """

    began: Ints
    first: Ints
    hours: Ints
    points: Floats
    unseen: Ints


class Onset(NamedTuple):
    """Of each unit, (units,): the suspicion's place, -1 without one, and the row of its SOFA, -1 if none is enough."""

    suspicion: Ints
    row: Ints


def dysfunction(batch: Batch, icu: IcuStay, suspicions: "pd.DataFrame") -> Dysfunction:
    """Return SOFA for each hour of the first stay in intensive care that a suspicion asks for, and of its first day.

    A stay whose end is not known ends with its last value.
    """
    seen = observed(batch, SOFA_INPUTS)
    asked = icu.began + 24 * HOUR
    np.maximum.at(
        asked, suspicions["unit"].to_numpy(np.int64), suspicions["suspected"].to_numpy(np.int64) + _AFTER
    )
    ended = np.where(icu.ended > NEVER, icu.ended, _last(seen.values(), len(batch)))
    ended = np.minimum(ended, asked)
    hours = np.where(icu.began > NEVER, np.maximum(-((icu.began - ended) // HOUR), 0), -1)
    score = sofa(hourly_worst(seen, icu.began, hours))
    lengths = hours + 1
    return Dysfunction(
        began=icu.began,
        first=np.cumsum(lengths) - lengths,
        hours=hours,
        points=score.total.fillna(0.0).to_numpy().astype(np.float64),
        unseen=score.unseen.to_numpy().astype(np.int64),
    )


def onset(suspicions: "pd.DataFrame", organs: Dysfunction) -> Onset:
    """Return of each unit the first suspicion that SOFA of 2 or more goes with, and that SOFA's first hour.

    Where none has it, the first suspicion. `suspicions` are those of `infection.suspicions`.
    """
    unit = suspicions["unit"].to_numpy(np.int64)
    since = suspicions["suspected"].to_numpy(np.int64) - organs.began[unit]
    start = np.maximum(-((_BEFORE - since) // HOUR), 0)  # the first hour that is not too early
    end = np.minimum((since + _AFTER) // HOUR, organs.hours[unit])
    rows = len(organs.points)
    hit = np.where(organs.points >= ENOUGH, np.arange(rows), rows)
    following = np.append(np.minimum.accumulate(hit[::-1])[::-1], rows)
    asked = (organs.began[unit] > NEVER) & (start <= end)
    row = following[np.where(asked, organs.first[unit] + start, rows)]
    met = asked & (row <= organs.first[unit] + end)
    return _chosen(unit, np.where(met, row, -1), len(organs.first))


def _chosen(unit: Ints, row: Ints, units: int) -> Onset:
    """Return of each unit the first suspicion with a row, else the first one."""
    place, found = np.full(units, -1), np.full(units, -1)
    for these in (np.arange(len(unit)), np.flatnonzero(row >= 0)):
        backwards = these[::-1]
        place[unit[backwards]] = backwards
        found[unit[backwards]] = row[backwards]
    return Onset(place, found)


def least_unseen(organs: Dysfunction) -> Ints:
    """Return how many parts of SOFA were unseen in the hour that saw most, (units,): all of a unit without hours."""
    least = np.full(len(organs.first), len(PARTS))
    lengths = organs.hours + 1
    np.minimum.at(least, np.repeat(np.arange(len(lengths)), lengths), organs.unseen)
    return least


def _last(values: Iterable[Observed], units: int) -> Ints:
    last = np.full(units, NEVER)
    for one in values:
        np.maximum.at(last, one.unit, one.time)
    return last
