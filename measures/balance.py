"""How far two groups lie apart in what they were before: standardised mean differences, without a unit.

Those not known are left out before, and told as a share of their own. Beyond 0.1 groups are commonly said to differ.
First less second, where tableone (Python) has the second less the first; standard deviations of n - 1, as there.
"""

from math import sqrt

import numpy as np
import numpy.typing as npt
from cohorts.measures.intervals import Values


def numeric(first: Values, second: Values) -> float:
    """Return the difference of two means in standard deviations, (n,) and (m,), NaN is no value.

    That is the root of the mean of both variances. NaN where a group has fewer than two values, 0 where all are one
    value, infinite where each group has one of its own.
    Source: Austin, 2009, Balance diagnostics for comparing the distribution of baseline covariates, section 2.
    """
    (one, spread), (other, other_spread) = _moments(first), _moments(second)
    return _standardised(one - other, (spread + other_spread) / 2)


def binary(first: float, second: float) -> float:
    """Return the difference of two shares, 0 to 1 or NaN, in standard deviations; infinite between 0 and 1."""
    return _standardised(first - second, (first * (1 - first) + second * (1 - second)) / 2)


def categories(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return how far two groups lie apart by their counts at each of some levels, (levels,) both; it has no sign.

    Mahalanobis' distance of the shares; of two levels the amount of `binary`. A level that neither has changes
    nothing (tableone has NaN). NaN where a group is empty, infinite where no level is in both.
    Source: Yang and Dalton, 2012, A unified approach to measuring the effect size between two groups, SAS Global Forum.
    """
    counts = np.stack([np.asarray(first, np.float64), np.asarray(second, np.float64)])
    if not counts.sum(axis=1).all():
        return float("nan")
    if not counts.all(axis=0).any():
        return float("inf")
    shares = counts[:, counts.any(axis=0)] / counts.sum(axis=1, keepdims=True)
    one, other = shares[:, 1:]  # the first level follows from the others
    covariance = (np.diag(one + other) - np.outer(one, one) - np.outer(other, other)) / 2
    return sqrt((one - other) @ np.linalg.solve(covariance, one - other))


def _moments(values: Values) -> tuple[float, float]:
    """Return mean and variance of what is known; those of one value over and over without rounding."""
    known = values[~np.isnan(values)]
    if len(known) < 2:
        return float("nan"), float("nan")
    return (float(known[0]), 0.0) if np.ptp(known) == 0 else (float(known.mean()), float(known.var(ddof=1)))


def _standardised(apart: float, variance: float) -> float:
    if variance > 0 or apart != apart:
        return apart / sqrt(variance)
    return float(np.copysign(np.inf, apart)) if apart else 0.0
