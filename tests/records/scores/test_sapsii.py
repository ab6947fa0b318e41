"""SAPS II against every row of its published table (Le Gall 1993), and of patients worked by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from cohorts.records.scores.sapsii import PARTS, sapsii, sapsii_mortality
from cohorts.records.scores.worst import SAPSII_INPUTS

NONE: dict[str, Any] = {**dict.fromkeys(SAPSII_INPUTS, np.nan), "age": np.nan}
UNTOLD: dict[str, Any] = {"admission_kind": None, "chronic_disease": None}


def score(**values: Any) -> Any:
    return sapsii(pd.DataFrame([{**NONE, **UNTOLD, **values}]))


def points(part: str, **values: Any) -> float:
    return float(score(**values).parts[part].iloc[0])


def both(name: str, value: float) -> dict[str, float]:
    return {f"{name}_lowest": value, f"{name}_highest": value}


BANDS = [
    # part, what is asked for, and value: points, at both sides of every edge
    ("age", "age", {18: 0, 39: 0, 40: 7, 59: 7, 60: 12, 69: 12, 70: 15, 74: 15, 75: 16, 79: 16, 80: 18, 90: 18}),
    ("heart_rate", "heart_rate_", {39: 11, 40: 2, 69: 2, 70: 0, 119: 0, 120: 4, 159: 4, 160: 7}),
    ("systolic_pressure", "systolic_", {69: 13, 70: 5, 99: 5, 100: 0, 199: 0, 200: 2}),
    ("temperature", "temperature", {38.9: 0, 39.0: 3}),
    ("respiration", "pao2_fio2_supported", {99: 11, 100: 9, 199: 9, 200: 6, 400: 6}),
    ("urine", "urine_24h", {499: 11, 500: 4, 999: 4, 1000: 0}),
    ("urea_nitrogen", "urea_nitrogen", {27: 0, 28: 6, 83: 6, 84: 10}),
    ("white_cells", "white_cells_", {0.9: 12, 1.0: 0, 19.9: 0, 20: 3}),
    ("potassium", "potassium_", {2.9: 3, 3.0: 0, 4.9: 0, 5.0: 3}),
    ("sodium", "sodium_", {124: 5, 125: 0, 144: 0, 145: 1}),
    ("bicarbonate", "bicarbonate", {14: 6, 15: 3, 19: 3, 20: 0}),
    ("bilirubin", "bilirubin", {3.9: 0, 4.0: 4, 5.9: 4, 6.0: 9}),
    ("gcs", "gcs", {5: 26, 6: 13, 8: 13, 9: 7, 10: 7, 11: 5, 13: 5, 14: 0, 15: 0}),
    ("chronic_disease", "chronic_disease",
     {"none": 0, "metastatic cancer": 9, "haematologic malignancy": 10, "AIDS": 17}),
    ("admission_kind", "admission_kind", {"scheduled surgical": 0, "medical": 6, "unscheduled surgical": 8}),
]  # fmt: skip


@pytest.mark.parametrize(("part", "asked", "table"), BANDS, ids=[one[0] for one in BANDS])
def test_every_row_of_the_table(part: str, asked: str, table: dict[Any, int]) -> None:
    found = {}
    for value in table:
        told = both(asked.removesuffix("_"), value) if asked.endswith("_") else {asked: value}
        found[value] = points(part, **told)
    assert found == table


def test_of_the_lowest_and_the_highest_the_worse_counts() -> None:
    assert points("heart_rate", heart_rate_lowest=60, heart_rate_highest=130) == 4
    assert points("heart_rate", heart_rate_lowest=35, heart_rate_highest=170) == 11
    assert points("systolic_pressure", systolic_lowest=95, systolic_highest=210) == 5
    assert points("sodium", sodium_lowest=120, sodium_highest=150) == 5


def test_lungs_without_a_ventilator_have_no_points_and_unknown_ones_are_unseen() -> None:
    assert points("respiration", ventilated=0) == 0
    assert np.isnan(points("respiration", ventilated=1))
    assert np.isnan(points("respiration"))
    assert points("respiration", ventilated=1, pao2_fio2_supported=150) == 9


def test_a_patient_worked_by_hand() -> None:
    told = score(
        age=72, admission_kind="medical", chronic_disease="metastatic cancer", ventilated=1,
        pao2_fio2_supported=150, temperature=39.2, urine_24h=800, urea_nitrogen=40, bicarbonate=18,
        bilirubin=1.0, gcs=12, **both("heart_rate", 130), **both("systolic", 85), **both("white_cells", 22),
        **both("potassium", 4.0), **both("sodium", 140),
    )  # fmt: skip
    assert told.parts.iloc[0].to_dict() == dict(
        zip(PARTS, (15, 4, 5, 3, 9, 4, 6, 3, 0, 0, 3, 0, 5, 9, 6), strict=True)
    )
    assert (told.total[0], told.unseen[0]) == (72, 0)


def test_what_was_not_seen_is_counted() -> None:
    told = score(age=45, urea_nitrogen=90)
    assert (told.total[0], told.unseen[0]) == (17, 13)


def test_mortality_is_the_published_curve() -> None:
    shares = sapsii_mortality(pd.Series([0.0, 29.0, 40.0, 52.0, 64.0, 77.0, np.nan]))
    # JAMA 1993, figure 3 tells 10 % at 29, 25 % at 40, 50 % at 52, 75 % at 64, and 90 % at 77 points
    assert shares.iloc[1:6].tolist() == pytest.approx([0.10, 0.25, 0.50, 0.75, 0.90], abs=0.016)
    assert shares[0] == pytest.approx(1 / (1 + np.exp(7.7631)))
    assert np.isnan(shares[6])
