"""Columns of numbers with gaps: which to take, how to scale them, and what stands in a gap; learnt on training stays.

Source: the sepsis prognosis paper, section 2.2 (docs/sepsis.md): variables that are often missing are left out,
skewed ones are scaled from 0 to 1, others to mean 0 and standard deviation 1, and mutual information with the outcome
and correlation among the columns say which are taken. Its bounds are not told; what was chosen is told here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]  # with NaN for what is missing
Flags = npt.NDArray[np.bool_]

SKEWED = 1.0  # a skewness beyond which a column is skewed
FARTHEST = 5.0  # standard deviations: what lies beyond is a slip of the pen as often as a patient
CORRELATED = 0.9  # of two columns with a correlation beyond it, the less informative one is left out
_BINS = 10  # of mutual information; what is missing has one of its own
_ENDS = (1, 99)  # percentiles that become 0 and 1: one slip of the pen would press all others together
_CONSTANT = 1e-9


@dataclass(frozen=True)
class Scaling:
    """Of c columns: what is taken off, what it is divided by, the least and the most, and what stands in a gap."""

    centre: Values
    spread: Values
    least: Values
    most: Values
    fill: Values  # scaled

    @classmethod
    def learn(cls, values: Values) -> "Scaling":
        """Learn it of (n, c), each with a value and with more than one."""
        centre, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        skewed = np.abs(skewness(values)) > SKEWED
        low, high = np.nanpercentile(values, _ENDS, axis=0)
        skewed &= high > low
        made = cls(
            np.where(skewed, low, centre),
            np.where(skewed, high - low, np.where(spread > _CONSTANT, spread, 1.0)),
            np.where(skewed, 0.0, -FARTHEST),
            np.where(skewed, 1.0, FARTHEST),
            np.zeros(values.shape[1]),
        )
        made.fill[:] = np.nanmedian(made.scaled(values), axis=0)
        return made

    def scaled(self, values: Values) -> Values:
        """Return values (…, c) on their scale; gaps stay."""
        made: Values = np.clip((values - self.centre) / self.spread, self.least, self.most)
        return made

    def filled(self, values: Values) -> Values:
        """Return values (…, c) on their scale; the median of the training stays stands in a gap."""
        made = self.scaled(values)
        filled: Values = np.where(np.isnan(made), self.fill, made)
        return filled

    def take(self, columns: npt.NDArray[np.intp]) -> "Scaling":
        """Return that of some columns."""
        return Scaling(*(getattr(self, one.name)[columns] for one in fields(self)))

    def tensors(self) -> dict[str, Values]:
        """Return its arrays by name."""
        return {one.name: np.ascontiguousarray(getattr(self, one.name)) for one in fields(self)}


def skewness(values: Values) -> Values:
    """Return the skewness of every column of (n, c), gaps left out; 0 of one that is constant."""
    off = values - np.nanmean(values, axis=0)
    spread = np.nanstd(values, axis=0)
    third: Values = np.nanmean(off**3, axis=0)
    made: Values = np.divide(third, spread**3, out=np.zeros_like(third), where=spread > _CONSTANT)
    return made


def usable(values: Values, missing: float) -> Flags:
    """Return which columns of (n, c) at most a share of `missing` lacks, and which vary, (c,)."""
    lacking = np.isnan(values).mean(axis=0)
    there = lacking < 1
    varies = np.zeros(values.shape[1], dtype=bool)
    varies[there] = np.nanmax(values[:, there], axis=0) > np.nanmin(values[:, there], axis=0)
    flags: Flags = there & varies & (lacking <= missing)
    return flags


def informative(values: Values, died: Values, most: int) -> npt.NDArray[np.intp]:
    """Return at most so many columns of (n, c), those that tell most of the outcome (n,) first, none twice.

    A column that correlates with one taken before is left out; gaps count as the column's mean there.
    """
    from sklearn.feature_selection import mutual_info_classif

    if not values.shape[1]:
        return np.zeros(0, np.intp)
    told = mutual_info_classif(binned(values), died.astype(np.int64), discrete_features=True)
    mean, spread = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    standard = np.where(np.isnan(values), 0, (values - mean) / np.maximum(spread, _CONSTANT))
    length = np.sqrt(np.square(standard).sum(axis=0))
    standard /= np.maximum(length, _CONSTANT)
    taken: list[int] = []
    for column in np.argsort(-told, kind="stable").tolist():
        if len(taken) == most:
            break
        if not taken or np.abs(standard[:, taken].T @ standard[:, column]).max() <= CORRELATED:
            taken.append(column)
    return np.array(taken, np.intp)


def binned(values: Values) -> npt.NDArray[np.int64]:
    """Return (n, c) as tenths of every column, 0 to 9, and 10 for what is missing."""
    made = np.full(values.shape, _BINS, np.int64)
    shares = np.arange(1, _BINS) / _BINS
    for column in range(values.shape[1]):
        there = ~np.isnan(values[:, column])
        edges = np.unique(np.quantile(values[there, column], shares)) if there.any() else shares
        made[there, column] = np.searchsorted(edges, values[there, column], side="right")
    return made


def columns_of(names: Sequence[str], taken: npt.NDArray[np.intp]) -> list[str]:
    """Return the names of some columns."""
    return [names[column] for column in taken.tolist()]
