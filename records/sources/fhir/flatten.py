"""Flat tables of FHIR's resources, written as private Parquet files while the resources go by.

Every row has the place of its resource in the original files; what can't be used is a row of its type's table too, with
the reason and nothing else, and so comes into quarantine like the bad rows of any table.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from cohorts.errors import InputError, SourceError
from cohorts.private_files import touch_private
from cohorts.records.sources.fhir.elements import (
    Found,
    OfNoPatient,
    Remarks,
    Row,
    Unusable,
    is_intensive,
)
from cohorts.records.sources.fhir.files import Fault, read_resources
from cohorts.records.sources.fhir.notes import document_rows, report_rows
from cohorts.records.sources.fhir.observations import observation_rows
from cohorts.records.sources.fhir.stays import encounter_rows, parent_of, patient_rows
from cohorts.records.sources.fhir.systems import words_of
from cohorts.records.sources.fhir.treatments import (
    Drug,
    administration_rows,
    condition_rows,
    drug_of,
    order_rows,
    procedure_rows,
)
from cohorts.records.tables.parquet_columns import FAULT, LINE, ROW

_ROWS = 10_000  # of a table that wait to be written
_NOTE_CHARS = 4_000_000
_WHOSE = "patient id updated encounter"
_NOTES = f"{_WHOSE} category time text left_out"
_COLUMNS: Mapping[str, str] = {
    "Patient": "id updated gender birth death deceased",
    "Encounter": "patient id admission updated class type intensive start end disposition died left_out",
    "EncounterLocation": "patient encounter updated name location intensive start end",
    "EncounterDiagnosis": "patient encounter condition rank",
    "Condition": f"{_WHOSE} system code recorded left_out",
    "Procedure": f"{_WHOSE} system code start end left_out",
    "MedicationRequest": f"{_WHOSE} medication drug ndc start end route dose unit left_out",
    "MedicationAdministration": f"{_WHOSE} medication drug ndc start end route amount unit rate rate_unit left_out",
    "Observation": f"{_WHOSE} time item system code loinc measured event value unit result flag low high left_out",
    "DocumentReference": _NOTES,
    "DiagnosticReport": _NOTES,
    "Medication": "id drug ndc",
    "Location": "id name intensive",
    "PartOf": "encounter admission",
    "Title": "system code title",
}
_NUMBERS = {"rank", "value", "low", "high", "amount", "rate"}
_ROWS_OF: Mapping[str, Callable[[Found, Remarks], Iterator[tuple[str, Row]]]] = {
    "Patient": patient_rows,
    "Encounter": encounter_rows,
    "Condition": condition_rows,
    "Procedure": procedure_rows,
    "MedicationRequest": order_rows,
    "MedicationAdministration": administration_rows,
    "Observation": observation_rows,
    "DocumentReference": document_rows,
    "DiagnosticReport": report_rows,
}
_LOOKED_UP = {"Medication", "Location"}
_WANTED = frozenset({*_ROWS_OF, *_LOOKED_UP})
_OTHER_TYPE = "an element is of another type than FHIR R4 says"
_MOST_PARTS = 10  # encounters within encounters


def flatten(files: Sequence[Path], folder: Path) -> Remarks:
    """Write the tables of some files into a folder, and return what there is to say of them.

    Raises SourceError where a file can't be read or there is no Patient, and InputError where there is no room.
    """
    flat = _Flat(folder)
    try:
        for number, file in enumerate(files):
            flat.take(file, number)
        flat.finish()
    except OSError as error:
        raise InputError(
            f"The resources can't be copied to {folder.parent}: {error}.",
            remedy="Make room, or name another folder to work in.",
            hint="room_or_run_dir",
        ) from error
    finally:
        flat.close()
    if not flat.has("Patient"):
        raise SourceError(f"There is no Patient in {len(files):,} files, so nobody whom the others are of.")
    return flat.remarks


class _Flat:
    """All tables while they are written, and the few things that are looked up by others, in memory."""

    def __init__(self, folder: Path) -> None:
        self.remarks = Remarks()
        self._tables = {name: _FlatTable(folder, name) for name in _COLUMNS}
        self._parents: dict[str, str] = {}
        self._drugs: dict[str, Drug] = {}
        self._titles: dict[tuple[str, str], str] = {}

    def has(self, table: str) -> bool:
        return self._tables[table].rows > 0

    def take(self, file: Path, number: int) -> None:
        """Take in a file. What is no resource goes to the table of the last one, first to that in the file's name."""
        last = max((kind for kind in _ROWS_OF if kind in file.name), key=len, default="Patient")
        for one in read_resources(file, number, _WANTED, self.remarks):
            if isinstance(one, Fault):
                self._tables[last].add_fault(one)
                continue
            kind = one.resource["resourceType"]
            try:
                if kind in _ROWS_OF:
                    last = kind
                    self._add(kind, one)
                else:
                    self._look_up(kind, one)
            except OfNoPatient:
                self.remarks.of_no_patient[kind] += 1
            except Unusable as why:
                self._tables[last].add_fault(Fault(one.row, one.line, f"{kind}: {why}"))
            except (TypeError, AttributeError, LookupError, ValueError):
                self._tables[last].add_fault(Fault(one.row, one.line, f"{kind}: {_OTHER_TYPE}"))

    def finish(self) -> None:
        """Write what is looked up."""
        for (system, code), title in self._titles.items():
            self._tables["Title"].add((system, code, title))
        for key, drug in self._drugs.items():
            parts = [self._drugs[part].name for part in drug.of if part in self._drugs]
            name = drug.name or " / ".join(part for part in parts if part) or None
            self._tables["Medication"].add((key, name, drug.ndc))
        self._tables["Encounter"].flush()
        for child, admission in self._roots().items():
            self._tables["PartOf"].add((child, admission))
        for table in self._tables.values():
            table.close()
            self.remarks.texts += table.texts

    def close(self) -> None:
        for table in self._tables.values():
            table.close()

    def _add(self, kind: str, found: Found) -> None:
        for table, row in list(_ROWS_OF[kind](found, self.remarks)):
            if table == "Title":
                self._titles.setdefault(row[:2], row[2])
            else:
                self._tables[table].add(row)
        if kind == "Encounter" and (parent := parent_of(found.resource)):
            self._parents[found.key] = parent

    def _look_up(self, kind: str, found: Found) -> None:
        one = found.resource
        if kind == "Medication":
            drug = drug_of(one)
            if not isinstance(drug.name, str | None) or not isinstance(drug.ndc, str | None):
                raise TypeError
            self._drugs[found.key] = drug
            return
        name = one.get("name")
        kinds = [one.get("physicalType") or {}, *(one.get("type") or ())]
        codes = [coding.get("code") for kind in kinds for coding in kind.get("coding") or ()]
        intensive = is_intensive(name, *codes, *map(words_of, kinds))
        self._tables["Location"].add((found.key, name, str(intensive).lower()))

    def _roots(self) -> dict[str, str]:
        """Return the encounter that each part of another is of in the end: one that is there and is no part itself."""
        if not self._parents:
            return {}
        asked = pa.array(sorted({*self._parents.values()}), pa.string())
        there = {*self._tables["Encounter"].found(asked)}
        roots = {}
        for child in self._parents:
            root = child
            for _ in range(_MOST_PARTS):
                parent = self._parents.get(root)
                if parent is None or parent not in there:
                    break
                root = parent
            else:
                continue  # in a circle
            if root != child:
                roots[child] = root
        return roots


