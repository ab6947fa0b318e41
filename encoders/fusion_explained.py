"""Why a fused vector is what it is: how much came from notes and from records, and what moved it most.

Notes and records are the two summands of a vector: each counts by what it adds along the vector's direction. Single
codes, laboratory values and categories of notes are told by gradient × input of that length along the direction
(Shrikumar et al., 2017, arXiv:1605.01713), as a share of it; a category by what its notes have beyond the average note.
"""

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.encoders.base import Explanation, Vectors
from cohorts.encoders.fusion_inputs import Inputs
from cohorts.encoders.pooling import group_means
from cohorts.records.base import Batch

if TYPE_CHECKING:
    from cohorts.encoders.fusion import Fused, Fusion
    from torch import Tensor

REASONS = 6  # told of a unit
_LEAST = 0.005  # of the vector's length: what moved it less is no reason


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
    fusion: "Fusion", inputs: Inputs, columns: list[str], categories: Categories | None
) -> list[Explanation]:
    """Explain n units; `columns` are those of their records."""
    import torch

    given = inputs.tensors()
    text, records = given.text.requires_grad_(), given.records.requires_grad_()
    fused: Fused = fusion(given)
    direction = fused.direction.detach()
    along = (fused.vector * direction).sum(dim=1)
    slopes = torch.autograd.grad(along.sum(), (text, records), allow_unused=True)
    of_text, of_records = (np.zeros((len(inputs), 0)) if one is None else one.numpy() for one in slopes)
    length = along.detach().clamp(min=1e-9).numpy()
    reasons: list[dict[str, float]] = [defaultdict(float) for _ in range(len(inputs))]
    if of_records.shape[1]:
        moved = of_records * records.detach().numpy() / length[:, None]
        for row, place in zip(*np.nonzero(np.abs(moved) >= _LEAST), strict=True):
            reasons[row][_without_aggregate(columns[place])] += float(moved[row, place])
    if categories is not None and of_text.shape[1]:
        beyond = categories.added - categories.share[:, None] * fusion.text_mean.numpy()
        moved = (beyond * of_text[categories.unit]).sum(axis=1) / length[categories.unit]
        for row, name, much in zip(categories.unit, categories.name, moved, strict=True):
            reasons[row][f"notes:{name}"] = float(much)
    shares = _from_notes(fused, direction, inputs)
    return [Explanation(share, _strongest(one)) for share, one in zip(shares, reasons, strict=True)]


def _from_notes(fused: "Fused", direction: "Tensor", inputs: Inputs) -> list[float]:
    """Return the share of the notes in each vector; what a missing modality adds was learnt, and counts for nobody."""
    text, records = (
        (summand * direction).sum(dim=1).detach().clamp(min=0).numpy() * there
        for summand, there in ((fused.from_text, inputs.has_text), (fused.from_records, inputs.has_records))
    )
    both = text + records
    share: list[float] = np.divide(text, both, out=np.zeros_like(both), where=both > 0).tolist()
    return share


def _without_aggregate(column: str) -> str:
    """Return `lab:Sodium [mEq/L]` for any of its five columns, and what is no laboratory value as it is."""
    return column.rpartition(":")[0] if column.startswith("lab:") else column


def _strongest(reasons: dict[str, float]) -> tuple[tuple[str, float], ...]:
    ordered = sorted(reasons.items(), key=lambda pair: (-abs(pair[1]), pair[0]))
    return tuple((name, much) for name, much in ordered[:REASONS] if abs(much) >= _LEAST)
