"""A flow chart of exclusions in which no step tells of a few patients: neither those left out nor those remaining."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cohorts.analysis.compare.small_cells import SmallCells


class Group(NamedTuple):
    """How many stays, and of how many patients."""

    stays: int
    patients: int


class Excluded(NamedTuple):
    """A step as it is counted."""

    reason: str
    left_out: Group
    remaining: Group


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step as it is shown, in stays; None is hidden."""

    reason: str
    left_out: int | None
    remaining: int | None


def shown(everybody: Group, flow: Sequence[Excluded], cells: SmallCells) -> tuple[int | None, list[Step]]:
    """Return how many stays there are, and each step.

    What remains is shown where it is of no few patients, nor those who left since a number was last shown. Who left
    in a step is shown where the numbers before and after it are.
    """
    before, since, steps = not cells.small(everybody.patients), 0, []
    start = everybody.stays if before else None
    for one in flow:
        since = max(since, one.left_out.patients)
        told = start is not None and not cells.small(one.remaining.patients) and not cells.small(since)
        steps.append(
            Step(
                reason=one.reason,
                left_out=one.left_out.stays if (told and before) or not one.left_out.stays else None,
                remaining=one.remaining.stays if told else None,
            )
        )
        before, since = told, 0 if told else since
    return start, steps
