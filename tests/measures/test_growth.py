"""How a cost grows with the number of vectors."""

import pytest
from cohorts.errors import InputError
from cohorts.measures.growth import growth
from hypothesis import given
from hypothesis import strategies as st


@given(st.floats(-2, 2), st.floats(0.01, 100))
def test_growth_finds_the_exponent(exponent: float, factor: float) -> None:
    sizes = [1_000, 10_000, 50_000, 300_000]
    found = growth(sizes, [factor * n**exponent for n in sizes])
    assert found == pytest.approx((exponent,) * 3, abs=1e-6)


def test_growth_has_the_interval_of_least_squares() -> None:
    # log2: x = 0, 1, 2 and y = 0, 2, 3: slope 3/2, residuals -1/6, 1/3, -1/6, standard error sqrt((1/6) / 1 / 2)
    found = growth([1, 2, 4], [1, 4, 8])
    half = 12.7062 * (1 / 12) ** 0.5
    assert found == pytest.approx((1.5, 1.5 - half, 1.5 + half), abs=1e-3)


@pytest.mark.parametrize(
    ("n", "values", "message"),
    [
        ([1, 2, 2], [1, 2, 3], "three or more sizes; 2 were"),
        ([1, 2, 3], [1, 2], "three or more sizes"),
        ([1, 2, 3], [1, 2, 0], "above 0"),
    ],
)
def test_growth_that_cannot_be_fitted_is_told(n: list[float], values: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        growth(n, values)
