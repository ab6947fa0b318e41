"""Any encoder, kept from the codes and mentions of withheld phenotypes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

from cohorts.documents import read_json
from cohorts.encoders.base import (
    Encoder,
    Explains,
    ExplainsText,
    Explanation,
    Pads,
    Vectors,
    check_ready,
    checkpoints_of,
)
from cohorts.encoders.needs import frames_read
from cohorts.encoders.saving import AGAIN
from cohorts.errors import EncoderError
from cohorts.private_files import write_private
from cohorts.records.base import Batch, Source
from cohorts.records.withheld import Withheld, WithheldSource

FILE = "withheld.json"


class Withholding:
    """Any encoder, kept from what is withheld: in training, in encoding, and in queries by text.

    It has `padding` and `explain_text` where the encoder has them: one that has not, has neither attribute.
    """

    def __init__(self, encoder: Encoder, withheld: Withheld) -> None:
        self.encoder, self.withheld = encoder, withheld
        self.name = encoder.name
        self._codes = 0
        if isinstance(encoder, Pads):
            self.padding = encoder.padding
        if isinstance(encoder, ExplainsText):
            self.explain_text = partial(self._explain_text, encoder)

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
        """Return the frames that the encoder looks at."""
        return frames_read(self.encoder)

    @property
    def counts(self) -> Mapping[str, int]:
        """Return the encoder's own, and how many codes were withheld from it."""
        return {**self.encoder.counts, "codes withheld": self._codes}

    @property
    def fingerprint(self) -> str:
        """Return a hash over the encoder's own and what is withheld (hex). Raises EncoderError before `fit`."""
        facts = json.dumps({"encoder": self.encoder.fingerprint, **self._facts()}, sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()[:16]

    def fit(self, source: Source) -> Self:
        """Train on the source without what is withheld. Raises EncoderError."""
        self.encoder.fit(WithheldSource(source, self.withheld))
        return self

    def encode(self, batch: Batch) -> Vectors:
        """Return (len(batch), dim) float32 unit rows; a unit with nothing left to encode is a row of zeros."""
        return self.encoder.encode(self._left(batch))

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """Return (len(texts), dim) float32 unit rows; mentions in them are masked where those in notes are."""
        return self.encoder.encode_text([self.withheld.mask(text) for text in texts])

    def explain(self, batch: Batch) -> tuple[Vectors, list[Explanation]]:
        """Return what `encode` returns, (len(batch), dim) float32, and explanations where the encoder has some."""
        if isinstance(self.encoder, Explains):
            return self.encoder.explain(self._left(batch))
        return self.encode(batch), []

    def describe(self) -> Mapping[str, Any]:
        """Return what the encoder says of itself, and what is withheld from it."""
        return {**self.encoder.describe(), "fingerprint": self.fingerprint, **self._facts()}

    def save(self, folder: Path) -> None:
        """Write the encoder, and `withheld.json` beside it."""
        self.encoder.save(folder)
        write_private(folder / FILE, json.dumps(self._facts(), indent=1))

    def _explain_text(
        self, encoder: ExplainsText, text: str, found: Vectors
    ) -> list[list[tuple[str, float]]]:
        """Return what the encoder's own returns of a text, in which mentions are masked where those in notes are."""
        return encoder.explain_text(self.withheld.mask(text), found)

    def _left(self, batch: Batch) -> Batch:
        left = self.withheld.apply(batch)
        self._codes += len(batch.codes) - len(left.codes)
        return left

    def _facts(self) -> dict[str, Any]:
        """Return what is withheld. Without `implied` it is told as before there was a choice: fingerprints stay."""
        facts = {"withheld": list(self.withheld.phenotypes), "withheld_text": self.withheld.text}
        return facts | ({"withheld_implied": True} if self.withheld.implied else {})


class _Facts(NamedTuple):
    """What `withheld.json` holds."""

    withheld: list[str]
    withheld_text: bool
    withheld_implied: bool = False


def restore_withheld(folder: Path) -> Withheld | None:
    """Return what is withheld from the encoder in a folder. Raises EncoderError where `withheld.json` can't be read."""
    if not (folder / FILE).exists():
        return None
    facts = read_json(folder / FILE, _Facts, error=EncoderError, remedy=AGAIN)
    return Withheld(tuple(facts.withheld), facts.withheld_text, facts.withheld_implied)
