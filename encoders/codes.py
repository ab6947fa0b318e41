"""The encoder `codes`: diagnoses and procedures by their groups, and drugs, weighed by how rare they are.

Truncated SVD of unit rows (features/latent.py): ICD-9 and ICD-10 in one space, no notes, no network. Laboratory values
that are low or high may stand beside the codes, as flags.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self

import numpy as np
import numpy.typing as npt
from cohorts.encoders.base import EncoderKind, Explanation, Vectors
from cohorts.encoders.features.codes import COLUMNS, CodeFeatures, rows_of_codes
from cohorts.encoders.features.labs import LabFacts, LabFeatures
from cohorts.encoders.features.latent import Latent, LatentEncoder
from cohorts.encoders.features.lot import Entries, Lot, as_matrix, draw_rows
from cohorts.encoders.needs import check_codes
from cohorts.encoders.saving import (
    check_unchanged,
    identity_of,
    read_about,
    read_tensors,
    write_about,
    write_tensors,
)
from cohorts.encoders.settings import at_least_one, one_of
from cohorts.encoders.target_weights import Asked, choose_one
from cohorts.errors import EncoderError, NoText
from cohorts.records.base import Batch, Source

if TYPE_CHECKING:
    import pandas as pd

_LABS_MAY_WEIGH = (0.0, 0.125, 0.25, 0.5, 1.0)
_YEAR_S = 365.25 * 86_400
REASONS = 200  # told of a unit: no patient of mimic3-demo has more; shared codes are told of them


@dataclass(frozen=True)
class Settings:
    """`dim` numbers a vector, the last of them padding: of fewer units or codes than that, the rest are zeros.

    A code counts that `min_units` units have; `columns` says whether `each` has a column or its group. The principal
    diagnosis weighs `principal` times as much, a code half as much for every `half_life` years that its admission began
    before the unit's last one; 0 is no decay. A flag of a laboratory value within `lab_hours` of admission weighs
    `labs` times as much as a code, or as much as is best on the training units for a `target`
    (encoders/target_weights.py). The SVD is of at most `sample` units, drawn by lot.
    """

    dim: int = 128
    columns: str = "groups"
    min_units: int = 1
    principal: float = 1.0
    half_life: float = 0.0
    labs: float = 0.0
    lab_hours: float = 24.0
    target: str = ""
    sample: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("codes", self, columns=COLUMNS)
        at_least_one("codes", self, "min_units", "sample")
        at_least_one("codes", self, "dim", least=2)
        if not 0 < self.principal < math.inf:
            raise EncoderError(f"codes principal is {self.principal}; it must be above 0.")
        for name in ("half_life", "labs", "lab_hours"):
            if not 0 <= getattr(self, name) < math.inf:
                raise EncoderError(f"codes {name} is {getattr(self, name)}; it must be 0 or more.")
        if self.target and self.labs:
            raise EncoderError(
                "codes: labs is given, or chosen for a target, and not both: leave one of them out."
            )


@dataclass(frozen=True)
class _About:
    """What `encoder.json` holds."""

    name: Literal["codes"]
    fingerprint: str
    settings: Settings
    directions: int
    codes: list[str]
    labs: LabFacts | None
    labs_weigh: float


@dataclass(frozen=True)
class _Parts:
    """The columns of codes, those of laboratory flags and what a flag weighs, and the space of both."""

    codes: CodeFeatures
    labs: LabFeatures | None
    labs_weigh: float
    space: Latent

    @property
    def columns(self) -> list[str]:
        return [*self.codes.columns, *(self.labs.flag_columns if self.labs else [])]


class Codes(LatentEncoder[Settings, _Parts]):
    """The encoder `codes`."""

    name = "codes"
    needs_notes = False

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings or Settings())

    @property
    def reads(self) -> frozenset[str]:
        """Return the frames of a batch that it looks at, beside units and codes."""
        return frozenset({"measurements"}) if self.settings.labs or self.settings.target else frozenset()

    @property
    def counts(self) -> Mapping[str, int]:
        """Return codes and values without a column, and how many units with codes have none that was learnt."""
        counts = Counter({"units of codes that were not learnt": self._unseen})
        if self._learnt is None:
            return counts
        labs = self._learnt.labs
        return self._learnt.codes.counts + (labs.counts if labs else Counter()) + counts

    @property
    def fingerprint(self) -> str:
        """Return a hash over settings, columns and weights (hex). Raises EncoderError before `fit`."""
        digest = hashlib.sha256(json.dumps([asdict(self.settings), self._facts()], sort_keys=True).encode())
        for name, tensor in sorted(self._tensors().items()):
            digest.update(name.encode() + b"\0" + tensor.tobytes())
        return digest.hexdigest()[:16]

    def fit(self, source: Source) -> Self:
        """Learn columns and directions from the source, in two passes, of laboratory values and for a target four.

        Same source, same weights. Raises EncoderError where the source holds no codes to learn from.
        """
        check_codes(source, self.name)
        settings = self.settings
        codes = CodeFeatures.learn(source.batches(), settings.min_units, settings.columns)
        if not codes.columns:
            raise EncoderError(
                f"codes finds no code that {settings.min_units} units of this source have: there are none, or none has "
                "a group. Lower it, as in codes:min_units=1, or use lsa, which reads notes."
            )
        labs = None
        if settings.labs or settings.target:
            window = timedelta(hours=settings.lab_hours)
            labs = LabFeatures.learn(source.batches(), settings.min_units, window)
        self._learnt = self._learn(source, codes, labs)
        for features in (codes, labs):
            if features is not None:
                features.counts.clear()
        self._unseen = 0
        return self

    def encode(self, batch: Batch) -> Vectors:
        """Return (len(batch), dim) float32 unit rows; a unit without a code that was learnt is a row of zeros."""
        parts = self._parts
        return self._units(batch, self._rows(batch, parts.codes, parts.labs))

    def encode_text(self, texts: Sequence[str]) -> NoReturn:  # noqa: ARG002 - the seam has it
        """Raise NoText: codes are no words."""
        raise NoText(
            "This encoder reads codes alone and knows no text.",
            remedy="Query by patient, or ingest notes with lsa.",
            hint="query_patient_or_lsa",
        )

    def explain(self, batch: Batch) -> tuple[Vectors, list[Explanation]]:
        """Return what `encode` returns, (len(batch), dim) float32, and the codes of every unit.

        A code goes by how far the unit's projection turns without it.
        """
        parts = self._parts
        rows = self._rows(batch, parts.codes, parts.labs)
        angles, columns = parts.space.turns(rows), parts.columns
        told = [
            _explained([columns[place] for place in rows.indices[start:end]], angles[start:end].tolist())
            for start, end in pairwise(rows.indptr)
        ]
        return self._units(batch, rows), told

    def describe(self) -> Mapping[str, Any]:
        """Return settings and size."""
        parts = self._parts
        size = {"codes": len(parts.codes.columns), "directions": parts.space.directions.shape[1]}
        labs = (
            {"laboratory items": len(parts.labs.items), "a flag weighs": parts.labs_weigh}
            if parts.labs
            else {}
        )
        return {**identity_of(self), "dim": self.dim, **size, **labs}

    def save(self, folder: Path) -> None:
        """Write `encoder.json` and `model.safetensors` into `folder`."""
        write_about(folder, {**identity_of(self), **self._facts()})
        write_tensors(folder, self._tensors())

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises EncoderError where it is incomplete or was changed."""
        about = read_about(folder, _About)
        encoder, tensors = cls(about.settings), read_tensors(folder)
        codes = CodeFeatures(about.codes, about.settings.columns)
        labs = LabFeatures.restore(about.labs, tensors) if about.labs else None
        many = len(codes.columns) + len(labs.flag_columns if labs else [])
        space = Latent.restore(folder, tensors, (many, about.directions), encoder.dim)
        encoder._learnt = _Parts(codes, labs, about.labs_weigh, space)
        check_unchanged(encoder, about.fingerprint, folder)
        return encoder

    def _facts(self) -> dict[str, Any]:
        parts = self._parts
        return {
            "directions": parts.space.directions.shape[1],
            "codes": parts.codes.columns,
            "labs": parts.labs.facts() if parts.labs else None,
            "labs_weigh": parts.labs_weigh,
        }

    def _tensors(self) -> dict[str, npt.NDArray[Any]]:
        parts = self._parts
        return {**parts.space.tensors(), **(parts.labs.tensors() if parts.labs else {})}

    def _learn(self, source: Source, codes: CodeFeatures, labs: LabFeatures | None) -> _Parts:
        """Learn the space, for the weight of a flag that was asked for, or that is best for the target."""
        settings = self.settings
        rows, having, units = self._drawn(source, codes, labs)
        weights = _LABS_MAY_WEIGH if settings.target else (settings.labs,)
        flags = np.arange(len(having)) >= len(codes.columns)
        made = []
        for weight in weights:
            scale = np.where(flags, np.float32(weight), np.float32(1))
            space = Latent.learn(
                rows, having, units, self.dim, sublinear=False, seed=settings.seed, scale=scale
            )
            made.append(_Parts(codes, labs, weight, space))
        return made[self._best(source, made)] if settings.target else made[0]

    def _best(self, source: Source, made: Sequence[_Parts]) -> int:
        """Return which of several serves the target best, on units of the source. Raises EncoderError."""

        def blocks(batch: Batch) -> list[Vectors]:
            rows = self._rows(batch, made[0].codes, made[0].labs)
            return [parts.space.units(rows)[:, : self.padding] for parts in made]

        return choose_one(Asked(self.settings.target).read(source, blocks))

    def _drawn(
        self, source: Source, codes: CodeFeatures, labs: LabFeatures | None
    ) -> tuple[Any, npt.NDArray[np.int64], int]:
        """Return the rows of units drawn by lot, how many units have each column, and how many have any."""
        lot = Lot[Entries](self.settings.sample, self.settings.seed)
        having = np.zeros(len(codes.columns) + len(labs.flag_columns if labs else []), np.int64)
        for batch in source.batches():
            rows = self._rows(batch, codes, labs)
            having += np.bincount(rows.indices, minlength=len(having))
            draw_rows(lot, rows.indices, rows.data, rows.indptr.tolist())
        return as_matrix(lot.drawn, np.arange(len(having), dtype=np.int32), len(having)), having, lot.met

    def _rows(self, batch: Batch, codes: CodeFeatures, labs: LabFeatures | None) -> Any:
        """Return what every unit has, scipy CSR (len(batch), columns): codes by rank and admission, and flags."""
        from scipy.sparse import hstack

        rows = codes.transform(batch, self._weights(batch.codes))
        return rows if labs is None else hstack([rows, labs.flags(batch)], format="csr")

    def _weights(self, codes: "pd.DataFrame") -> npt.NDArray[np.float32]:
        settings = self.settings
        is_principal = ((codes["kind"] == "diagnosis") & (codes["rank"] == 1)).fillna(value=False)
        weights = np.where(is_principal, settings.principal, 1.0).astype(np.float32)
        if settings.half_life:
            weights *= 0.5 ** (_years_before_last(codes) / settings.half_life)
        return weights

    def _units(self, batch: Batch, rows: Any) -> Vectors:
        made = self._parts.space.units(rows)
        coded = np.zeros(len(batch), np.bool_)
        coded[rows_of_codes(batch)] = True
        self._unseen += int((coded & ~made.any(axis=1)).sum())
        return made


def _explained(names: Sequence[str], angles: Sequence[float]) -> Explanation:
    told = sorted(zip(names, angles, strict=True), key=lambda one: (-one[1], one[0]))
    return Explanation(0.0, tuple(told[:REASONS]))


def _years_before_last(codes: "pd.DataFrame") -> npt.NDArray[np.float32]:
    """Return how many years before the last admission of its unit that of every code began, (n,); 0 where unknown."""
    last = codes.groupby("unit_id")["admitted"].transform("max")
    years = (last - codes["admitted"]).dt.total_seconds() / _YEAR_S
    return years.fillna(0).to_numpy(np.float32)


KIND = EncoderKind(settings=Settings, make=Codes, load=Codes.load)
