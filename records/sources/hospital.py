"""A hospital's tables in a folder, as a declaration says what they are."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import pyarrow as pa
from cohorts.errors import SourceError
from cohorts.records.base import Unit
from cohorts.records.sources.admission_ids import AdmissionIds
from cohorts.records.sources.assemble import assemble
from cohorts.records.sources.declared import Declaration, DeclaredTable
from cohorts.records.sources.folders import Places
from cohorts.records.sources.icd import IcdCheck
from cohorts.records.sources.lacking import fit_table
from cohorts.records.sources.partitioned import Assembled, Feed, Tables
from cohorts.records.sources.selects import Selects, reads
from cohorts.records.tables.columns import Table, read_table, schema_of

_ALWAYS = ("patients", "admissions", "codes", "stays")


class Hospital:
    """The layout of tables that are declared; `places` says where they are, by the part of the source they are of.

    A part without places was not given, and what is lost with it was told by who left it out. `values` are the lists
    that the declaration's `only` names.
    """

    def __init__(
        self,
        name: str,
        declaration: Declaration,
        places: Mapping[str, Places],
        unit: Unit,
        *,
        synthetic: bool = False,
        values: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self.name, self.unit, self.synthetic = name, unit, synthetic
        self.warnings = [told for place in places.values() for told in place.told]
        self._declaration, self._places = declaration, places
        self._values = values or {}
        self._admission_ids = AdmissionIds()
        self._files: dict[str, tuple[Path, Table]] = {}  # of the tables that are there
        self._look_for_tables()

    def feeds(self) -> Iterator[Feed]:
        """Yield the files to read. Raises SourceError where one is missing, or a SELECT can't be run."""
        self._selects.check()
        for name, declared in self._declaration.tables.items():
            if name in self._files and declared.patient:
                file, table = self._files[name]
                see = self._admission_ids.see if declared.admission else None
                selects = self._declaration.frames.items()
                frames = frozenset(made for made, select in selects if reads(select, name))
                yield Feed(
                    table,
                    file,
                    declared.patient,
                    frames,
                    _icd_check(declared),
                    see,
                    declared.admission,
                    declared.further,
                )
            elif name not in self._files and not declared.lost:
                raise SourceError(
                    f"Table {name} is missing: {name}.csv, {name}.csv.gz or the like was looked for in "
                    f"{self._places[declared.part]}."
                )

    def assemble(self, tables: Tables, frames: frozenset[str]) -> Assembled:
        """Turn all rows of some patients into a batch. Raises SourceError."""
        made = {frame: self._selects.frame(frame, tables) for frame in (*_ALWAYS, *sorted(frames))}
        mimic = self._declaration.items == "mimic"
        return assemble(made, self.unit, self._titles, self._admission_ids, mimic=mimic)

    def _look_for_tables(self) -> None:
        """Find the files, and tell what is lost with those that are not there. Raises SourceError."""
        unknown: list[str] = []
        for name, declared in self._declaration.tables.items():
            places = self._places.get(declared.part)
            file = places.find(declared.file or name) if places is not None else None
            if file is not None:
                fitted, told = fit_table(file, declared.as_table(name, self._values))
                self._files[name] = file, fitted
                self.warnings += told
                unknown += [
                    f"{lost} ({column} of {name})"
                    for column, lost in declared.unknown.items()
                    if column in fitted.optional
                ]
            elif declared.further:
                unknown.append(f"{declared.lost} ({name})")
            elif declared.lost and places is not None:
                kind = "table" if declared.patient else "dictionary"
                self.warnings.append(f"No {kind} {name} in {places}: {declared.lost}")
        if unknown:
            self.warnings.append(f"Not there, and not known: {', '.join(unknown)}")

    @cached_property
    def _selects(self) -> Selects:
        tables, dictionaries, made_of = {}, {}, {}
        for name, declared in self._declaration.tables.items():
            fitted = self._files[name][1] if name in self._files else declared.as_table(name, self._values)
            made_of[name] = {
                column: instead.value
                for column, instead in declared.instead.items()
                if column in fitted.optional and _has(fitted, instead.columns)
            }
            if name in self._files and not declared.patient:
                dictionaries[name] = self._dictionary(name, declared)
            else:
                tables[name] = schema_of(fitted)
        return Selects(self._declaration.frames, tables, dictionaries, made_of)

    def _dictionary(self, name: str, declared: DeclaredTable) -> pa.Table:
        """Return all rows of a dictionary, the last one of every key."""
        file, table = self._files[name]
        rows = pa.concat_tables([chunk.rows for chunk in read_table(file, table)])
        if check := _icd_check(declared):
            rows, _ = check.see(rows)
            self.warnings += check.warnings(name)
        if not declared.key:
            return rows
        again = rows.column(declared.key).to_pandas().duplicated(keep="last")
        return rows.filter(pa.array(~again.to_numpy(dtype=bool)))

    @cached_property
    def _titles(self) -> dict[tuple[str, str], str]:
        """Return the titles of diagnoses by system and code."""
        rows = self._selects.frame("titles", {})
        system, code, title = (rows.column(name).to_pylist() for name in ("system", "code", "title"))
        return dict(zip(zip(system, code, strict=True), title, strict=True))


def _icd_check(declared: DeclaredTable) -> IcdCheck | None:
    icd = declared.icd
    return IcdCheck(icd.kind, icd.code, icd.version) if icd else None


def _has(fitted: Table, columns: Iterable[str]) -> bool:
    """Tell whether a file has all of some columns."""
    return all(name in fitted.columns and name not in fitted.optional for name in columns)
