"""OMOP CDM 5.3 and 5.4: where its tables are; what they are read as is declared in omop.toml."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from cohorts.errors import SourceError
from cohorts.plain_text import printable
from cohorts.records.base import Unit
from cohorts.records.sources.declared.databases import copy_out, is_database
from cohorts.records.sources.declared.declaration import Declaration, builtin
from cohorts.records.sources.declared.folders import Places, locate
from cohorts.records.sources.declared.hospital import Hospital
from cohorts.records.sources.declared.servers import copy_from_server, file_of
from cohorts.records.sources.kinds import SourceKind, SourceRequest
from cohorts.records.sources.omop.lists import icd_known, ndc_known
from cohorts.records.tables.reading import read_rows

_NAME = "omop"
_OWN_CONCEPTS = "2b_concept"


def _open(asked: SourceRequest) -> Hospital:
    declaration = builtin(_NAME, _NAME)
    file = file_of(asked.address) if asked.address else asked.path
    if file is None:
        folder = asked.copies()
        copy_from_server(asked.address, declaration.tables, folder)
        return _hospital(declaration, Places(Path("the database"), [folder], copied=True), asked.unit)
    if not file.is_dir():
        if not file.is_file() or not is_database(file):
            raise SourceError(
                f"{file} is no folder, and no database file of DuckDB or SQLite. OMOP is read from either, or from the "
                "address of a database, as in postgresql://USER@HOST/NAME?schema=cdm."
            )
        folder = asked.copies()
        copy_out(file, declaration.tables, folder)
        return _hospital(declaration, Places(file, [folder], copied=True), asked.unit, [file])
    return _hospital(declaration, locate(file, ["person"]), asked.unit)


def _hospital(declaration: Declaration, places: Places, unit: Unit, origins: Sequence[Path] = ()) -> Hospital:
    there = [name for name, table in declaration.tables.items() if places.find(table.file or name)]
    given = {
        "icd_known": icd_known(),
        "ndc_known": ndc_known(),
        "there": pa.table({"name": pa.array(there, pa.string())}),
    }
    made = Hospital(_NAME, declaration, {"": places}, unit, given=given, origins=origins)
    if "concept" not in there and places.find(_OWN_CONCEPTS):
        made.warnings.append(
            f"No table concept in {places}, and {_OWN_CONCEPTS} alone: {declaration.tables['concept'].lost}"
        )
    made.warnings += _versions(places)
    return made


def _versions(places: Places) -> Iterator[str]:
    """Yield what the site's vocabularies are of: the version stands in the row of the vocabulary None."""
    for file in places.find("vocabulary"):
        for rows in read_rows(file, ["vocabulary_id", "vocabulary_version"]):
            versions = [version for name, version in rows.values if name == "None" and version]
            yield from (f"Vocabularies of version {printable(version)}" for version in versions)


OMOP = SourceKind(open=_open, addresses=True)
