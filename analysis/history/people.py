"""Who the units of a collection are: a row each, of the admission that its vector describes."""

from typing import Any

import pandas as pd
import pyarrow.compute as pc
from cohorts.records.base import ADMISSION_COLUMNS, EVENT_COLUMNS, UNIT_COLUMNS, Batch, empty_frame, typed
from cohorts.records.kept.reading import Kept

_SYNTHEA = "ambulatory outpatient urgentcare wellness virtual home emergency"
_FHIR = "AMB EMER VR HH FLD"
_OMOP = "Outpatient Visit,Office Visit,Emergency Room Visit,Telehealth,Home Visit"
VISITS = frozenset([*_SYNTHEA.split(), *_FHIR.split(), *_OMOP.split(",")])
"""Types of encounters, as Synthea, FHIR and OMOP write them, that are no stay in hospital, so no readmission either.

MIMIC's EMERGENCY is one: an admission by the emergency department.
"""
_READ = [*ADMISSION_COLUMNS, "described", "age", "sex"]
_WORDS = ("admission_type", "discharge_location", "sex")


def people_of(kept: Kept) -> pd.DataFrame:
    """Return a row per unit, by `unit_id`: the columns of its described admission, `age`, `sex`, and what follows.

    `year` is that of the admission, `earlier` how many admissions of the patient began before it, `next_stay` when the
    patient was next admitted to stay, missing where never.
    """
    rows = _admissions(kept)
    people = rows[rows["described"]].drop_duplicates("unit_id").set_index("unit_id")
    for name in _WORDS:
        people[name] = people[name].astype("category")
    people["year"] = people["admitted"].dt.year.astype("float64")
    return people.drop(columns="described")


def _admissions(kept: Kept) -> pd.DataFrame:
    table = kept.outcomes.to_table(columns=_READ)
    rows: pd.DataFrame = table.to_pandas(strings_to_categorical=False, split_blocks=True, self_destruct=True)
    rows = typed(rows, {**ADMISSION_COLUMNS, "described": "bool", "age": "float64", "sex": "str"})
    rows = rows.sort_values(["patient_id", "admitted"], kind="stable").reset_index(drop=True)
    stays = rows.loc[~rows["admission_type"].isin(VISITS), ["patient_id", "admission_id", "admitted"]]
    stays = stays.dropna(subset=["admitted"]).drop_duplicates(["patient_id", "admission_id"])
    order = stays.groupby("patient_id")
    rows["earlier"] = order.cumcount().reindex(rows.index).astype("float64")
    rows["next_stay"] = order["admitted"].shift(-1).reindex(rows.index)
    # What the source doesn't take for a return, as a donor's account after death, is none.
    rows["next_stay"] = rows["next_stay"].where(rows["readmitted"].notna())
    return rows


def as_batch(people: pd.DataFrame, kept: Kept, *, icu: bool) -> Batch:
    """Return the units as a batch in which a window's moments are found; with the stays in intensive care, `icu`."""
    units = typed(people.reset_index(), UNIT_COLUMNS)
    admissions = typed(people.reset_index(), ADMISSION_COLUMNS)
    events = _icu_stays(kept) if icu else empty_frame(EVENT_COLUMNS)
    empty = pd.DataFrame()
    return Batch(
        units=units, codes=empty, notes=empty, measurements=empty, admissions=admissions, events=events
    )


def _icu_stays(kept: Kept) -> pd.DataFrame:
    columns = ["unit_id", "admission_id", "kind", "time"]
    stays: Any = kept.events.to_table(columns=columns, filter=pc.field("kind") == "icu stay")
    return typed(stays.to_pandas(), EVENT_COLUMNS)
