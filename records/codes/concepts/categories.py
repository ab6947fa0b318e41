"""Categories of diagnoses and procedures: AHRQ's CCS and CCSR, and the sections of HCPCS level II.

A code goes by its longest beginning that the table has; a beginning stands there where all codes under it that the
version knows are of the same categories. So codes of later years go by what they refine, where that is one thing.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

from cohorts.records.codes.concepts.base import Concept, Key, normal
from cohorts.records.codes.concepts.packaged import digest_of, read_packed
from cohorts.records.codes.prefixes import longest_prefix


class Categories(NamedTuple):
    """A table of categories: its name, and what is told of it."""

    name: str
    vocabulary: str
    version: str
    licence: str

    @property
    def digest(self) -> str:
        """Return a hash of its tables (hex)."""
        return digest_of(*_files(self.name))

    @property
    def covers(self) -> Mapping[str, frozenset[str]]:
        """Return the vocabularies that it has codes of, by kind."""
        kinds = {kind for kind, _ in _prefixes(self.name)}
        return {
            kind: frozenset(system for one, system in _prefixes(self.name) if one == kind) for kind in kinds
        }

    def of(self, kind: str, keys: Sequence[Key]) -> tuple[Concept, ...]:
        """Return the categories of the first key that has any."""
        for system, code in keys:
            table = _prefixes(self.name).get((kind, system))
            if table and (found := longest_prefix(table, normal(system, code))):
                titles = _titles(self.name)
                return tuple(
                    Concept(self.vocabulary, one, titles.get((kind, one), "")) for one in found.split("|")
                )
        return ()


def _files(name: str) -> tuple[str, str]:
    return f"{name}.csv.xz", f"{name}_titles.csv.xz"


@cache
def _prefixes(name: str) -> dict[tuple[str, str], dict[str, str]]:
    found: dict[tuple[str, str], dict[str, str]] = {}
    for kind, system, prefix, concepts in read_packed(_files(name)[0]):
        found.setdefault((kind, system), {})[prefix] = concepts
    return found


@cache
def _titles(name: str) -> dict[tuple[str, str], str]:
    return {(kind, code): title for kind, code, title in read_packed(_files(name)[1])}
