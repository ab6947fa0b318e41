"""What is kept in memory of all patients: some bytes for each admission, the one thing that grows with a hospital.

A part of a source has the admissions of its own patients. Whether one that is not among them was cut away with its
cohort, or is another patient's, can't be told there; nor whose the rows of a table are that names visits alone.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from cohorts.records.tables.partition import hashed_ids


class AdmissionIds:
    """Takes in the ids of admissions, chunk by chunk, and keeps a hash of each."""

    def __init__(self) -> None:
        self._known: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._new: list[npt.NDArray[np.uint64]] = []

    def see(self, ids: pa.ChunkedArray) -> None:
        """Keep the ids."""
        self._new.append(hashed_ids(ids))

    def lacks(self, ids: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
        """Return which of the ids, of which none is missing, no admission has, (n,)."""
        if self._new:
            self._known, self._new = np.unique(np.concatenate([self._known, *self._new])), []
        return ~np.isin(hashed_ids(ids), self._known)


class Owners:
    """Whose the rows are that refer to a table by its key: a hash of every key (8 bytes), and its patient (4 bytes)."""

    def __init__(self) -> None:
        self._new: list[pa.Table] = []
        self._keys: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._patients: pa.Array = pa.array([], pa.string())

    def see(self, keys: pa.ChunkedArray, patients: pa.ChunkedArray) -> None:
        """Take in keys and their patients, (n,) each; of a key that comes again, the first one counts."""
        given = keys.is_valid()
        hashed = pa.array(hashed_ids(keys.filter(given)), pa.uint64())
        self._new.append(pa.table({"key": hashed, "patient": patients.filter(given).dictionary_encode()}))

    def of(self, keys: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the patients of some keys, (n,), null where there is none."""
        if self._new:
            self._learn()
        few = pc.unique(keys).drop_null()
        if not len(self._keys) or not len(few):
            return pa.chunked_array([pa.nulls(len(keys), pa.string())])
        hashed = hashed_ids(few)
        place = np.minimum(np.searchsorted(self._keys, hashed), len(self._keys) - 1)
        patients = self._patients.take(pa.array(place, mask=self._keys[place] != hashed)).cast(pa.string())
        return pa.chunked_array([patients]).take(pc.index_in(keys, few))

    def _learn(self) -> None:
        seen = pa.concat_tables(self._new).unify_dictionaries().combine_chunks()
        self._new = []
        if seen.num_rows:
            self._keys, first = np.unique(seen.column("key").to_numpy(), return_index=True)
            self._patients = seen.column("patient").combine_chunks().take(pa.array(first))
