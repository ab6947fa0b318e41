"""Why a fused vector is what it is: how much came from notes and from records, and what it would be without.

Notes and records are the two summands of a vector: each counts by what it adds along the vector's direction. A code, a
laboratory item or a category of notes counts by the angle by which the vector turns when it is left out.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.encoders.base import Explanation, Vectors
from cohorts.encoders.fusion_inputs import Inputs
from cohorts.encoders.pooling import group_means, unit_rows
from cohorts.records.base import Batch

if TYPE_CHECKING:
    from cohorts.encoders.fusion import Fused, Fusion
    from torch import Tensor

REASONS = 6  # told of a unit
_LEAST = 0.5  # degrees: what turns it less is no reason

_Without = tuple[
    str, Vectors, Vectors
]  # what is left out; text (text_dim,) and records (columns,) that are left


class Categories(NamedTuple):
    """What the notes of one category are to the text vector of a unit, m such pairs.

    `unit` and `name` (m,); `share` (m,) of the unit's notes; `added` (m, text_dim), which sum up to the unit's vector.
    """

    unit: npt.NDArray[np.intp]
    name: npt.NDArray[np.str_]
    share: Vectors
    added: Vectors


def categories_of(batch: Batch, notes: Vectors) -> Categories:
    """Take the units' text vectors apart; `notes` (n, text_dim) are the vectors of the batch's notes."""
    index = pd.Index(batch.units["unit_id"])
    unit = index.get_indexer(pd.Index(batch.notes["unit_id"])).astype(np.intp)
    pairs = pd.DataFrame({"unit": unit, "name": batch.notes["category"].fillna("no category").to_numpy()})
    group = pairs.groupby(["unit", "name"], sort=False).ngroup().to_numpy().astype(np.intp)
    pairs = pairs.drop_duplicates()
    owner = pairs["unit"].to_numpy(dtype=np.intp)
    share = (
        np.bincount(group, minlength=len(pairs)) / np.bincount(unit, minlength=len(batch))[owner]
    ).astype(np.float32)
    lengths = np.linalg.norm(group_means(notes, unit, len(batch)), axis=1)[owner]
    added = group_means(notes, group, len(pairs)) * (share / np.where(lengths > 0, lengths, 1))[:, None]
    return Categories(owner, pairs["name"].to_numpy(dtype=np.str_), share, added)


def explain(
    fusion: "Fusion", inputs: Inputs, columns: Sequence[str], categories: Categories | None
) -> list[Explanation]:
    """Explain n units; `columns` are those of their records."""
    import torch

    names = [_without_aggregate(column) for column in columns]
    with torch.inference_mode():
        fused: Fused = fusion(inputs.tensors())
        shares = _from_notes(fused, inputs)
        told = []
        for row, share in enumerate(shares):
            without = [*_without_notes(inputs, row, categories), *_without_records(inputs, row, names)]
            told.append(Explanation(share, _turns(fusion, fused.direction[row], without)))
    return told


def _without_notes(inputs: Inputs, row: int, categories: Categories | None) -> Iterator[_Without]:
    """Yield a unit without each category of its notes: the unit row of what is left of its notes."""
    records = inputs.records[[row]].toarray()[0]
    for place in np.flatnonzero(categories.unit == row) if categories is not None else ():
        assert categories is not None  # noqa: S101 - there is a place in it
        text = unit_rows((inputs.text[row] - categories.added[place])[None])[0]
        if categories.share[place] == 1:
            text = np.zeros_like(text)
        yield f"notes:{categories.name[place]}", text, records


def _without_records(inputs: Inputs, row: int, names: Sequence[str]) -> Iterator[_Without]:
    """Yield a unit without each of its codes and laboratory items, whose columns go together."""
    records = inputs.records[[row]].toarray()[0]
    places: dict[str, list[int]] = defaultdict(list)
    for place in np.flatnonzero(records).tolist():
        places[names[place]].append(place)
    for name, those in places.items():
        left = records.copy()
        left[those] = 0
        yield name, inputs.text[row], left


def _turns(
    fusion: "Fusion", direction: "Tensor", without: Sequence[_Without]
) -> tuple[tuple[str, float], ...]:
    """Return the angles in degrees, the largest first. What leaves nothing to encode turns it by a right angle."""
    from scipy.sparse import csr_array

    if not without:
        return ()
    names, text, records = zip(*without, strict=True)
    left = Inputs(np.stack(text), csr_array(np.stack(records)))
    cosines = (fusion(left.tensors()).direction @ direction).clamp(-1, 1).numpy()
    cosines[~left.has_text & ~left.has_records] = 0
    angles = np.degrees(np.arccos(cosines)).tolist()
    ordered = sorted(zip(names, angles, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return tuple((name, angle) for name, angle in ordered[:REASONS] if angle >= _LEAST)


def _from_notes(fused: "Fused", inputs: Inputs) -> list[float]:
    """Return the share of the notes in each vector; what a missing modality adds was learnt, and counts for nobody."""
    text, records = (
        (summand * fused.direction).sum(dim=1).clamp(min=0).numpy() * there
        for summand, there in ((fused.from_text, inputs.has_text), (fused.from_records, inputs.has_records))
    )
    both = text + records
    share: list[float] = np.divide(text, both, out=np.zeros_like(both), where=both > 0).tolist()
    return share


def _without_aggregate(column: str) -> str:
    """Return `lab:Sodium [mEq/L]` for any of its five columns, and what is no laboratory value as it is."""
    return column.rpartition(":")[0] if column.startswith("lab:") else column
