"""The events kept beside a collection as columns: whose each row is, and when it was known, a kind at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.connectors.base import Connector
from cohorts.records.kept.reading import Kept

Times = npt.NDArray[np.datetime64]
Whose = npt.NDArray[np.intp]
NEVER = np.datetime64("NaT", "us")


@dataclass(frozen=True)
class People:
    """The patients to screen, in the order of their ids; `units[i]` are patient i's in the collection.

    `until[i]` is when the last admission that counts ended, or began where that is not told.
    """

    ids: pd.Index
    units: Sequence[tuple[str, ...]]
    until: Times

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.ids)


class Records:
    """What is known of the patients of a collection at the end of a day, `as_of`, or of all their records."""

    def __init__(self, kept: Kept, connector: Connector, name: str, as_of: date | None) -> None:
        self._kept = kept
        self._before = None if as_of is None else np.datetime64(as_of + timedelta(days=1), "us")
        columns = ["unit_id", "patient_id", "admission_id", "admitted", "discharged"]
        told = kept.outcomes.to_table(columns=columns).to_pandas()
        there = pd.Index(list(chain.from_iterable(connector.find(name))))
        told = told[told["unit_id"].isin(there)]
        if self._before is not None:
            told = told[~(told["admitted"] >= self._before)]
        keys = pd.Index(told["unit_id"] + "/" + told["admission_id"].fillna(""))
        first = ~keys.duplicated()
        self._stays, self._ended = keys[first], told["discharged"].to_numpy("datetime64[us]")[first]
        self.people = _people(told, self._before)

    def rows(self, kind: str, columns: Sequence[str]) -> Iterator[tuple[Whose, Times, Any]]:
        """Yield (whose, time, table) of the rows of a kind that are known, with these columns.

        A diagnosis, and what else has no time, is known when its admission has ended; missing where that isn't told.
        """
        read = ["unit_id", "patient_id", "admission_id", "time", *columns]
        for batch in self._kept.rows((kind,), read):
            whose = _places(batch.column("patient_id"), self.people.ids)
            time = self._time(batch)
            known = whose >= 0
            if self._before is not None:
                known &= time < self._before  # false where there is no time
            if known.any():
                yield whose[known], time[known], batch.select(list(columns)).filter(known)

    def _time(self, batch: Any) -> Times:
        time: Times = batch.column("time").to_numpy(zero_copy_only=False).astype("datetime64[us]")
        without = np.flatnonzero(np.isnat(time))
        if len(without):
            rows = batch.select(["unit_id", "admission_id"]).take(without).to_pandas()
            place = self._stays.get_indexer(rows["unit_id"] + "/" + rows["admission_id"].fillna(""))
            time = time.copy()
            time[without] = np.where(place >= 0, self._ended[place], NEVER)
        return time


def _people(told: pd.DataFrame, before: np.datetime64 | None) -> People:
    """Return the patients of some admissions. An end that is not known yet is the beginning."""
    ended = told["discharged"]
    if before is not None:
        ended = ended.mask(ended >= before)
    latest = ended.fillna(told["admitted"]).groupby(told["patient_id"]).max()
    units = told.groupby("patient_id")["unit_id"].unique()
    ids = pd.Index(units.index)
    return People(
        ids, [tuple(map(str, some)) for some in units], latest.reindex(ids).to_numpy("datetime64[us]")
    )


def _places(column: Any, ids: pd.Index) -> Whose:
    """Return the place of each cell among ids, -1 where it is none of them."""
    coded = column.dictionary_encode()
    places = ids.get_indexer(coded.dictionary.to_pandas())
    which = coded.indices.to_numpy(zero_copy_only=False)
    return np.asarray(places[which], np.intp)
