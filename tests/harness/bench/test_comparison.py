"""Settings of `cohorts bench` against each other: fronts, equal recall, intervals, paired tests, noise and growth."""

import re
from math import isnan

import numpy as np
import pytest
from cohorts.errors import InputError
from cohorts.harness.bench.report.comparison import (
    Point,
    Setting,
    at_recall,
    estimate,
    front,
    growth,
    noise,
    over_repeats,
    speed_up,
    speed_up_at,
)
from hypothesis import given
from hypothesis import strategies as st

CURVE = [Point("a", 0.5, 1.0), Point("b", 0.9, 2.0), Point("worse", 0.8, 3.0), Point("c", 1.0, 6.0)]
POINTS = st.lists(
    st.builds(
        Point,
        st.just("p"),
        st.integers(0, 20).map(lambda n: n / 20),
        st.floats(0.01, 1e4),
    ),
    min_size=1,
    max_size=12,
)


def test_fronts_by_hand() -> None:
    assert [point.name for point in front(CURVE, larger_is_better=False)] == ["a", "b", "c"]
    rates = [Point("a", 0.5, 10), Point("b", 0.9, 12), Point("c", 1.0, 4), Point("twin", 0.9, 12)]
    assert [point.name for point in front(rates, larger_is_better=True)] == ["b", "c"]
    assert front([], larger_is_better=True) == []


@given(POINTS, st.booleans())
def test_no_point_beats_one_of_the_front_and_one_of_it_beats_all_others(
    points: list[Point], larger: bool
) -> None:
    kept = front(points, larger_is_better=larger)

    def beats(one: Point, two: Point) -> bool:
        better, as_good = one.value < two.value, one.value <= two.value
        if larger:
            better, as_good = one.value > two.value, one.value >= two.value
        return one.recall >= two.recall and as_good and (one.recall > two.recall or better)

    assert kept
    assert not any(beats(one, two) for one in points for two in kept)
    for point in points:
        assert any(beats(one, point) or one[1:] == point[1:] for one in kept)


@pytest.mark.parametrize(
    ("recall", "expected"),
    [(0.5, 1), (0.7, 1.5), (0.9, 2), (0.95, 4), (1, 6), (0.49, None), (1.01, None)],
)
def test_equal_recall_by_hand(recall: float, expected: float | None) -> None:
    found = at_recall(CURVE, recall, larger_is_better=False)
    assert found == (None if expected is None else pytest.approx(expected))
    assert at_recall([], recall, larger_is_better=False) is None


@given(POINTS, st.booleans(), st.floats(0, 1), st.floats(0, 1))
def test_interpolation_gives_measured_points_and_is_monotone(
    points: list[Point], larger: bool, one: float, two: float
) -> None:
    for point in front(points, larger_is_better=larger):
        assert at_recall(points, point.recall, larger_is_better=larger) == point.value
    low, high = (at_recall(points, recall, larger_is_better=larger) for recall in sorted((one, two)))
    if low is not None and high is not None:  # more recall never costs less
        slack = 1e-9 * max(low, high)
        assert high <= low + slack if larger else low <= high + slack


def test_intervals_cover_what_was_drawn_from() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(40):
        found = estimate(rng.normal(3, 1, (1, 200)), np.mean, seed=seed)
        assert found.low <= found.value <= found.high
        assert found.high - found.low == pytest.approx(2 * 1.96 / 200**0.5, rel=0.3)
        covered += found.low <= 3 <= found.high
    assert covered >= 33


def test_intervals_hold_the_difference_between_repeats() -> None:
    rng = np.random.default_rng(0)
    quiet = rng.normal(3, 0.1, (5, 200))
    loud = quiet + rng.normal(0, 1, (5, 1))
    assert np.ptp(estimate(loud)[1:]) > 5 * np.ptp(estimate(quiet)[1:])
    assert estimate(quiet) == estimate(quiet)


def test_throughput_has_an_interval_over_repeats() -> None:
    found = over_repeats([10, 12, 11])
    assert found.value == 11
    assert 10 <= found.low < 11 < found.high <= 12
    assert isnan(over_repeats([10.0]).low)


def latencies(seed: int, factor: float = 1.0) -> np.ndarray:
    hard = np.random.default_rng(9).lognormal(0, 0.5, 300)  # some queries are hard for everybody
    noise_ = np.random.default_rng(seed).lognormal(0, 0.05, (3, 300))
    return np.asarray(factor * hard * noise_)


def test_speed_up_is_found_with_its_interval() -> None:
    found = speed_up(latencies(1, 2.0), latencies(2))
    assert found.ratio.low < 2 < found.ratio.high
    assert found.ratio.high - found.ratio.low < 0.3  # unpaired, it would be .4: queries differ by half
    assert found.p < 1e-10
    back = speed_up(latencies(2), latencies(1, 2.0))
    assert back.ratio.value == pytest.approx(1 / found.ratio.value)
    same = speed_up(latencies(1), latencies(1))
    assert (same.ratio.value, same.p) == (1, 1)
    assert same.ratio.low <= 1 <= same.ratio.high
    assert speed_up(latencies(1), latencies(2)).p > 0.01
    with pytest.raises(InputError, match="299 and 300 queries"):
        speed_up(latencies(1), latencies(2)[:, 1:])


def curve(name: str, factor: float, recalls: tuple[float, ...] = (0.8, 0.9, 1.0)) -> list[Setting]:
    rng = np.random.default_rng(len(name))
    return [
        Setting(
            f"{name}{recall}", rng.binomial(10, recall, (3, 300)) / 10, latencies(place, factor * (1 + place))
        )
        for place, recall in enumerate(recalls)
    ]


def test_speed_up_is_measured_at_equal_recall_not_at_equal_settings() -> None:
    slow, fast = curve("slow", 3.0), curve("fast!", 1.0)
    found = speed_up_at(0.9, slow, fast)
    assert found is not None
    assert found.low < 3 < found.high
    # The fast one at recall .8 costs 1, at .9 it costs 2: against its own settings one apart the answer differs.
    shifted = [
        Setting(one.name, two.recall, one.latency_ms) for one, two in zip(slow, fast[1:], strict=False)
    ]
    again = speed_up_at(0.95, shifted, fast)
    assert again is not None
    assert again.value == pytest.approx(4.5 / 2.5, rel=0.15)
    same = speed_up_at(0.9, slow, slow)
    assert same is not None
    assert same.value == 1


def test_recall_that_is_not_reached_is_not_compared() -> None:
    slow, fast = curve("slow", 3.0), curve("fast!", 1.0, (0.5, 0.6, 0.7))
    assert speed_up_at(0.9, slow, fast) is None
    at_the_end = float(fast[-1].recall.mean())  # half of the draws do not reach it
    assert speed_up_at(at_the_end, curve("slow", 3.0, (0.5, 0.9)), fast) is None


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
