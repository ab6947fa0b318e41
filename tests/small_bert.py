"""Short and long notes, and a text encoder of a tiny checkpoint."""

from pathlib import Path
from typing import Any

import pandas as pd
from cohorts.encoders.bert import encoder as bert
from cohorts.encoders.bert.encoder import Bert
from cohorts.records.base import CODE_COLUMNS, Batch

SHORT = ["Patient denies Chest pain.", "BP 120/80, afebrile.", "No known drug allergies"]
LONG = " ".join(
    f"Day {day}: patient stable, chest clear, denies pain; continue furosemide." for day in range(90)
)


def encoder_of(folder: Path, **settings: Any) -> Bert:
    return Bert(bert.Settings(str(folder), **{"precision": "fp32", **settings}))


def notes(*units: list[str]) -> Batch:
    """A batch of units with these notes."""
    rows = [(str(unit), text) for unit, texts in enumerate(units) for text in texts]
    frame = pd.DataFrame(rows, columns=["unit_id", "text"])
    ids = pd.DataFrame({"unit_id": [str(unit) for unit in range(len(units))]})
    return Batch(ids, pd.DataFrame(columns=list(CODE_COLUMNS)), frame, pd.DataFrame())
