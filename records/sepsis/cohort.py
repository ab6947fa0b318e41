"""Who is septic, by Sepsis-3 or by diagnosis codes, and why others are not of the cohort."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from cohorts.errors import InputError
from cohorts.records.base import Batch
from cohorts.records.codes.phenotypes import stating
from cohorts.records.scores.measured_rows import places_of
from cohorts.records.scores.observed import NEVER, Ints, Marks
from cohorts.records.scores.sofa import PARTS
from cohorts.records.scores.worst import first_icu
from cohorts.records.sepsis.infection import over, suspicions
from cohorts.records.sepsis.onset import dysfunction, least_unseen, onset

if TYPE_CHECKING:
    import pandas as pd

SEPSIS3, CODES = "sepsis3", "codes"
RULES = (SEPSIS3, CODES)
NO_ICU, NO_AGE, CHILD = "no intensive care", "age unknown", "under 18"
NO_INFECTION = "no suspected infection"
NO_SOFA, NO_DYSFUNCTION = (
    "suspected infection, no part of SOFA seen",
    "suspected infection, SOFA below 2 about it",
)
NO_CODE = "no code of sepsis"
EXCLUSIONS = (NO_ICU, NO_AGE, CHILD, NO_INFECTION, NO_SOFA, NO_DYSFUNCTION, NO_CODE)
_OF_RULE = {SEPSIS3: EXCLUSIONS[:6], CODES: (*EXCLUSIONS[:3], NO_CODE)}
_ADULT = 18


def exclusions(by: str) -> tuple[str, ...]:
    """Return the exclusions of a rule, in the order of its flow chart. Raises InputError."""
    if by not in _OF_RULE:
        raise InputError(f"There is no rule {by!r} for sepsis; there are {' and '.join(RULES)}.")
    return _OF_RULE[by]


def septic(batch: Batch, by: str = SEPSIS3) -> "pd.DataFrame":
    """Return of each unit whether it is of the cohort of sepsis, and since when: one row a unit, RangeIndex.

    `unit_id`, `patient_id`, `admission_id` (str) are the unit's. `icu` and `icu_end` are its first stay in intensive
    care; `antibiotic`, `culture` and `suspected` the first suspicion of infection with SOFA of 2 or more about it, else
    the first one; `sofa_time` the first hour with such a SOFA, `onset` the later of `suspected` and `sofa_time`, and
    `known` when all of this was known, the last of antibiotic, culture and `sofa_time` (all datetime64[us]). `sofa`
    (float64) are the points at `sofa_time`, an unseen part counted 0, and `sofa_unseen` (int64) how many parts were not
    seen then, or, without such an hour, in the hour that saw most. `left_out` (str) is "" of a member, else the first
    of `exclusions(by)` that holds.

    All is of the admission described, for a patient too. Only what is in the batch is used: of a batch that was cut by
    a window, what was known in it. Diagnosis codes are known at the end of a stay, so nobody is septic by `codes` in a
    window that ends before. Both rules tell the times by Sepsis-3.

    Raises InputError where there is no such rule.
    """
    import pandas as pd

    reasons = exclusions(by)
    icu, found = first_icu(batch), suspicions(batch)
    organs = dysfunction(batch, icu, found)
    which = onset(found, organs)
    has, met = which.suspicion >= 0, which.row >= 0
    antibiotic, culture, suspected = (
        _of(found[name].to_numpy(np.int64), which.suspicion)
        for name in ("antibiotic", "culture", "suspected")
    )
    hour = np.where(met, organs.began + (which.row - organs.first) * 3_600, NEVER)
    unseen = np.where(met, np.append(organs.unseen, 0)[which.row], least_unseen(organs))
    age = batch.units["age"].to_numpy(np.float64)
    holds = {
        NO_ICU: icu.began == NEVER,
        NO_AGE: np.isnan(age),
        CHILD: age < _ADULT,
        NO_INFECTION: ~has,
        NO_SOFA: unseen == len(PARTS),
        NO_DYSFUNCTION: ~met,
        NO_CODE: ~_coded(batch),
    }
    units = batch.units.reset_index(drop=True)
    return pd.DataFrame(
        {
            "unit_id": units["unit_id"],
            "patient_id": units["patient_id"],
            "admission_id": units["admission_id"],
            "icu": _times(icu.began),
            "icu_end": _times(icu.ended),
            "antibiotic": _times(antibiotic),
            "culture": _times(culture),
            "suspected": _times(suspected),
            "sofa_time": _times(hour),
            "onset": _times(np.where(met, np.maximum(suspected, hour), NEVER)),
            "known": _times(np.where(met, np.maximum.reduce([over(antibiotic), over(culture), hour]), NEVER)),
            "sofa": np.where(met, np.append(organs.points, np.nan)[which.row], np.nan),
            "sofa_unseen": unseen,
            "left_out": pd.Series(
                np.select([holds[one] for one in reasons], list(reasons), default=""), dtype="str"
            ),
        }
    )


def flow(left_out: "pd.Series[str]", reasons: Sequence[str] = EXCLUSIONS) -> list[tuple[str, int, int]]:
    """Return each reason with how many it left out and how many remained after it, in the order of the flow chart.

    `left_out` is that of `septic`, or of who adds reasons of its own: those come last, as they first stand there.
    """
    counts = left_out[left_out != ""].value_counts(sort=False)
    remaining, steps = len(left_out), []
    for reason in (*reasons, *(one for one in counts.index if one not in reasons)):
        gone = int(counts.get(reason, 0))
        remaining -= gone
        steps.append((reason, gone, remaining))
    return steps


def _coded(batch: Batch) -> Marks:
    """Return who has a diagnosis code of sepsis in the admission described, by definitions/sepsis.toml."""
    rows = batch.codes[stating(batch.codes, ["sepsis"], implied=False).to_numpy(bool)]
    place = places_of(batch, rows)
    has = np.zeros(len(batch), np.bool_)
    has[place[place >= 0]] = True
    return has


def _of(values: Ints, place: Ints) -> Ints:
    return np.append(values, NEVER)[place]


def _times(seconds: Ints) -> "pd.Series[pd.Timestamp]":
    import pandas as pd

    times = seconds.astype("datetime64[s]")
    times[seconds == NEVER] = np.datetime64("NaT")
    return pd.Series(times.astype("datetime64[us]"))
