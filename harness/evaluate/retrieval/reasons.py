"""What the vectors of those asked about were made of, as an encoder tells it: codes and kinds of notes, no text."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from cohorts.encoders.base import Explains
from cohorts.private_files import open_private, private_folder
from cohorts.records.base import Source

_SHOWN = 5

Reasons = Mapping[str, str]
"""By unit id: the share of its notes, and the strongest reasons, as `notes 12%; diagnosis:renal_failure 8°`."""


def explain(encoder: object, asked: Source, file: Path) -> Reasons:
    """Return the reasons of every unit asked about, and keep them as CSV; nothing for an encoder that gives none."""
    told: dict[str, str] = {}
    if isinstance(encoder, Explains):
        for batch in asked.batches():
            _, reasons = encoder.explain(batch)
            for unit, one in zip(batch.units["unit_id"], reasons, strict=False):  # some encoders give none
                strongest = (f"{name} {angle:.0f}°" for name, angle in one.reasons[:_SHOWN])
                told[unit] = "; ".join((f"notes {one.from_notes:.0%}", *strongest))
    if told:
        private_folder(file.parent)
        with open_private(file) as stream:
            pd.DataFrame(told.items(), columns=["unit", "reasons"]).to_csv(stream, index=False)
    return told


def read_reasons(file: Path) -> Reasons:
    """Return what was kept; nothing where there is no file."""
    if not file.exists():
        return {}
    frame = pd.read_csv(file, dtype=str)
    return dict(zip(frame["unit"], frame["reasons"], strict=True))
