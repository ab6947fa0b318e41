"""Columns that a copy of a table lacks: others are read in their place, or it is told what is lost."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cohorts.records.tables.columns import Kind, Table
from cohorts.records.tables.reading import lacking_columns

_NOT_NEEDED = {Kind.TIME: Kind.TIME_OR_NONE}


def fit_table(files: Sequence[Path], table: Table) -> tuple[Table, list[str]]:
    """Return a table as it is to be read from its files, and what there is to be told of columns that one lacks.

    A column that is lacking is read as missing values. Raises SourceError where it is not an optional one.
    """
    instead = {name: kind for way in table.optional.values() for name, kind in way.instead.items()}
    required = [name for name in table.columns if name not in table.optional]
    asked = [*table.optional, *instead]
    lacking = {column for file in files for column in lacking_columns(file, required, asked)}
    columns, gone, told = dict(table.columns), {}, []
    for name, without in table.optional.items():
        if name not in lacking:
            continue
        gone[name] = without
        columns[name] = _NOT_NEEDED.get(columns[name], columns[name])
        if without.instead and lacking.isdisjoint(without.instead):
            columns |= without.instead
            told.append(f"{table.name} has no column {name}: it is made of {' and '.join(without.instead)}")
        elif without.loss:
            told.append(f"{table.name} has no column {name}: {without.loss}")
    return replace(table, columns=columns, optional=gone), told
