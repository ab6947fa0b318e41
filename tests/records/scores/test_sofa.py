"""SOFA against every row of its published table (Vincent 1996, table 3), and of patients worked by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from cohorts.records.scores.sofa import PARTS, sofa
from cohorts.records.scores.worst import SOFA_INPUTS

NAN = np.nan


def score(**values: float) -> Any:
    return sofa(pd.DataFrame([dict.fromkeys(SOFA_INPUTS, NAN) | values]))


def points(part: str, **values: float) -> float:
    return float(score(**values).parts[part].iloc[0])


BANDS = [
    # part, what is asked for, and value: points, at both sides of every edge
    (
        "respiration",
        "pao2_fio2_invasive",
        {400: 0, 399.9: 1, 300: 1, 299.9: 2, 200: 2, 199.9: 3, 100: 3, 99.9: 4},
    ),
    (
        "respiration",
        "pao2_fio2",
        {400: 0, 399.9: 1, 300: 1, 299.9: 2, 199.9: 2, 50: 2},
    ),  # 3 and 4 need support
    ("coagulation", "platelets", {150: 0, 149: 1, 100: 1, 99: 2, 50: 2, 49: 3, 20: 3, 19: 4, 0: 4}),
    ("liver", "bilirubin", {1.1: 0, 1.2: 1, 1.9: 1, 2.0: 2, 5.9: 2, 6.0: 3, 11.9: 3, 12.0: 4, 40: 4}),
    ("cardiovascular", "mean_pressure", {70: 0, 69.9: 1, 30: 1}),
    ("cardiovascular", "dopamine", {0.5: 2, 5: 2, 5.1: 3, 15: 3, 15.1: 4}),
    ("cardiovascular", "dobutamine", {0.1: 2, 40: 2}),
    ("cardiovascular", "epinephrine", {0.01: 3, 0.1: 3, 0.11: 4}),
    ("cardiovascular", "norepinephrine", {0.01: 3, 0.1: 3, 0.11: 4}),
    ("cns", "gcs", {15: 0, 14: 1, 13: 1, 12: 2, 10: 2, 9: 3, 6: 3, 5: 4, 3: 4}),
    ("renal", "creatinine", {1.1: 0, 1.2: 1, 1.9: 1, 2.0: 2, 3.4: 2, 3.5: 3, 4.9: 3, 5.0: 4, 9: 4}),
    ("renal", "urine_24h", {500: 0, 499: 3, 200: 3, 199: 4, 0: 4}),
]


@pytest.mark.parametrize(("part", "asked", "table"), BANDS, ids=[f"{one[0]}-{one[1]}" for one in BANDS])
def test_every_row_of_the_table(part: str, asked: str, table: dict[float, int]) -> None:
    assert {value: points(part, **{asked: value}) for value in table} == table


def test_the_worse_of_two_ways_counts() -> None:
    assert points("renal", creatinine=1.0, urine_24h=150) == 4
    assert points("renal", creatinine=3.6, urine_24h=900) == 3
    assert points("respiration", pao2_fio2=120, pao2_fio2_invasive=250) == 2
    assert points("respiration", pao2_fio2=350, pao2_fio2_invasive=150) == 3
    assert points("cardiovascular", mean_pressure=60, norepinephrine=0.05) == 3
    assert points("cardiovascular", mean_pressure=80, dobutamine=3) == 2


def test_patients_worked_by_hand() -> None:
    septic_shock = score(
        pao2_fio2_invasive=180, platelets=88, bilirubin=2.4, mean_pressure=58, norepinephrine=0.25, gcs=13,
        creatinine=2.1, urine_24h=450,
    )  # fmt: skip
    assert septic_shock.parts.iloc[0].to_dict() == dict(zip(PARTS, (3, 2, 2, 4, 1, 3), strict=True))
    assert (septic_shock.total[0], septic_shock.unseen[0]) == (15, 0)
    well = score(
        pao2_fio2=450, platelets=250, bilirubin=0.5, mean_pressure=85, gcs=15, creatinine=0.8, urine_24h=1800
    )
    assert (well.total[0], well.unseen[0]) == (0, 0)
    dead = score(pao2_fio2_invasive=60, platelets=9, bilirubin=20, epinephrine=1, gcs=3, creatinine=6)
    assert dead.total[0] == 24


def test_what_was_not_seen_is_told_and_is_not_0() -> None:
    laboratory = score(platelets=80, bilirubin=1.5, creatinine=1.0)
    assert (laboratory.total[0], laboratory.unseen[0]) == (3, 3)
    assert laboratory.parts.iloc[0].isna().to_dict() == {
        "respiration": True, "coagulation": False, "liver": False, "cardiovascular": True, "cns": True, "renal": False,
    }  # fmt: skip
    nothing = score()
    assert np.isnan(nothing.total[0])
    assert nothing.unseen[0] == 6
