"""MIMIC-III and MIMIC-IV: where their tables are, and which of the two a folder holds; the rest is declared."""

from pathlib import Path
from typing import Any

from cohorts.documents import read_json
from cohorts.errors import SourceError
from cohorts.records.base import Unit
from cohorts.records.measured.mimic_items import chart_items
from cohorts.records.sources.declared.declaration import builtin
from cohorts.records.sources.declared.folders import Places, locate
from cohorts.records.sources.declared.hospital import Hospital
from cohorts.records.sources.kinds import SourceKind
from cohorts.records.synthetic.hospital import MARKER
from cohorts.records.tables.reading import lacking_columns

_PARTS = ("core", "hosp", "icu")  # core up to version 1.0
_NOTES = ("discharge", "radiology")


def mimic3(folder: Path, unit: Unit) -> Hospital:
    """Return the layout of a folder with MIMIC-III's tables. Raises SourceError."""
    places = locate(folder, ["PATIENTS"])
    _refuse_other(places, "icd9_code", "icd_code", "mimic4")
    return _hospital("mimic3", {"": places}, unit)


def mimic4(folder: Path, unit: Unit, notes: Path | None = None) -> Hospital:
    """Return the layout of a folder with MIMIC-IV's tables, and of MIMIC-IV-Note, a data set of its own.

    Its folder has a part `note/`, or is that part. Raises SourceError.
    """
    places = {"": locate(folder, ["patients"], _PARTS)}
    _refuse_other(places[""], "icd_code", "icd9_code", "mimic3")
    if notes is not None:
        places["notes"] = there = locate(notes, _NOTES, ["note"])
        if not any(there.find(table) for table in _NOTES):
            raise SourceError(
                f"No notes in {there}: discharge.csv(.gz) or radiology.csv(.gz) was looked for."
            )
    made = _hospital("mimic4", places, unit)
    if notes is None:
        made.warnings.append("No notes: MIMIC-IV-Note is a data set of its own; give its folder as notes")
    return made


def is_synthetic(folder: Path) -> bool:
    """Tell whether `cohorts synth` made this folder."""
    marker = folder / MARKER
    return marker.is_file() and bool(read_json(marker, dict[str, Any], error=SourceError).get("synthetic"))


def _hospital(name: str, places: dict[str, Places], unit: Unit) -> Hospital:
    return Hospital(
        name,
        builtin("mimic", name),
        places,
        unit,
        synthetic=is_synthetic(places[""].root),
        values={"chart items": chart_items()},
    )


def _refuse_other(places: Places, ours: str, theirs: str, source: str) -> None:
    """Raise SourceError where diagnoses have the column `theirs` and not `ours`: they are of the other MIMIC."""
    files = places.find("DIAGNOSES_ICD")
    if files and lacking_columns(files[0], ["subject_id"], [ours, theirs]) == (ours,):
        raise SourceError(
            f"{files[0]} has a column {theirs} and no {ours}.",
            remedy=f"Read this hospital as {source}.",
            hint="another_source",
            source=source,
        )


MIMIC3 = SourceKind(open=lambda asked: mimic3(asked.path, asked.unit))
MIMIC4 = SourceKind(
    open=lambda asked: mimic4(asked.path, asked.unit, asked.notes), takes=frozenset({"notes"})
)
