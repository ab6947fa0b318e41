"""Whether repeated runs of the same settings agree."""

import re

import numpy as np
import pytest
from cohorts.errors import InputError
from cohorts.measures.noise import noise


def runs(spread: float, many: int = 2, settings: int = 100, seed: int = 0) -> list[dict[str, float]]:
    """Return runs of settings some 3 % apart, disturbed by normal errors of a relative spread."""
    rng = np.random.default_rng(seed)
    return [
        {f"s{place}": 1.03**place * float(np.exp(rng.normal(0, spread))) for place in range(settings)}
        for _ in range(many)
    ]


@pytest.mark.parametrize("many", [2, 3, 5])
def test_how_far_runs_lie_from_each_other_is_found(many: int) -> None:
    found = noise(runs(0.02, many, settings=300))
    assert found.spread == pytest.approx(1.96 * 0.02, rel=0.15)
    assert len(found.apart) < 0.05 * 300
    assert found.swapped == ()  # neighbours do change places, but no further than errors go
    assert not found.too_noisy
    assert re.fullmatch(
        r"Repeats agree: medians lie within ±[34]\.\d%, \d+ of 300 settings further apart, none changed places\.",
        found.line,
    )


def test_errors_too_large_to_tell_settings_apart_are_noise() -> None:
    found = noise(runs(0.08))
    assert found.too_noisy
    assert "too noisy: between repeats medians lie within ±1" in found.line


def test_settings_that_change_places_are_noise() -> None:
    one, two = runs(0.01)
    two["s10"], two["s60"] = two["s60"], two["s10"]
    found = noise([one, two])
    assert (found.apart, found.too_noisy) == (("s10", "s60"), True)
    assert ("s10", "s60") in found.swapped
    assert all({"s10", "s60"} & {*pair} for pair in found.swapped)  # each with those in between
    assert found.spread < 0.03  # two of a hundred do not make it
    assert "2 of 100 settings further apart; s10 and s13 changed places. Measure" in found.line


def test_a_few_settings_may_be_disturbed() -> None:
    one, two = runs(0.01)
    some = [f"s{place}" for place in (95, 96, 97, 98, 99)]
    disturbed = two | {name: 1.3 * two[name] for name in some}
    assert noise([one, disturbed]).apart == tuple(some)
    assert not noise([one, disturbed]).too_noisy
    assert noise([one, disturbed | {"s94": 1.3 * two["s94"]}]).too_noisy


def test_what_differs_by_less_than_anyone_cares_for_agrees() -> None:
    same = dict.fromkeys("abc", 1.0)
    found = noise([same, same | {"a": 1.04}])
    assert (found.spread, found.apart) == (0, ())
    assert noise([same, same | {"a": 1.06}]).apart == ("a",)


@pytest.mark.parametrize("some", [[], [{"a": 1.0}], [{"a": 1.0}, {"b": 1.0}], [{}, {}]])
def test_runs_that_cannot_be_compared_are_refused(some: list[dict[str, float]]) -> None:
    with pytest.raises(InputError, match="two or more runs of the same settings"):
        noise(some)
