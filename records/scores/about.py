"""What scores ask about a patient besides values: age, kind of admission, chronic disease."""

from typing import TYPE_CHECKING

import numpy as np
from cohorts.records.base import Batch
from cohorts.records.scores.conditions import having
from cohorts.records.scores.measured_rows import DoneRows
from cohorts.records.scores.observed import NEVER, seconds

if TYPE_CHECKING:
    import pandas as pd

SCHEDULED, MEDICAL, UNSCHEDULED = "scheduled surgical", "medical", "unscheduled surgical"
NO_DISEASE = "none"
_PLANNED = "ELECTIVE|SURGICAL SAME DAY"
_SURGERY = "SURG"


def about_patients(batch: Batch, end: "pd.Series[pd.Timestamp]") -> "pd.DataFrame":
    """Return `age` (float64), `admission_kind` and `chronic_disease` (str) of each unit, RangeIndex.

    `admission_kind` is SCHEDULED, MEDICAL or UNSCHEDULED: surgical where the first service up to `end` was, planned
    where the type of the admission says so, as mimic-code has it; missing where no service is known.
    `chronic_disease` is "AIDS", "haematologic malignancy", "metastatic cancer" or NO_DISEASE, the first of them that
    diagnosis codes state; missing without any. Codes of a stay are known at its end only.
    """
    import pandas as pd

    return pd.DataFrame(
        {
            "age": batch.units["age"].to_numpy(np.float64),
            "admission_kind": _kind(batch, end),
            "chronic_disease": _disease(batch),
        }
    )


def _kind(batch: Batch, end: "pd.Series[pd.Timestamp]") -> "pd.Series[str]":
    import pandas as pd

    services = DoneRows(batch, "service")
    rows = np.flatnonzero(services.time <= seconds(end, NEVER)[services.unit])
    rows = rows[np.argsort(services.time[rows], kind="stable")[::-1]]
    surgical = services.rows["code"].fillna("").str.upper().str.contains(_SURGERY).to_numpy(bool)
    planned = batch.units["admission_type"].str.upper().str.contains(_PLANNED).to_numpy(object)
    known, by_surgeons = np.zeros(len(batch), np.bool_), np.zeros(len(batch), np.bool_)
    known[services.unit[rows]] = True
    by_surgeons[services.unit[rows]] = surgical[rows]
    found = np.where(by_surgeons, np.where(planned == True, SCHEDULED, UNSCHEDULED), MEDICAL)  # noqa: E712
    kinds = pd.Series(found, dtype="str")
    untold = by_surgeons & batch.units["admission_type"].isna().to_numpy(bool)
    return kinds.where(known & ~untold)


def _disease(batch: Batch) -> "pd.Series[str]":
    import pandas as pd

    diseases = having(batch, "sapsii")
    found = pd.Series(NO_DISEASE, index=diseases.index, dtype="str")
    for name in reversed([*map(str, diseases)]):
        found = found.where(diseases[name] != 1, name)
    return found.where(diseases.notna().all(axis=1))
