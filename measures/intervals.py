"""95 % intervals of what was measured: by bootstrap over queries, over repeats and queries, and by Student's t.

A bootstrap takes queries, and repeats, for independent. The same seed gives the same draws.
"""

from collections.abc import Callable, Sequence
from math import nan
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Statistic = Callable[[Values], np.float64]
T = TypeVar("T")

_RESAMPLES_OF_MEANS = 10_000
_AT_ONCE = 100  # of them: 10,000 queries would take 1.6 GB
RESAMPLES = 1_000  # of a statistic
NORMAL_95 = 1.959963984540054  # standard deviations to either side hold 95 %


class Estimate(NamedTuple):
    """A value and its 95 % interval, NaN where there is none."""

    value: float
    low: float
    high: float


UNTOLD = Estimate(nan, nan, nan)


def limits(drawn: Sequence[float] | Values) -> tuple[float, float]:
    """Return the ends of the middle 95 % of what was drawn, (n,)."""
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def of_mean(values: Values, rng: np.random.Generator) -> tuple[float, float]:
    """Return the bootstrap interval of the mean over queries, (queries,)."""
    means = np.empty(_RESAMPLES_OF_MEANS)
    for first in range(0, _RESAMPLES_OF_MEANS, _AT_ONCE):
        drawn = rng.integers(0, len(values), (_AT_ONCE, len(values)))
        means[first : first + _AT_ONCE] = values[drawn].mean(axis=1)
    return limits(means)


def of_means(values: Values, rng: np.random.Generator) -> tuple[Values, Values]:
    """Return the bootstrap interval of the mean of every column of (queries, m), (m,) both; NaN is no query.

    All columns are drawn at once, as how often each query comes: a matrix product, where one column indexes.
    """
    there = ~np.isnan(values)
    filled, means = np.where(there, values, 0), np.empty((_RESAMPLES_OF_MEANS, values.shape[1]), np.float32)
    even = np.full(len(values), 1 / len(values))
    for first in range(0, _RESAMPLES_OF_MEANS, _AT_ONCE):
        times = rng.multinomial(len(values), even, _AT_ONCE).astype(np.float64)
        with np.errstate(invalid="ignore"):
            means[first : first + _AT_ONCE] = times @ filled / (times @ there)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return low, high


def of_statistic(values: Values, statistic: Statistic = np.median, *, seed: int = 0) -> Estimate:
    """Return a statistic of (repeats, queries) with its interval: repeats and queries are drawn independently."""
    drawn = bootstrap(
        lambda rng: statistic(values[draw_repeats(rng, values), draw_queries(rng, values)]), seed
    )
    return Estimate(float(statistic(values)), *limits(drawn))


def over_repeats(values: Sequence[float], *, seed: int = 0) -> Estimate:
    """Return the mean of a figure that each repeat has one of, as throughput; of a single one without an interval."""
    if len(values) == 1:
        return Estimate(values[0], nan, nan)
    return of_statistic(np.asarray(values, np.float64)[:, None], np.mean, seed=seed)


def bootstrap(draw: Callable[[np.random.Generator], T], seed: int) -> list[T]:
    """Return what `draw` makes of as many resamples as a statistic's interval takes."""
    rng = np.random.default_rng(seed)
    return [draw(rng) for _ in range(RESAMPLES)]


def draw_repeats(rng: np.random.Generator, values: Values) -> Rows:
    """Draw repeats of (repeats, queries) anew, (repeats, 1)."""
    return rng.integers(0, len(values), (len(values), 1))


def draw_queries(rng: np.random.Generator, values: Values) -> Rows:
    """Draw queries of (repeats, queries) anew, (queries,)."""
    return rng.integers(0, values.shape[1], (values.shape[1],))


def student(values: npt.ArrayLike) -> Estimate:
    """Return the mean of a few values, as of seeds, (n,), with its interval by Student's t; NaN is no value.

    Of one value there is no interval, of none no mean.
    """
    from scipy.stats import t

    found = np.asarray(values, np.float64)
    found = found[~np.isnan(found)]
    if not len(found):
        return UNTOLD
    mean, n = float(found.mean()), len(found)
    if n < 2:
        return Estimate(mean, nan, nan)
    half = float(t.ppf(0.975, n - 1) * found.std(ddof=1) / n**0.5)
    return Estimate(mean, mean - half, mean + half)
