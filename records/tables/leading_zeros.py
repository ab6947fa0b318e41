"""Codes that lost their leading zeros: a program that reads them as numbers makes 66 of 0066, which is another code.

One such code can't be told from a sound one. A whole table can: of all classifications that write a zero in front, some
codes of any few hundred begin with one.
"""

from collections import Counter

import numpy as np
import numpy.typing as npt
import pandas as pd

_FEWEST = 200
# The digits that a code has at most. ICD-10's diagnoses begin with a letter, and have no zero to lose.
_LONGEST = {("diagnosis", "ICD-9"): 5, ("procedure", "ICD-9"): 4, ("procedure", "ICD-10"): 7}


class LeadingZeros:
    """Counts the codes of one table, chunk by chunk."""

    def __init__(self) -> None:
        self._codes: Counter[str] = Counter()  # by system
        self._sound: Counter[str] = Counter()
        self._short: Counter[str] = Counter()

    def see(self, frame: pd.DataFrame, times: npt.NDArray[np.int64]) -> None:
        """Count distinct codes, each so many `times`: of a frame with `kind`, `system` and `code` (no dot).

        Drugs and the like are passed over.
        """
        for (kind, system), longest in _LONGEST.items():
            here = (frame["kind"].eq(kind) & frame["system"].eq(system) & frame["code"].notna()).to_numpy()
            codes, many = frame.loc[here, "code"], times[here]
            self._codes[system] += int(many.sum())
            self._sound[system] += int(many[codes.str.startswith("0").to_numpy(dtype=bool)].sum())
            short = codes.str.fullmatch(rf"\d{{1,{longest - 1}}}").to_numpy(dtype=bool)
            self._short[system] += int(many[short].sum())

    def warnings(self, table: str) -> list[str]:
        """Return what there is to say of the table."""
        return [
            f"{table}: none of {many:,} {system} codes begins with a zero, and {self._short[system] / many:.0%} are so "
            "short that they may have lost one. Has a program read codes as numbers? Then 66 may stand for 0066: take "
            "the table as it was first downloaded"
            for system, many in self._codes.items()
            if many >= _FEWEST and not self._sound[system]
        ]
