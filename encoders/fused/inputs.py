"""The two inputs of a fusion: the notes' vectors, and a unit's codes and laboratory values as columns."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from cohorts.encoders.base import Vectors
from cohorts.encoders.features.codes import CodeFeatures
from cohorts.encoders.features.labs import LabFacts, LabFeatures
from cohorts.encoders.fused.settings import Settings
from cohorts.records.base import Batch

if TYPE_CHECKING:
    from cohorts.encoders.fused.network import Modalities


@dataclass(frozen=True)
class Inputs:
    """Two inputs of n units: `text` (n, text_dim) unit rows, `records` scipy CSR (n, columns); zeros where absent."""

    text: Vectors
    records: Any

    def __len__(self) -> int:
        """Return n."""
        return len(self.text)

    @cached_property
    def has_text(self) -> npt.NDArray[np.bool_]:
        """Return which units have notes, (n,)."""
        return np.asarray(self.text.any(axis=1))

    @cached_property
    def has_records(self) -> npt.NDArray[np.bool_]:
        """Return which units have a code or a measurement, (n,)."""
        return np.asarray(np.diff(self.records.indptr) > 0)

    def tensors(self, rows: npt.NDArray[np.intp] | None = None) -> "Modalities":
        """Return the inputs of the units at `rows`, (m,), of all by default, as tensors."""
        import torch
        from cohorts.encoders.fused.network import Modalities

        chosen = np.arange(len(self)) if rows is None else rows
        records = self.records[chosen].toarray()
        parts = (self.text[chosen], self.has_text[chosen], records, self.has_records[chosen])
        return Modalities(*map(torch.from_numpy, parts))

    def take(self, rows: npt.NDArray[np.intp]) -> "Inputs":
        """Return those of the units at `rows`, (m,)."""
        return Inputs(self.text[rows], self.records[rows])

    @classmethod
    def join(cls, parts: list["Inputs"]) -> "Inputs":
        """Return the units of several as one."""
        from scipy.sparse import vstack

        records = vstack([one.records for one in parts], format="csr")
        return cls(np.concatenate([one.text for one in parts]), records)


class RecordFacts(NamedTuple):
    """What JSON keeps of the columns of records."""

    codes: list[str]
    labs: LabFacts | None


class RecordFeatures:
    """The columns of codes, then those of laboratory values; None of the latter where they are left out."""

    def __init__(self, codes: CodeFeatures, labs: LabFeatures | None) -> None:
        self.codes, self.labs = codes, labs
        self.columns = [*codes.columns, *(labs.columns if labs else [])]

    @classmethod
    def learn(cls, batches: Callable[[], Iterable[Batch]], settings: Settings) -> Self:
        """Take every code, and every laboratory item within `lab_hours` of admission, that `min_units` units have."""
        least, hours = settings.min_units, settings.lab_hours
        labs = LabFeatures.learn(batches(), least, timedelta(hours=hours)) if hours else None
        return cls(CodeFeatures.learn(batches(), least, settings.codes), labs)

    @property
    def counts(self) -> "Counter[str]":
        """Return what was left out, by reason."""
        return self.codes.counts + (self.labs.counts if self.labs else Counter())

    def forget_counts(self) -> None:
        """Begin to count anew, after training."""
        for part in (self.codes, self.labs):
            if part is not None:
                part.counts.clear()

    def transform(self, batch: Batch) -> Any:
        """Return scipy CSR (len(batch), columns) float32."""
        from scipy.sparse import csr_array, hstack

        codes = self.codes.transform(batch)
        if self.labs is None:
            return codes
        return hstack([codes, csr_array(self.labs.transform(batch))], format="csr")

    def facts(self) -> dict[str, Any]:
        """Return what JSON keeps of it; `tensors` returns the rest."""
        return {"codes": self.codes.columns, "labs": self.labs.facts() if self.labs else None}

    def tensors(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return the arrays, (columns,) each, by name."""
        return self.labs.tensors() if self.labs else {}

    @classmethod
    def restore(
        cls, facts: RecordFacts, tensors: Mapping[str, npt.NDArray[np.float64]], settings: Settings
    ) -> Self:
        """Make it from what `facts` and `tensors` returned, (columns,) each. Raises EncoderError for what can't be."""
        labs = LabFeatures.restore(facts.labs, tensors) if facts.labs else None
        return cls(CodeFeatures(facts.codes, settings.codes), labs)
