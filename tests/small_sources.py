"""Sources of a few units in memory: notes, codes, or both, in one batch or several."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cohorts.harness.evaluate.retrieval.population import Population
from cohorts.records.base import (
    CODE_COLUMNS,
    MEASUREMENT_COLUMNS,
    NOTE_COLUMNS,
    UNIT_COLUMNS,
    Batch,
    Report,
    Unit,
)

Code = tuple[Any, ...]  # kind, system, code, and rank and the time of admission where they are known
_CODE = ("kind", "system", "code", "rank", "admitted")


def diagnosis(code: str, *more: Any) -> Code:
    return ("diagnosis", "ICD-10" if code[0].isalpha() else "ICD-9", code, *more)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Small:
    """A source of the units u0, u1, …: the notes of each (None for none), its codes, and columns of `units`."""

    name, unit, synthetic, fingerprint = "small", Unit.PATIENT, True, "small"

    def __init__(
        self,
        texts: Sequence[str | None] | None = None,
        codes: Sequence[Sequence[Code]] | None = None,
        per: int = 1_000,
        **columns: Sequence[Any],
    ) -> None:
        self.has_notes, self.has_codes = texts is not None, codes is not None
        many = len(texts if texts is not None else codes or [])
        self.texts = list(texts if texts is not None else [None] * many)
        self.codes = list(codes if codes is not None else [()] * many)
        self.columns, self.per = columns, per
        self.report, self.work_dir = Report(), Path(tempfile.gettempdir())
        self.passes = 0

    @property
    def batch(self) -> Batch:
        """Return all units."""
        return self._batch(range(len(self.texts)))

    def batches(self) -> Iterator[Batch]:
        self.passes += 1
        for start in range(0, len(self.texts), self.per):
            yield self._batch(range(start, min(start + self.per, len(self.texts))))

    def _batch(self, rows: range) -> Batch:
        ids = [f"u{row}" for row in rows]
        labels = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        units = {"unit_id": ids, "patient_id": ids, "admissions": 1, **labels}
        notes = [
            {"unit_id": f"u{row}", "text": self.texts[row]} for row in rows if self.texts[row] is not None
        ]
        codes = [
            {"unit_id": f"u{row}", **dict(zip(_CODE, one, strict=False))}
            for row in rows
            for one in self.codes[row]
        ]
        return Batch(
            _frame(pd.DataFrame(units), UNIT_COLUMNS),
            _frame(pd.DataFrame(codes), CODE_COLUMNS),
            _frame(pd.DataFrame(notes), NOTE_COLUMNS),
            _frame(pd.DataFrame(index=range(0)), MEASUREMENT_COLUMNS),
        )


def _frame(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return a frame with all these columns, of their types; what it has besides stays."""
    lacking = [name for name in columns if name not in frame]
    made = frame.assign(**dict.fromkeys(lacking)).astype(columns)
    return made[[*columns, *(name for name in frame if name not in columns)]]


def people(n: int = 60, cohorts: int = 2, seed: int = 0) -> Population:
    """Return n units of n // 2 patients, each in every cohort with probability .3."""
    rng = np.random.default_rng(seed)
    member = rng.random((n, cohorts)) < 0.3
    names = [f"c{i}" for i in range(cohorts)]
    return Population([f"u{i}" for i in range(n)], rng.permutation(n) // 2, names, member, {})


def laboratory_rows(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Return measurements of (unit, admission, item, time, value, uom) as a source gives them."""
    return _frame(pd.DataFrame(rows, columns=list(MEASUREMENT_COLUMNS)[:6]), MEASUREMENT_COLUMNS).assign(
        kind="laboratory"
    )