class _FlatTable:
    """One table; its file is made at the first row."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = folder / f"{name}.parquet"
        columns = _COLUMNS[name].split()
        self._columns = columns
        self._has_place = name in _ROWS_OF or name.startswith("Encounter")
        fields = [(column, pa.float64() if column in _NUMBERS else pa.string()) for column in columns]
        place = [(ROW, pa.int64()), (LINE, pa.int64()), (FAULT, pa.string())] if self._has_place else []
        self._schema = pa.schema([*fields, *place])
        self._text = columns.index("text") if "text" in columns else -1
        self._waiting: list[Row] = []
        self._chars = 0
        self._writer: Any = None
        self.rows = self.texts = 0

    def add(self, row: Row) -> None:
        self._waiting.append(row)
        if self._text >= 0 and row[self._text]:
            self._chars += len(row[self._text])
            self.texts += 1
        if len(self._waiting) >= _ROWS or self._chars >= _NOTE_CHARS:
            self.flush()

    def add_fault(self, fault: Fault) -> None:
        self.add((*[None] * len(self._columns), fault.row, fault.line, fault.reason))

    def flush(self) -> None:
        """Write the rows that wait. Raises OSError."""
        if not self._waiting:
            return
        rows, self._waiting, self._chars = self._waiting, [], 0
        self.rows += len(rows)
        try:
            made = self._table(rows)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            made = self._table([row if self._fits(row) else self._as_fault(row) for row in rows])
        if self._writer is None:
            # As large as its rows are: by the size of tables it is known in how many parts they are read.
            self._writer = pyarrow.parquet.ParquetWriter(
                touch_private(self._file), self._schema, compression="none", use_dictionary=False
            )
        self._writer.write_table(made)

    def found(self, ids: pa.Array) -> list[str]:
        """Return which of some ids are those of admissions in the table, whose rows were all written."""
        if self._writer is None:
            return []
        self._writer.close()
        self._writer = None
        batches = pyarrow.parquet.ParquetFile(self._file).iter_batches(columns=["admission"])
        kept = [
            batch.column("admission").filter(pc.is_in(batch.column("admission"), ids)) for batch in batches
        ]
        return [one for some in kept for one in some.to_pylist()]

    def close(self) -> None:
        """Write all, and close the file; safe to call twice. Raises OSError."""
        self.flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _table(self, rows: Sequence[Row]) -> pa.Table:
        columns = zip(*rows, strict=True)
        return pa.table(
            [pa.array(cells, field.type) for cells, field in zip(columns, self._schema, strict=True)],
            schema=self._schema,
        )

    def _fits(self, row: Row) -> bool:
        return all(_is_cell(cell, field.type) for cell, field in zip(row, self._schema, strict=True))

    def _as_fault(self, row: Row) -> Row:
        if not self._has_place:
            return (None,) * len(row)
        return (*[None] * len(self._columns), row[-3], row[-2], _OTHER_TYPE)


def _is_cell(cell: object, kind: pa.DataType) -> bool:
    if cell is None:
        return True
    if pa.types.is_floating(kind):
        return isinstance(cell, int | float) and not isinstance(cell, bool) and abs(cell) < 2**53
    return isinstance(cell, str if pa.types.is_string(kind) else int)
