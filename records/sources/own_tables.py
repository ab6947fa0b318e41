"""A hospital's own tables, in a folder or in a database file, as its own mapping declares them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cohorts.errors import InputError, SourceError
from cohorts.records.base import Unit
from cohorts.records.sources.declared.databases import copy_out, is_database
from cohorts.records.sources.declared.declaration import Declaration, read_declaration
from cohorts.records.sources.declared.folders import Places
from cohorts.records.sources.declared.hospital import Hospital
from cohorts.records.sources.kinds import SourceKind, SourceRequest
from cohorts.records.tables.reading import READ

_NAME = "tables"


def read_mapping(mapping: Path | None, unit: Unit) -> Declaration:
    """Return what a hospital declares. Raises SourceError, and InputError without a mapping, or for another unit."""
    if mapping is None:
        raise InputError(
            "The source tables needs a mapping, which declares its tables and SELECTs.",
            remedy="Write one as docs/tables.md says.",
            hint="mapping",
        )
    declaration = read_declaration(mapping)
    for name, table in declaration.tables.items():
        if table.part:
            raise SourceError(f"{mapping}, table {name}: part is for MIMIC-IV alone; leave it out.")
        for column, values in table.only.items():
            if values not in declaration.values:
                raise SourceError(
                    f"{mapping}, table {name}: only has {column} in the list {values}, which [values] lacks."
                )
    if unit is Unit.ADMISSION and "admissions" not in declaration.frames:
        raise InputError(
            f"{mapping} has no frame admissions, so it knows no admissions.",
            remedy="Read it by patient.",
            hint="unit_patient",
        )
    return declaration


def own_tables(folder: Path, declaration: Declaration, unit: Unit) -> Hospital:
    """Return the layout of the tables in a folder. Raises SourceError."""
    if not folder.is_dir():
        raise SourceError(f"There is no folder, and no database file, {folder}.")
    return Hospital(_NAME, declaration, {"": Places(folder, [folder])}, unit)


def database_tables(file: Path, declaration: Declaration, unit: Unit, copies: Callable[[], Path]) -> Hospital:
    """Return the layout of the tables in a database, copied to a folder. Raises SourceError, InputError."""
    if not is_database(file):
        raise SourceError(
            f"{file} is no database file of DuckDB or SQLite. Tables are read from such a file, or from a folder with "
            f"{READ}: name the folder."
        )
    folder = copies()
    copy_out(file, declaration.tables, folder)
    by_name = {name: replace(table, file="") for name, table in declaration.tables.items()}
    declaration = replace(declaration, tables=by_name)
    places = Places(file, [folder], copied=True)
    return Hospital(_NAME, declaration, {"": places}, unit, origins=[file])


def _open(asked: SourceRequest) -> Hospital:
    declaration = read_mapping(asked.mapping, asked.unit)
    if asked.path.is_file():
        return database_tables(asked.path, declaration, asked.unit, asked.copies)
    return own_tables(asked.path, declaration, asked.unit)


TABLES = SourceKind(open=_open, takes=frozenset({"mapping"}))
