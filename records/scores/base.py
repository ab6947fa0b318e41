"""What a score is: points by part, and which parts could not be seen."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Score:
    """A score of n patients: `parts` (n, parts) float64 points, NaN where a part could not be seen."""

    name: str
    parts: "pd.DataFrame"

    @property
    def total(self) -> "pd.Series[float]":
        """Return the sum of the parts seen, (n,) float64; NaN where none was. A part unseen adds nothing."""
        return self.parts.sum(axis=1, min_count=1)

    @property
    def unseen(self) -> "pd.Series[int]":
        """Return how many parts could not be seen, (n,) int64."""
        return self.parts.isna().sum(axis=1).astype("int64")
