"""Correlation of two series of values, -1 to 1, with its 95 % interval by bootstrap; NaN where one does not vary."""

from collections.abc import Callable

import numpy as np
from cohorts.measures.intervals import Estimate, Values

_RESAMPLES = 2_000
_AT_ONCE = 100  # of them


def spearman(first: Values, second: Values) -> Estimate:
    """Return the rank correlation of two (n,), and its interval.

    Source: Reimers & Gurevych, 2019, Sentence-BERT, section 4.
    """
    from scipy.stats import rankdata

    return _with_interval(first, second, lambda values: rankdata(values, axis=1))


def pearson(first: Values, second: Values) -> Estimate:
    """Return the linear correlation of two (n,), and its interval."""
    return _with_interval(first, second, lambda values: values)


def _with_interval(first: Values, second: Values, seen: Callable[[Values], Values]) -> Estimate:
    """Return the correlation of what is `seen` of both, and its interval (bootstrap over the pairs)."""
    rng, many = np.random.default_rng(0), len(first)
    drawn = []
    for _ in range(0, _RESAMPLES, _AT_ONCE):
        rows = rng.integers(0, many, (_AT_ONCE, many))
        drawn.append(_correlations(seen(first[rows]), seen(second[rows])))
    (value,) = _correlations(seen(first[None]), seen(second[None]))
    if np.isnan(value):
        return Estimate(value, value, value)
    low, high = np.nanpercentile(np.concatenate(drawn), [2.5, 97.5])
    return Estimate(float(value), float(low), float(high))


def _correlations(first: Values, second: Values) -> Values:
    """Return the correlation of every row, (m,); NaN where one of the two does not vary."""
    first, second = (one - one.mean(axis=1, keepdims=True) for one in (first, second))
    lengths = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    varied = (np.ptp(first, axis=1) > 0) & (np.ptp(second, axis=1) > 0)
    found = np.full(len(first), np.nan)
    found[varied] = (first * second).sum(axis=1)[varied] / lengths[varied]
    return found
