"""The sources by name: those that are built in, and those that other packages bring.

A further source is a package with an entry point in the group `cohorts.sources`, named as users ask for it, whose
object is a `SourceKind`. `tests/source_contract` is the suite that it inherits.
"""

import hashlib
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from cohorts.errors import InputError, SourceError
from cohorts.plugins import plugin, plugin_names
from cohorts.records.base import Source, Unit
from cohorts.records.notes.context import ContextMarked, Treatment
from cohorts.records.notes.deidentify import Deidentified
from cohorts.records.shards import Named, Shard
from cohorts.records.sources.copies import Copies
from cohorts.records.sources.kinds import Option, SourceKind, SourceRequest
from cohorts.records.sources.mappings import find_mapping
from cohorts.records.sources.partitioned import MEMORY_MIB, PartitionedSource
from cohorts.records.tables.quarantine import Quarantine
from cohorts.records.tables.times import Dates

ENTRY_POINTS = "cohorts.sources"
_MEANS: Mapping[Option, str] = {
    "notes": "Notes in a folder of their own are MIMIC-IV's",
    "columns": "A column map is for notes in a table",
    "labels": "Label columns are those of notes in a table",
    "mapping": "A mapping declares the tables of the source tables, or what the codes of meds stand for",
    "split": "Splits are those of MEDS",
}
_BUILT_IN: Mapping[str, tuple[str, str]] = {  # the modules of their kinds, imported when one is asked for
    "mimic3": ("cohorts.records.sources.mimic.layout", "MIMIC3"),
    "mimic4": ("cohorts.records.sources.mimic.layout", "MIMIC4"),
    "notes-csv": ("cohorts.records.sources.notes_csv", "NOTES_CSV"),
    "tables": ("cohorts.records.sources.own_tables", "TABLES"),
    "meds": ("cohorts.records.sources.meds.layout", "MEDS"),
    "fhir": ("cohorts.records.sources.fhir.layout", "FHIR"),
    "omop": ("cohorts.records.sources.omop.layout", "OMOP"),
}


def source_names() -> list[str]:
    """Return the names of all sources that can be read here, those of other packages last."""
    others = plugin_names(ENTRY_POINTS) - {*_BUILT_IN}
    return [*_BUILT_IN, *sorted(others)]


def open_source(
    name: str,
    path: Path | str,
    *,
    unit: Unit = Unit.PATIENT,
    work_dir: Path,
    quarantine_file: Path,
    max_bad_share: float = 0.1,
    notes: Path | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Sequence[str] = (),
    mapping: Path | None = None,
    split: str = "",
    dates: Dates = Dates.ISO,
    shard: Shard | Named | None = None,
    memory_mib: int = MEMORY_MIB,
) -> PartitionedSource:
    """Open a source; nothing but headers and first rows is read yet.

    A `path` that is a text is the address of a database, which some sources read. `work_dir` takes the temporary files
    (patient text, private, removed at close). What `notes`, `columns`, `labels`, `mapping` and `split` mean, the kind
    of source says; one that means nothing to it is refused. `dates` says which of day and month comes first where the
    year comes last; of a `shard`, or of those named, only its patients are read; `memory_mib` bounds what
    reading takes beside the program itself and one batch. Raises SourceError, InputError.
    """
    if quarantine_file.parent != work_dir and not quarantine_file.parent.is_dir():
        raise InputError(
            f"There is no folder {quarantine_file.parent} for the quarantine file.",
            remedy="Make it, mount it, or name another.",
            hint="make_quarantine",
        )
    kind = _kind_of(name)
    options: dict[Option, Any] = {
        "notes": notes,
        "columns": dict(columns or {}),
        "labels": list(labels),
        "mapping": find_mapping(mapping),
        "split": split,
    }
    given = {option: value for option, value in options.items() if value}
    _refuse(name, kind, unit, path, given)
    copies = Copies(work_dir)
    address = path if isinstance(path, str) else ""
    try:
        layout = kind.open(
            SourceRequest(
                path=Path() if address else Path(path), address=address, unit=unit, copies=copies, **given
            )
        )
    except BaseException:
        copies.close()
        raise
    return PartitionedSource(
        layout,
        work_dir,
        Quarantine(quarantine_file, max_bad_share),
        shard,
        dates=dates,
        settings=_settings(given, dates),
        memory_mib=memory_mib,
        copies=copies,
    )


def _kind_of(name: str) -> SourceKind:
    """Return what is built in by this name, or what another package brings. Raises InputError, SourceError."""
    if name in _BUILT_IN:
        module, called = _BUILT_IN[name]
        kind: SourceKind = getattr(import_module(module), called)
        return kind
    if found := plugin(ENTRY_POINTS, name, SourceKind, SourceError):
        return found
    raise InputError(f"There is no source {name!r}. Sources: {', '.join(source_names())}.")


def _refuse(
    name: str, kind: SourceKind, unit: Unit, path: Path | str, given: Mapping[Option, object]
) -> None:
    """Raise InputError for what means nothing to a kind of source."""
    for option in given:
        if option not in kind.takes:
            raise InputError(f"{_MEANS[option]}; {name} has none: leave it out.")
    if unit not in kind.units:
        raise InputError(f"{name} knows no admissions.", remedy="Read it by patient.", hint="unit_patient")
    if isinstance(path, str) and not kind.addresses:
        # What stands in an address may be a password.
        raise InputError(f"{name} is read from files: name their folder, and no address of a database.")


def _settings(given: Mapping[Option, Any], dates: Dates) -> list[str]:
    """Return the choices by which the same files are another source."""
    settings: dict[str, object] = {
        "columns": sorted(given.get("columns", {}).items()),
        "labels": sorted(given.get("labels", ())),
        "split": given.get("split"),
    }
    if dates is not Dates.ISO:
        settings["dates"] = dates
    if "mapping" in given:
        settings["mapping"] = hashlib.sha256(given["mapping"].read_bytes()).hexdigest()
    return [f"{name}={value}" for name, value in settings.items() if value]


def view_notes(source: Source, *, deidentify: bool = False, context: Treatment | None = None) -> Source:
    """Return the source as asked: identifiers go first, for a mask or a tag may cut one in two. Raises MissingExtra."""
    if deidentify:
        source = Deidentified(source)
    return ContextMarked(source, context) if context else source
