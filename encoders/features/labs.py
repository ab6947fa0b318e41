"""Laboratory values as features: first, lowest, highest and mean value of every item after admission, as z-scores.

Which items there are, and what is usual for them, is learnt from the training units in one pass and constant memory:
only counts, means and sums of squares by item are kept. An item is a name with its unit of measure.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from cohorts.errors import EncoderError
from cohorts.records.base import Batch

if TYPE_CHECKING:
    import pandas as pd

_LONGEST_S = 1e9  # some 30 years
AGGREGATES = ("first", "min", "max", "mean")
_FARTHEST = 5.0  # standard deviations: what lies beyond is a slip of the pen as often as a patient
_CONSTANT = 1e-9  # a standard deviation below this share of the mean is what rounding leaves of none


class _Moments(NamedTuple):
    """How many units have an item, then mean and sum of squared deviations of its aggregates: (3, items, 4)."""

    items: "pd.Index[str]"
    stacked: npt.NDArray[np.float64]


class LabFacts(NamedTuple):
    """What JSON keeps of laboratory columns: the items, and the window after admission in seconds."""

    items: list[str]
    window_s: float


class LabFeatures:
    """The columns of a dense matrix. `counts` tells what was left out, by reason."""

    def __init__(
        self,
        items: Sequence[str],
        window: timedelta,
        mean: npt.NDArray[np.float64],
        deviation: npt.NDArray[np.float64],
    ) -> None:
        """Hold items, as `Sodium [mEq/L]`, and mean and standard deviation of their aggregates, both (items, 4)."""
        self.items = list(items)
        self.window = window
        self.columns = [f"lab:{item}:{name}" for item in items for name in (*AGGREGATES, "measured")]
        self.counts: Counter[str] = Counter()
        self._mean, self._deviation = mean, deviation

    @classmethod
    def learn(cls, batches: Iterable[Batch], min_units: int, window: timedelta) -> "LabFeatures":
        """Take every item that at least `min_units` units have within `window` after their admission."""
        import pandas as pd

        nothing = _Moments(pd.Index([], dtype="str"), np.zeros((3, 0, len(AGGREGATES))))
        parts = (_moments(_aggregates(batch, window, Counter())) for batch in batches)
        items, stacked = reduce(_merged, parts, nothing)
        kept = stacked[0, :, 0] >= min_units
        units, mean, squares = stacked[:, kept]
        return cls(items[kept].tolist(), window, mean, np.sqrt(squares / units))

    def transform(self, batch: Batch) -> npt.NDArray[np.float32]:
        """Return z-scores within ±5, and 1 where an item was measured, (len(batch), columns) float32.

        Zeros stand where it was not, and for the z-scores of an item that is the same for all who were learnt from.
        """
        import pandas as pd

        found = _aggregates(batch, self.window, self.counts)
        place = pd.Index(self.items, dtype="str").get_indexer(found.index.get_level_values("item"))
        known = place >= 0
        self.counts["measurements of items not seen in training"] += int(found["size"][~known].sum())
        row, place = found.index.get_level_values("row").to_numpy()[known], place[known]
        deviation = self._deviation[place]
        varies = deviation > _CONSTANT * np.abs(self._mean[place])
        off = found[list(AGGREGATES)].to_numpy()[known] - self._mean[place]
        scores = np.divide(off, deviation, out=np.zeros_like(off), where=varies)
        made = np.zeros((len(batch), len(self.items), len(AGGREGATES) + 1), np.float32)
        made[row, place, :-1] = np.clip(scores, -_FARTHEST, _FARTHEST)
        made[row, place, -1] = 1
        return made.reshape(len(batch), len(self.columns))

    @property
    def flag_columns(self) -> list[str]:
        """Return what the columns of `flags` are, as `lab:Sodium [mEq/L]:low`."""
        return [f"lab:{item}:{side}" for item in self.items for side in ("low", "high")]

    def flags(self, batch: Batch) -> Any:
        """Return where the lowest value is low or the highest high, scipy CSR (len(batch), 2 items) of ones.

        That is by more than a standard deviation of those of the training units.
        """
        from scipy.sparse import csr_array

        scores = self.transform(batch).reshape(len(batch), len(self.items), len(AGGREGATES) + 1)
        low, high = scores[..., AGGREGATES.index("min")] < -1, scores[..., AGGREGATES.index("max")] > 1
        return csr_array(np.stack([low, high], axis=2).reshape(len(batch), -1).astype(np.float32))

    def facts(self) -> dict[str, Any]:
        """Return what JSON keeps of it; `tensors` returns the rest."""
        return LabFacts(self.items, self.window.total_seconds())._asdict()

    def tensors(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return mean and standard deviation of the training units, (items, 4) float64, by name."""
        arrays = {"mean": self._mean, "deviation": self._deviation}
        # Safetensors writes an array's memory as it lies, and the columns of a larger one would come back mixed up.
        return {name: np.ascontiguousarray(one) for name, one in arrays.items()}

    @classmethod
    def restore(cls, facts: LabFacts, tensors: Mapping[str, npt.NDArray[np.float64]]) -> Self:
        """Make it from what `facts` and `tensors` returned, (items,) each. Raises EncoderError otherwise."""
        mean, deviation = tensors.get("mean"), tensors.get("deviation")
        shape = (len(facts.items), len(AGGREGATES))
        if mean is None or deviation is None or not mean.shape == deviation.shape == shape:
            raise EncoderError(f"Mean and deviation of the laboratory items are not of the shape {shape}.")
        if not 0 <= facts.window_s <= _LONGEST_S:
            raise EncoderError(f"The window of laboratory values is of {facts.window_s:g} s.")
        return cls(facts.items, timedelta(seconds=facts.window_s), mean, deviation)


