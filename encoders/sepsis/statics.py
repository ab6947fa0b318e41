"""What is known of a stay once: who it is, how it began, scores, the infection. What is known at its end is refused.

A score's part that could not be seen is missing, and so is a sum of none. Charlson's index is of the diagnoses known by
then: those of earlier admissions, which a source of whole patients tells.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.errors import EncoderError, LeakageError
from cohorts.records.measured.naming import measure_names

if TYPE_CHECKING:
    from cohorts.records.base import Batch

ALL = "all"
GROUPS = ("age", "sex", "admission", "body", "sofa", "sapsii", "charlson", "infection")
LATE: Mapping[str, str] = {
    "los_icu": "how long intensive care lasts",
    "los_hospital": "how long the stay lasts",
    "stay_days": "how long the stay lasts",
    "icu_days": "how long intensive care lasts",
    "died": "the outcome",
    "discharge_location": "where a patient went from the hospital",
    "readmitted": "the next admission",
    "diagnoses": "coded after the stay",
    "principal_code": "coded after the stay",
    "drg": "coded after the stay",
    "charlson_of_stay": "coded after the stay",
    "positive_culture": "known days after a culture was taken",
}
"""Columns that are known at the end only, and why; the sepsis prognosis paper takes los_icu and los_hospital."""

_BEFORE_H = 6  # scores look back so much farther than the series, as mimic-code's first day does


def check_groups(text: str) -> tuple[str, ...]:
    """Return the groups of static columns named in `a+b`. Raises LeakageError for what is known late, EncoderError."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split("+") if part.strip()))
    for name in names:
        if name in LATE:
            raise LeakageError(
                f"sepsis can't see {name}: {LATE[name]}, which is known at the end only. A model that sees it tells "
                "what has happened, not what will."
            )
    if names == (ALL,):
        return GROUPS
    if not names or not set(names) <= set(GROUPS):
        raise EncoderError(
            f"sepsis statics is {text!r}; it is {ALL}, or some of {', '.join(GROUPS)} joined by +."
        )
    return names


@cache
def static_columns() -> tuple[str, ...]:
    """Return the names of all columns, each as `group:name`."""
    from cohorts.records.scores import sapsii, sofa

    return (
        "age:years",
        "sex:female",
        *(f"admission:{name}" for name in ("emergency", "elective", "hours before intensive care")),
        *(f"body:{name}" for name in ("weight", "height")),
        *(f"sofa:{name}" for name in (*sofa.PARTS, "total")),
        *(f"sapsii:{name}" for name in (*sapsii.PARTS, "total")),
        "charlson:total",
        *(f"infection:{name}" for name in _INFECTION),
    )


def statics_of(
    known: "Batch", found: pd.DataFrame, end: "pd.Series[pd.Timestamp]", hours: int
) -> tuple[pd.DataFrame, npt.NDArray[np.float64]]:
    """Return what is told of n septic stays (age, sex, admission_type, sofa, sapsii), and (n, columns) with gaps.

    `known` is a batch of these stays cut at `end` (n,), `found` what `septic` told of them. The scores are of the last
    `hours` and 6 more.
    """
    from cohorts.records.scores.charlson import AGE, charlson
    from cohorts.records.scores.sapsii import sapsii
    from cohorts.records.scores.sofa import sofa
    from cohorts.records.scores.worst import worst_values

    units = known.units.reset_index(drop=True)
    worst = worst_values(known, end - pd.Timedelta(hours=hours + _BEFORE_H), end)
    of_organs, of_physiology, of_diseases = sofa(worst), sapsii(worst), charlson(known)
    comorbid = of_diseases.total.where(of_diseases.parts.drop(columns=AGE).notna().any(axis=1))
    scores = [pd.concat([one.parts, one.total], axis=1) for one in (of_organs, of_physiology)]
    columns = [
        units["age"],
        (units["sex"] == "F").astype("float64").where(units["sex"].notna()),
        *_admission(units, found),
        *(_last(known, name) for name in ("weight", "height")),
        *(score.iloc[:, place] for score in scores for place in range(score.shape[1])),
        comorbid,
        *_infection(known, found, end),
    ]
    made = np.column_stack([column.to_numpy(np.float64, na_value=np.nan) for column in columns])
    about = units[["age", "sex", "admission_type"]].assign(sofa=of_organs.total, sapsii=of_physiology.total)
    return about, made.reshape(len(units), len(static_columns()))


def in_groups(text: str) -> npt.NDArray[np.intp]:
    """Return the places of the columns that the groups named in `a+b` have. Raises as `check_groups` does."""
    groups = check_groups(text)
    return np.array(
        [place for place, name in enumerate(static_columns()) if name.partition(":")[0] in groups], np.intp
    )


def _admission(units: pd.DataFrame, found: pd.DataFrame) -> "list[pd.Series[float]]":
    """Return whether it was an emergency, whether it was planned, and the hours before intensive care."""
    kind = units["admission_type"].str.upper()
    told = [kind.str.contains(words).astype("Float64") for words in ("EMER|URGENT", "ELECTIVE|SAME DAY")]
    return [*told, _hours(found["icu"] - units["admitted"])]


def _last(known: "Batch", measure: str) -> "pd.Series[float]":
    """Return the last value of a measure, (n,), whatever order the rows are in."""
    rows = known.measurements[(measure_names(known.measurements) == measure).to_numpy(dtype=bool)]
    rows = rows.dropna(subset=["time", "value"]).sort_values("time", kind="stable")
    last = rows.drop_duplicates("unit_id", keep="last").set_index("unit_id")["value"]
    return last.reindex(known.units["unit_id"].to_numpy())


def _infection(
    known: "Batch", found: pd.DataFrame, end: "pd.Series[pd.Timestamp]"
) -> "list[pd.Series[float]]":
    """Return how many cultures were taken, hours since suspicion, and hours from culture to antibiotic."""
    cultures = known.events[known.events["kind"] == "culture"].drop_duplicates(["unit_id", "code", "time"])
    many = cultures.groupby("unit_id").size().reindex(known.units["unit_id"].to_numpy()).fillna(0)
    return [
        many.astype("float64"),
        _hours(end - found["suspected"]),
        _hours(found["antibiotic"] - found["culture"]),
    ]


def _hours(lengths: "pd.Series[pd.Timedelta]") -> "pd.Series[float]":
    return lengths.dt.total_seconds() / 3600


_INFECTION = ("cultures", "hours since suspicion", "hours from culture to antibiotic")
