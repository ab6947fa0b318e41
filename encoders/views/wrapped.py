"""Any encoder that sees records otherwise than they are: less codes, or what lies in a window."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from cohorts.encoders.base import (
    Encoder,
    Explains,
    ExplainsText,
    Explanation,
    OfPopulation,
    Pads,
    Vectors,
    check_ready,
    checkpoints_of,
)
from cohorts.encoders.needs import frames_read
from cohorts.records.base import Batch, Source


class Wrapped(ABC):
    """An encoder, and what is done to records before it reads them: in training, in encoding, in queries by text.

    What is done is told by `facts`, which are a part of the fingerprint, and is kept beside the encoder.
    It has `padding`, `population` and `explain_text` where the encoder has them: one that has not has none of these.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.name = encoder.name
        if isinstance(encoder, Pads):
            self.padding = encoder.padding
        if isinstance(encoder, OfPopulation):
            self.population = encoder.population
        if isinstance(encoder, ExplainsText):
            self.explain_text = partial(self._explain_text, encoder)

    @abstractmethod
    def source(self, source: Source) -> Source:
        """Return the source as the encoder sees it."""

    @abstractmethod
    def batch(self, batch: Batch) -> Batch:
        """Return a batch as the encoder sees it, and count what was left out."""

    def text(self, text: str) -> str:
        """Return a text to ask by as the encoder sees it."""
        return text

    @abstractmethod
    def keep(self, folder: Path) -> None:
        """Write what is done to the records beside the encoder that lies in a folder."""

    @property
    @abstractmethod
    def facts(self) -> Mapping[str, Any]:
        """Return what is done to the records, as JSON tells it."""

    @property
    def dim(self) -> int:
        """Return the encoder's own."""
        return self.encoder.dim

    @property
    def checkpoints(self) -> Sequence[str]:
        """Return the encoder's own."""
        return checkpoints_of(self.encoder)

    def check_ready(self) -> None:
        """Raise CheckpointNotFound, EncoderError or MissingExtra where the encoder's text models could not encode."""
        check_ready(self.encoder)

    @property
    def uses_transformer(self) -> bool:
        """Return whether the encoder's own notes are read by a transformer."""
        return self.encoder.uses_transformer

    @property
    def needs_notes(self) -> bool:
        """Return the encoder's own."""
        return self.encoder.needs_notes

    @property
    def reads(self) -> frozenset[str]:
        """Return the frames that are looked at."""
        return frames_read(self.encoder)

    @property
    def counts(self) -> Mapping[str, int]:
        """Return the encoder's own."""
        return self.encoder.counts

    @property
    def fingerprint(self) -> str:
        """Return a hash over the encoder's own and the facts (hex). Raises EncoderError before `fit`."""
        told = json.dumps({"encoder": self.encoder.fingerprint, **self.facts}, sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def fit(self, source: Source) -> Self:
        """Train on the source as the encoder sees it. Raises EncoderError."""
        self.encoder.fit(self.source(source))
        return self

    def encode(self, batch: Batch) -> Vectors:
        """Return (len(batch), dim) float32 unit rows; a unit with nothing left to encode is a row of zeros."""
        return self.encoder.encode(self.batch(batch))

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """Return (len(texts), dim) float32 unit rows, of the texts as the encoder sees them."""
        return self.encoder.encode_text([self.text(text) for text in texts])

    def explain(self, batch: Batch) -> tuple[Vectors, list[Explanation]]:
        """Return what `encode` returns, (len(batch), dim) float32, and explanations where the encoder has some."""
        if isinstance(self.encoder, Explains):
            return self.encoder.explain(self.batch(batch))
        return self.encode(batch), []

    def describe(self) -> Mapping[str, Any]:
        """Return what the encoder says of itself, and the facts."""
        return {**self.encoder.describe(), "fingerprint": self.fingerprint, **self.facts}

    def save(self, folder: Path) -> None:
        """Write the encoder, and what is done to the records beside it."""
        self.encoder.save(folder)
        self.keep(folder)

    def _explain_text(
        self, encoder: ExplainsText, text: str, found: Vectors
    ) -> list[list[tuple[str, float]]]:
        """Return what the encoder's own returns of a text as it sees it."""
        return encoder.explain_text(self.text(text), found)
