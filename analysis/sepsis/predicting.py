"""Risks of the septic stays of a source by a saved model, and its recalibration by outcomes of this site."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from cohorts.encoders.base import Encoder
from cohorts.encoders.needs import frames_read
from cohorts.encoders.registry import load_encoder
from cohorts.encoders.sepsis.encoder import Sepsis
from cohorts.encoders.sepsis.prediction import Prediction, logits_of, predict
from cohorts.encoders.sepsis.recalibration import Calibrated, check_enough, learn
from cohorts.encoders.views.wrapped import Wrapped
from cohorts.errors import EncoderError, InputError
from cohorts.records.base import Batch, Source
from cohorts.records.transforms import reading, take_units

_ID, _DIED = "admission_id", "died"


@dataclass(frozen=True)
class SavedModel:
    """A model of sepsis out of a folder: the encoder as it was saved, and the model within it."""

    encoder: Encoder
    sepsis: Sepsis

    def batch(self, batch: Batch) -> Batch:
        """Return a batch as the model sees it."""
        one = self.encoder
        while isinstance(one, Wrapped):
            batch, one = one.batch(batch), one.encoder
        return batch


def saved_model(folder: Path) -> SavedModel:
    """Return the model in a folder. Raises EncoderError where none, or another encoder, lies there."""
    encoder = one = load_encoder(folder)
    while isinstance(one, Wrapped):
        one = one.encoder
    if not isinstance(one, Sepsis):
        raise EncoderError(
            f"{folder} holds an encoder {one.name}, which tells no risk.",
            remedy="Name the folder of a trained encoder sepsis.",
            hint="fit_sepsis",
        )
    return SavedModel(encoder, one)


def predictions(source: Source, model: SavedModel, most: int = 10) -> Iterator[Prediction]:
    """Yield the prediction of every stay of a source, in its order, with at most so many reasons."""
    with reading(source, frames_read(model.encoder)):
        for batch in source.batches():
            yield from predict(model.sepsis, model.batch(batch), most)


def recalibrate(source: Source, model: SavedModel, outcomes: Mapping[str, bool]) -> Calibrated:
    """Put a model's risks right by the outcomes of stays, by admission, and return how.

    Outcomes of stays that are not septic, or not of this source, are of no use. Raises InputError where what is left is
    too little.
    """
    died, logits = [np.zeros(0)], [np.zeros(0)]
    with reading(source, frames_read(model.encoder)):
        for batch in source.batches():
            mine = np.flatnonzero(batch.units["unit_id"].isin(outcomes.keys())).tolist()
            units, found = logits_of(model.sepsis, model.batch(take_units(batch, mine)))
            died.append(np.array([float(outcomes[unit]) for unit in units]))
            logits.append(found)
    known = np.concatenate(died)
    check_enough(known)
    made = learn(known, np.concatenate(logits), "outcomes of this site")
    model.sepsis.recalibrate(made)
    return made


def read_outcomes(file: Path) -> dict[str, bool]:
    """Return whether each stay of a CSV file died in hospital, by admission_id; the column died has 0 or 1.

    Raises InputError, which tells lines and never what stands in them.
    """
    try:
        rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} can't be read as a CSV file of outcomes: {type(error).__name__}.") from None
    if lacking := [name for name in (_ID, _DIED) if name not in rows]:
        raise InputError(f"{file} has no column {lacking[0]}; it needs {_ID} and {_DIED} (0 or 1).")
    wrong = np.flatnonzero(~rows[_DIED].str.strip().isin(["0", "1"]) | (rows[_ID].str.strip() == ""))
    again = np.flatnonzero(rows[_ID].str.strip().duplicated())
    for lines, what in (
        (wrong, f"{_ID} empty, or {_DIED} neither 0 nor 1"),
        (again, f"an {_ID} told before"),
    ):
        if len(lines):
            more = f" and {len(lines) - 1:,} more" if len(lines) > 1 else ""
            raise InputError(f"{file}, line {lines[0] + 2:,}{more}: {what}.")
    return {
        unit: died == "1" for unit, died in zip(rows[_ID].str.strip(), rows[_DIED].str.strip(), strict=True)
    }
