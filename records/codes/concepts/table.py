"""A map as a table of rows: what a site's own file comes to, and how it is kept beside an encoder."""

import csv
import gzip
import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self

from cohorts.errors import InputError
from cohorts.private_files import replace_private
from cohorts.records.codes.concepts.base import Concept, Key, normal


class Row(NamedTuple):
    """A code of a vocabulary and one of its concepts; `system` and `code` as in a source's frames."""

    kind: str
    system: str
    code: str
    vocabulary: str
    concept: str
    title: str


@dataclass(frozen=True)
class TableMap:
    """A map that is a table. A code goes by itself alone: what begins like it is another one."""

    name: str
    version: str
    licence: str
    rows: tuple[Row, ...]

    @classmethod
    def of_rows(cls, name: str, rows: Iterable[Row], *, version: str = "", licence: str = "") -> Self:
        """Make it from rows in any order; without a version, it is known by its digest. Raises InputError for none."""
        kept = tuple(
            sorted(
                {row._replace(code=normal(row.system, row.code)) for row in rows if row.code and row.concept}
            )
        )
        if not kept:
            raise InputError(
                f"{name} maps no code of a kind that is used here: nothing would be mapped by it."
            )
        made = cls(name, version, licence or "the site's own", kept)
        return made if version else cls(name, f"sha256 {made.digest}", made.licence, kept)

    @cached_property
    def digest(self) -> str:
        """Return a hash of its rows (hex)."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update("\0".join(row).encode() + b"\n")
        return digest.hexdigest()[:16]

    @cached_property
    def covers(self) -> Mapping[str, frozenset[str]]:
        """Return the vocabularies that it has codes of, by kind."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for row in self.rows:
            found[row.kind].add(row.system)
        return {kind: frozenset(systems) for kind, systems in found.items()}

    def of(self, kind: str, keys: Sequence[Key]) -> tuple[Concept, ...]:
        """Return the concepts of the first key that has any."""
        for system, code in keys:
            if found := self._table.get((kind, system, normal(system, code))):
                return found
        return ()

    @cached_property
    def _table(self) -> dict[tuple[str, str, str], tuple[Concept, ...]]:
        found: defaultdict[tuple[str, str, str], list[Concept]] = defaultdict(list)
        for row in self.rows:
            found[row.kind, row.system, row.code].append(Concept(row.vocabulary, row.concept, row.title))
        return {key: tuple(concepts) for key, concepts in found.items()}

    def save(self, file: Path) -> None:
        """Write its rows, for their owner alone: CSV in gzip, the same bytes for the same rows."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([Row._fields, *self.rows])
        with replace_private(file) as stream:
            stream.write(gzip.compress(text.getvalue().encode(), mtime=0))


def read_saved(file: Path) -> tuple[Row, ...]:
    """Return the rows that `save` wrote. Raises OSError, ValueError where they were changed."""
    rows = list(csv.reader(io.StringIO(gzip.decompress(file.read_bytes()).decode(), newline="")))
    if not rows or tuple(rows[0]) != Row._fields or any(len(row) != len(Row._fields) for row in rows):
        raise ValueError(file.name)
    return tuple(Row(*row) for row in rows[1:])
