"""What is asked for must not stand in what it is asked of: codes, and mentions in notes, of withheld phenotypes.

The codes that define a cohort, and those that imply it (septic shock), are removed from the input. The words stand in
the notes still ("Admission Dx: Sepsis"): with `text`, they are masked too, as far as the phenotype's terms name them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from cohorts.errors import EncoderError
from cohorts.records.base import Batch, Source
from cohorts.records.codes.phenotypes import load_phenotypes, stating
from cohorts.records.transforms import View

MASK = " "


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

    def __str__(self) -> str:
        """Return the phenotypes in one line, for people."""
        return f"{'+'.join(self.phenotypes)}{' in notes too' if self.text else ''}"

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


class WithheldSource(View):
    """A source without what is withheld."""

    def __init__(self, source: Source, withheld: Withheld) -> None:
        super().__init__(source)
        self._withheld = withheld

    def batches(self) -> Iterator[Batch]:
        """Yield the source's batches."""
        return map(self._withheld.apply, self._source.batches())
