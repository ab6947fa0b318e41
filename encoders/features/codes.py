"""Codes as features: a column for each group of diagnoses and procedures, or for each code, learnt in training.

As groups, ICD-9 and ICD-10 share their columns, drugs are told by their ingredient (records/codes/grouping.py), and
codes of other systems, which have no groups, go each by itself. A unit has a code or has it not, or has it by the
greatest of its weights; how often does not count. Of a batch with a column `concept` (records/codes/concepts), a code
that has one goes by that in place of its group or of itself.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from cohorts.encoders.base import Explanation
from cohorts.records.base import Batch
from cohorts.records.codes.concepts.applied import COLUMN as CONCEPT
from cohorts.records.codes.grouping import drug_name, group_of
from cohorts.records.codes.prefixes import FIELDS

if TYPE_CHECKING:  # a question from the command line should not wait for it
    import pandas as pd

COLUMNS = ("groups", "each")
_TELLING = ("kind", "system", "code", CONCEPT)


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
        units_with: Counter[str | None] = Counter()
        for batch in batches:
            tokens, which = _distinct_tokens(batch.codes, of)
            pairs = np.unique(rows_of_codes(batch) * len(tokens) + which)
            units_with.update(
                dict(zip(tokens, np.bincount(pairs % max(1, len(tokens))).tolist(), strict=True))
            )
        return cls(sorted(token for token, many in units_with.items() if token and many >= min_units), of)

    def transform(self, batch: Batch, weights: npt.NDArray[np.float32] | None = None) -> Any:
        """Return what every unit has, scipy CSR (len(batch), columns) float32, and count what has no column.

        `weights` are those of the batch's codes, (codes,), 1 where none are given.
        """
        from scipy.sparse import csr_array

        codes = batch.codes
        tokens, which = _distinct_tokens(codes, self._of)
        column = np.array(
            [-1 if token is None else self._places.get(token, -1) for token in tokens], np.int64
        )[which]
        known = column >= 0
        self._count_lost(codes["kind"][~known], [tokens[one] for one in which[~known].tolist()])
        cells = rows_of_codes(batch)[known] * len(self.columns) + column[known]
        cells, which = np.unique(cells, return_inverse=True)
        greatest = np.zeros(len(cells), np.float32)
        np.maximum.at(greatest, which, 1 if weights is None else weights[known])
        places = np.divmod(cells, max(1, len(self.columns)))
        return csr_array((greatest, places), shape=(len(batch), len(self.columns)))

    def _count_lost(self, kinds: "pd.Series[str]", tokens: Sequence[str | None]) -> None:
        """Count codes without a column: those without a group, and those of one that was not seen in training."""
        for (kind, is_known), many in Counter(
            zip(kinds, (token is not None for token in tokens), strict=True)
        ).items():
            self.counts[f"{kind} codes {'not seen in training' if is_known else 'without a group'}"] += many


def rows_of_codes(batch: Batch) -> npt.NDArray[np.intp]:
    """Return the place of every code's unit among those of the batch, (codes,)."""
    import pandas as pd

    places: npt.NDArray[np.intp] = pd.Index(batch.units["unit_id"]).get_indexer(
        pd.Index(batch.codes["unit_id"])
    )
    return places


def tokens_of(codes: "pd.DataFrame", of: str = "groups") -> list[str | None]:
    """Return the column of every code, as diagnosis:heart_failure or drug:furosemide; None where no group has it.

    Of each code, it is as in diagnosis:ICD-9:4280 or drug:furosemide 40mg tab.
    """
    tokens, which = _distinct_tokens(codes, of)
    return [tokens[one] for one in which.tolist()]


def with_names(told: Sequence[Explanation], batch: Batch) -> list[Explanation]:
    """Return explanations whose reasons name codes in words, where the batch tells the words of a code."""
    if "name" not in batch.codes:
        return list(told)
    known = batch.codes.loc[batch.codes["name"].notna(), ["kind", "system", "code", "name"]]
    known = known.drop_duplicates(["kind", "system", "code"])
    words = {
        _code(kind, system, code): f"{kind}:{name} ({system} {code})"
        for kind, system, code, name in known.itertuples(index=False)
        if kind != "drug"
    }
    return [
        replace(one, reasons=tuple((words.get(reason, reason), degrees) for reason, degrees in one.reasons))
        for one in told
    ]


def _distinct_tokens(codes: "pd.DataFrame", of: str) -> tuple[list[str | None], npt.NDArray[np.intp]]:
    """Return the columns that the codes have, each once, and which of them each code has, (codes,)."""
    import pandas as pd

    key, telling = np.zeros(len(codes), np.int64), [name for name in _TELLING if name in codes]
    for name in telling:
        places, values = pd.factorize(codes[name], use_na_sentinel=False)
        key = key * len(values) + places
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    token = _group if of == "groups" else _code
    cells = codes[telling].iloc[first]
    made = [token(*map(str, one)) for one in zip(*(cells[name] for name in telling[:3]), strict=True)]
    if CONCEPT in cells:
        concepts = zip(cells["kind"], cells[CONCEPT], cells[CONCEPT].notna(), made, strict=True)
        made = [f"{kind}:{concept}" if known else own for kind, concept, known, own in concepts]
    places_of = {name: place for place, name in enumerate(dict.fromkeys(made))}
    return list(places_of), np.array([places_of[name] for name in made], np.intp)[which]


def _group(kind: str, system: str, code: str) -> str | None:
    if kind != "drug" and system not in FIELDS:
        return _code(kind, system, code)
    name = drug_name(code) if kind == "drug" else group_of(kind, system, code)
    return f"{kind}:{name}" if name else None


def _code(kind: str, system: str, code: str) -> str | None:
    return f"drug:{' '.join(code.lower().split())}" if kind == "drug" else f"{kind}:{system}:{code}"
