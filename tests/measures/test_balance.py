"""Standardised mean differences: by hand, and where there is no figure."""

from math import inf, isnan, nan, sqrt

import numpy as np
import pytest
from cohorts.measures.balance import binary, categories, numeric


def test_means_are_apart_in_standard_deviations() -> None:
    first, second = np.array([1.0, 3, nan]), np.array([4.0, 8])
    assert numeric(first, second) == pytest.approx((2 - 6) / sqrt((2 + 8) / 2))
    assert numeric(second, first) == pytest.approx(-numeric(first, second))


def test_shares_are_apart_in_standard_deviations() -> None:
    assert binary(0.5, 0.2) == pytest.approx(0.3 / sqrt((0.25 + 0.16) / 2))
    assert binary(0.2, 0.5) == -binary(0.5, 0.2)


def test_two_levels_are_a_share_and_more_do_not_depend_on_their_order() -> None:
    assert categories([50, 50], [20, 80]) == pytest.approx(binary(0.5, 0.2))
    first, second = np.array([10, 30, 60]), np.array([25, 25, 40])
    assert categories(first[::-1], second[::-1]) == pytest.approx(categories(first, second))
    assert categories(second, first) == pytest.approx(categories(first, second))


def test_three_levels_by_hand() -> None:
    one, other = np.array([0.3, 0.6]), np.array([0.25, 0.5])
    spread = [np.diag(some) - np.outer(some, some) for some in (one, other)]
    squared = (one - other) @ np.linalg.inv((spread[0] + spread[1]) / 2) @ (one - other)
    assert categories([10, 30, 60], [25, 25, 50]) == pytest.approx(sqrt(squared))


def test_a_level_of_nobody_changes_nothing() -> None:
    assert categories([0, 10, 20], [0, 30, 5]) == pytest.approx(categories([10, 20], [30, 5]))
    assert categories([4, 0, 6], [0, 3, 7]) > 0  # of one group alone


def test_what_has_no_figure() -> None:
    assert isnan(numeric(np.array([1.0]), np.array([1.0, 2])))
    assert isnan(numeric(np.array([nan, nan]), np.array([1.0, 2])))
    assert isnan(binary(nan, 0.5))
    assert isnan(categories([0, 0], [1, 2]))
    assert numeric(np.full(3, 0.1), np.full(5, 0.1)) == 0
    assert numeric(np.full(3, 0.1), np.full(5, 0.2)) == -inf
    assert binary(1, 0) == inf
    assert binary(0, 0) == 0
    assert categories([3, 0], [0, 4]) == inf
    assert categories([3], [4]) == 0
