"""Why a fused vector is what it is: how much came from notes and from records, and what it would be without.

Notes and records are the two summands of a vector: each counts by what it adds along the vector's direction. A code, a
laboratory item or a category of notes counts by the angle by which the vector turns when it is left out.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.encoders.base import Explanation, Vectors
from cohorts.encoders.fused.inputs import Inputs
from cohorts.encoders.pooling import group_means, unit_rows
from cohorts.encoders.training import one_thread
from cohorts.records.base import Batch

if TYPE_CHECKING:
    from cohorts.encoders.fused.network import Fused, Fusion
    from torch import Tensor

REASONS = 6  # told of a unit
_LEAST = 0.5  # degrees: what turns it less is no reason

_Without = tuple[
    list[str], Vectors, Vectors
]  # what is left out; text (m, text_dim) and records (m, columns) left


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


@one_thread()
def explain(
    fusion: "Fusion", inputs: Inputs, columns: Sequence[str], categories: Categories | None
) -> list[Explanation]:
    """Explain n units; `columns` are those of their records."""
    import torch

    item, items = pd.factorize(np.array([_without_aggregate(column) for column in columns], dtype=np.str_))
    with torch.inference_mode():
        given = inputs.tensors()
        fused: Fused = fusion(given)
        shares = _from_notes(fused, inputs)
        told = []
        for row, share in enumerate(shares):
            text, records = given.text[row].numpy(), given.records[row].numpy()
            without = [
                _without_notes(text, records, row, categories),
                _without_records(text, records, item, items),
            ]
            told.append(Explanation(share, _turns(fusion, fused.direction[row], without)))
    return told


def _without_notes(text: Vectors, records: Vectors, row: int, categories: Categories | None) -> _Without:
    """Return a unit without each category of its notes: the text is the unit row of what is left of them."""
    places = np.flatnonzero(categories.unit == row) if categories is not None else ()
    if categories is None or not len(places):
        return [], np.zeros((0, len(text)), np.float32), np.zeros((0, len(records)), np.float32)
    left = unit_rows(text - categories.added[places])
    left[categories.share[places] == 1] = 0
    return [f"notes:{name}" for name in categories.name[places]], left, np.tile(records, (len(places), 1))


def _without_records(
    text: Vectors, records: Vectors, item: npt.NDArray[np.intp], items: npt.NDArray[np.str_]
) -> _Without:
    """Return a unit without each of its codes and laboratory items; `item` (columns,) is what a column belongs to."""
    there = np.flatnonzero(records)
    place, which = pd.factorize(item[there])
    left = np.tile(records, (len(which), 1))
    left[place, there] = 0
    return items[which].tolist(), np.tile(text, (len(which), 1)), left


def _turns(
    fusion: "Fusion", direction: "Tensor", without: Sequence[_Without]
) -> tuple[tuple[str, float], ...]:
    """Return the angles in degrees, the largest first. What leaves nothing to encode turns it by a right angle."""
    import torch
    from cohorts.encoders.fused.network import Modalities

    names = [name for of_part, _, _ in without for name in of_part]
    if not names:
        return ()
    text = torch.from_numpy(np.concatenate([part for _, part, _ in without]))
    records = torch.from_numpy(np.concatenate([part for _, _, part in without]))
    left = Modalities(text, text.any(dim=1), records, records.any(dim=1))
    cosines = (fusion(left).direction @ direction).clamp(-1, 1)
    angles = torch.where(left.has_text | left.has_records, cosines, 0).arccos().rad2deg().tolist()
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
