"""Time to an event: the trial of 6-mercaptopurine, by hand, what has no answer, and what must not change one."""

from math import inf, isnan, log, nan, sqrt

import numpy as np
import pytest
from cohorts.errors import InputError
from cohorts.measures.intervals import Estimate
from cohorts.measures.survival import Curve, kaplan_meier, log_rank, median, restricted_mean

# Weeks in remission of 21 pairs, seen no longer from 100 on: Freireich et al., 1963, as in Gehan, 1965, table 1.
TREATED = [6, 6, 6, 106, 7, 109, 10, 110, 111, 13, 16, 117, 119, 120, 22, 23, 125, 132, 132, 134, 135]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def curve(weeks: list[int]) -> Curve:
    return kaplan_meier([week % 100 for week in weeks], [week < 100 for week in weeks])


def test_the_trial_has_the_curve_of_the_textbooks() -> None:
    """Klein and Moeschberger, 2003, table 4.1, and the mean of section 4.5."""
    made = curve(TREATED)
    told = {6: (0.857, 0.0764), 7: (0.807, 0.0869), 10: (0.753, 0.0963), 13: (0.690, 0.1068)}
    told |= {16: (0.627, 0.1141), 22: (0.538, 0.1282), 23: (0.448, 0.1346), 35: (0.448, 0.1346)}
    for week, (share, error) in told.items():
        assert made.at(week).value == pytest.approx(share, abs=5e-4)
        assert sqrt(made.variance[made.step(week)]) == pytest.approx(error, abs=5e-5)
    mean = restricted_mean(made, 35)
    assert mean.value == pytest.approx(23.287, abs=1e-3)
    assert error_of(mean, 35) == pytest.approx(2.827, abs=5e-4)


def error_of(mean: Estimate, until: float) -> float:
    """Return the standard error of a mean from its interval, which is symmetric for the log odds of mean / until."""
    low, middle, high = (log(one / (until - one)) for one in (mean.low, mean.value, mean.high))
    assert high - middle == pytest.approx(middle - low)
    return (high - middle) / 1.959964 * mean.value * (until - mean.value) / until


def test_the_trial_has_the_medians_and_the_test_of_the_textbooks() -> None:
    """Medians of 23 and 8 weeks; chi-squared 16.79."""
    assert median(curve(TREATED)) == (23, 13, inf)
    assert median(curve(PLACEBO)) == (8, 4, 11)
    both = TREATED + PLACEBO
    found = log_rank([week % 100 for week in both], [week < 100 for week in both], [1] * 21 + [2] * 21)
    assert found.statistic == pytest.approx(16.79, abs=5e-3)
    assert found.freedom == 1
    assert found.p == pytest.approx(4.17e-5, abs=1e-7)


def test_a_curve_by_hand_counts_who_is_there() -> None:
    made = kaplan_meier([2, 5, 5, 5, 9], [True, True, False, True, False])
    assert made.times.tolist() == [0, 2, 5, 9]
    assert made.at_risk.tolist() == [5, 5, 4, 1]
    assert made.events.tolist() == [0, 1, 2, 0]
    assert made.censored.tolist() == [0, 0, 1, 1]
    assert made.estimate == pytest.approx([1, 0.8, 0.4, 0.4])
    assert [made.followed(day) for day in (0, 2, 2.1, 5, 8, 9, 9.1)] == [5, 5, 4, 4, 1, 1, 0]
    assert [made.at(day).value for day in (0, 1.9, 2, 4.9, 9)] == pytest.approx([1, 1, 0.8, 0.8, 0.4])


def test_a_curve_says_nothing_beyond_the_last_who_was_followed() -> None:
    censored = kaplan_meier([1, 3], [True, False])
    assert censored.end == 3
    assert isnan(censored.at(3.1).value)
    assert isnan(restricted_mean(censored, 4).value)
    assert not isnan(restricted_mean(censored, 3).value)
    dead = kaplan_meier([1, 3], [True, True])
    assert dead.end == inf
    assert dead.at(100).value == 0
    assert restricted_mean(dead, 100).value == 2
    assert isnan(dead.at(-1).value)


