"""Who is septic: exclusions in their order, the onset hour by hour, causality, and rules by codes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bedside import at, diagnosis, drug, event, infusion, intensive_care, stay, value
from cohorts.errors import InputError
from cohorts.records.base import ADMISSION_COLUMNS, Batch
from cohorts.records.scores.sofa import sofa
from cohorts.records.scores.worst import worst_values
from cohorts.records.sepsis.cohort import CODES, EXCLUSIONS, RULES, exclusions, flow, septic
from cohorts.records.window import parse_window
from wards import frame

LOW = [("platelets", 80.0)]  # 2 points
NOREPINEPHRINE = "221906"


def infected(hours: float, unit: str = "1") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an antibiotic and the culture an hour before it."""
    return drug("Ceftriaxone", hours + 1, unit), event("culture", hours, unit=unit, name="URINE")


def one(
    *,
    suspected: float = 2,
    measured: Sequence[Any] = (),
    events: Sequence[Any] = (),
    icu: tuple[float, float | None] = (0, 72),
) -> Any:
    antibiotic, culture = infected(suspected)
    batch = intensive_care(codes=[antibiotic], measurements=measured, events=[stay(*icu), culture, *events])
    return septic(batch).iloc[0]


def test_reasons_in_the_order_of_the_flow_chart() -> None:
    everybody = [{}, {"age": np.nan}, {"age": 17.0}, {}, {}, {}, {}, {"age": 18.0}]
    codes, events = [], []
    for unit in ("5", "6", "7", "8"):
        antibiotic, culture = infected(2, unit)
        codes.append(antibiotic)
        events.append(culture)
    events += [stay(unit=unit) for unit in ("2", "3", "4", "5", "6", "7", "8")]
    measured = [
        value("platelets", 3, 200, "6"),
        value("platelets", 3, 80, "7"),
        value("platelets", 3, 80, "8"),
    ]
    found = septic(intensive_care(units=everybody, codes=codes, measurements=measured, events=events))
    assert found["left_out"].tolist() == [*EXCLUSIONS[:6], "", ""]
    assert found["unit_id"].tolist() == list("12345678")
    assert flow(found["left_out"], exclusions("sepsis3")) == [
        (reason, 1, 7 - place) for place, reason in enumerate(EXCLUSIONS[:6])
    ]


def test_reasons_of_others_come_last() -> None:
    told = pd.Series(["", "died before", EXCLUSIONS[0], "died before"])
    assert flow(told, EXCLUSIONS[:2]) == [(EXCLUSIONS[0], 1, 3), (EXCLUSIONS[1], 0, 3), ("died before", 2, 1)]


def test_onset_is_the_later_of_suspicion_and_sofa() -> None:
    found = one(suspected=2, measured=[value("platelets", 5.5, 80)])
    assert (found["suspected"], found["sofa_time"], found["onset"]) == (at(2), at(6), at(6))
    assert (found["sofa"], found["sofa_unseen"], found["left_out"]) == (2, 5, "")
    found = one(suspected=20, measured=[value("platelets", 5.5, 80)])
    assert (found["sofa_time"], found["onset"]) == (at(6), at(20))
    found = one(
        suspected=2, measured=[value("platelets", 6, 80)]
    )  # an hour ends with the moment it is named by
    assert found["sofa_time"] == at(6)


def test_it_is_known_once_all_of_it_is_there() -> None:
    found = one(suspected=2, measured=[value("platelets", 1, 80)])
    assert (found["onset"], found["known"]) == (at(2), at(3))  # the antibiotic was given at hour 3
    assert one(suspected=2, measured=[value("platelets", 5, 80)])["known"] == at(5)
    assert one(suspected=13, measured=[value("platelets", 5, 80)])["known"] == at(
        38
    )  # given on a day, over at hour 38
    assert pd.isna(one(suspected=2)["known"])


def test_what_preceded_intensive_care_counts_for_24_h() -> None:
    assert one(measured=[value("platelets", -23, 80)])["sofa_time"] == at(0)
    assert one(measured=[value("platelets", -24, 80)])["left_out"] == EXCLUSIONS[4]


@pytest.mark.parametrize(
    ("suspected", "measured", "expected"),
    [
        (50, 2, 2),  # at hour 2, 48 h before
        (51, 1, 3),  # hour 2 is too early, and at hour 3 the value still counts
        (74, 2, 26),  # 24 h after the value is hour 25: at hour 26 it counts no more
        (2, 26, 26),
        (2, 26.1, None),  # hour 27 is 25 h after
    ],
)
def test_sofa_counts_from_48_h_before_to_24_h_after(
    suspected: float, measured: float, expected: float | None
) -> None:
    found = one(suspected=suspected, measured=[value("platelets", measured, 80)], icu=(0, 200))
    if suspected == 74:
        assert pd.isna(found["sofa_time"])
    else:
        assert pd.isna(found["sofa_time"]) if expected is None else found["sofa_time"] == at(expected)


def test_the_first_suspicion_with_a_sofa_is_told_else_the_first() -> None:
    codes, events = zip(infected(2), infected(100), strict=True)
    low = value("platelets", 90, 80)
    batch = intensive_care(codes=codes, measurements=[low], events=[stay(0, 200), *events])
    assert septic(batch)["suspected"].tolist() == [at(100)]
    batch = intensive_care(
        codes=codes, measurements=[value("platelets", 90, 300)], events=[stay(0, 200), *events]
    )
    assert septic(batch)["suspected"].tolist() == [at(2)]


