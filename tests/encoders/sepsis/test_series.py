"""Cells of series: what stands in a step, what was known before, and what is later than the window."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from cohorts.encoders.sepsis.preparation import window_statistics
from cohorts.encoders.sepsis.series import BEFORE, STATISTICS, Cells, cells_of, variables
from cohorts.records.base import MEASUREMENT_COLUMNS, typed

END = pd.Timestamp("2101-05-03 12:00")
HEART_RATE, LACTATE = ("220045", "/min"), ("50813", "mmol/L")
Row = tuple[str, tuple[str, str], float, float]  # unit, item and its unit, hours before the end, value


def measured(rows: Sequence[Row]) -> pd.DataFrame:
    told = {
        "unit_id": [unit for unit, _, _, _ in rows],
        "code": [item[0] for _, item, _, _ in rows],
        "uom": [item[1] for _, item, _, _ in rows],
        "time": [END - pd.Timedelta(hours=hours) for _, _, hours, _ in rows],
        "value": [value for _, _, _, value in rows],
    }
    return typed(pd.DataFrame(told), MEASUREMENT_COLUMNS)


def cells(rows: Sequence[Row], units: Sequence[str] = ("a", "b"), hours: int = 6, step_h: int = 2) -> Cells:
    return cells_of(measured(rows), units, pd.Series([END] * len(units)), hours, step_h)


def test_a_cell_has_what_was_measured_in_its_step() -> None:
    made = cells(
        [
            ("b", HEART_RATE, 3.5, 80),
            ("a", HEART_RATE, 0.0, 90),
            ("b", HEART_RATE, 2.5, 100),
            ("b", HEART_RATE, 3.0, 60),
        ]
    )
    assert made.steps == 3
    assert made.stay.tolist() == [0, 1]
    assert made.step.tolist() == [2, 1]
    assert [variables()[place] for place in made.variable.tolist()] == ["heart rate"] * 2
    one = dict(zip(STATISTICS, made.values[1].tolist(), strict=True))
    assert (one["first"], one["min"]) == (80, 60)
    told = np.array([[90, 90, 90, 90, 0, 1, 0], [80, 60, 100, 80, np.std([80, 60, 100]), 3, 0.5]])
    np.testing.assert_allclose(made.values, told, rtol=1e-6)


def test_the_edge_of_a_step_belongs_to_the_step_that_it_ends() -> None:
    made = cells([("a", HEART_RATE, 2.0, 80), ("a", HEART_RATE, 1.999, 90)])
    assert made.step.tolist() == [1, 2]


def test_what_was_measured_last_before_stands_at_step_minus_1() -> None:
    made = cells([("a", LACTATE, 30.0, 9), ("a", LACTATE, 8.0, 4), ("a", LACTATE, 1.0, 2)])
    assert made.step.tolist() == [BEFORE, 2]
    np.testing.assert_allclose(
        made.values[0], [4, 4, 4, 4, 0, 1, 2]
    )  # 8 h before the end, the first step begins at 6


def test_what_is_later_unknown_or_of_others_has_no_cell() -> None:
    later, stranger = ("a", HEART_RATE, -0.1, 80), ("c", HEART_RATE, 1, 80)
    other_unit, unknown = ("a", ("50813", "g/L"), 1, 4), ("a", ("1", "mmol/L"), 1, 4)
    assert not len(cells([later, stranger, other_unit, unknown, ("a", HEART_RATE, 1, np.nan)]).stay)
    assert not len(cells([]).stay)


def test_stays_can_be_taken_in_any_order() -> None:
    rows = [("a", HEART_RATE, 1, 80.0), ("b", HEART_RATE, 1, 90), ("b", LACTATE, 3, 2)]
    made = cells(rows)
    other = made.take(np.array([1, 0]), 2)
    assert other.stay.tolist() == [0, 0, 1]
    assert other.values[:, 0].tolist() == [90, 2, 80]
    np.testing.assert_array_equal(made.take(np.array([1]), 2).values, made.between(1, 2).values)


def test_the_whole_window_is_summed_out_of_its_cells() -> None:
    rng = np.random.default_rng(0)
    hours, values = np.sort(rng.uniform(0, 6, 40))[::-1], rng.normal(80, 9, 40)
    rows = [
        ("b", HEART_RATE, hour, value) for hour, value in zip(hours.tolist(), values.tolist(), strict=True)
    ]
    found = window_statistics(cells(rows), 2)[:, variables().index("heart rate")]
    assert np.isnan(found[0]).all()
    told = [values[0], values.min(), values.max(), values.mean(), values.std(), 40, hours[-1]]
    np.testing.assert_allclose(found[1], told, rtol=1e-5)
    before = window_statistics(cells([("a", LACTATE, 30, 9)]), 2)[0, variables().index("lactate")]
    np.testing.assert_allclose(before, [9, 9, 9, 9, 0, 0, 30])
