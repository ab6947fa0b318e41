"""The kept events of some people, in batches of rows that know whose they are."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from cohorts.records.kept.reading import Kept

Places = npt.NDArray[np.int64]
Told = Callable[[int], None]
"""Called with how many rows were read."""


@dataclass(frozen=True)
class Rows:
    """Some rows: `person` (n,) int64 is the place of each one's unit among the people, in their described admission."""

    person: Places
    batch: Any

    def coded(self, *columns: str) -> tuple[Places, list[tuple[Any, ...]]]:
        """Return which of the distinct values of some columns every row has, (n,), and these."""
        codes = [_encoded(self.batch.column(name)) for name in columns]
        joined, spread = np.zeros(len(self.person), np.int64), 1
        for indices, words in codes:
            joined, spread = joined + spread * indices, spread * (len(words) + 1)
        distinct, which = np.unique(joined, return_inverse=True)
        values = []
        for one in distinct.tolist():
            parts = []
            for _, words in codes:
                one, at = divmod(one, len(words) + 1)
                parts.append(words[at - 1] if at else None)
            values.append(tuple(parts))
        return which.reshape(-1).astype(np.int64), values

    def hours(self, since: "pd.Series[pd.Timestamp]") -> npt.NDArray[np.float64]:
        """Return the hours of every row's `time` after that of its person, (n,); NaN where either is missing."""
        time = self.batch.column("time").to_numpy(zero_copy_only=False)
        begun = since.to_numpy(dtype="datetime64[us]")[self.person]
        hours: npt.NDArray[np.float64] = (time.astype("datetime64[us]") - begun) / np.timedelta64(1, "h")
        return hours


def rows_of(
    kept: Kept,
    people: pd.DataFrame,
    kinds: Sequence[str],
    columns: Sequence[str],
    told: Told,
    *,
    any_admission: bool = False,
) -> Iterator[Rows]:
    """Yield the rows of some kinds that are of `people`, of the admission described or, `any_admission`, of all."""
    whose, where = pd.Index(people.index), pd.Index(people["admission_id"])
    names = list(dict.fromkeys(("unit_id", "admission_id", *columns)))
    for batch in kept.rows(kinds, names):
        person = _places(batch.column("unit_id"), whose)
        mine = person >= 0
        if not any_admission:
            mine &= _places(batch.column("admission_id"), where) == person
        told(len(mine))
        if mine.any():
            yield Rows(person[mine], batch if mine.all() else batch.filter(pa.array(mine)))


def _encoded(column: Any) -> tuple[Places, list[Any]]:
    """Return 0 for a missing value and else 1 + the place of a column's value among its words, (n,), and these."""
    found = column.dictionary_encode()
    indices = pc.fill_null(found.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return indices + 1, found.dictionary.to_pylist()


def _places(column: Any, index: "pd.Index[str]") -> Places:
    """Return the place of every value in an index, (n,); -1 where it is not there. Values come in long runs."""
    runs = pc.run_end_encode(column)
    at: Places = index.get_indexer(pd.Index(runs.values.to_pylist(), dtype=index.dtype)).astype(np.int64)
    return np.repeat(at, np.diff(runs.run_ends.to_numpy(), prepend=0))
