"""Several seeds in one line: mean, standard deviation, and a paired test against the baseline."""

from typing import NamedTuple

import numpy as np
import pandas as pd


class Cell(NamedTuple):
    """Mean over the seeds and half of its 95 % interval (Student's t); `p` against a baseline; NaN where untold."""

    mean: float
    half: float
    p: float = float("nan")


def cell_of(values: "pd.Series[float]", base: "pd.Series[float] | None" = None) -> Cell:
    """Return the seeds' values as one cell, tested against those of `base` where there is one."""
    return Cell(
        float(values.mean()),
        half_interval(values),
        float("nan") if base is None else paired_p(values, base),
    )


def half_interval(values: "pd.Series[float]") -> float:
    """Return half of the 95 % interval of the mean (Student's t); NaN for a single value."""
    from scipy.stats import t

    n = len(values)
    return float(t.ppf(0.975, n - 1) * values.std() / n**0.5) if n > 1 else float("nan")


def paired_p(ours: "pd.Series[float]", base: "pd.Series[float]") -> float:
    """Return the p-value; NaN for a single seed, and where every difference is the same."""
    from scipy.stats import ttest_rel

    differences = ours.to_numpy() - base.to_numpy()
    if len(differences) < 2 or np.ptp(differences) == 0:
        return float("nan")
    return float(ttest_rel(ours.to_numpy(), base.to_numpy()).pvalue)
