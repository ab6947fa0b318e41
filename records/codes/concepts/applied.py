"""Batches whose codes and laboratory items are known by their concepts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from cohorts.records.base import Batch, Source
from cohorts.records.codes.concepts.base import LABORATORY, LOINC, NAME, NDC, Concept, ConceptMap, Key
from cohorts.records.transforms import View

if TYPE_CHECKING:
    import pandas as pd

COLUMN = "concept"  # of a batch's codes: what a code stands for, missing where no map has it
_OF_A_CODE = ("kind", "system", "code", "ndc")
_OF_AN_ITEM = ("kind", "loinc", "item")


@dataclass(frozen=True)
class Maps:
    """Concept maps that are used together: a code has the concepts that any of them gives it."""

    maps: tuple[ConceptMap, ...]

    def __str__(self) -> str:
        """Return their names in one line, for people."""
        return "+".join(one.name for one in self.maps)

    def of(self, kind: str, keys: Sequence[Key]) -> tuple[Concept, ...]:
        """Return the concepts of a row, each once."""
        return tuple(dict.fromkeys(chain.from_iterable(one.of(kind, keys) for one in self.maps)))

    def apply(self, batch: Batch) -> Batch:
        """Return the batch with a column `concept` of its codes, and with laboratory items named by their concept.

        A row with several concepts stands there once for each, as it is otherwise.
        """
        codes, concepts = self._each(batch.codes, *distinct_codes(batch.codes))
        mapped = replace(batch, codes=codes.assign(**{COLUMN: concepts}))
        if batch.measurements.empty:
            return mapped
        measurements, items = self._each(batch.measurements, *distinct_items(batch.measurements))
        named = items.where(items.notna(), measurements["item"]).astype(measurements["item"].dtype)
        return replace(mapped, measurements=measurements.assign(item=named))

    def _each(
        self, rows: "pd.DataFrame", told: list[tuple[str, list[Key]]], which: npt.NDArray[np.intp]
    ) -> "tuple[pd.DataFrame, pd.Series[str]]":
        """Return the rows, each once for every concept, and the concepts beside them."""
        import pandas as pd

        none: list[str | None] = [None]
        found = [[str(one) for one in self.of(kind, keys)] or none for kind, keys in told]
        many = np.array([len(one) for one in found], np.intp)[which]
        repeated = rows.iloc[np.repeat(np.arange(len(rows)), many)].reset_index(drop=True)
        concepts = list(chain.from_iterable(found[one] for one in which.tolist()))
        return repeated, pd.Series(concepts, index=repeated.index, dtype="str")


class MappedSource(View):
    """A source whose batches are mapped."""

    def __init__(self, source: Source, maps: Maps) -> None:
        super().__init__(source)
        self._maps = maps

    def batches(self) -> Iterator[Batch]:
        """Yield the source's batches."""
        return map(self._maps.apply, self._source.batches())


def distinct_codes(codes: "pd.DataFrame") -> tuple[list[tuple[str, list[Key]]], npt.NDArray[np.intp]]:
    """Return kind and keys of the codes, each once, and which of them each row is, (n,)."""
    cells, which = _distinct(codes, _OF_A_CODE)
    told = [
        (kind, ([(NDC, ndc)] if ndc and kind == "drug" else []) + [(system, code)])
        for kind, system, code, ndc in cells
    ]
    return told, which


def distinct_items(measurements: "pd.DataFrame") -> tuple[list[tuple[str, list[Key]]], npt.NDArray[np.intp]]:
    """Return kind and keys of the items measured, each once, and which of them each row is, (n,)."""
    cells, which = _distinct(measurements, _OF_AN_ITEM)
    told = [
        (kind or LABORATORY, ([(LOINC, loinc)] if loinc else []) + [(NAME, item)])
        for kind, loinc, item in cells
    ]
    return told, which


def _distinct(
    rows: "pd.DataFrame", columns: Sequence[str]
) -> tuple[list[tuple[str, ...]], npt.NDArray[np.intp]]:
    """Return the distinct cells of some columns, "" where a cell or a whole column is missing."""
    import pandas as pd

    key = np.zeros(len(rows), np.int64)
    parts = []
    for name in columns:
        cells = rows[name] if name in rows else pd.Series("", index=rows.index)
        places, values = pd.factorize(cells.fillna(""))
        parts.append((places, values))
        key = key * max(1, len(values)) + places
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    texts = [[str(values[place]) for place in places[first]] for places, values in parts]
    return list(zip(*texts, strict=True)), np.asarray(which, np.intp)
