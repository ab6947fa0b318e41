"""Pairs of texts that people scored: how well do the cosines of their vectors rank them?"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.encoders.pooling import filled_rows
from cohorts.errors import InputError
from cohorts.measures.geometry import Values
from cohorts.records.tables.reading import read_all

ROLES = ("text_a", "text_b", "score")
_FEWEST = 3


@dataclass(frozen=True)
class ScoredPairs:
    """Pairs of texts, and how alike people found them, (pairs,); larger is more alike. `checksum` is their file's."""

    left: list[str]
    right: list[str]
    score: Values
    checksum: str


def read_pairs(file: Path, columns: Mapping[str, str] | None = None) -> ScoredPairs:
    """Read a table of two texts and a score; `columns` names those that are not called text_a, text_b and score.

    Raises InputError and SourceError, which quote no text.
    """
    named = {role: role for role in ROLES} | dict(columns or {})
    if unknown := [role for role in named if role not in ROLES]:
        raise InputError(f"A pair has {', '.join(ROLES)}, and no {', '.join(unknown)}.")
    if len(set(named.values())) < len(ROLES):
        raise InputError(f"{', '.join(ROLES)} are three columns; two of them were given one name.")
    frame = pd.DataFrame(read_all(file, list(named.values())), columns=list(ROLES), dtype="str")
    score = pd.to_numeric(frame["score"], errors="coerce")
    bad = (frame["text_a"].str.strip() == "") | (frame["text_b"].str.strip() == "") | ~np.isfinite(score)
    if bad.any():
        first = int(np.flatnonzero(bad)[0]) + 1
        raise InputError(
            f"{file}: {bad.sum():,} of {len(frame):,} pairs lack a text or a number as score, first pair {first:,}."
        )
    if len(frame) < _FEWEST or score.nunique() < 2:
        raise InputError(f"{file}: at least {_FEWEST} pairs are needed, and two different scores.")
    with file.open("rb") as stream:
        checksum = hashlib.file_digest(stream, "sha256").hexdigest()
    return ScoredPairs(
        frame["text_a"].tolist(), frame["text_b"].tolist(), score.to_numpy(np.float64), checksum
    )


def pair_cosines(left: Any, right: Any) -> tuple[Values, npt.NDArray[np.bool_]]:
    """Return the cosines of two (n, dim), row by row, dense or sparse unit rows, and where neither is zero, (n,)."""
    products = left.multiply(right) if hasattr(left, "multiply") else left * right
    return np.asarray(products.sum(axis=1), np.float64).ravel(), filled_rows(left) & filled_rows(right)


def words_in_common(pairs: ScoredPairs) -> Values:
    """Return Jaccard's index of the words of every pair, (pairs,): what counting words reaches."""
    sets = [
        [set(text.lower().split()) for text in pair] for pair in zip(pairs.left, pairs.right, strict=True)
    ]
    return np.array([len(left & right) / len(left | right) for left, right in sets])
