"""The first sentence of a page: what was found, with its interval, or that nothing can be told.

A difference is told from none by a test at 5 %, corrected where the best of several is picked; one seed tests nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

LEVEL = 0.05


class Score(NamedTuple):
    """What one way reaches, 0 to 1 or in per cent, and its 95 % interval, NaN where there is none."""

    name: str
    mean: float
    low: float
    high: float
    percent: bool = False

    @property
    def shown(self) -> str:
        """Return mean and interval as they are printed."""
        digits, unit = (1, " %") if self.percent else (3, "")
        interval = "" if self.low != self.low else f" [{self.low:.{digits}f}, {self.high:.{digits}f}]"
        return f"{self.mean:.{digits}f}{interval}{unit}"


def ranked(
    measure: str, best: Score, second: Score | None, p: float, test: str, *, chance: float, enough: bool
) -> str:
    """Return who ranks best, and whether that is more than chance and the second reach; `p` is of the two."""
    reached = f"{measure} {best.shown}, by chance {chance:.3f}"
    if not enough:
        return f"Too few questions to tell who ranks best; the highest is {best.name} ({reached})."
    if best.low <= chance:
        return f"Nothing can be told from chance; the highest is {best.name} ({reached})."
    return f"{best.name} ranks best ({reached}){f'; {beside(second, p, test)}' if second else ''}."


def against(measure: str, scores: Sequence[Score], base: Score, p: Sequence[float], test: str) -> str:
    """Return whether any of several scores is above that of `base`; `p` are of each against it, not yet corrected."""
    place = max(range(len(scores)), key=lambda at: scores[at].mean)
    best, corrected = scores[place], min(1.0, p[place] * len(scores)) if p[place] == p[place] else p[place]
    if best.mean <= base.mean:
        return f"Nothing reaches more than {base.name} does: {measure} {base.shown}; next is {best.name}, {best.shown}."
    told = beside(base, corrected, f"{test}, for the best of {len(scores)}" if len(scores) > 1 else test)
    return f"{best.name} reaches the highest {measure}, {best.shown}; {told}."


def beside(other: Score, p: float, test: str) -> str:
    """Return what is to be said of another score that is lower, by the p-value of the difference."""
    if p != p:
        return f"whether that is more than {other.name}, {other.shown}, can't be told from one seed"
    if p >= LEVEL:
        return f"{other.name}, {other.shown}, can't be told from it ({test}: p = {p:.2f})"
    return (
        f"that is more than {other.name}, {other.shown} ({test}: p {'< .001' if p < 0.001 else f'= {p:.3f}'})"
    )
