"""Codes as features: a column for each group of diagnoses and procedures, or for each code, learnt in training.

As groups, ICD-9 and ICD-10 share their columns, and drugs are told by their ingredient (records/codes/grouping.py). A
unit has a code or has it not, or has it by the greatest of its weights; how often does not count.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from cohorts.records.base import Batch
from cohorts.records.codes.grouping import drug_name, group_of

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("groups", "each")


class CodeFeatures:
    """The columns of a sparse multi-hot matrix: of groups, or of each code.

    `counts` tells what had no column, by kind and reason.
    """

    def __init__(self, columns: Sequence[str], of: str = "groups") -> None:
        self.columns, self._of = list(columns), of
        self.counts: Counter[str] = Counter()
        self._places = {name: place for place, name in enumerate(self.columns)}

    @classmethod
    def learn(cls, batches: Iterable[Batch], min_units: int, of: str = "groups") -> "CodeFeatures":
        """Take every column that at least `min_units` units have."""
        units_with: Counter[str] = Counter()
        for batch in batches:
            pairs = set(zip(batch.codes["unit_id"], tokens_of(batch.codes, of), strict=True))
            units_with.update(token for _, token in pairs if token is not None)
        return cls(sorted(token for token, many in units_with.items() if many >= min_units), of)

    def transform(self, batch: Batch, weights: npt.NDArray[np.float32] | None = None) -> Any:
        """Return what every unit has, scipy CSR (len(batch), columns) float32, and count what has no column.

        `weights` are those of the batch's codes, (codes,), 1 where none are given.
        """
        from scipy.sparse import csr_array

        codes = batch.codes
        row_of = {unit: row for row, unit in enumerate(batch.units["unit_id"])}
        each = np.ones(len(codes), np.float32) if weights is None else weights
        cells: dict[tuple[int, int], float] = {}
        for unit, kind, token, weight in zip(
            codes["unit_id"], codes["kind"], tokens_of(codes, self._of), each.tolist(), strict=True
        ):
            place = self._places.get(token) if token is not None else None
            if place is not None:
                cell = row_of[unit], place
                cells[cell] = max(weight, cells.get(cell, 0.0))
            else:
                self.counts[
                    f"{kind} codes {'without a group' if token is None else 'not seen in training'}"
                ] += 1
        there = sorted(cells)
        rows, columns = np.array(there, np.int64).reshape(-1, 2).T
        values = np.array([cells[cell] for cell in there], np.float32)
        return csr_array((values, (rows, columns)), shape=(len(batch), len(self.columns)))


def tokens_of(codes: "pd.DataFrame", of: str = "groups") -> list[str | None]:
    """Return the column of every code, as diagnosis:heart_failure or drug:furosemide; None where no group has it.

    Of each code, it is as in diagnosis:ICD-9:4280 or drug:furosemide 40mg tab.
    """
    token = _group if of == "groups" else _code
    return [
        token(str(kind), str(system), str(code))
        for kind, system, code in zip(codes["kind"], codes["system"], codes["code"], strict=True)
    ]


def _group(kind: str, system: str, code: str) -> str | None:
    name = drug_name(code) if kind == "drug" else group_of(kind, system, code)
    return f"{kind}:{name}" if name else None


def _code(kind: str, system: str, code: str) -> str | None:
    return f"drug:{' '.join(code.lower().split())}" if kind == "drug" else f"{kind}:{system}:{code}"
