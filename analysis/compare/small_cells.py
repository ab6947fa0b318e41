"""Small counts: what tells how many a few patients are, and what would give it away, is not shown.

A count is small from 1 to `least` - 1. It stays hidden in all groups together with what it could be subtracted from: a
level with others, a share with its complement, a step of a curve with the next one.
"""

from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

LEAST = 11
Counts = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SmallCells:
    """The rule. `least` patients are shown, and none; with 1 everything is."""

    least: int = LEAST

    @property
    def hidden(self) -> str:
        """Return what stands in place of a hidden figure."""
        return "hidden"

    def small(self, count: float) -> bool:
        """Tell whether a count must not be seen."""
        return 0 < count < self.least

    def fit(self, counts: Sequence[float] | Counts, of: Sequence[float] | Counts) -> bool:
        """Tell whether counts, and how many of each total are left, may be seen in all groups."""
        return not any(
            self.small(one) or self.small(all_ - one) for one, all_ in zip(counts, of, strict=True)
        )

    def pools(self, counts: Counts) -> list[list[int]]:
        """Return which levels of (levels, groups) are shown alone or together, so that no count is small.

        The levels add up to what is known of the groups. None where all would stand together.
        """
        small = (counts > 0) & (counts < self.least)
        pool = np.flatnonzero(small.any(axis=1)).tolist()
        alone = [level for level in range(len(counts)) if level not in pool]
        by_size = sorted(alone, key=lambda level: int(counts[level].sum()))
        while pool and any(map(self.small, counts[pool].sum(axis=0))) and by_size:
            pool.append(by_size.pop(0))
        alone = [level for level in alone if level not in pool]
        return [*([level] for level in alone), *([sorted(pool)] if pool else [])] if alone else []

    def steps(self, cumulative: Counts, left: Counts, *wanted: Iterable[int]) -> list[int]:
        """Return the places at which a rising count may be told, so that between any two none or enough came.

        `cumulative` is (t,) from time zero on, `left` (t,) how many could still be counted. The first place always
        stands; then as many of the `wanted` as can, those named first before others.
        """
        chosen = [0]
        for place in chain(*wanted):
            at = bisect(chosen, place)
            beside = chosen[at - 1 : at + 1]
            apart = not any(self.small(abs(cumulative[place] - cumulative[one])) for one in beside)
            if apart and place not in beside and not self.small(left[place]):
                chosen.insert(at, place)
        return chosen

    def without_few(self, stay: Marks) -> Marks:
        """Return who of some stays, (n,) bool; where only a few don't, others are left out by lot until enough are.

        What is told of those who stay tells how many they are, and so how few are not.
        """
        gone = int((~stay).sum())
        if not self.small(gone):
            return stay
        lot = np.random.default_rng(0).permutation(np.flatnonzero(stay))
        left = stay.copy()
        left[lot[: self.least - gone]] = False
        return left
