"""MIMIC-IV v2.2 and MIMIC-IV-Note: ICD-9 and ICD-10 in one table, kept apart by version.

Source: Johnson et al., 2023, doi:10.13026/6mm1-ek67; MIMIC-IV-Note, doi:10.13026/1n74-ne17.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from cohorts.errors import SourceError
from cohorts.records import mimic
from cohorts.records.admission_ids import AdmissionIds
from cohorts.records.assemble import assemble
from cohorts.records.base import Unit
from cohorts.records.columns import Kind, Table
from cohorts.records.source import Assembled, Feed, Frames

_PATIENTS = Table(
    "patients",
    {"subject_id": Kind.KEY, "gender": Kind.TEXT, "anchor_age": Kind.NUMBER, "anchor_year": Kind.NUMBER},
)
_ICD = {
    "subject_id": Kind.KEY,
    "hadm_id": Kind.KEY,
    "seq_num": Kind.NUMBER,
    "icd_code": Kind.CODE_OR_NONE,
    "icd_version": Kind.ICD_VERSION,
}
_DRUGS = Table("prescriptions", {"subject_id": Kind.KEY, "hadm_id": Kind.REFERENCE, "drug": Kind.TEXT})
_NOTE = {
    "subject_id": Kind.KEY,
    "hadm_id": Kind.REFERENCE,
    "charttime": Kind.TIME_OR_NONE,
    "text": Kind.TEXT,
}
_TITLES = Table(
    "d_icd_diagnoses", {"icd_code": Kind.CODE, "icd_version": Kind.ICD_VERSION, "long_title": Kind.TEXT}
)


class Mimic4:
    """The layout of a folder with MIMIC-IV's `hosp/` and `icu/`, and of one with MIMIC-IV-Note."""

    name = "mimic4"

    def __init__(self, folder: Path, unit: Unit, notes: Path | None = None) -> None:
        self.folder = folder
        self.unit = unit
        self.synthetic = mimic.is_synthetic(folder)
        self.warnings: list[str] = []
        self._notes = notes
        self._titles: dict[tuple[str, str], str] = {}
        self._admission_ids = AdmissionIds()

    def feeds(self) -> Iterator[Feed]:
        """Yield the files to read. Raises SourceError where one is missing."""
        hosp = self.folder / "hosp"
        required: list[tuple[str, Table, mimic.Adapt]] = [
            ("patients", _PATIENTS, _patients),
            ("admissions", mimic.ADMISSIONS, mimic.admissions(self._admission_ids)),
            ("codes", Table("diagnoses_icd", _ICD), _diagnoses),
            ("codes", Table("procedures_icd", _ICD), _procedures),
            ("codes", _DRUGS, mimic.drugs),
        ]
        for kind, table, adapt in required:
            yield mimic.required_feed(kind, table, hosp, adapt)
        self._titles = mimic.read_titles(hosp, _TITLES, "icd_code", self.warnings)
        labels = mimic.read_labels(hosp, self.warnings)
        optional: list[tuple[str, Table, Path, mimic.Adapt]] = [
            ("measurements", mimic.LABS, hosp, mimic.measurements(labels)),
            ("stays", mimic.STAYS, self.folder / "icu", mimic.stays),
        ]
        for kind, table, folder, adapt in optional:
            feed = mimic.optional_feed(kind, table, folder, adapt)
            if feed:
                yield feed
            else:
                self.warnings.append(f"No table {table.name.lower()} in {folder}: no {kind}")
        yield from self._note_feeds()

    def assemble(self, frames: Frames) -> Assembled:
        """Turn all rows of some patients into a batch."""
        return assemble(frames, self.unit, self._titles, self._admission_ids)

    def _note_feeds(self) -> list[Feed]:
        """Return the feeds of MIMIC-IV-Note, a data set of its own: `note/` in it, or the folder itself."""
        if self._notes is None:
            self.warnings.append(
                "No notes: MIMIC-IV-Note is a data set of its own; name its folder with --notes"
            )
            return []
        folder = self._notes / "note" if (self._notes / "note").is_dir() else self._notes
        tables = {"discharge": "Discharge summary", "radiology": "Radiology"}
        found = [
            mimic.optional_feed("notes", Table(table, _NOTE), folder, _notes(category))
            for table, category in tables.items()
        ]
        feeds = [feed for feed in found if feed]
        if not feeds:
            raise SourceError(
                f"No notes in {folder}: discharge.csv(.gz) or radiology.csv(.gz) was looked for."
            )
        return feeds


def _patients(frame: pd.DataFrame) -> pd.DataFrame:
    # Born on New Year's Day: age at a date is then anchor_age plus the years since anchor_year, as MIMIC-IV defines.
    year = frame["anchor_year"] - frame["anchor_age"]
    born = pd.to_datetime(year.astype("Int64").astype("str"), format="%Y", errors="coerce").astype(
        "datetime64[us]"
    )
    return frame.rename(columns=mimic.IDS).assign(born=born, sex=mimic.sex(frame["gender"]))


def _diagnoses(frame: pd.DataFrame) -> pd.DataFrame:
    return mimic.codes(frame, "diagnosis", frame["icd_version"].map(mimic.system_of), frame["icd_code"])


def _procedures(frame: pd.DataFrame) -> pd.DataFrame:
    return mimic.codes(frame, "procedure", frame["icd_version"].map(mimic.system_of), frame["icd_code"])


def _notes(category: str) -> mimic.Adapt:
    def adapt(frame: pd.DataFrame) -> pd.DataFrame:
        renamed = frame.rename(columns={**mimic.IDS, "charttime": "time"})
        return renamed.assign(category=category, is_error=False)

    return adapt
