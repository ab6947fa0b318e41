"""Which rows of a large dictionary are in use: a vocabulary has millions of concepts, a hospital some thousands."""

from collections import defaultdict
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
from cohorts.records.sources.declared.declaration import DeclaredTable


class UsedRows:
    """Takes in the rows of tables that refer to dictionaries, and keeps every value once."""

    def __init__(self, tables: Mapping[str, DeclaredTable]) -> None:
        self._refers = {name: table.refers for name, table in tables.items() if table.refers}
        self._seen: defaultdict[str, set[str]] = defaultdict(set)
        self._known: dict[str, int] = {}

    def see(self, table: str, rows: pa.Table) -> None:
        """Take in the rows of a table."""
        for column, dictionaries in self._refers.get(table, {}).items():
            values = pc.unique(rows.column(column)).drop_null().to_pylist()
            for name in dictionaries:
                self._seen[name].update(values)

    def has_more(self, dictionary: str) -> bool:
        """Tell whether more values of a dictionary came into use since the last time that this was asked."""
        many = len(self._seen[dictionary])
        before, self._known[dictionary] = self._known.get(dictionary, 0), many
        return many > before

    def of(self, dictionary: str) -> frozenset[str]:
        """Return the values of a dictionary that are in use."""
        return frozenset(self._seen[dictionary])
