"""Several seeds in one line: mean, standard deviation, and a paired test against the baseline."""

from typing import NamedTuple

import pandas as pd
from cohorts.measures.intervals import student
from cohorts.measures.paired import t_p


class Cell(NamedTuple):
    """Mean over the seeds and half of its 95 % interval (Student's t); `p` against a baseline; NaN where untold."""

    mean: float
    half: float
    p: float = float("nan")


def cell_of(values: "pd.Series[float]", base: "pd.Series[float] | None" = None) -> Cell:
    """Return the seeds' values as one cell, tested against those of `base` where there is one."""
    found = student(values)
    p = float("nan") if base is None else t_p(values, base)
    return Cell(found.value, (found.high - found.low) / 2, p)
