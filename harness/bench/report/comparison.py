"""Settings against each other: at equal recall, on the front, with bootstrap intervals; and whether to believe it.

Values by query are (repeats, queries): the same queries in every repeat, so that repeats and queries are drawn anew
independently, and two settings are compared query by query.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import nan
from typing import NamedTuple

import numpy as np
from cohorts.errors import InputError
from cohorts.harness.bench.plan.dataset import Rows
from cohorts.harness.bench.results import Floats

_RESAMPLES = 1_000
_NORMAL_95 = 1.96
_AGREES = 0.05  # what differs by less is the same to anyone who chooses an engine
_MOST_APART = 0.05  # of the settings: some are disturbed on any machine
_MOST_SPREAD = 0.1  # beyond, settings that differ by a fifth are not told apart

Statistic = Callable[[Floats], np.float64]


class Point(NamedTuple):
    """A setting by its recall and what it costs (ms) or yields (queries per second)."""

    name: str
    recall: float
    value: float


class Estimate(NamedTuple):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


class SpeedUp(NamedTuple):
    """How many times faster than the base, with its interval, and the p-value of the paired test."""

    ratio: Estimate
    p: float


@dataclass(frozen=True, eq=False)
class Setting:
    """One point of a curve: `recall` and `latency_ms`, both (repeats, queries)."""

    name: str
    recall: Floats
    latency_ms: Floats


class Growth(NamedTuple):
    """The exponent b of a * n ** b, with its 95 % interval."""

    exponent: float
    low: float
    high: float


@dataclass(frozen=True)
class Noise:
    """Whether runs of the same settings agree: which settings lie apart, and which pairs changed places.

    95 % of the figures lie within ±`spread`, a share, of what they would be in the mean of many runs.
    """

    settings: int
    spread: float
    apart: tuple[str, ...]
    swapped: tuple[tuple[str, str], ...]

    @property
    def too_noisy(self) -> bool:
        """Tell whether the machine was too noisy to believe differences between settings."""
        many = len(self.apart) > _MOST_APART * self.settings
        return bool(self.swapped) or many or self.spread > _MOST_SPREAD

    @property
    def line(self) -> str:
        """Return the verdict in words."""
        told = f"medians lie within ±{self.spread:.1%}, {len(self.apart)} of {self.settings} settings further apart"
        if not self.too_noisy:
            return f"Repeats agree: {told}, none changed places."
        swapped = f"; {self.swapped[0][0]} and {self.swapped[0][1]} changed places" if self.swapped else ""
        return (
            f"The machine was too noisy: between repeats {told}{swapped}. Measure again with nothing else running, "
            "longer, or with more repeats."
        )


def front(points: Sequence[Point], *, larger_is_better: bool) -> list[Point]:
    """Return the points that no other one beats in both recall and value, by rising recall; of equals, the first."""
    sign = -1 if larger_is_better else 1
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (-point.recall, sign * point.value)):
        if not kept or sign * point.value < sign * kept[-1].value:
            kept.append(point)
    return kept[::-1]


def at_recall(points: Sequence[Point], recall: float, *, larger_is_better: bool) -> float | None:
    """Return the value at a recall, on straight lines between the points of the front; None beyond its ends."""
    kept = front(points, larger_is_better=larger_is_better)
    if not kept or not kept[0].recall <= recall <= kept[-1].recall:
        return None
    return float(np.interp(recall, [point.recall for point in kept], [point.value for point in kept]))


def estimate(values: Floats, statistic: Statistic = np.median, *, seed: int = 0) -> Estimate:
    """Return a statistic of values by query, (repeats, queries), with its interval over repeats and queries."""
    rng = np.random.default_rng(seed)
    drawn = [
        float(statistic(values[_repeats(rng, values), _queries(rng, values)])) for _ in range(_RESAMPLES)
    ]
    return _estimate(float(statistic(values)), drawn)


def over_repeats(values: Sequence[float], *, seed: int = 0) -> Estimate:
    """Return the mean of a figure that each repeat has one of, as throughput, with its interval over repeats.

    Of a single repeat there is no interval: it is NaN.
    """
    if len(values) == 1:
        return Estimate(values[0], nan, nan)
    return estimate(np.asarray(values, np.float64)[:, None], np.mean, seed=seed)


def speed_up(base: Floats, other: Floats, *, seed: int = 0) -> SpeedUp:
    """Return how many times faster `other` is than `base` by the median latency, both (repeats, queries).

    The p-value is of Wilcoxon's signed-rank test on each query's median over the repeats; 1 where all are equal.
    Raises InputError where they are not of the same queries.
    """
    from scipy.stats import wilcoxon

    _check_same_queries([base, other])
    rng = np.random.default_rng(seed)
    ratios = []
    for _ in range(_RESAMPLES):
        queries = _queries(rng, base)
        ratios.append(_ratio(base[_repeats(rng, base), queries], other[_repeats(rng, other), queries]))
    ours, theirs = np.median(other, axis=0), np.median(base, axis=0)
    p = float(wilcoxon(ours, theirs).pvalue) if np.any(ours != theirs) else 1.0
    return SpeedUp(_estimate(_ratio(base, other), ratios), p)


def speed_up_at(
    recall: float, base: Sequence[Setting], other: Sequence[Setting], *, seed: int = 0
) -> Estimate | None:
    """Return how many times faster `other` is than `base` at the same recall, each on its own front.

    Every draw makes both fronts anew. None where one of them does not reach the recall, or not in 95 % of the draws.
    Raises InputError where they are not of the same queries.
    """
    _check_same_queries([values for one in (*base, *other) for values in (one.recall, one.latency_ms)])
    rng = np.random.default_rng(seed)
    measured = _ratio_at(recall, base, other)
    if measured is None:
        return None
    drawn = []
    for _ in range(_RESAMPLES):
        queries = _queries(rng, base[0].recall)
        ratio = _ratio_at(recall, *([_redrawn(one, rng, queries) for one in side] for side in (base, other)))
        if ratio is not None:
            drawn.append(ratio)
    return _estimate(measured, drawn) if len(drawn) >= 0.95 * _RESAMPLES else None


def noise(runs: Sequence[Mapping[str, float]]) -> Noise:
    """Return whether several runs of the same settings agree, each told by a figure of every setting, as its median.

    How far one setting's figures lie from each other is the machine's doing, not the setting's: it is one spread for
    all, taken from their median, so that the few that were disturbed do not make it. Settings lie apart where two runs
    differ by more than the two 95 % intervals that follow from it, and by more than 5 %. Two change places where one
    run puts the first that far below the second, and another one above it.
    Raises InputError for fewer than two runs, or runs of other settings, or of none.
    """
    from scipy.stats import chi2

    if len(runs) < 2 or not runs[0] or any(run.keys() != runs[0].keys() for run in runs):
        raise InputError("Whether runs agree is asked of two or more runs of the same settings.")
    names, freedom = list(runs[0]), len(runs) - 1
    logs = np.log([[run[name] for name in names] for run in runs])
    # Squared deviations of normal errors follow chi², of which this is the median.
    deviation = np.sqrt(np.median(logs.var(axis=0, ddof=1)) * freedom / chi2.median(freedom))
    far = max(2 * _NORMAL_95 * deviation, np.log1p(_AGREES))
    apart = tuple(name for name, some in zip(names, logs.T, strict=True) if np.ptp(some) > far)
    swapped = tuple(
        (names[one], names[two])
        for one, two in combinations(range(len(names)), 2)
        if _both_ways(logs[:, one] - logs[:, two], far)
    )
    return Noise(len(names), float(np.expm1(_NORMAL_95 * deviation)), apart, swapped)


def _both_ways(differences: Floats, far: float) -> bool:
    return bool((differences > far).any() and (differences < -far).any())


def growth(n: Sequence[float], values: Sequence[float]) -> Growth:
    """Fit values against n on logarithms, by least squares.

    Raises InputError for fewer than three sizes, from which no interval follows, and for what has no logarithm.
    """
    from scipy.stats import t

    if len(set(n)) < 3 or len(n) != len(values):
        raise InputError(f"Growth is fitted to three or more sizes; {len(set(n))} were measured.")
    if min(*n, *values) <= 0:
        raise InputError("Growth is fitted to sizes and values above 0.")
    (slope, _), covariance = np.polyfit(np.log(n), np.log(values), 1, cov=True)
    half = float(t.ppf(0.975, len(n) - 2) * np.sqrt(covariance[0, 0]))
    return Growth(float(slope), float(slope - half), float(slope + half))


def _estimate(value: float, drawn: Sequence[float]) -> Estimate:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def _ratio(base: Floats, other: Floats) -> float:
    return float(np.median(base) / np.median(other))


def _ratio_at(recall: float, base: Sequence[Setting], other: Sequence[Setting]) -> float | None:
    slow, fast = (
        at_recall(
            [Point(one.name, float(one.recall.mean()), float(np.median(one.latency_ms))) for one in side],
            recall,
            larger_is_better=False,
        )
        for side in (base, other)
    )
    return None if slow is None or fast is None else slow / fast


def _redrawn(setting: Setting, rng: np.random.Generator, queries: Rows) -> Setting:
    repeats = _repeats(rng, setting.recall)
    return Setting(setting.name, setting.recall[repeats, queries], setting.latency_ms[repeats, queries])


def _repeats(rng: np.random.Generator, values: Floats) -> Rows:
    """Draw repeats, (repeats, 1)."""
    return rng.integers(0, len(values), (len(values), 1))


def _queries(rng: np.random.Generator, values: Floats) -> Rows:
    """Draw queries, (queries,)."""
    return rng.integers(0, values.shape[1], (values.shape[1],))


def _check_same_queries(values: Sequence[Floats]) -> None:
    widths = {one.shape[1] for one in values}
    if len(widths) != 1:
        raise InputError(
            f"Settings are compared query by query; these have {' and '.join(map(str, sorted(widths)))} queries."
        )
