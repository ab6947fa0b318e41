"""Suspected infection: which antibiotics and cultures belong together, and what an antibiotic is."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from bedside import at, drug, event, infusion, intensive_care, stay
from cohorts.records.base import Batch
from cohorts.records.sepsis.infection import suspicions

CEFTRIAXONE = "Ceftriaxone"


def culture(hours: float, unit: str = "1", **more: Any) -> dict[str, Any]:
    return event("culture", hours, unit=unit, code="70012", name="BLOOD CULTURE", **more)


def found(batch: Batch) -> pd.DataFrame:
    told = suspicions(batch)
    times = told[["antibiotic", "culture", "suspected"]].astype("datetime64[s]")
    return pd.concat([told[["unit"]], times], axis=1)


def suspected(given: float, taken: float) -> float | None:
    """Return how many hours after its beginning infection is suspected, None where it is not."""
    told = found(intensive_care(codes=[drug(CEFTRIAXONE, given)], events=[culture(taken)]))
    return None if told.empty else (told["suspected"][0] - at(0)) / pd.Timedelta(hours=1)


@pytest.mark.parametrize(
    ("given", "taken", "expected"),
    [
        (5, 3, 3),
        (3, 5, 3),
        (4, 4, 4),
        (75, 3, 3),  # 72 h after the culture
        (75.02, 3, None),
        (3, 27, 3),  # 24 h before it
        (3, 27.02, None),
    ],
)
def test_hours_between_two_times(given: float, taken: float, expected: float | None) -> None:
    assert suspected(given, taken) == expected


def midnight(day: int) -> float:
    """Return the hours from 10:00 of the first day to the beginning of a day after it."""
    return 24 * day - 10


@pytest.mark.parametrize(
    ("given", "taken", "expected"),
    [
        (midnight(4), midnight(1), midnight(1)),  # three days
        (midnight(5), midnight(1), None),
        (midnight(1), midnight(2), midnight(1)),  # one day
        (midnight(1), midnight(3), None),
        (midnight(4), midnight(1) + 0.5, midnight(1) + 0.5),  # a culture with its time
        (midnight(4), midnight(1) - 0.5, None),
        (midnight(1), midnight(3) - 0.5, midnight(1)),
        (midnight(1), midnight(3) + 0.5, None),
        (midnight(5) - 0.5, midnight(1), midnight(1)),  # an antibiotic with its time
        (midnight(5) + 0.5, midnight(1), None),
        (midnight(1) + 0.5, midnight(2), midnight(1) + 0.5),
        (midnight(1) - 0.5, midnight(2), None),
        (midnight(1), midnight(1) + 15, midnight(1) + 15),  # on one day, the time goes before the day
        (midnight(1) + 15, midnight(1), midnight(1) + 15),
        (midnight(1), midnight(1), midnight(1)),
    ],
)
def test_days_without_a_time_of_day(given: float, taken: float, expected: float | None) -> None:
    assert suspected(given, taken) == expected


def test_of_several_cultures_the_earliest_counts_and_each_antibiotic_is_told() -> None:
    batch = intensive_care(
        units=[{}, {}, {}],
        codes=[drug(CEFTRIAXONE, 30), drug("Vancomycin", 10), drug(CEFTRIAXONE, 10, "2")],
        events=[culture(31), culture(12), culture(9), culture(90, "2"), culture(10, "3")],
    )
    told = found(batch)
    assert told["unit"].tolist() == [0, 0]
    assert told["culture"].tolist() == [at(9), at(9)]
    assert told["antibiotic"].tolist() == [at(10), at(30)]
    assert told["suspected"].tolist() == [at(9), at(9)]


def test_other_admissions_do_not_count() -> None:
    codes = [drug(CEFTRIAXONE, 3, admission_id="before")]
    assert found(intensive_care(codes=codes, events=[culture(3)])).empty
    codes = [drug(CEFTRIAXONE, 3)]
    assert found(intensive_care(codes=codes, events=[culture(3, admission_id="before")])).empty


ANTIBIOTICS = [
    ("Piperacillin-Tazobactam", "IV", True),
    ("Zosyn 4.5g", "IV", True),
    ("CefTRIAXone", "IV", True),
    ("Cefazolin 2 g", "IV BOLUS", True),
    ("Meropenem", "IV DRIP", True),
    ("Vancomycin HCl", "PO", True),
    ("Levofloxacin 750 mg Premix", "IV", True),
    ("Sulfameth/Trimethoprim DS", "PO/NG", True),
    ("MetRONIDAZOLE (FLagyl)", "IV", True),
    ("Azithromycin", "PO", True),
    ("Erythromycin", "PO", True),
    ("Doxycycline Hyclate", None, True),
    ("Linezolid", "IV", True),
    ("Ciprofloxacin 0.3% Ophth Soln", "BOTH EYES", False),
    ("Erythromycin 0.5% Ophth Oint", "LEFT EYE", False),
    ("Gentamicin", "OD", False),
    ("Ciprofloxacin", "RIGHT EAR", False),
    ("Bacitracin Ointment", "TP", False),
    ("Metronidazole Gel 0.75%", "TP", False),
    ("Tobramycin", "IH", False),
    ("Vancomycin", "DWELL", False),
    ("Ampicillin Desensitization", "IV", False),
    ("Fluconazole", "IV", False),
    ("Acyclovir", "IV", False),
    ("Sulfasalazine", "PO", False),  # against inflammation
    ("Furosemide", "IV", False),
    ("D5W", "IV", False),
]


@pytest.mark.parametrize(("words", "route", "counts"), ANTIBIOTICS)
def test_systemic_antibacterial_drugs_are_antibiotics(words: str, route: str | None, counts: bool) -> None:
    batch = intensive_care(codes=[drug(words, 3, route=route)], events=[culture(3)])
    assert found(batch).empty != counts


def test_drugs_without_a_name_that_is_known_go_by_their_number() -> None:
    batch = intensive_care(codes=[drug("ABX protocol 7", 3, ndc="00338355148")], events=[culture(3)])
    unknown = intensive_care(codes=[drug("ABX protocol 7", 3)], events=[culture(3)])
    assert (len(found(batch)), len(found(unknown))) == (1, 0)


def test_infusions_count_by_their_name() -> None:
    given = infusion("225798", 3, 4, np.nan, name="Vancomycin")
    other = infusion("221906", 3, 4, 0.1, name="Norepinephrine")
    assert len(found(intensive_care(events=[given, culture(3)]))) == 1
    assert found(intensive_care(events=[other, culture(3)])).empty


def test_nothing_at_all() -> None:
    assert found(intensive_care(events=[stay()])).empty
    assert found(intensive_care()).columns.tolist() == ["unit", "antibiotic", "culture", "suspected"]
