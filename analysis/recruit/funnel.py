"""What each criterion costs: how many are left after it, and how many it would leave alone; small counts are hidden.

A count is shown where no group of 1 to `min_cell` - 1 patients can be told by it and the counts beside it: those who
pass and who fail a criterion, alone and among those who passed the ones before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MIN_CELL = 11


@dataclass(frozen=True)
class Step:
    """A criterion's cost; None where a count is hidden.

    `left` are not ruled out by it and those before it, `alone` not by it alone, `unknown` those of `alone` of whom the
    records can't tell.
    """

    criterion: str
    role: str
    left: int | None
    alone: int | None
    unknown: int | None


def funnel(
    names: Sequence[tuple[str, str]],
    fails: Sequence[npt.NDArray[np.bool_]],
    unknown: Sequence[npt.NDArray[np.bool_]],
    min_cell: int = MIN_CELL,
) -> tuple[int | None, list[Step]]:
    """Return how many patients are screened, and the cost of each criterion, in order.

    `names[i]` are role and label of criterion i, which `fails[i]` (n,) rules out and `unknown[i]` (n,) can't tell of.
    """
    many = len(fails[0]) if fails else 0
    left = np.ones(many, bool)
    shown = many if _is_safe(min_cell, many) else None
    last, steps = many, []
    for (role, name), out, open_ in zip(names, fails, unknown, strict=True):
        before, left = left, left & ~out
        count, alone = int(left.sum()), int((~out).sum())
        lost_alone = many - alone
        both = (
            int((~before & ~out).sum()),
            int((~before & out).sum()),
        )  # failed before, and pass or fail this one
        step_shown = shown is not None and _is_safe(min_cell, count, last - count)
        alone_shown = shown is not None and _is_safe(
            min_cell, alone, lost_alone, *both, count, int(before.sum()) - count
        )
        open_shown = alone_shown and _is_safe(min_cell, int(open_.sum()), alone - int(open_.sum()))
        steps.append(
            Step(
                name,
                role,
                count if step_shown else None,
                alone if alone_shown else None,
                int(open_.sum()) if open_shown else None,
            )
        )
        last = count if step_shown else last
    return shown, steps


def _is_safe(min_cell: int, *cells: int) -> bool:
    return all(cell == 0 or cell >= min_cell for cell in cells)
