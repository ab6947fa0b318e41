"""A hospital's tables in a folder, as a declaration says what they are."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa
from cohorts.errors import SourceError
from cohorts.records.base import Unit
from cohorts.records.cores import usable_cores
from cohorts.records.sources.admission_ids import AdmissionIds, Owners
from cohorts.records.sources.assemble import assemble
from cohorts.records.sources.declared.declaration import Declaration, DeclaredTable, without_views
from cohorts.records.sources.declared.folders import Places
from cohorts.records.sources.declared.lacking import fit_table
from cohorts.records.sources.declared.selects import Selects, reads
from cohorts.records.sources.declared.used_rows import UsedRows
from cohorts.records.sources.icd import IcdCheck
from cohorts.records.sources.partitioned import Assembled, Feed, Tables
from cohorts.records.tables.columns import Table, read_tables, schema_of

_ALWAYS = ("patients", "admissions", "codes", "stays")


class Hospital:
    """The layout of tables that are declared; `places` says where they are, by the part of the source they are of.

    A part without places was not given, and what is lost with it was told by who left it out. `values` are lists that
    the declaration's `only` names, beside its own. `origins` are the files that the tables were made of; rows that are
    `placed` tell where they stand in those. `given` are dictionaries of ours, by the name that SELECTs know them by. No
    row of `unfilled` frames is expected, though tables that they are made of have rows.
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
        origins: Sequence[Path] = (),
        placed: bool = False,
        given: Mapping[str, pa.Table] | None = None,
        unfilled: frozenset[str] = frozenset(),
    ) -> None:
        self.name, self.unit, self.synthetic = name, unit, synthetic or declaration.synthetic
        self.warnings = [told for place in places.values() for told in place.told]
        self._declaration, self._places = declaration, places
        self._origins, self._placed = origins, placed
        self._given, self._unfilled = given or {}, unfilled
        own = {name: frozenset(some) for name, some in declaration.values.items()}
        self._values = {**own, **(values or {})}
        self._used = UsedRows(declaration.tables)
        self._admission_ids = AdmissionIds()
        self._owners = {table.via: Owners() for table in declaration.tables.values() if table.via}
        self._files: dict[str, tuple[Sequence[Path], Table]] = {}  # of the tables that are there
        self._look_for_tables()

    def feeds(self) -> Iterator[Feed]:
        """Yield the files to read, those last that refer to another one.

        Raises SourceError where one is missing, or a SELECT can't be run.
        """
        _ = self._selects  # they are checked
        declared = self._declaration.tables
        for name in sorted(declared, key=lambda name: bool(declared[name].via)):
            if name not in self._files and not declared[name].lost:
                raise SourceError(
                    f"Table {name} is missing: {name}.csv, {name}.csv.gz or the like was looked for in "
                    f"{self._places[declared[name].part]}."
                )
            if name in self._files and declared[name].patient:
                yield self._feed(name, declared[name])

    def dictionaries(self) -> Iterator[tuple[str, Path]]:
        """Yield the tables that are of no patient."""
        for name, (files, _) in self._files.items():
            if not self._declaration.tables[name].patient:
                yield from ((name, file) for file in self._origins or files)

    def _feed(self, name: str, declared: DeclaredTable) -> Feed:
        files, table = self._files[name]
        referring = [other for other, one in self._declaration.tables.items() if one.via == name]
        selects = self._declaration.frames.items()
        frames = {made for made, select in selects for one in (name, *referring) if reads(select, one)}
        return Feed(
            table,
            files,
            self._patient(declared),
            frozenset(frames),
            _icd_check(declared),
            fills=frozenset(one for one in frames - self._unfilled if self._fills(one, [name, *referring])),
            see=lambda rows: self._see(name, declared, rows),
            via=declared.via,
            owned=(lambda rows: self._with_patient(declared, rows)) if declared.via else None,
            origins=self._origins,
            placed=self._placed,
            further=declared.further,
        )

    def _fills(self, frame: str, tables: Sequence[str]) -> bool:
        """Tell whether tables stand in a frame's SELECT itself, or none does: those of views may be looked up."""
        written = without_views(self._declaration.frames[frame])
        return any(reads(written, one) for one in tables) or not any(
            reads(written, one) for one in self._declaration.tables
        )

    def assemble(self, tables: Tables, frames: frozenset[str]) -> Assembled:
        """Turn all rows of some patients into one part. Raises SourceError."""
        self._keep_used()
        made = {frame: self._selects.frame(frame, tables) for frame in (*_ALWAYS, *sorted(frames))}
        mimic, loose = self._declaration.items == "mimic", self._declaration.loose
        assembled = assemble(made, self.unit, self._titles, self._admission_ids, mimic=mimic, loose=loose)
        for frame, rows in made.items():
            if frame in self._declaration.frames:
                assembled.accounts[frame].selected[frame] = rows.num_rows
        return assembled

    def _patient(self, declared: DeclaredTable) -> str:
        """Return the column that has the patient."""
        return self._declaration.tables[declared.via].patient if declared.via else declared.patient

    def _see(self, name: str, declared: DeclaredTable, rows: pa.Table) -> None:
        if declared.admission:
            self._admission_ids.see(rows.column(declared.admission).drop_null())
        self._used.see(name, rows)
        if name in self._owners:
            self._owners[name].see(rows.column(declared.key), rows.column(declared.patient))

    def _with_patient(self, declared: DeclaredTable, rows: pa.Table) -> pa.Table:
        owners = self._owners[declared.via].of(rows.column(declared.patient))
        return rows.append_column(self._patient(declared), owners)

    def _look_for_tables(self) -> None:
        """Find the files, and tell what is lost with those that are not there. Raises SourceError."""
        unknown: list[str] = []
        for name, declared in self._declaration.tables.items():
            places = self._places.get(declared.part)
            files = _files_of(places, name, declared) if places is not None else []
            if files:
                fitted, told = fit_table(files, declared.as_table(name, self._values))
                self._files[name] = files, fitted
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
        tables, made_of = {}, {}
        for name, declared in self._declaration.tables.items():
            fitted = self._files[name][1] if name in self._files else declared.as_table(name, self._values)
            made_of[name] = {
                column: instead.value
                for column, instead in declared.instead.items()
                if column in fitted.optional and _has(fitted, instead.columns)
            }
            tables[name] = schema_of(fitted)
            if declared.via:
                tables[name] = tables[name].append(pa.field(self._patient(declared), pa.string()))
        tables |= {name: given.schema for name, given in self._given.items()}
        selects = Selects(self._declaration.frames, tables, made_of)
        for name in self._files:
            declared = self._declaration.tables[name]
            if not declared.patient and not declared.used:
                selects.keep(name, self._dictionary(name, declared))
        for name, given in self._given.items():
            selects.keep(name, given)
        return selects

    def _keep_used(self) -> None:
        """Read the dictionaries of which rows in use are kept, if more came into use since. Raises SourceError."""
        for name, declared in self._declaration.tables.items():
            if name in self._files and declared.used and self._used.has_more(name):
                rows = self._dictionary(name, declared)
                self._used.see(name, rows)
                self._selects.keep(name, rows)
                self.__dict__.pop("_titles", None)  # they are made of dictionaries

    def _dictionary(self, name: str, declared: DeclaredTable) -> pa.Table:
        """Return all rows of a dictionary, the last one of every key."""
        files, table = self._files[name]
        if declared.used:
            table = replace(table, only={**table.only, declared.used: self._used.of(name)})
        chunks = list(read_tables(files, table, workers=usable_cores()))
        rows = pa.concat_tables([chunk.rows for chunk in chunks])
        if bad := sum(len(chunk.bad) for chunk in chunks):
            told = f"{name}: {bad:,} rows can't be used, and are left out"
            self.warnings += [told] if told not in self.warnings else []
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


def _files_of(places: Places, name: str, declared: DeclaredTable) -> list[Path]:
    return [file for one in (declared.file or name, *declared.also) for file in places.find(one)]


def _icd_check(declared: DeclaredTable) -> IcdCheck | None:
    icd = declared.icd
    return IcdCheck(icd.kind, icd.code, icd.version) if icd else None


def _has(fitted: Table, columns: Iterable[str]) -> bool:
    """Tell whether a file has all of some columns."""
    return all(name in fitted.columns and name not in fitted.optional for name in columns)
