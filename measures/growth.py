"""How a cost grows with the number of vectors."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from cohorts.errors import InputError

LEAST_SIZES = 3


class Growth(NamedTuple):
    """The exponent b of a * n ** b, with its 95 % interval."""

    exponent: float
    low: float
    high: float


def growth(n: Sequence[float], values: Sequence[float]) -> Growth:
    """Fit values against n on logarithms, by least squares.

    Raises InputError for fewer than three sizes, from which no interval follows, and for what has no logarithm.
    """
    from scipy.stats import t

    if len(set(n)) < LEAST_SIZES or len(n) != len(values):
        raise InputError(f"Growth is fitted to three or more sizes; {len(set(n))} were measured.")
    if min(*n, *values) <= 0:
        raise InputError("Growth is fitted to sizes and values above 0.")
    (slope, _), covariance = np.polyfit(np.log(n), np.log(values), 1, cov=True)
    half = float(t.ppf(0.975, len(n) - 2) * np.sqrt(covariance[0, 0]))
    return Growth(float(slope), float(slope - half), float(slope + half))
