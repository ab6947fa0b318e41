"""Semantic similarity: do the cosines of pairs of texts rank them as people do?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cohorts.errors import InputError
from cohorts.harness.space import Values
from cohorts.records.tables import read_all

COLUMNS = ("text_a", "text_b", "score")
_FEWEST = 3


@dataclass(frozen=True)
class ScoredPairs:
    """Pairs of texts, and how alike people found them, (pairs,); larger is more alike."""

    left: list[str]
    right: list[str]
    score: Values


def read_pairs(file: Path) -> ScoredPairs:
    """Read a CSV file with the columns text_a, text_b and score. Raises InputError, which quotes no text."""
    frame = pd.DataFrame(read_all(file, COLUMNS), columns=list(COLUMNS), dtype="str")
    score = pd.to_numeric(frame["score"], errors="coerce")
    bad = (frame["text_a"] == "") | (frame["text_b"] == "") | ~np.isfinite(score)
    if bad.any():
        first = int(np.flatnonzero(bad)[0]) + 1
        raise InputError(
            f"{file}: {bad.sum():,} of {len(frame):,} pairs lack a text or a number as score, first pair {first:,}."
        )
    if len(frame) < _FEWEST or score.nunique() < 2:
        raise InputError(f"{file}: at least {_FEWEST} pairs are needed, and two different scores.")
    return ScoredPairs(frame["text_a"].tolist(), frame["text_b"].tolist(), score.to_numpy(np.float64))


def spearman(encode_text: Callable[[Sequence[str]], Any], pairs: ScoredPairs) -> float:
    """Return the rank correlation of cosines and scores, -1 to 1; NaN where all cosines are one.

    `encode_text` gives unit rows (n, dim), dense or sparse. Source: Reimers & Gurevych, 2019, Sentence-BERT, section 4.
    """
    from scipy.stats import spearmanr

    left, right = encode_text(pairs.left), encode_text(pairs.right)
    products = left.multiply(right) if hasattr(left, "multiply") else left * right
    cosines = np.asarray(products.sum(axis=1)).ravel()
    return float(spearmanr(cosines, pairs.score).statistic) if np.ptp(cosines) > 0 else float("nan")
