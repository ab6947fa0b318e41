"""The ids of all admissions of a hospital, whoever's they are: 8 bytes each, the one thing that grows with it.

A part of a source has the admissions of its own patients. Whether one that is not among them was cut away with its
cohort, or is another patient's, can't be told there.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa


class AdmissionIds:
    """Takes in the ids of admissions, chunk by chunk, and keeps a hash of each."""

    def __init__(self) -> None:
        self._known: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._new: list[npt.NDArray[np.uint64]] = []

    def see(self, ids: pa.ChunkedArray) -> None:
        """Keep the ids."""
        self._new.append(_hashed(ids))

    def lacks(self, ids: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
        """Return which of the ids, of which none is missing, no admission has, (n,)."""
        if self._new:
            self._known, self._new = np.unique(np.concatenate([self._known, *self._new])), []
        return ~np.isin(_hashed(ids), self._known)


def _hashed(ids: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    return pd.util.hash_array(np.array(ids.to_pylist(), dtype=object))
