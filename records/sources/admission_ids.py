"""The ids of all admissions of a hospital, whoever's they are: 8 bytes each, the one thing that grows with it.

A part of a source has the admissions of its own patients. Whether one that is not among them was cut away with its
cohort, or is another patient's, can't be told there.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd


class AdmissionIds:
    """Takes in ADMISSIONS, chunk by chunk."""

    def __init__(self) -> None:
        self._known: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._new: list[npt.NDArray[np.int64]] = []

    def see(self, ids: pd.Series) -> None:
        """Keep the ids, which are whole numbers as text."""
        self._new.append(ids.to_numpy(dtype=np.int64))

    def lacks(self, ids: pd.Series) -> "pd.Series[bool]":
        """Return which of the ids no admission has; a missing id is none of them."""
        if self._new:
            self._known, self._new = np.unique(np.concatenate([self._known, *self._new])), []
        given = ids.notna()
        lacking = pd.Series(False, index=ids.index)
        lacking[given] = ~np.isin(ids[given].to_numpy(dtype=np.int64), self._known)
        return lacking
