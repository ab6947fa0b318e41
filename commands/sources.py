"""The source that a command reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cohorts.commands.options import MAX_BAD_SHARE, MEMORY_MIB, ContextName, DatesName, UnitName
from cohorts.commands.output import log
from cohorts.errors import InputError

if TYPE_CHECKING:
    from cohorts.records.base import Source
    from cohorts.records.shards import Named, Shard


def source_and_path(text: str) -> tuple[str, str]:
    """Return the source and the path of `mimic3:FOLDER`. Raises InputError."""
    name, _, path = text.partition(":")
    if not name or not path:
        raise InputError(
            f"--evidence takes a source and where its records are, as in mimic3:FOLDER; got {text[:80]!r}."
        )
    return name, path


@contextmanager
def opened_source(
    source: str,
    path: str,
    folder: Path,
    *,
    unit: UnitName = UnitName.PATIENT,
    quarantine: Path | None = None,
    max_bad_share: float = MAX_BAD_SHARE,
    notes: Path | None = None,
    columns: str = "",
    labels: str = "",
    mapping: Path | None = None,
    split: str = "",
    dates: DatesName = DatesName.ISO,
    shard: "Shard | Named | None" = None,
    deidentify: bool = False,
    context: ContextName | None = None,
    memory_mib: int = MEMORY_MIB,
) -> Iterator["Source"]:
    """Open a source, and see its notes as asked; what de-identification does not do is said at once.

    `folder` takes temporary files, and bad rows unless another file is named.
    """
    from cohorts.given import as_names, as_pairs, as_place
    from cohorts.records.base import Unit
    from cohorts.records.notes.context import Treatment
    from cohorts.records.notes.deidentify import LIMITS
    from cohorts.records.sources.registry import open_source, view_notes
    from cohorts.records.tables.times import Dates
    from cohorts.workspace import check_writable

    check_writable(folder)
    with open_source(
        source,
        as_place("--path", path),
        unit=Unit(unit.value),
        work_dir=folder,
        quarantine_file=quarantine or folder / "quarantine.csv",
        max_bad_share=max_bad_share,
        notes=notes,
        columns=as_pairs("--columns", columns),
        labels=as_names("--labels", labels),
        mapping=mapping,
        split=split,
        dates=Dates(dates.value),
        shard=shard,
        memory_mib=memory_mib,
    ) as opened:
        treatment = Treatment(context.value) if context else None
        records = view_notes(opened, deidentify=deidentify, context=treatment)
        if deidentify:
            log.say("note", f"{LIMITS}.")
        yield records
