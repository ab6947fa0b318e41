"""Points by bands of a value, as the tables of scores have them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from cohorts.records.scores.observed import Floats

if TYPE_CHECKING:
    import pandas as pd


def points(values: "pd.Series[float]", edges: Sequence[float], told: Sequence[float]) -> Floats:
    """Return the points of each value, (n,) float64: `told[i]` from `edges[i - 1]` up to below `edges[i]`; NaN of NaN.

    `edges` rise, and `told` has one more: the first is below all edges, the last from the last edge on.
    """
    written = values.to_numpy(np.float64)
    found = np.asarray(told, np.float64)[np.searchsorted(np.asarray(edges), written, side="right")]
    return np.where(np.isnan(written), np.nan, found)


def most(*several: Floats) -> Floats:
    """Return the most points of several, of those that are seen; NaN where none is."""
    found = several[0]
    for one in several[1:]:
        found = np.fmax(found, one)
    return found