def test_a_curve_is_cut_at_a_day() -> None:
    whole = curve(PLACEBO)
    cut = whole.until(8.5)
    assert cut.times[-1] == 8
    assert cut.end == 8.5
    assert cut.at(8.5) == whole.at(8.5)
    assert cut.followed(8.5) == whole.followed(8.5) == 8
    assert isnan(cut.at(9).value)
    assert restricted_mean(cut, 8.5) == restricted_mean(whole, 8.5)
    assert {len(rows) for rows in vars(cut).values() if isinstance(rows, np.ndarray)} == {len(cut.times)}


def test_the_mean_without_censoring_is_that_of_the_durations() -> None:
    durations = np.random.default_rng(0).exponential(10, 50)
    held = np.minimum(durations, 12)
    mean = restricted_mean(kaplan_meier(durations, np.ones(50)), 12)
    assert mean.value == pytest.approx(held.mean())
    assert error_of(mean, 12) == pytest.approx(held.std() / sqrt(50), rel=1e-6)


def test_nobody_had_the_event() -> None:
    made = kaplan_meier([3, 4, 4], [False] * 3)
    assert made.at(3) == pytest.approx((1, 3 / (3 + 1.959964**2), 1))  # Wilson's interval of 3 of 3
    assert made.at(4) == pytest.approx((1, 2 / (2 + 1.959964**2), 1))
    assert median(made) == (inf, inf, inf)
    mean = restricted_mean(made, 4)
    assert mean.value == 4
    assert isnan(mean.low)
    assert isnan(mean.high)
    found = log_rank([1, 2, 3], [False] * 3, ["a", "b", "b"])
    assert found.freedom == 0
    assert isnan(found.p)


def test_where_all_or_none_had_the_event_a_band_is_wilsons() -> None:
    alone = 1.959964**2
    early = kaplan_meier([1, 2, 3, 4, 5], [False, False, True, True, True])
    assert early.low[:3] == pytest.approx([5 / (5 + alone), 5 / (5 + alone), 4 / (4 + alone)])
    between = kaplan_meier([1, 2, 3, 4, 5], [True, False, False, True, True])
    before = 0.4 * 0.6 / (0.4**2 * (1 / 20 + 1 / 2))  # by Greenwood; fewer than the three not censored
    assert between.high[-1] == pytest.approx(alone / (before + alone))
    together = kaplan_meier([7, 7], [True, True])
    assert together.at(7) == pytest.approx((0, 0, alone / (2 + alone)))
    assert kaplan_meier([0, 0], [True, True]).at(0) == together.at(7)


def test_an_event_at_time_zero_counts() -> None:
    made = kaplan_meier([0, 0, 5], [True, False, True])
    assert made.times.tolist() == [0, 5]
    assert made.estimate == pytest.approx([2 / 3, 0])
    assert made.at_risk.tolist() == [3, 1]


def test_a_group_that_left_before_the_first_event_is_not_compared() -> None:
    durations, observed = [1, 1, 5, 6, 7, 8], [False, False, True, True, True, False]
    with_it = log_rank(durations, observed, ["gone", "gone", "a", "b", "a", "b"])
    without = log_rank(durations[2:], observed[2:], ["a", "b", "a", "b"])
    assert with_it == pytest.approx(without)
    assert with_it.freedom == 1


def test_labels_and_order_change_no_test() -> None:
    rng = np.random.default_rng(3)
    durations, observed, groups = rng.integers(1, 9, 40), rng.random(40) < 0.6, rng.integers(0, 4, 40)
    order = rng.permutation(40)
    named = np.array(["d", "b", "a", "c"])[groups]
    expected = log_rank(durations, observed, groups)
    assert log_rank(durations[order], observed[order], named[order]) == pytest.approx(expected)
    assert expected.freedom == 3


@pytest.mark.parametrize("durations", [[], [-1, 2], [nan, 2], [inf, 2], [1, 2, 3], [[1, 2]]])
def test_durations_that_can_not_be_are_refused(durations: list[float]) -> None:
    observed = [True, False][: len(durations)]
    with pytest.raises(InputError, match="duration"):
        kaplan_meier(durations, observed)


@pytest.mark.parametrize("groups", [[1, 1], [1, 2, 3]])
def test_a_test_takes_two_groups(groups: list[int]) -> None:
    with pytest.raises(InputError, match="two groups"):
        log_rank([1, 2], [True, True], groups)
