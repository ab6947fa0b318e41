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


class Denominators:
    """How many of each group an outcome is of, one outcome after the other.

    Two that differ by a few tell how few died, or left, in between; a share with all its digits tells what it is of.
    """

    def __init__(self, cells: SmallCells, sizes: Sequence[int]) -> None:
        self._cells, self._told = cells, [{size} for size in sizes]

    def hide(self, now: Sequence[int], also: Sequence[Iterable[int]] = ()) -> bool:
        """Return whether these must not be told, in any group; else they are, and `also` what follows from them."""
        few = any(
            self._cells.small(abs(one - other))
            for one, told in zip(now, self._told, strict=True)
            for other in told
        )
        for place, told in enumerate(self._told):
            told |= set() if few else {now[place]}
            told |= {*also[place]} if also else set()
        return few
