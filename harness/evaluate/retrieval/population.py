"""Whom neighbours are judged by: all units of a source, the cohorts they belong to, and what they are grouped by."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.errors import InputError
from cohorts.records.base import Batch, Source
from cohorts.records.codes.phenotypes import load_phenotypes, phenotypes_of
from cohorts.records.labels import split_labels

Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Names = npt.NDArray[np.str_]

AGE_BANDS = (0, 45, 65, 80, 200)
_KEPT = ["unit_id", "patient_id", "sex", "age", "admission_type"]  # of units


class CohortBy(StrEnum):
    """Which diagnoses make a unit a member of a cohort: any, or the principal one of the admission described."""

    ANY = "any"
    PRIMARY = "primary"


@dataclass(frozen=True)
class Population:
    """Of n units: ids, the number of the patient, which of m cohorts they belong to, and groups by name ("": unknown).

    `member` is (n, m). With `any_shared`, a name for all of them, two units are alike where they share any; else each
    cohort is asked for by itself. `by` says which diagnoses made the cohorts.
    """

    ids: list[str]
    patient: Rows
    cohorts: list[str]
    member: Mask
    groups: dict[str, Names]
    any_shared: str = ""
    has_notes: bool = True
    by: CohortBy = CohortBy.ANY

    def __len__(self) -> int:
        return len(self.ids)


def read_patients(source: Source, cohorts: Sequence[str] = (), by: CohortBy = CohortBy.ANY) -> Population:
    """Read all units and the phenotypes among their diagnoses. Raises InputError for none, and unknown ones."""
    known = [one.name for one in load_phenotypes()]
    names = list(cohorts) or known
    for name in names:
        if name not in known:
            raise InputError(f"There is no phenotype {name!r}. Phenotypes: {', '.join(known)}.")
    batches = [
        (batch.units[_KEPT], members(batch, names, by), len(batch.notes)) for batch in source.batches()
    ]
    units = _together(source, [frame for frame, _, _ in batches])
    member = np.concatenate([part for _, part, _ in batches])
    if not member.any():
        raise InputError(
            f"None of {len(units):,} {source.unit}s has a {'' if by is CohortBy.ANY else 'principal '}diagnosis of "
            f"{', '.join(names)}: there are no cohorts to ask for.",
            remedy="Notes alone are judged by labels.",
            hint="labels",
        )
    groups = {
        "sex": units["sex"].fillna("").to_numpy(dtype=np.str_),
        "age": age_bands(units["age"]),
        "admission": units["admission_type"].fillna("").str.lower().to_numpy(dtype=np.str_),
    }
    has_notes = any(notes for _, _, notes in batches)
    return Population(*_who(units), names, member, groups, has_notes=has_notes, by=by)


def read_labelled(source: Source, labels: Sequence[str]) -> Population:
    """Read all units and their labels, which may be several in one column, between ; or |.

    Case and blanks are folded; `none` is none. Raises InputError where the source keeps no such label, or no two units
    share one.
    """
    frames, columns = [], [f"label_{label}" for label in labels]
    for batch in source.batches():
        for label in labels:
            if f"label_{label}" not in batch.units:
                raise InputError(f"The source {source.name} keeps no label {label!r} with its documents.")
        frames.append(batch.units[["unit_id", "patient_id", *columns]])
    units = _together(source, frames)
    names, has = incidence(
        {name for text in row if isinstance(text, str) for name in split_labels(text)}
        for row in units[columns].itertuples(index=False)
    )
    member = has.toarray().astype(np.bool_)
    if not (member.sum(axis=0) > 1).any():
        raise InputError(f"No two of {len(units):,} documents share a label of {', '.join(labels)}.")
    return Population(*_who(units), names, member, {}, any_shared=" or ".join(labels))


def age_bands(ages: "pd.Series[float]") -> Names:
    """Return the band of every age, "" where it is unknown."""
    titles = [f"{low}-{high - 1}" for low, high in pairwise(AGE_BANDS)]
    titles[0], titles[-1] = f"under {AGE_BANDS[1]}", f"{AGE_BANDS[-2]} and over"
    bands = pd.cut(ages, AGE_BANDS, right=False, labels=titles)
    return bands.astype("object").fillna("").to_numpy(dtype=np.str_)


def members(batch: Batch, names: Sequence[str], by: CohortBy) -> Mask:
    """Return which units are members of each of m cohorts, (len(batch), m)."""
    principal = {"principal_system": "system", "principal_code": "code"}
    codes = batch.codes if by is CohortBy.ANY else batch.units.rename(columns=principal)
    held = codes["unit_id"].groupby(phenotypes_of(codes)).agg(set)
    units = batch.units["unit_id"]
    return np.stack([units.isin(held.get(name, set())).to_numpy(np.bool_) for name in names], axis=1)


def incidence(own: Iterable[set[str]]) -> tuple[list[str], Any]:
    """Return all names that n units have, sorted, and who has which, CSR (n, names) float32 of ones.

    The units' sets are read once, one at a time; what is kept of an entry takes 4 bytes.
    """
    from scipy.sparse import csr_array
    from sklearn.preprocessing import MultiLabelBinarizer

    binarizer = MultiLabelBinarizer(sparse_output=True)
    rows = csr_array(binarizer.fit_transform(own), dtype=np.float32)
    rows.sort_indices()
    return binarizer.classes_.tolist(), rows


def _together(source: Source, frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    if not frames:
        raise InputError(f"The source holds no {source.unit}s.")
    return pd.concat(frames, ignore_index=True)


def _who(units: pd.DataFrame) -> tuple[list[str], Rows]:
    """Return the ids of units, and the number of each one's patient."""
    return units["unit_id"].tolist(), pd.factorize(units["patient_id"])[0].astype(np.intp)
