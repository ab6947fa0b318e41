"""The risk of death in hospital of a new patient's stay, with its reasons, or why none is told.

It is told for whom the model was made for: septic by the rule that its training stays were, an adult, in intensive care
by the window's end and in the hospital after it, and with something of every kind of record that the model reads.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cohorts.encoders.sepsis.encoder import Model, Sepsis
from cohorts.encoders.sepsis.reasons import Reason, reasons_of, variants
from cohorts.encoders.sepsis.settings import NOTES, SERIES
from cohorts.encoders.sepsis.stays import Stays, found_in, stays_of
from cohorts.records.base import Batch


@dataclass(frozen=True)
class Prediction:
    """The risk of death in hospital, 0 to 1, of one unit, and its reasons, strongest first; or why there is none."""

    unit_id: str
    patient_id: str
    risk: float | None
    reasons: tuple[Reason, ...]
    refused: str = ""


def predict(encoder: Sepsis, batch: Batch, most: int = 10) -> list[Prediction]:
    """Return the prediction of every unit of a batch, in its order, with at most so many reasons."""
    found, stays = found_in(batch, encoder.settings)
    row = {unit: place for place, unit in enumerate(stays.ids.tolist())}
    made = []
    for unit, patient, why in found[["unit_id", "patient_id", "left_out"]].itertuples(index=False):
        stay = stays.take(np.array([row[unit]])) if not why else None
        refused = why if stay is None else _lacking(encoder, stay)
        if stay is None or refused:
            made.append(Prediction(unit, patient, None, (), refused))
        else:
            made.append(Prediction(unit, patient, *_told(encoder.model, stay, most)))
    return made


def logits_of(encoder: Sepsis, batch: Batch) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Return the units of a batch of which a risk is told, and the logits of that risk before recalibration, (n,)."""
    stays = stays_of(batch, encoder.settings)
    told = [row for row in range(len(stays)) if not _lacking(encoder, stays.take(np.array([row])))]
    stays = stays.take(np.array(told, np.intp))
    return stays.ids.tolist(), encoder.model.trained.logits(encoder.model.preparation.inputs(stays))


def _told(model: Model, stay: Stays, most: int) -> tuple[float, tuple[Reason, ...]]:
    """Return the risk of one stay, and its reasons."""
    whole = model.preparation.inputs(stay)
    (risk,) = model.calibrated.probabilities(model.trained.logits(whole)).tolist()
    if not most:
        return risk, ()
    without = variants(model.preparation, stay, whole, hours=True)
    changes = risk - model.calibrated.probabilities(model.trained.logits(without.inputs))
    return risk, reasons_of(stay, without.taken, changes, most)


def _lacking(encoder: Sepsis, stay: Stays) -> str:
    """Return which kind of record the stay lacks that the model reads, "" for none."""
    branches = encoder.settings.chosen
    if SERIES in branches and not (stay.cells.step >= 0).any():
        return "nothing was measured within the window, which the model's series need"
    if NOTES in branches and not stay.notes.text:
        return "no note was written by the window's end, which the model reads"
    return ""
