"""What the parts of a vector should weigh, chosen on training patients for a stated target.

A target is what the nearest should share: `died`, `principal` (the group of the principal diagnosis), or a label of the
source; of several, as in `cc+2nd_complaints`, any. What is taken is that of a fixed grid by which most of the ten
nearest share it; each part alone is among the weights.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from cohorts.encoders.base import Vectors
from cohorts.errors import EncoderError
from cohorts.records.base import Batch, Source
from cohorts.records.codes.grouping import group_of
from cohorts.records.labels import split_labels

_GRID = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # of every part but the first, which weighs 1
_NEAREST = 10
_QUESTIONS = 500
_MOST = 5_000  # units that may be found: those that come first, in the source's order
_FEWEST = 20  # questions, for a choice to be one


class Asked:
    """The training units that are asked about and found: each part's rows, whose they are, and what they share."""

    def __init__(self, target: str) -> None:
        self.target = target
        self._blocks: list[list[Vectors]] = []
        self._patients: list[str] = []
        self._shared: list[frozenset[str]] = []

    @property
    def is_enough(self) -> bool:
        """Return whether no more units are needed."""
        return len(self._patients) >= _MOST

    def add(self, batch: Batch, blocks: list[Vectors]) -> None:
        """Take the units of a batch, with each part's rows, (units, width). Raises EncoderError without a label."""
        self._blocks.append(blocks)
        self._patients += batch.units["patient_id"].tolist()
        self._shared += _shared(batch, self.target)

    def read(self, source: Source, blocks_of: Callable[[Batch], list[Vectors]]) -> Self:
        """Take units of a source until they are enough, with the rows that `blocks_of` makes of a batch.

        They are (len(batch), width) of each part. Raises EncoderError.
        """
        for batch in source.batches():
            self.add(batch, blocks_of(batch))
            if self.is_enough:
                break
        return self

    def cosines(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Return the parts' inner products, (parts, q, n), -inf for a patient's own units, and who is alike, (q, n).

        Raises EncoderError where there are too few questions.
        """
        patient = np.unique(self._patients, return_inverse=True)[1]
        member = self._member()
        may = np.flatnonzero(member.sum(axis=1) > 0)
        rows = np.sort(np.random.default_rng(0).permutation(may)[:_QUESTIONS])
        apart = patient[rows][:, None] != patient
        alike = np.asarray((member[rows] @ member.T).toarray() > 0) & apart
        asked = alike.any(axis=1)
        if asked.sum() < _FEWEST:
            raise EncoderError(
                f"The weights can't be chosen for {self.target}: only {asked.sum():,} of the units share it with "
                f"another patient, and {_FEWEST} are needed. Give the weights, as in concat:lsa=1,codes=.5."
            )
        rows, alike, apart = rows[asked], alike[asked], apart[asked]
        blocks = [np.concatenate(part) for part in zip(*self._blocks, strict=True)]
        return np.stack([np.where(apart, block[rows] @ block.T, -np.inf) for block in blocks]), alike

    def _member(self) -> Any:
        """Return which units have what is shared, scipy CSR (n, kinds)."""
        from scipy.sparse import csr_array

        kinds = {name: place for place, name in enumerate(sorted(frozenset[str]().union(*self._shared)))}
        ends = np.cumsum([0, *map(len, self._shared)])
        places = np.array([kinds[name] for names in self._shared for name in sorted(names)], np.int64)
        return csr_array(
            (np.ones(len(places), np.int32), places, ends), shape=(len(self._shared), len(kinds))
        )


def choose_weights(asked: Asked) -> list[float]:
    """Return the weights, the largest 1, by which most of the nearest are alike. Raises EncoderError."""
    cosines, alike = asked.cosines()
    best: tuple[float, list[float]] = (-1.0, [])
    for weights in _grid(len(cosines)):
        share = _precision(cosines, alike, weights)
        if share > best[0] + 1e-9:
            best = share, weights
    top = max(best[1])
    return [weight / top for weight in best[1]]


def choose_one(asked: Asked) -> int:
    """Return the block by which most of the nearest are alike, the first of equals. Raises EncoderError."""
    cosines, alike = asked.cosines()
    return int(np.argmax([_precision(cosines[[at]], alike, [1.0]) for at in range(len(cosines))]))


def _grid(parts: int) -> Iterator[list[float]]:
    """Yield the weights to try, equal ones first: of those that do as well, the first is taken."""
    yield [1.0] * parts
    for rest in product(_GRID, repeat=parts - 1):
        yield [1.0, *rest]
    for alone in range(1, parts):
        yield [float(part == alone) for part in range(parts)]


def _precision(
    cosines: npt.NDArray[np.float32], alike: npt.NDArray[np.bool_], weights: Sequence[float]
) -> float:
    """Return the mean share of the nearest that are alike."""
    there = np.isfinite(cosines[0])
    scores = np.where(there, np.tensordot(weights, np.where(there, cosines, 0), axes=1), -np.inf)
    nearest = np.argpartition(-scores, min(_NEAREST, scores.shape[1] - 1), axis=1)[:, :_NEAREST]
    return float(np.take_along_axis(alike, nearest, axis=1).mean())


def _shared(batch: Batch, target: str) -> list[frozenset[str]]:
    """Return what each unit may share with others. Raises EncoderError where the source has no such label."""
    parts = [_shared_by(batch, one.strip()) for one in target.split("+")]
    return [frozenset().union(*of_unit) for of_unit in zip(*parts, strict=True)]


def _shared_by(batch: Batch, target: str) -> list[frozenset[str]]:
    units = batch.units
    if target == "died":
        return [frozenset() if died is None else frozenset([str(died)]) for died in _plain(units["died"])]
    if target == "principal":
        pairs = zip(_plain(units["principal_system"]), _plain(units["principal_code"]), strict=True)
        groups = (
            None if code is None else group_of("diagnosis", str(system), str(code)) for system, code in pairs
        )
        return [frozenset([group] if group else []) for group in groups]
    column = f"label_{target}"
    if column not in units:
        known = [str(name).removeprefix("label_") for name in units if str(name).startswith("label_")]
        raise EncoderError(
            f"concat target={target}: the source has no such label. Targets: "
            f"{', '.join(['died', 'principal', *known])}."
        )
    return [frozenset(split_labels(text) if isinstance(text, str) else []) for text in units[column]]


def _plain(column: Any) -> list[Any]:
    return list(column.astype("object").where(column.notna(), None))
