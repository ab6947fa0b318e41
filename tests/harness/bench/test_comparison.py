"""Settings of `cohorts bench` against each other: fronts and equal recall."""

import numpy as np
import pytest
from cohorts.errors import InputError
from cohorts.measures.front import (
    Point,
    Setting,
    at_recall,
    front,
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


def latencies(seed: int, factor: float = 1.0) -> np.ndarray:
    hard = np.random.default_rng(9).lognormal(0, 0.5, 300)  # some queries are hard for everybody
    noise_ = np.random.default_rng(seed).lognormal(0, 0.05, (3, 300))
    return np.asarray(factor * hard * noise_)


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


def test_settings_of_other_queries_are_not_compared() -> None:
    slow = curve("slow", 3.0)
    fewer = [Setting(one.name, one.recall[:, 1:], one.latency_ms[:, 1:]) for one in slow]
    with pytest.raises(InputError, match="299 and 300 queries"):
        speed_up_at(0.9, slow, fewer)


def test_recall_that_is_not_reached_is_not_compared() -> None:
    slow, fast = curve("slow", 3.0), curve("fast!", 1.0, (0.5, 0.6, 0.7))
    assert speed_up_at(0.9, slow, fast) is None
    at_the_end = float(fast[-1].recall.mean())  # half of the draws do not reach it
    assert speed_up_at(at_the_end, curve("slow", 3.0, (0.5, 0.9)), fast) is None
