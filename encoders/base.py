"""The Encoder seam: records in, unit vectors out. scikit-learn manners."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt
from cohorts.records.base import Batch, Source

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Explanation:
    """Why a unit's vector is what it is: the share that came from its notes, and the reasons, strongest first.

    A reason is a code, a laboratory item or a category of notes, with the angle in degrees by which the vector turns
    without it.
    """

    from_notes: float
    reasons: tuple[tuple[str, float], ...]


class Encoder(Protocol):
    """Turns units (patients or admissions) into vectors of one space.

    `fingerprint` is a hash over weights, vocabulary and preprocessing: two encoders with one fingerprint give
    the same vectors. It stands with every collection and is checked at every query.
    """

    name: str

    @property
    def dim(self) -> int:
        """Return how many numbers a vector has."""
        ...

    @property
    def uses_transformer(self) -> bool:
        """Return whether a transformer reads the notes: some dozens of units take seconds, and a GPU helps."""
        ...

    @property
    def needs_notes(self) -> bool:
        """Return whether a unit without notes is always a row of zeros."""
        ...

    @property
    def counts(self) -> Mapping[str, int]:
        """Return what was cut or left out while encoding, to be told to the user; counts of 0 are no news."""
        ...

    @property
    def fingerprint(self) -> str:
        """Return the hash (hex). Raises EncoderError before `fit`."""
        ...

    def fit(self, source: Source) -> Self:
        """Train on the source and return self. Raises EncoderError where it holds nothing to learn from."""
        ...

    def encode(self, batch: Batch) -> Vectors:
        """Return (len(batch), dim) float32 unit rows; a unit with nothing to encode is a row of zeros."""
        ...

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """Return (len(texts), dim) float32 unit rows, zeros as above. Raises EncoderError if the space has no text."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Return what a user may want to know of it: name, dim, fingerprint, settings, and what was learnt."""
        ...

    def save(self, folder: Path) -> None:
        """Write safetensors and JSON into `folder`, made if need be: `registry.load_encoder` reads them, and what it
        makes encodes byte-identically.
        """
        ...


@runtime_checkable
class Pads(Protocol):
    """An encoder whose units have a component that is zero in what is asked: what of length 1 they say nothing by.

    A unit to ask by has a zero there, and is scaled to length 1 again.
    """

    @property
    def padding(self) -> int:
        """Return the place of the component, below `dim`."""
        ...


def padding_of(encoder: object) -> int | None:
    """Return the place of the padding in an encoder's vectors, None where they have none."""
    return encoder.padding if isinstance(encoder, Pads) else None


@runtime_checkable
class OfPopulation(Protocol):
    """An encoder that makes vectors of some units alone, by a rule: of others there is nothing to be alike in."""

    @property
    def population(self) -> str:
        """Return who has a vector, in words: `septic stays by sepsis3, as of icu+24h`."""
        ...


def population_of(encoder: object) -> str:
    """Return who has a vector, "" where an encoder leaves nobody out by a rule."""
    return encoder.population if isinstance(encoder, OfPopulation) else ""


@runtime_checkable
class ExplainsText(Protocol):
    """An encoder that can tell what in a text made a unit be found."""

    def explain_text(self, text: str, found: Vectors) -> list[list[tuple[str, float]]]:
        """Return, for each of the units found (n, dim), what each word of a text adds to the cosine, the most first."""
        ...


@runtime_checkable
class Explains(Protocol):
    """An encoder that can tell why."""

    def explain(self, batch: Batch) -> tuple[Vectors, list[Explanation]]:
        """Return what `encode` returns, (len(batch), dim) float32, and an explanation of each row; or none at all."""
        ...


@runtime_checkable
class ReadsCheckpoints(Protocol):
    """An encoder with text models within, whose checkpoints lie in folders or in the Hugging Face cache."""

    @property
    def checkpoints(self) -> Sequence[str]:
        """Return the checkpoints by folder, preset or Hugging Face id; none where it reads no text."""
        ...

    def check_ready(self) -> None:
        """Raise CheckpointNotFound, EncoderError or MissingExtra where it could not encode; no weights are read."""
        ...


def check_ready(encoder: object) -> None:
    """Raise CheckpointNotFound, EncoderError or MissingExtra where an encoder's text models could not encode."""
    if isinstance(encoder, ReadsCheckpoints):
        encoder.check_ready()


def checkpoints_of(encoder: object) -> Sequence[str]:
    """Return the checkpoints of an encoder's text models, none where it has no such models."""
    return encoder.checkpoints if isinstance(encoder, ReadsCheckpoints) else ()


@dataclass(frozen=True, kw_only=True)
class EncoderKind:
    """A kind of encoder, by whose name users ask for it: what an entry point of the group `cohorts.encoders` names.

    `settings` is a frozen dataclass with defaults, which checks itself and raises EncoderError. `make` returns an
    untrained encoder of such settings; `load` what its `save` wrote: `encoder.json` there holds the kind's name
    (`saving.write_about`). A kind without `load` makes encoders that are saved as another kind.
    """

    settings: type[Any]
    make: Callable[[Any], Encoder]
    load: Callable[[Path], Encoder] | None = None
