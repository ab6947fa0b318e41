"""The sources by name."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cohorts.errors import InputError
from cohorts.records.base import Source, Unit
from cohorts.records.notes.context import ContextMarked, Treatment
from cohorts.records.notes.deidentify import Deidentified
from cohorts.records.sources.mimic import mimic3, mimic4
from cohorts.records.sources.notes_csv import NotesCsv
from cohorts.records.sources.partitioned import Layout, PartitionedSource
from cohorts.records.tables.quarantine import Quarantine
from cohorts.records.tables.shards import Shard
from cohorts.records.tables.times import Dates

SOURCES = ("mimic3", "mimic4", "notes-csv")


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
    dates: Dates = Dates.ISO,
    shard: Shard | None = None,
) -> PartitionedSource:
    """Open a source; nothing but headers and first rows is read yet.

    `work_dir` takes the temporary files (patient text, private, removed at close). `notes` is the folder of
    MIMIC-IV-Note; `columns` and `labels` are the column map of notes-csv; `dates` says which of day and month comes
    first where the year comes last; of a `shard` only its patients are read. Raises SourceError, InputError.
    """
    if quarantine_file.parent != work_dir and not quarantine_file.parent.is_dir():
        raise InputError(
            f"There is no folder {quarantine_file.parent} for the quarantine file.",
            remedy="Make it, mount it, or name another.",
            hint="make_quarantine",
        )
    layout: Layout
    if name == "mimic3":
        layout = mimic3(path, unit)
    elif name == "mimic4":
        layout = mimic4(path, unit, notes)
    elif name == "notes-csv":
        if unit is not Unit.PATIENT:
            raise InputError(
                "notes-csv knows no admissions.", remedy="Read it by patient.", hint="unit_patient"
            )
        layout = NotesCsv(path, dict(columns or {}), labels)
    else:
        raise InputError(f"There is no source {name!r}. Sources: {', '.join(SOURCES)}.")
    settings: dict[str, object] = {"columns": sorted((columns or {}).items()), "labels": sorted(labels)}
    if dates is not Dates.ISO:
        settings["dates"] = dates
    return PartitionedSource(
        layout,
        work_dir,
        Quarantine(quarantine_file, max_bad_share),
        shard,
        dates=dates,
        settings=[f"{name}={value}" for name, value in settings.items() if value],
    )


def view_notes(source: Source, *, deidentify: bool = False, context: Treatment | None = None) -> Source:
    """Return the source as asked: identifiers go first, for a mask or a tag may cut one in two. Raises MissingExtra."""
    if deidentify:
        source = Deidentified(source)
    return ContextMarked(source, context) if context else source
