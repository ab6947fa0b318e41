"""The sources by name."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from cohorts.errors import InputError
from cohorts.private_files import Scratch
from cohorts.records.base import Source, Unit
from cohorts.records.notes.context import ContextMarked, Treatment
from cohorts.records.notes.deidentify import Deidentified
from cohorts.records.shards import Shard
from cohorts.records.sources.mimic import mimic3, mimic4
from cohorts.records.sources.notes_csv import NotesCsv
from cohorts.records.sources.own_tables import database_tables, own_tables, read_mapping
from cohorts.records.sources.partitioned import MEMORY_MIB, Layout, PartitionedSource
from cohorts.records.tables.quarantine import Quarantine
from cohorts.records.tables.times import Dates

SOURCES = ("mimic3", "mimic4", "notes-csv", "tables")


def open_source(
    name: str,
    path: Path,
    *,
    unit: Unit = Unit.PATIENT,
    work_dir: Path,
    quarantine_file: Path,
    max_bad_share: float = 0.1,
    notes: Path | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Sequence[str] = (),
    mapping: Path | None = None,
    dates: Dates = Dates.ISO,
    shard: Shard | None = None,
    memory_mib: int = MEMORY_MIB,
) -> PartitionedSource:
    """Open a source; nothing but headers and first rows is read yet.

    `work_dir` takes the temporary files (patient text, private, removed at close). `notes` is the folder of
    MIMIC-IV-Note; `columns` and `labels` are the column map of notes-csv; `mapping` is the file that declares tables;
    `dates` says which of day and month comes first where the year comes last; of a `shard` only its patients are read;
    `memory_mib` bounds what reading takes beside the program itself and one batch. Raises SourceError, InputError.
    """
    if quarantine_file.parent != work_dir and not quarantine_file.parent.is_dir():
        raise InputError(
            f"There is no folder {quarantine_file.parent} for the quarantine file.",
            remedy="Make it, mount it, or name another.",
            hint="make_quarantine",
        )
    if mapping is not None and name != "tables":
        raise InputError(
            f"A mapping declares the tables of the source tables; {name} has none: leave it out."
        )
    layout: Layout
    copies = None
    if name == "mimic3":
        layout = mimic3(path, unit)
    elif name == "mimic4":
        layout = mimic4(path, unit, notes)
    elif name == "tables":
        layout, copies = _own_tables(path, mapping, unit, work_dir)
    elif name == "notes-csv":
        if unit is not Unit.PATIENT:
            raise InputError(
                "notes-csv knows no admissions.", remedy="Read it by patient.", hint="unit_patient"
            )
        layout = NotesCsv(path, dict(columns or {}), labels)
    else:
        raise InputError(f"There is no source {name!r}. Sources: {', '.join(SOURCES)}.")
    return PartitionedSource(
        layout,
        work_dir,
        Quarantine(quarantine_file, max_bad_share),
        shard,
        dates=dates,
        settings=_settings(columns or {}, labels, dates, mapping),
        memory_mib=memory_mib,
        copies=copies,
    )


def _settings(
    columns: Mapping[str, str], labels: Sequence[str], dates: Dates, mapping: Path | None
) -> list[str]:
    """Return the choices by which the same files are another source."""
    settings: dict[str, object] = {"columns": sorted(columns.items()), "labels": sorted(labels)}
    if dates is not Dates.ISO:
        settings["dates"] = dates
    if mapping is not None:
        settings["mapping"] = hashlib.sha256(mapping.read_bytes()).hexdigest()
    return [f"{name}={value}" for name, value in settings.items() if value]


def _own_tables(
    path: Path, mapping: Path | None, unit: Unit, work_dir: Path
) -> tuple[Layout, Scratch | None]:
    """Return the layout of declared tables, and what holds the copies of a database's."""
    declaration = read_mapping(mapping, unit)
    if not path.is_file():
        return own_tables(path, declaration, unit), None
    try:
        copies = Scratch(work_dir)
    except OSError as error:
        raise InputError(
            f"{work_dir} can't hold the tables of {path}: {error}.",
            remedy="Name another folder to work in.",
            hint="another_run_dir",
        ) from error
    return database_tables(path, declaration, unit, copies.folder), copies


def view_notes(source: Source, *, deidentify: bool = False, context: Treatment | None = None) -> Source:
    """Return the source as asked: identifiers go first, for a mask or a tag may cut one in two. Raises MissingExtra."""
    if deidentify:
        source = Deidentified(source)
    return ContextMarked(source, context) if context else source
