"""What is found in a window: edges, fractions of oxygen, ventilators, coma, urine, infusions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bedside import at, diagnosis, event, infusion, intensive_care, stay, value
from cohorts.records.base import Batch
from cohorts.records.scores.infusions import LEAST_RATE
from cohorts.records.scores.worst import worst_values

TUBE, MASK = "225792", "225794"


def worst(batch: Batch, start: float = 0, end: float = 24) -> pd.DataFrame:
    return worst_values(batch, pd.Series([at(start)] * len(batch)), pd.Series([at(end)] * len(batch)))


def of(name: str, *, measured: Sequence[Any] = (), events: Sequence[Any] = (), **window: float) -> float:
    batch = intensive_care(measurements=measured, events=[stay(), *events])
    return float(worst(batch, **window)[name].iloc[0])


def test_the_window_has_its_end_and_not_its_start() -> None:
    rows = [value("creatinine", hours, number) for hours, number in ((0, 9), (0.01, 2), (24, 3), (24.01, 8))]
    assert of("creatinine", measured=rows) == 3
    assert np.isnan(of("creatinine", measured=rows, start=1, end=23))


def test_lowest_and_highest_of_each_unit() -> None:
    rows = [value("sodium", 1, 130), value("sodium", 2, 150), value("sodium", 1, 141, unit="2")]
    found = worst(intensive_care(units=[{}, {}, {}], measurements=rows))
    assert found["sodium_lowest"].tolist()[:2] == [130, 141]
    assert found["sodium_highest"].tolist()[:2] == [150, 141]
    assert found["sodium_lowest"].isna().tolist() == [False, False, True]


def test_other_admissions_of_a_patient_do_not_count() -> None:
    batch = intensive_care(
        units=[{"admission_id": "B"}],
        measurements=[
            value("creatinine", 1, 5, admission_id="A"),
            value("creatinine", 2, 1, admission_id="B"),
        ],
    )
    assert worst(batch)["creatinine"].tolist() == [1]


def test_without_times_nothing_is_seen() -> None:
    batch = intensive_care(measurements=[value("creatinine", 1, 5)])
    for start, end in ((pd.NaT, at(24)), (at(0), pd.NaT)):
        found = worst_values(batch, pd.Series([start]), pd.Series([end]))
        assert np.isnan(found["creatinine"][0])


@pytest.mark.parametrize(
    ("fraction_at", "expected"),
    [
        (5.0, 200.0),
        (1.0, 200.0),
        (0.99, np.nan),
        (5.01, np.nan),
    ],  # 4 h before the gas, and no longer; never after
)
def test_the_fraction_of_oxygen_is_the_last_one_charted(fraction_at: float, expected: float) -> None:
    rows = [value("pO2", 5, 80), value("FiO2", fraction_at, 40)]
    found = of("pao2_fio2", measured=rows)
    assert found == expected or (np.isnan(found) and np.isnan(expected))


def test_the_fraction_told_with_the_gas_goes_first() -> None:
    rows = [value("pO2", 5, 80), value("FiO2", 5, 80, kind="laboratory"), value("FiO2", 5, 40)]
    assert of("pao2_fio2", measured=rows) == 100
    assert of("pao2_fio2", measured=rows[::-1]) == 100


@pytest.mark.parametrize(
    ("events", "measured", "column"),
    [
        ([event("bedside procedure", 4, 6, code=TUBE)], [], "pao2_fio2_invasive"),
        ([event("bedside procedure", 5, None, code=TUBE)], [], "pao2_fio2_invasive"),  # it runs on
        ([event("bedside procedure", 6, 9, code=TUBE)], [], "pao2_fio2"),
        ([event("bedside procedure", 1, 4, code=TUBE)], [], "pao2_fio2"),
        ([event("bedside procedure", 4, 6, code=MASK)], [], "pao2_fio2"),
        ([], [value("plateau pressure", 1, 20), value("plateau pressure", 9, 20)], "pao2_fio2_invasive"),
        ([], [value("plateau pressure", 1, 20), value("plateau pressure", 9.1, 20)], "pao2_fio2"),
        ([event("bedside procedure", 4, 6, code=MASK)], [value("plateau pressure", 5, 20)], "pao2_fio2"),
    ],
)  # fmt: skip
def test_who_was_on_a_ventilator_at_the_time_of_the_gas(
    events: list[Any], measured: list[Any], column: str
) -> None:
    gas = [value("pO2", 5, 80), value("FiO2", 5, 40)]
    batch = intensive_care(measurements=[*gas, *measured], events=[stay(), *events])
    found = worst(batch).iloc[0]
    assert found[column] == 200
    assert np.isnan(found[{"pao2_fio2": "pao2_fio2_invasive"}.get(column, "pao2_fio2")])
    on_mask = [one["code"] for one in events] == [MASK]
    assert (found["pao2_fio2_supported"] == 200) == (column == "pao2_fio2_invasive" or on_mask)


def test_a_ventilator_is_known_to_be_absent_only_where_something_is_charted() -> None:
    assert np.isnan(of("ventilated", measured=[value("creatinine", 1, 1)]))
    assert of("ventilated", measured=[value("heart rate", 1, 80)]) == 0
    assert of("ventilated", events=[event("bedside procedure", 1, 2, code="225459")]) == 0
    assert of("ventilated", events=[event("bedside procedure", -9, 2, code=MASK)]) == 1


COMA = [
    # what is charted, by the hour, of eye, verbal and motor; and the coma scale
    ([(1, 4, 5, 6)], 15),
    ([(1, 1, 1, 1)], 3),
    ([(1, 2, 0, 3)], 15),  # intubated
    ([(1, 3, None, None)], 14),  # what was never charted is normal
    ([(1, 2, 2, 4), (2, 4, None, None)], 8),  # then 4 + 2 + 4 = 10
    ([(1, 4, 3, 6), (2, 1, None, None)], 10),  # verbal 3 and motor 6 are carried on
    ([(1, 4, 3, 6), (7, 1, None, None)], 12),  # not after 6 h: 1 + 5 + 6
    ([(1, 1, 0, 1), (2, 1, None, None)], 15),  # still intubated
    ([(1, 1, 0, 1), (2, 3, 4, None)], 13),  # no longer: motor is taken for normal
]


@pytest.mark.parametrize(("charted", "expected"), COMA)
def test_the_coma_scale(charted: list[tuple[Any, ...]], expected: float) -> None:
    names = ("GCS eye", "GCS verbal", "GCS motor")
    rows = [
        value(name, hours, number)
        for hours, *numbers in charted
        for name, number in zip(names, numbers, strict=True)
        if number is not None
    ]
    assert of("gcs", measured=rows) == expected


def test_a_coma_scale_charted_whole_counts_as_it_is() -> None:
    assert of("gcs", measured=[value("GCS total", 1, 9), value("GCS total", 2, 13)]) == 9


def urine(hours: Sequence[float], volume: float = 50, name: str = "urine output") -> list[Any]:
    return [value(name, hour, volume, kind="output") for hour in hours]


def test_urine_of_a_day_needs_a_day_of_charting() -> None:
    assert of("urine_24h", measured=urine(range(1, 25))) == pytest.approx(50 * 24)
    assert of("urine_24h", measured=urine(range(1, 23))) == pytest.approx(50 * 24)  # 22 h of 24
    assert np.isnan(of("urine_24h", measured=urine(range(1, 22))))
    assert of("urine_24h", measured=urine([12, 24], 300)) == pytest.approx(600)
    assert np.isnan(of("urine_24h", measured=urine([31], 300), end=48))  # of 31 h
    assert of("urine_24h", measured=urine([30], 300), end=48) == pytest.approx(240)


def test_what_irrigates_the_bladder_is_no_urine() -> None:
    rows = [
        *urine([12, 24], 900, "urine and bladder irrigation out"),
        *urine([12, 24], 500, "bladder irrigation in"),
    ]
    assert of("urine_24h", measured=rows) == pytest.approx(800)


NOREPINEPHRINE = "221906"


def test_infusions_count_while_they_run() -> None:
    ran = [infusion(NOREPINEPHRINE, -5, 1, 0.3), infusion(NOREPINEPHRINE, 2, 9, 0.2)]
    assert of("norepinephrine", events=ran) == 0.3
    assert of("norepinephrine", events=ran, start=1) == 0.2
    assert of("norepinephrine", events=ran, start=4, end=5) == 0.2
    assert np.isnan(of("norepinephrine", events=ran, start=9))
    assert of("norepinephrine", events=[infusion(NOREPINEPHRINE, 2, None, 0.2)]) == 0.2
    assert np.isnan(of("norepinephrine", events=[infusion(NOREPINEPHRINE, 2, None, 0.2)], start=3))


def test_rates_come_into_mcg_by_kg_and_min() -> None:
    by_hour = [infusion(NOREPINEPHRINE, 2, 9, 0.96, rate_uom="mg/hour")]  # 16 mcg/min
    weight = [value("weight", 1, 80), value("weight", 3, 160)]
    assert of("norepinephrine", measured=weight, events=by_hour) == pytest.approx(0.2)
    assert of("norepinephrine", events=by_hour) == LEAST_RATE  # it ran: 3 points, and how fast is not known
    assert of("norepinephrine", events=[infusion(NOREPINEPHRINE, 2, 9, 12, rate_uom="mL/hour")]) == LEAST_RATE
    assert np.isnan(of("norepinephrine", events=[infusion(NOREPINEPHRINE, 2, 9, 0.0)]))


def test_other_sources_tell_drugs_by_name() -> None:
    told = [infusion("x", 2, 9, 7, system="name", name="Dopamine 400 mg/250 mL")]
    assert of("dopamine", events=told) == 7
    assert np.isnan(of("epinephrine", events=told))


def test_a_pressure_of_0_is_no_pressure() -> None:
    assert (
        of(
            "mean_pressure",
            measured=[value("mean arterial pressure", 1, 0), value("mean arterial pressure", 2, 66)],
        )
        == 66
    )


def pressures(hours: float, systolic: float, diastolic: float) -> list[Any]:
    return [
        value("systolic blood pressure", hours, systolic),
        value("diastolic blood pressure", hours, diastolic),
    ]


def test_a_mean_pressure_is_worked_out_only_where_none_is_charted() -> None:
    assert of("mean_pressure", measured=pressures(1, 120, 60)) == 80
    charted = [value("mean arterial pressure", 1, 85), *pressures(1, 120, 60)]
    assert of("mean_pressure", measured=charted) == 85
    assert of("mean_pressure", measured=[*charted, *pressures(2, 90, 45)]) == 60
    apart = [pressures(1, 120, 60)[0], pressures(2, 120, 60)[1]]
    assert np.isnan(of("mean_pressure", measured=apart))
    assert np.isnan(of("mean_pressure", measured=pressures(1, 0, 60)))
    assert np.isnan(of("mean_pressure", measured=pressures(1, 120, 0)))


def test_kind_of_admission_and_chronic_disease() -> None:
    units = [
        {"admission_type": "ELECTIVE"}, {"admission_type": "EMERGENCY"}, {"admission_type": "ELECTIVE"}, {},
        {"admission_type": "EMERGENCY"}, {"admission_type": "SURGICAL SAME DAY ADMISSION"},
    ]  # fmt: skip
    services = [("1", -1, "CSURG"), ("2", -1, "VSURG"), ("2", 3, "MED"), ("3", -1, "CMED"), ("4", -1, "SURG")]
    services += [("5", 30, "SURG"), ("6", 1, "NSURG")]
    codes = [diagnosis("1970"), diagnosis("20280"), diagnosis("042", "2"), diagnosis("20510", "3")]
    codes += [diagnosis("C787", "4", "ICD-10")]
    batch = intensive_care(
        units=units,
        codes=codes,
        events=[event("service", hours, unit=unit, code=code) for unit, hours, code in services],
    )
    found = worst(batch)
    kinds = ["scheduled surgical", "unscheduled surgical", "medical", None, None, "scheduled surgical"]
    assert (
        found["admission_kind"].astype(object).where(found["admission_kind"].notna(), None).tolist() == kinds
    )
    diseases = ["haematologic malignancy", "AIDS", "none", "metastatic cancer", None, None]
    told = found["chronic_disease"].astype(object).where(found["chronic_disease"].notna(), None).tolist()
    assert told == diseases
