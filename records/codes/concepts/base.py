"""What a concept map is: from a code of a vocabulary to the concepts that it stands for, one or several.

A row of a source may be known by several codes, as a drug by its NDC and by its name: the one that tells most comes
first, and a map of one table goes by the first that it knows.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

CONCEPT = "concept"  # the system of a code that a map has written
NDC, NAME, LOINC = "NDC", "name", "LOINC"
LABORATORY = "laboratory"
KINDS = ("diagnosis", "procedure", "drug", LABORATORY)
_HYPHENED_NDC = re.compile(r"(\d{4,5})-(\d{3,4})-(\d{1,2})")


@dataclass(frozen=True)
class Concept:
    """What codes mean: `code` within a `vocabulary`, and its `title`, "" where none is known."""

    vocabulary: str
    code: str
    title: str = ""

    def __str__(self) -> str:
        """Return it in one line: `CCS 108 Congestive heart failure`, or the code alone where that is its title."""
        if self.code == self.title:
            return self.code
        return " ".join(part for part in (self.vocabulary, self.code, self.title) if part)


Key = tuple[str, str]
"""A vocabulary and a code of it, as a source has them: ("ICD-9", "4280")."""


class ConceptMap(Protocol):
    """A map by its `name`; `version` and `licence` are told where it is used, `digest` stands for its rows."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def version(self) -> str: ...  # noqa: D102
    @property
    def licence(self) -> str: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102
    @property
    def covers(self) -> Mapping[str, frozenset[str]]:
        """Return the vocabularies that it has codes of, by kind."""
        ...

    def of(self, kind: str, keys: Sequence[Key]) -> tuple[Concept, ...]:
        """Return the concepts of a row that is known by these keys; none where the map knows none of them."""
        ...


def normal(system: str, code: str) -> str:
    """Return a code as maps keep it: ICD without a dot, NDC with 11 digits, names in lower case with single blanks."""
    if system == NDC:
        return _ndc(code.strip())
    if system == NAME:
        return " ".join(code.lower().split())
    return code.strip().replace(".", "").upper() if system.startswith("ICD") else code.strip()


def _ndc(code: str) -> str:
    """Return the 11 digits of an NDC: labeller 5, product 4, package 2, zeros before each part that has fewer."""
    parts = _HYPHENED_NDC.fullmatch(code)
    return parts[1].zfill(5) + parts[2].zfill(4) + parts[3].zfill(2) if parts else code