def test_sofa_is_of_the_first_stay_in_intensive_care() -> None:
    found = one(measured=[value("platelets", 12, 80)], icu=(0, 10))
    assert found["left_out"] == EXCLUSIONS[4]
    found = one(measured=[value("platelets", 12, 80)], icu=(0, 10), events=[stay(11, 50)])
    assert (found["icu"], found["icu_end"], pd.isna(found["sofa_time"])) == (at(0), at(10), True)


def test_parts_of_different_hours_add_up_within_24_h() -> None:
    rows = [value("platelets", 1, 120), value("bilirubin", 20, 1.5)]
    found = one(measured=rows)
    assert (found["sofa_time"], found["sofa"], found["sofa_unseen"]) == (at(20), 2, 4)
    rows = [value("platelets", 1, 120), value("bilirubin", 25.5, 1.5)]
    assert one(measured=rows)["left_out"] == EXCLUSIONS[5]


def test_infusions_count_in_every_hour_that_they_run() -> None:
    found = one(suspected=60, events=[infusion(NOREPINEPHRINE, -5, 90, 0.2)], icu=(0, 100))
    assert (found["sofa_time"], found["sofa"]) == (at(12), 4)


def test_hour_by_hour_is_the_score_of_the_24_h_before() -> None:
    """Congruence: the hourly scores against `worst_values` and `sofa` asked for each hour apart."""
    draw = np.random.default_rng(5)
    names = {
        "platelets": (10, 300),
        "bilirubin": (0.2, 15),
        "creatinine": (0.4, 6),
        "mean arterial pressure": (50, 90),
    }
    measured = [
        value(name, hours, number, unit)
        for unit in ("1", "2", "3")
        for name, span in names.items()
        for hours, number in zip(draw.uniform(-30, 60, 4), draw.uniform(*span, 4), strict=True)
    ]
    codes, events = zip(*(infected(30, unit) for unit in ("1", "2", "3")), strict=True)
    stays = [stay(0, 50, "1"), stay(0, 20, "2"), stay(0, None, "3")]
    batch = intensive_care(units=[{}, {}, {}], codes=codes, measurements=measured, events=[*events, *stays])
    found = septic(batch)
    last = [50, 20, 54]
    for place in range(3):
        points = []
        for hour in range(last[place] + 1):
            end = pd.Series([at(hour)] * 3)
            points.append(sofa(worst_values(batch, end - pd.Timedelta("24h"), end)).total.fillna(0)[place])
        first = next((hour for hour, one in enumerate(points) if one >= 2), None)
        told = found["sofa_time"][place]
        assert (pd.isna(told) and first is None) or told == at(first or 0)
        assert first is None or found["sofa"][place] == points[first]


def cut_at(batch: Batch, window: str) -> pd.DataFrame:
    known, _ = parse_window(window).cut(batch)
    return septic(known)


def with_admissions(batch: Batch) -> Batch:
    rows = [
        {"unit_id": one, "patient_id": one, "admission_id": one, "admitted": at(-2), "discharged": at(100)}
        for one in batch.units["unit_id"]
    ]
    return replace(batch, admissions=frame(rows, ADMISSION_COLUMNS))


def test_of_a_cut_batch_nothing_later_is_known() -> None:
    codes, events = zip(infected(2, "1"), infected(30, "2"), infected(2, "3"), strict=True)
    measured = [
        value("platelets", 3, 80, "1"),
        value("platelets", 3, 80, "2"),
        value("platelets", 25.5, 80, "3"),
    ]
    batch = with_admissions(
        intensive_care(
            units=[{}, {}, {}],
            codes=codes,
            measurements=measured,
            events=[*events, *(stay(0, 72, unit) for unit in "123")],
        )
    )
    whole, first_day = septic(batch), cut_at(batch, "icu+24h")
    assert whole["left_out"].tolist() == ["", "", ""]
    assert first_day["left_out"].tolist() == ["", EXCLUSIONS[3], EXCLUSIONS[4]]
    for column in ("suspected", "sofa_time", "onset", "sofa"):
        assert first_day[column][0] == whole[column][0]
    assert pd.isna(first_day["icu_end"][0])


def test_by_codes() -> None:
    codes = [
        diagnosis("0389"),
        diagnosis("A419", "2", "ICD-10"),
        diagnosis("4019", "3"),
        diagnosis("78552", "4"),
    ]
    codes.append(diagnosis("0389", "5") | {"kind": "procedure"})
    batch = with_admissions(
        intensive_care(units=[{}] * 5, codes=codes, events=[stay(unit=unit) for unit in "12345"])
    )
    assert septic(batch, CODES)["left_out"].tolist() == ["", "", *[EXCLUSIONS[6]] * 3]
    known, _ = parse_window("icu+24h").cut(batch)  # codes are not known yet
    assert set(septic(known, CODES)["left_out"]) == {EXCLUSIONS[6]}


def test_types_and_an_empty_batch() -> None:
    found = septic(intensive_care(units=[]))
    assert len(found) == 0
    times = ("icu", "icu_end", "antibiotic", "culture", "suspected", "sofa_time", "onset", "known")
    filled = septic(intensive_care(events=[stay()]))
    for told in (found, filled):
        assert {str(told[name].dtype) for name in times} == {"datetime64[us]"}
        assert [str(told[name].dtype) for name in ("sofa", "sofa_unseen")] == ["float64", "int64"]
        assert str(told["left_out"].dtype) == "str"
        assert isinstance(told.index, pd.RangeIndex)


def test_an_unknown_rule_is_refused() -> None:
    assert RULES == ("sepsis3", "codes")
    with pytest.raises(InputError, match="no rule 'sofa'"):
        septic(intensive_care(), "sofa")
