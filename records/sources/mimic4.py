"""MIMIC-IV v2.2 and MIMIC-IV-Note: ICD-9 and ICD-10 in one table, kept apart by version.

Source: Johnson et al., 2023, doi:10.13026/6mm1-ek67; MIMIC-IV-Note, doi:10.13026/1n74-ne17.
"""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from cohorts.errors import SourceError
from cohorts.records.base import Unit
from cohorts.records.sources import mimic
from cohorts.records.sources.folders import locate
from cohorts.records.sources.mimic import Wanted
from cohorts.records.sources.partitioned import Feed
from cohorts.records.tables.columns import Kind, Table, Without

_PATIENTS = Table(
    "patients",
    {"subject_id": Kind.KEY, "gender": Kind.TEXT, "anchor_age": Kind.NUMBER, "anchor_year": Kind.NUMBER},
    optional={**mimic.SEX, **dict.fromkeys(("anchor_age", "anchor_year"), Without("ages are not known"))},
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
_NOTE_TIME = {"charttime": Without("notes have no time")}
_CATEGORIES = {"discharge": "Discharge summary", "radiology": "Radiology"}  # by table
_TITLES = Table(
    "d_icd_diagnoses",
    {"icd_code": Kind.CODE, "icd_version": Kind.ICD_VERSION, "long_title": Kind.TEXT},
    mimic.TITLE,
)

_PARTS = ("core", "hosp", "icu")  # core up to version 1.0


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


class Mimic4(mimic.Layout):
    """The layout of a folder with MIMIC-IV's tables, in `hosp/` and `icu/` or all in one, and of MIMIC-IV-Note."""

    name = "mimic4"
    patients = Wanted("patients", _PATIENTS, _patients)
    others = (
        Wanted("codes", Table("diagnoses_icd", _ICD, mimic.RANK), _diagnoses),
        Wanted("codes", Table("procedures_icd", _ICD, mimic.RANK), _procedures, "no procedures"),
        Wanted("codes", _DRUGS, mimic.drugs, "no drugs"),
    )
    titles = _TITLES
    icd_column = "icd_code"
    other = "icd9_code", "mimic3"

    def __init__(self, folder: Path, unit: Unit, notes: Path | None = None) -> None:
        super().__init__(folder, unit, _PARTS)
        self._notes = notes

    def feeds(self) -> Iterator[Feed]:
        """Yield the files to read. Raises SourceError where one is missing."""
        yield from super().feeds()
        yield from self._note_feeds()

    def _note_feeds(self) -> list[Feed]:
        """Return the feeds of MIMIC-IV-Note, a data set of its own: `note/` in it, or the folder itself."""
        if self._notes is None:
            self.warnings.append("No notes: MIMIC-IV-Note is a data set of its own; give its folder as notes")
            return []
        places = locate(self._notes, list(_CATEGORIES), ["note"])
        self.warnings += places.told
        wanted = [
            Wanted(
                "notes", Table(table, _NOTE, _NOTE_TIME), _notes(category), f"no notes of category {category}"
            )
            for table, category in _CATEGORIES.items()
        ]
        feeds = list(mimic.feeds(places, wanted, self.warnings))
        if not feeds:
            raise SourceError(
                f"No notes in {places}: discharge.csv(.gz) or radiology.csv(.gz) was looked for."
            )
        return feeds
