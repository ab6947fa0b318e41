"""What is asked for must not stand in what it is asked of: codes, and mentions in notes, of withheld phenotypes.

The codes that define a cohort, and those that imply it (septic shock), are removed from the input. The words stand in
the notes still ("Admission Dx: Sepsis"): with `text`, they are masked too, as far as the phenotype's terms name them.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, Self

from cohorts.documents import read_json
from cohorts.encoders.base import Encoder, Explains, ExplainsText, Explanation, Pads, Vectors
from cohorts.encoders.saving import AGAIN
from cohorts.errors import EncoderError
from cohorts.private_files import write_private
from cohorts.records.base import Batch, Source
from cohorts.records.codes.phenotypes import load_phenotypes, stating
from cohorts.records.transforms import View

MASK = " "
FILE = "withheld.json"
_WITHOUT, _IN_NOTES = " without ", " in notes too"  # of the text that asks for an encoder


@dataclass(frozen=True)
class Withheld:
    """Phenotypes by name, whether their mentions in notes are masked too, and whether codes that imply them go as well.

    Encoders that were saved before there was `implied` go on without it. Raises EncoderError for none, and for
    unknown ones.
    """

    phenotypes: tuple[str, ...]
    text: bool = False
    implied: bool = True

    def __post_init__(self) -> None:
        known = [one.name for one in load_phenotypes()]
        if not self.phenotypes:
            raise EncoderError(f"Name the phenotypes to withhold, or all. Phenotypes: {', '.join(known)}.")
        for name in self.phenotypes:
            if name not in known:
                raise EncoderError(
                    f"There is no phenotype {name!r} to withhold. Phenotypes: {', '.join(known)}."
                )

    def apply(self, batch: Batch) -> Batch:
        """Return the batch without the codes, and without the words, that are withheld."""
        codes = batch.codes[~stating(batch.codes, self.phenotypes, implied=self.implied).to_numpy()]
        notes = batch.notes
        if self.text:
            notes = notes.assign(text=[self.mask(text) for text in notes["text"]])
        return replace(batch, codes=codes.reset_index(drop=True), notes=notes)

    def mask(self, text: str) -> str:
        """Return a text without the terms of the phenotypes, in whatever case they stand, where texts are masked."""
        return self.pattern.sub(MASK, text) if self.text else text

    def asked_of(self, encoder: str) -> str:
        """Return the text that asks for an encoder with this withheld from it; `parse_asked` reads it."""
        return f"{encoder}{_WITHOUT}{'+'.join(self.phenotypes)}{_IN_NOTES if self.text else ''}"

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Return what finds a mention of the phenotypes, the longest term first."""
        terms: Sequence[str] = [
            term for one in load_phenotypes() if one.name in self.phenotypes for term in one.terms
        ]
        longest_first = sorted(terms, key=len, reverse=True)
        words = (r"\s+".join(map(re.escape, term.split())) for term in longest_first)
        return re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE)


def parse_withheld(names: str, *, text: bool) -> Withheld:
    """Read names of phenotypes, separated by commas, or `all`. Raises EncoderError."""
    every = [one.name for one in load_phenotypes()]
    chosen = every if names.strip() == "all" else [name.strip() for name in names.split(",") if name.strip()]
    return Withheld(tuple(sorted(set(chosen))), text)


def parse_asked(asked: str) -> tuple[str, Withheld | None]:
    """Return the encoder that is asked for, and what is to be withheld from it. Raises EncoderError."""
    encoder, _, names = asked.partition(_WITHOUT)
    if not names:
        return encoder, None
    return encoder, Withheld(tuple(names.removesuffix(_IN_NOTES).split("+")), names.endswith(_IN_NOTES))


class WithheldSource(View):
    """A source without what is withheld."""

    def __init__(self, source: Source, withheld: Withheld) -> None:
        super().__init__(source)
        self._withheld = withheld

    def batches(self) -> Iterator[Batch]:
        """Yield the source's batches."""
        return map(self._withheld.apply, self._source.batches())


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
    def uses_transformer(self) -> bool:
        """Return whether the encoder's own notes are read by a transformer."""
        return self.encoder.uses_transformer

    @property
    def needs_notes(self) -> bool:
        """Return the encoder's own."""
        return self.encoder.needs_notes

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
        """Return what `encode` returns, and an explanation of every row where the encoder has one to give."""
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
