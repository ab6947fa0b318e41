"""Memory of fineehr's training: what it takes beyond the words' training, as a multiple of the matrix of note vectors.

Notes are of ten words drawn by lot, in five categories; the mean of a unit's notes in every category, which is learnt
from as well, is a matrix of the same size or smaller. Bar: 3 matrices.
"""

import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from cohorts.encoders.fineehr.training import Settings, train
from cohorts.records.base import Batch, Report, Unit

NOTES = 400_000
NOTES_OF_UNIT = 20
UNITS_AT_ONCE = 1_000
BAR = 3.0
VOCABULARY = [f"w{number}" for number in range(1_000)]


class Admissions:
    """A source of admissions with notes, made anew at every reading."""

    name = "synthetic notes"
    unit = Unit.ADMISSION
    synthetic = True
    fingerprint = "drawn"
    has_notes = has_codes = True
    work_dir = Path(tempfile.gettempdir())

    def __init__(self) -> None:
        self.report = Report()

    def batches(self) -> Iterator[Batch]:
        """Yield so many units at once."""
        draw = np.random.default_rng(0)
        for start in range(0, NOTES // NOTES_OF_UNIT, UNITS_AT_ONCE):
            ids = [str(start + row) for row in range(UNITS_AT_ONCE)]
            drawn = draw.choice(VOCABULARY, (UNITS_AT_ONCE * NOTES_OF_UNIT, 10))
            notes = pd.DataFrame(
                {
                    "unit_id": np.repeat(ids, NOTES_OF_UNIT),
                    "admission_id": np.repeat(ids, NOTES_OF_UNIT),
                    "category": draw.choice(
                        ["Nursing", "Radiology", "Physician", "ECG", "Discharge summary"], len(drawn)
                    ),
                    "time": pd.Timestamp("2100-01-01"),
                    "text": [" ".join(words) for words in drawn],
                }
            )
            units = pd.DataFrame({"unit_id": ids, "patient_id": ids, "died": draw.random(len(ids)) < 0.2})
            yield Batch(units.astype({"died": "boolean"}), pd.DataFrame(), notes, pd.DataFrame())


def resident_mib() -> float:
    """Return the memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> int:
    """Train, and print the peak of memory."""
    torch.set_num_threads(1)
    before: list[float] = []

    def stage(name: str) -> None:
        if name == "notes to vectors":
            before.append(resident_mib())

    settings = Settings(epochs=1, steps=100)
    train(Admissions(), [settings], None, stage)
    matrix_mib = NOTES * settings.dim * 4 / 2**20
    taken_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before[0]
    print(
        f"{NOTES:,} notes, a matrix of {matrix_mib:.0f} MiB: training takes {taken_mib:.0f} MiB more than the words', "
        f"{taken_mib / matrix_mib:.2f} times the matrix"
    )
    return int(taken_mib > BAR * matrix_mib)


if __name__ == "__main__":
    sys.exit(main())
