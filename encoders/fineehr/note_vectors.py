"""The notes of some units as vectors, and what is needed to put them together: category, stay, unit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.encoders.base import Vectors
from cohorts.encoders.word2vec import Word2Vec
from cohorts.records.base import Batch


@dataclass(frozen=True)
class NoteVectors:
    """Notes in which a word is known, row by row; a stay is what a unit's notes of one admission are.

    `vectors` (n, dim) unit rows, `category` and `stay` (n,); `stay_unit` and `stay_end` (stays,): the row of the stay's
    unit, and the time of its last note; `units` is how many units there are.
    """

    vectors: Vectors
    category: npt.NDArray[np.str_]
    stay: npt.NDArray[np.intp]
    stay_unit: npt.NDArray[np.intp]
    stay_end: npt.NDArray[np.datetime64]
    units: int

    @property
    def unit(self) -> npt.NDArray[np.intp]:
        """Return the row of every note's unit, (n,)."""
        return self.stay_unit[self.stay]


def note_vectors(batch: Batch, encoder: Word2Vec) -> NoteVectors:
    """Return the notes of a batch, each as the direction of the mean of its words' vectors."""
    notes = batch.notes
    vectors = encoder.encode_notes(notes["text"].tolist())
    known = np.flatnonzero(vectors.any(axis=1))
    notes = notes.iloc[known]
    unit = pd.Index(batch.units["unit_id"]).get_indexer(pd.Index(notes["unit_id"]))
    stay, names = pd.factorize(notes["unit_id"] + "\0" + notes["admission_id"].fillna(""))
    stay_unit = np.zeros(len(names), np.intp)
    stay_unit[stay] = unit
    stay_end = np.full(len(names), "NaT", "datetime64[us]")
    np.fmax.at(stay_end, stay, notes["time"].to_numpy(dtype="datetime64[us]"))
    category = notes["category"].fillna("").to_numpy(dtype=np.str_)
    return NoteVectors(vectors[known], category, stay.astype(np.intp), stay_unit, stay_end, units=len(batch))


def joined(parts: Sequence[NoteVectors], vectors: Vectors) -> NoteVectors:
    """Return the notes of several batches as those of one; `vectors` (n, dim) are those of all of them."""
    stays = np.cumsum([0, *(len(one.stay_unit) for one in parts)])
    units = np.cumsum([0, *(one.units for one in parts)])
    return NoteVectors(
        vectors,
        np.concatenate([one.category for one in parts]),
        np.concatenate([one.stay + first for one, first in zip(parts, stays, strict=False)]),
        np.concatenate([one.stay_unit + first for one, first in zip(parts, units, strict=False)]),
        np.concatenate([one.stay_end for one in parts]),
        int(units[-1]),
    )


@dataclass(frozen=True)
class Labelled:
    """Notes of units of which it is known whether they died; `died` and `patients` are (units,)."""

    notes: NoteVectors
    died: npt.NDArray[np.bool_]
    patients: list[str]


def labelled(batches: Iterator[Batch], encoder: Word2Vec, most: int) -> Labelled:
    """Read the notes, `most` at most, of all units whose ending is known; the texts are not kept."""
    matrix = np.empty((most, encoder.dim), np.float32)  # takes memory as it is filled
    filled = 0
    parts: list[NoteVectors] = []
    frames: list[pd.DataFrame] = []
    for batch in batches:
        units = batch.units[batch.units["died"].notna()]
        notes = batch.notes[batch.notes["unit_id"].isin(units["unit_id"])]
        made = note_vectors(replace(batch, units=units, notes=notes), encoder)
        rows = matrix[filled : filled + len(made.vectors)]
        rows[:] = made.vectors
        filled += len(rows)
        parts.append(replace(made, vectors=rows))
        frames.append(units[["patient_id", "died"]])
    units = pd.concat(frames)
    died = units["died"].to_numpy(dtype=np.bool_)
    return Labelled(joined(parts, matrix[:filled]), died, units["patient_id"].tolist())