def _aggregates(batch: Batch, window: timedelta, counts: "Counter[str]") -> "pd.DataFrame":
    """Return the aggregates of every unit's items, and how many values they are of (`size`), by row and item."""
    import pandas as pd

    taken = batch.measurements
    if "kind" in taken:  # vital signs and outputs are no laboratory values
        taken = taken[taken["kind"].isin(["laboratory"]) | taken["kind"].isna()]
    row = pd.Index(batch.units["unit_id"]).get_indexer(taken["unit_id"])
    since = taken["time"].to_numpy() - batch.units["admitted"].to_numpy()[row]
    whole = np.isfinite(taken["value"].to_numpy()) & taken["time"].notna().to_numpy()
    admitted = batch.units["admitted"].notna().to_numpy()[row]
    inside = (since >= np.timedelta64(0)) & (since <= np.timedelta64(window))
    counts["measurements without a value or a time"] += int((~whole).sum())
    counts["measurements of units without a time of admission"] += int((whole & ~admitted).sum())
    counts["measurements outside the window"] += int((whole & admitted & ~inside).sum())
    used = whole & inside
    frame = pd.DataFrame(
        {"row": row[used], "item": _items(taken[used]), "time": since[used], "value": taken["value"][used]}
    )
    values = frame.sort_values("time", kind="stable").groupby(["row", "item"])["value"]
    return values.agg(["size", *AGGREGATES])


def _items(measurements: "pd.DataFrame") -> "pd.Series[str]":
    """Return the item of every row, as `Sodium [mEq/L]`, or `pH` where no unit of measure is told."""
    uom = measurements["uom"].fillna("").str.strip()
    return measurements["item"] + (" [" + uom + "]").where(uom != "", "")


def _moments(aggregates: "pd.DataFrame") -> _Moments:
    by_item = aggregates[list(AGGREGATES)].groupby("item")
    mean, spread, units = by_item.mean(), by_item.var(ddof=0).to_numpy(), by_item.count().to_numpy(np.float64)
    return _Moments(mean.index, np.stack([units, mean.to_numpy(), spread * units]))


def _merged(ours: _Moments, theirs: _Moments) -> _Moments:
    """Return the moments of both together. Source: Chan et al., 1979, Updating formulae, equation 2.1."""
    every = ours.items.union(theirs.items)
    (n, mean, squares), (more, other, others) = _over(ours, every), _over(theirs, every)
    both, apart = n + more, other - mean
    merged = both, mean + apart * more / both, squares + others + apart**2 * n * more / both
    return _Moments(every, np.stack(merged))


def _over(moments: _Moments, items: "pd.Index[str]") -> npt.NDArray[np.float64]:
    """Return the moments of these items, zeros where there are none yet."""
    made = np.zeros((3, len(items), len(AGGREGATES)))
    made[:, items.get_indexer(moments.items)] = moments.stacked
    return made
