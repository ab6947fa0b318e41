"""The encoder `codes`: diagnoses and procedures by their groups, and drugs, weighed by how rare they are.

Truncated SVD of unit rows (encoders/latent.py): ICD-9 and ICD-10 in one space, no notes, no network.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.encoders.base import Explanation, Vectors
from cohorts.encoders.code_features import COLUMNS, CodeFeatures
from cohorts.encoders.latent import Latent
from cohorts.encoders.needs import check_codes
from cohorts.encoders.saving import (
    check_shape,
    check_unchanged,
    identity_of,
    read_about,
    read_tensors,
    write_about,
    write_tensors,
)
from cohorts.encoders.settings import at_least_one, one_of
from cohorts.errors import EncoderError, NoText
from cohorts.records.base import Batch, Source

_YEAR_S = 365.25 * 86_400
REASONS = 48  # told of a unit: of the demo's patients nine in ten have fewer codes


@dataclass(frozen=True)
class Settings:
    """`dim` numbers a vector, the last of them padding: of fewer units or codes than that, the rest are zeros.

    A code counts that `min_units` units have; `columns` says whether `each` has a column or its group. The principal
    diagnosis weighs `principal` times as much, a code half as much for every `half_life` years that its admission began
    before the unit's last one; 0 is no decay. The SVD is of at most `sample` units, drawn by lot.
    """

    dim: int = 128
    columns: str = "groups"
    min_units: int = 1
    principal: float = 1.0
    half_life: float = 0.0
    sample: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("codes", self, columns=COLUMNS)
        at_least_one("codes", self, "min_units", "sample")
        at_least_one("codes", self, "dim", least=2)
        if not 0 < self.principal < math.inf:
            raise EncoderError(f"codes principal is {self.principal}; it must be above 0.")
        if not 0 <= self.half_life < math.inf:
            raise EncoderError(f"codes half_life is {self.half_life}; it must be at least 0 years.")


@dataclass(frozen=True)
class _About:
    """What `encoder.json` holds."""

    name: Literal["codes"]
    fingerprint: str
    settings: Settings
    directions: int
    codes: list[str]


@dataclass(frozen=True)
class _Parts:
    features: CodeFeatures
    space: Latent


class Codes:
    """The encoder `codes`."""

    name = "codes"
    heavy = False
    needs_notes = False

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.dim = self.settings.dim
        self.padding = self.dim - 1
        self._learnt: _Parts | None = None
        self._unseen = 0

    @property
    def counts(self) -> Mapping[str, int]:
        """Return codes without a column, and how many units with codes have none that was learnt."""
        counts = Counter(self._learnt.features.counts if self._learnt else {})
        return counts + Counter({"units of codes that were not learnt": self._unseen})

    @property
    def fingerprint(self) -> str:
        """Return a hash over settings, columns and weights (hex). Raises EncoderError before `fit`."""
        facts = {"settings": asdict(self.settings), "codes": self._parts.features.columns}
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for _, tensor in sorted(self._parts.space.tensors().items()):
            digest.update(tensor.tobytes())
        return digest.hexdigest()[:16]

    def fit(self, source: Source) -> Self:
        """Learn columns and directions from the source, in two passes. Same source, same weights.

        Raises EncoderError where the source holds no codes to learn from.
        """
        check_codes(source, self.name)
        settings = self.settings
        features = CodeFeatures.learn(source.batches(), settings.min_units, settings.columns)
        if not features.columns:
            raise EncoderError(
                f"codes finds no code that {settings.min_units} units of this source have: there are none, or none has "
                "a group. Lower it, as in --encoder codes:min_units=1, or use --encoder lsa, which reads notes."
            )
        rows, having, units = self._drawn(source, features)
        space = Latent.learn(rows, having, units, self.dim, sublinear=False, seed=settings.seed)
        features.counts.clear()
        self._learnt, self._unseen = _Parts(features, space), 0
        return self

    def encode(self, batch: Batch) -> Vectors:
        """Return (len(batch), dim) float32 unit rows; a unit without a code that was learnt is a row of zeros."""
        return self._units(batch, self._rows(batch, self._parts.features))

    def encode_text(self, texts: Sequence[str]) -> NoReturn:  # noqa: ARG002 - the seam has it
        """Raise NoText: codes are no words."""
        raise NoText(
            "This encoder reads codes alone and knows no text; query by --patient, or ingest notes with --encoder lsa."
        )

    def explain(self, batch: Batch) -> tuple[Vectors, list[Explanation]]:
        """Return what `encode` returns, and the codes of every unit, by how far its projection turns without each."""
        rows = self._rows(batch, self._parts.features)
        told = [self._explained(rows[[place]]) for place in range(len(batch))]
        return self._units(batch, rows), told

    def describe(self) -> Mapping[str, Any]:
        """Return settings and size."""
        parts = self._parts
        size = {"codes": len(parts.features.columns), "directions": parts.space.directions.shape[1]}
        return {**identity_of(self), "dim": self.dim, **size}

    def save(self, folder: Path) -> None:
        """Write `encoder.json` and `model.safetensors` into `folder`."""
        parts = self._parts
        more = {"directions": parts.space.directions.shape[1], "codes": parts.features.columns}
        write_about(folder, {**identity_of(self), **more})
        write_tensors(folder, parts.space.tensors())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises EncoderError where it is incomplete or was changed."""
        about = read_about(folder, _About)
        tensors, many = read_tensors(folder), len(about.codes)
        idf = check_shape(folder, tensors, "idf", (many,))
        directions = check_shape(folder, tensors, "directions", (many, about.directions))
        encoder = cls(about.settings)
        features = CodeFeatures(about.codes, about.settings.columns)
        encoder._learnt = _Parts(features, Latent(idf, directions, encoder.dim))
        check_unchanged(encoder, about.fingerprint, folder)
        return encoder

    @property
    def _parts(self) -> _Parts:
        if self._learnt is None:
            raise EncoderError("This encoder of codes is not trained yet: call fit, or load a saved one.")
        return self._learnt

    def _drawn(self, source: Source, features: CodeFeatures) -> tuple[Any, npt.NDArray[np.int64], int]:
        """Return the rows of units drawn by lot, how many units have each column, and how many have any."""
        from scipy.sparse import vstack

        rng, most = np.random.default_rng(self.settings.seed), self.settings.sample
        having, units = np.zeros(len(features.columns), np.int64), 0
        kept: list[Any] = []
        for batch in source.batches():
            rows = self._rows(batch, features)
            rows = rows[np.flatnonzero(np.diff(rows.indptr))]
            having += np.bincount(rows.indices, minlength=len(having))
            for place in range(rows.shape[0]):
                units += 1
                at = len(kept) if units <= most else int(rng.integers(units))
                if at < most:
                    kept[at : at + 1] = [rows[[place]]]
        return vstack(kept, format="csr"), having, units

    def _rows(self, batch: Batch, features: CodeFeatures) -> Any:
        """Return what every unit has, scipy CSR (len(batch), columns), weighed by rank and by admission."""
        return features.transform(batch, self._weights(batch.codes))

    def _weights(self, codes: pd.DataFrame) -> npt.NDArray[np.float32]:
        settings = self.settings
        is_principal = ((codes["kind"] == "diagnosis") & (codes["rank"] == 1)).fillna(value=False)
        weights = np.where(is_principal, settings.principal, 1.0).astype(np.float32)
        if settings.half_life:
            weights *= 0.5 ** (_years_before_last(codes) / settings.half_life)
        return weights

    def _units(self, batch: Batch, rows: Any) -> Vectors:
        made = self._parts.space.units(rows)
        self._unseen += int(batch.codes["unit_id"].nunique()) - int(made.any(axis=1).sum())
        return made

    def _explained(self, row: Any) -> Explanation:
        angles = self._parts.space.turns(row)
        columns = self._parts.features.columns
        told = sorted(zip(row.indices, angles, strict=True), key=lambda one: (-one[1], columns[one[0]]))
        return Explanation(0.0, tuple((columns[place], float(angle)) for place, angle in told[:REASONS]))


def _years_before_last(codes: pd.DataFrame) -> npt.NDArray[np.float32]:
    """Return how many years before the last admission of its unit that of every code began, (n,); 0 where unknown."""
    last = codes.groupby("unit_id")["admitted"].transform("max")
    years = (last - codes["admitted"]).dt.total_seconds() / _YEAR_S
    return years.fillna(0).to_numpy(np.float32)
