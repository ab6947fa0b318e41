"""What MIMIC-III and MIMIC-IV have in common: identifiers, dictionaries, and tables of one shape."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from cohorts.documents import read_json
from cohorts.errors import SourceError
from cohorts.records.base import Unit
from cohorts.records.sources.admission_ids import AdmissionIds
from cohorts.records.sources.assemble import assemble
from cohorts.records.sources.folders import Places, locate
from cohorts.records.sources.lacking import fit_table
from cohorts.records.sources.partitioned import Assembled, Feed, Frames
from cohorts.records.synthetic.hospital import MARKER
from cohorts.records.tables.columns import Kind, Table, Without, read_table
from cohorts.records.tables.leading_zeros import LeadingZeros
from cohorts.records.tables.reading import read_rows

IDS = {"subject_id": "patient_id", "hadm_id": "admission_id"}
_BAD_ICD = (
    "an ICD code of impossible shape: has a program read codes as numbers and dropped their leading zeros? "
    "Then 389 may stand for 0389 in any row"
)
_SHAPE = {
    ("diagnosis", "ICD-9"): r"\d{3,5}|V\d{2,4}|E\d{3,4}",
    ("procedure", "ICD-9"): r"\d{2,4}",
    ("diagnosis", "ICD-10"): r"[^.]+",
    ("procedure", "ICD-10"): r"(?!\d{1,6}$)[^.]+",  # of seven characters, which a local code may not have
}
# A dot elsewhere, as in 4019.0, was made by a program that took the code for a number.
_DOT = {"diagnosis": r"^(\w{3}|E\d{3})\.(?=\w)", "procedure": r"^(\w\w)\.(?=\w)"}

Adapt = Callable[[pd.DataFrame], pd.DataFrame]

ADMISSIONS = Table(
    "ADMISSIONS",
    {
        "subject_id": Kind.KEY,
        "hadm_id": Kind.KEY,
        "admittime": Kind.TIME,
        "dischtime": Kind.TIME_OR_NONE,
        "admission_type": Kind.TEXT,
        "hospital_expire_flag": Kind.FLAG,
    },
    optional={
        "dischtime": Without("how long admissions lasted is not known"),
        "admission_type": Without("types of admission are not known"),
        "hospital_expire_flag": Without(
            "who died in hospital is not known", instead={"deathtime": Kind.TIME_OR_NONE}
        ),
    },
)
LABS = Table(
    "LABEVENTS",
    {
        "subject_id": Kind.KEY,
        "hadm_id": Kind.REFERENCE,
        "itemid": Kind.KEY,
        "charttime": Kind.TIME_OR_NONE,
        "valuenum": Kind.NUMBER,
        "valueuom": Kind.TEXT,
    },
    optional={
        "valuenum": Without("measurements have no value", instead={"value": Kind.TEXT}),
        "valueuom": Without("measurements have no unit"),
    },
)
STAYS = Table(
    "ICUSTAYS",
    {"subject_id": Kind.KEY, "hadm_id": Kind.KEY, "los": Kind.NUMBER},
    optional={
        "los": Without(
            "days in intensive care are not known",
            instead={"intime": Kind.TIME_OR_NONE, "outtime": Kind.TIME_OR_NONE},
        )
    },
)
SEX = {"gender": Without("sex is not known")}
TITLE = {"long_title": Without("diagnoses go by their code alone", instead={"short_title": Kind.TEXT})}
RANK = {"seq_num": Without("which code is the principal one is not known")}


class Wanted(NamedTuple):
    """A table that is looked for, and what the source is without it; "" where it must be there."""

    kind: str
    table: Table
    adapt: Adapt
    without: str = ""


class Layout:
    """A folder with the tables of MIMIC; a subclass names those that differ between its versions."""

    name: str
    patients: Wanted
    others: tuple[Wanted, ...]  # codes, drugs and, where they are in the same folder, notes
    titles: Table
    icd_column: str
    other: tuple[str, str]  # the column of codes that the other MIMIC has, and its name

    def __init__(self, folder: Path, unit: Unit, parts: Sequence[str] = ()) -> None:
        self.unit = unit
        self._places = locate(folder, [self.patients.table.name], parts)
        self.synthetic = is_synthetic(self._places.root)
        self.warnings = list(self._places.told)
        self._titles: dict[tuple[str, str], str] = {}
        self._admission_ids = AdmissionIds()

    def feeds(self) -> Iterator[Feed]:
        """Yield the files to read. Raises SourceError where one is missing."""
        refuse_other(self._places, self.icd_column, *self.other)
        self._titles = read_titles(self._places, self.titles, self.icd_column, self.warnings)
        wanted = (
            self.patients,
            Wanted("admissions", ADMISSIONS, admissions(self._admission_ids)),
            *self.others,
            Wanted(
                "measurements",
                LABS,
                measurements(read_labels(self._places, self.warnings)),
                "no measurements",
            ),
            Wanted("stays", STAYS, stays, "no stays"),
        )
        yield from feeds(self._places, wanted, self.warnings)

    def assemble(self, frames: Frames) -> Assembled:
        """Turn all rows of some patients into a batch."""
        return assemble(frames, self.unit, self._titles, self._admission_ids)


def feeds(places: Places, wanted: Iterable[Wanted], warnings: list[str]) -> Iterator[Feed]:
    """Yield the feeds of the tables that are there; what is lost with others is told. Raises SourceError."""
    for kind, table, adapt, without in wanted:
        file = places.find(table.name)
        if file is not None:
            fitted, told = fit_table(file, table)
            warnings += told
            faults = (_is_impossible_icd, _BAD_ICD) if kind == "codes" else ()
            yield Feed(kind, fitted, file, adapt, *faults)
        elif without:
            warnings.append(f"No table {table.name} in {places}: {without}")
        else:
            raise SourceError(
                f"Table {table.name} is missing: {table.name}.csv, {table.name}.csv.gz or the like was looked for in "
                f"{places}."
            )


def refuse_other(places: Places, ours: str, theirs: str, source: str) -> None:
    """Raise SourceError where diagnoses have the column `theirs` and not `ours`: they are of the other MIMIC."""
    file = places.find("DIAGNOSES_ICD")
    if file and next(read_rows(file, ["subject_id"], [ours, theirs])).lacking == (ours,):
        raise SourceError(
            f"{file} has a column {theirs} and no {ours}.",
            remedy=f"Read this hospital as {source}.",
            hint="another_source",
            source=source,
        )


def is_synthetic(folder: Path) -> bool:
    """Tell whether `cohorts synth` made this folder."""
    marker = folder / MARKER
    return marker.is_file() and bool(read_json(marker, dict[str, Any], error=SourceError).get("synthetic"))


def sex(gender: pd.Series) -> pd.Series:
    """Return F, M or missing."""
    letter = gender.str.strip().str.upper().str[:1]
    return letter.where(letter.isin(["F", "M"]))


def admissions(seen: AdmissionIds) -> Adapt:
    """Return how to adapt ADMISSIONS; `seen` takes the ids."""

    def adapt(frame: pd.DataFrame) -> pd.DataFrame:
        seen.see(frame["hadm_id"])
        return _admissions(frame)

    return adapt


def _admissions(frame: pd.DataFrame) -> pd.DataFrame:
    if "deathtime" in frame:  # read in place of the flag
        frame = frame.assign(hospital_expire_flag=frame["deathtime"].notna().astype("boolean"))
    days = (frame["dischtime"] - frame["admittime"]).dt.total_seconds() / 86_400
    names = {**IDS, "admittime": "admitted", "hospital_expire_flag": "died"}
    return frame.rename(columns=names).assign(stay_days=days)


def codes(frame: pd.DataFrame, kind: str, system: str | pd.Series, code: pd.Series) -> pd.DataFrame:
    """Adapt a table of ICD codes or drugs; ICD codes lose their dot, as in MIMIC."""
    rank = frame["seq_num"].round() if "seq_num" in frame else pd.Series(float("nan"), index=frame.index)
    code = code.str.strip()
    if kind != "drug":
        code = code.str.upper().str.replace(_DOT[kind], r"\1", regex=True)
    named = frame.rename(columns=IDS).assign(kind=kind, system=system, code=code, rank=rank.astype("Int64"))
    return named[["row", "line", "patient_id", "admission_id", "kind", "system", "code", "rank"]]


def drugs(frame: pd.DataFrame) -> pd.DataFrame:
    """Adapt PRESCRIPTIONS: drugs by the name they were ordered under."""
    return codes(frame, "drug", "name", frame["drug"])


def measurements(labels: dict[str, str]) -> Adapt:
    """Return how to adapt LABEVENTS; `item` is the label where the dictionary has one."""

    def adapt(frame: pd.DataFrame) -> pd.DataFrame:
        item = frame["itemid"].map(labels).astype("str").fillna(frame["itemid"])
        value = frame["valuenum"]
        if "value" in frame:  # read in its place; "NEG" and "<0.1" are no numbers there either
            value = pd.to_numeric(frame["value"], errors="coerce").astype("float64")
        renamed = frame.rename(columns={**IDS, "charttime": "time", "valueuom": "uom"})
        return renamed.assign(item=item, value=value)

    return adapt


def stays(frame: pd.DataFrame) -> pd.DataFrame:
    """Adapt ICUSTAYS."""
    days = frame["los"]
    if "intime" in frame:  # read in its place
        days = (frame["outtime"] - frame["intime"]).dt.total_seconds() / 86_400
    return frame.rename(columns=IDS).assign(days=days)


def read_labels(places: Places, warnings: list[str]) -> dict[str, str]:
    """Return the names of laboratory items by item id; {} and a warning without the dictionary."""
    table = Table("D_LABITEMS", {"itemid": Kind.KEY, "label": Kind.TEXT})
    frame = _dictionary(places, table, "laboratory items go by their number", warnings)
    return {} if frame is None else dict(zip(frame["itemid"], frame["label"], strict=True))


def read_titles(places: Places, table: Table, code: str, warnings: list[str]) -> dict[tuple[str, str], str]:
    """Return the titles of diagnoses by (system, code); {} and a warning without the dictionary."""
    frame = _dictionary(places, table, "diagnoses go by their code alone", warnings)
    if frame is None:
        return {}
    given = frame["icd_version"] if "icd_version" in frame else pd.Series("9", index=frame.index)
    system, zeros = given.map(system_of), LeadingZeros()
    zeros.see(pd.DataFrame({"kind": "diagnosis", "system": system, "code": frame[code]}))
    warnings += zeros.warnings(table.name)
    title = frame["short_title" if "short_title" in frame else "long_title"]
    return dict(zip(zip(system, frame[code], strict=True), title, strict=True))


def system_of(version: str) -> str:
    """Return the code system of MIMIC-IV's icd_version."""
    return f"ICD-{version}"


def _dictionary(places: Places, table: Table, without: str, warnings: list[str]) -> pd.DataFrame | None:
    file = places.find(table.name)
    if file is None:
        warnings.append(f"No dictionary {table.name} in {places}: {without}")
        return None
    fitted, told = fit_table(file, table)
    warnings += told
    return pd.concat([chunk.frame() for chunk in read_table(file, fitted)], ignore_index=True)


def _is_impossible_icd(frame: pd.DataFrame) -> "pd.Series[bool]":
    wrong = pd.Series(False, index=frame.index)
    for (kind, system), shape in _SHAPE.items():
        given = frame["kind"].eq(kind) & frame["system"].eq(system) & frame["code"].notna()
        wrong = wrong | (given & ~frame["code"].str.fullmatch(shape, na=False).astype(bool))
    return wrong
