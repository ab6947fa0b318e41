"""Any encoder, kept from the codes and mentions of withheld phenotypes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cohorts.documents import read_json
from cohorts.encoders.base import Encoder
from cohorts.encoders.saving import AGAIN
from cohorts.encoders.views.wrapped import Wrapped
from cohorts.errors import EncoderError
from cohorts.private_files import write_private
from cohorts.records.base import Batch, Source
from cohorts.records.withheld import Withheld, WithheldSource

FILE = "withheld.json"


class Withholding(Wrapped):
    """Any encoder, kept from what is withheld; mentions in a text to ask by are masked where those in notes are."""

    def __init__(self, encoder: Encoder, withheld: Withheld) -> None:
        super().__init__(encoder)
        self.withheld = withheld
        self._codes = 0

    @property
    def counts(self) -> Mapping[str, int]:
        """Return the encoder's own, and how many codes were withheld from it."""
        return {**super().counts, "codes withheld": self._codes}

    def source(self, source: Source) -> Source:
        """Return the source without what is withheld."""
        return WithheldSource(source, self.withheld)

    def batch(self, batch: Batch) -> Batch:
        """Return the batch without what is withheld, and count the codes."""
        left = self.withheld.apply(batch)
        self._codes += len(batch.codes) - len(left.codes)
        return left

    def text(self, text: str) -> str:
        """Return the text with mentions masked where those in notes are."""
        return self.withheld.mask(text)

    def keep(self, folder: Path) -> None:
        """Write `withheld.json` beside the encoder that lies in a folder."""
        write_private(folder / FILE, json.dumps(self.facts, indent=1))

    @property
    def facts(self) -> Mapping[str, Any]:
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
