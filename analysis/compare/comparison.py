"""What is asked of a comparison, of which records, and what it tells."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cohorts.analysis.compare import outcomes
from cohorts.analysis.compare.groups import Members
from cohorts.analysis.compare.matching import Match
from cohorts.analysis.compare.small_cells import LEAST
from cohorts.errors import InputError
from cohorts.records.base import Unit
from cohorts.records.kept.reading import Kept

if TYPE_CHECKING:
    import pandas as pd

REST, MATCHED = "rest", "matched"
ASSOCIATION = "association, not effect: who is in which group was not drawn by lot"
STAY, IN_HOSPITAL = IN_STAY = ("length-of-stay", "death-in-hospital")
OFFERED = (*IN_STAY, outcomes.DEATH, outcomes.RETURN)
"""The names by which outcomes are asked for."""


_DAYS = re.compile(r"\s*([1-9]\d{0,3})\s*d?\s*")


def parse_days(text: str) -> timedelta:
    """Read `365d` or `365`. Raises InputError."""
    found = _DAYS.fullmatch(text)
    if found is None:
        raise InputError(f"{text[:80]!r} is no number of days up to 9999: write 365d.")
    return timedelta(days=int(found[1]))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be compared with what, and how.

    `against` is another cohort, `rest`, `matched`, or None for a group alone; `outcomes` are names of OFFERED, by
    default those that the collection's window allows. `follow_up` is how long after the last contact deaths are known,
    by the user's word. With `anyway`, outcomes are told that the vectors may have seen, and are marked. Fewer than
    `min_cell` patients are hidden.
    """

    cohort: Members
    against: Members | str | None = None
    outcomes: Sequence[str] = ()
    match: Match = Match.NEAREST
    follow_up: timedelta | None = None
    anyway: bool = False
    min_cell: int = LEAST

    def __post_init__(self) -> None:
        if unknown := [one for one in self.outcomes if one not in OFFERED]:
            raise InputError(f"There is no outcome {unknown[0]!r}. There are: {', '.join(OFFERED)}.")
        if isinstance(self.against, str) and self.against not in (REST, MATCHED):
            raise InputError(f"A cohort is compared with another one, {REST!r} or {MATCHED!r}.")
        if self.min_cell < 1:
            raise InputError("The least number of patients shown is 1 or more.")


@dataclass(frozen=True)
class Held:
    """The units that a collection holds: who they are, in words, and a way to read their ids, which is slow."""

    population: str
    ids: Callable[[], Iterable[str]]


@dataclass(frozen=True, kw_only=True)
class Records:
    """The records of a collection: its name, what its vectors see of them, and the folder of what was told of it.

    `held` are the units of a collection whose encoder leaves others out by a rule, None where it does not.
    """

    kept: Kept
    collection: str
    as_of: str
    unit: Unit
    folder: Path
    synthetic: bool = False
    held: "Held | None" = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is told of the groups: rows of one long table, with what they are and by which rules.

    Columns of `figures`: sheet (characteristics, balance, outcomes, curves, care, pathways, courses), item, level, at
    (a day, or a step), group (or `difference`, `test`), measure, value, low, high (95 % interval, or quartiles), text
    (stands in place of a value that is hidden or not known).
    """

    collection: str
    groups: tuple[str, ...]
    patients: tuple[int, ...]
    as_of: str
    time_zero: str
    censoring: str
    min_cell: int
    synthetic: bool
    seen: bool
    notes: tuple[str, ...]
    figures: "pd.DataFrame" = field(repr=False)

    def sheet(self, name: str) -> "pd.DataFrame":
        """Return the rows of one sheet."""
        return self.figures[self.figures["sheet"] == name].reset_index(drop=True)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it: what is missing is null."""
        about = {name: value for name, value in self.__dict__.items() if name != "figures"}
        rows = self.figures.astype("object").where(self.figures.notna(), None)
        return {"kind": ASSOCIATION, **about, "figures": rows.to_dict("records")}
