"""What is asked for must not stand in what it is asked of: codes, and mentions in notes, of withheld phenotypes.

The codes that define a cohort are removed from the input. The words stand in the notes still ("Admission Dx: Sepsis"):
with `text`, they are masked too, as far as the phenotype's terms name them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from cohorts.errors import EncoderError
from cohorts.records.base import Batch
from cohorts.records.phenotyping import load_phenotypes, phenotypes_of

MASK = " "


@dataclass(frozen=True)
class Withheld:
    """Phenotypes by name, and whether their mentions in notes are masked too. Raises EncoderError for unknown ones."""

    phenotypes: tuple[str, ...] = ()
    text: bool = False

    def __post_init__(self) -> None:
        known = [one.name for one in load_phenotypes()]
        for name in self.phenotypes:
            if name not in known:
                raise EncoderError(
                    f"There is no phenotype {name!r} to withhold. Phenotypes: {', '.join(known)}."
                )

    def apply(self, batch: Batch) -> Batch:
        """Return the batch without the codes, and without the words, that are withheld."""
        if not self.phenotypes:
            return batch
        codes = batch.codes[~phenotypes_of(batch.codes).isin(self.phenotypes).to_numpy()]
        notes = batch.notes
        if self.text:
            notes = notes.assign(text=[self.mask(text) for text in notes["text"]])
        return replace(batch, codes=codes.reset_index(drop=True), notes=notes)

    def mask(self, text: str) -> str:
        """Return a text without the terms of the phenotypes, in whatever case they stand."""
        return self._pattern.sub(MASK, text) if self.phenotypes else text

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        terms: Sequence[str] = [
            term for one in load_phenotypes() if one.name in self.phenotypes for term in one.terms
        ]
        longest_first = sorted(terms, key=len, reverse=True)
        words = (r"\s+".join(map(re.escape, term.split())) for term in longest_first)
        return re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE)
