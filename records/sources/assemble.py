"""Rows of a hospital's tables, joined into batches of units. Pure functions over frames.

The frames that come in, by kind (each with `table`, `row`, `line` to name a bad row by):

- patients: patient_id, sex, born
- admissions: patient_id, admission_id, admission_type, admitted, stay_days, died
- codes: patient_id, admission_id, kind, system, code, rank
- notes: patient_id, admission_id, category, time, text, is_error
- measurements: patient_id, admission_id, item, time, value, uom
- stays: patient_id, admission_id, days
"""

from collections import Counter
from collections.abc import Mapping

import pandas as pd
from cohorts.records.base import (
    CODE_COLUMNS,
    MEASUREMENT_COLUMNS,
    NOTE_COLUMNS,
    UNIT_COLUMNS,
    Batch,
    Unit,
    empty_frame,
)
from cohorts.records.sources.admission_ids import AdmissionIds
from cohorts.records.sources.partitioned import Assembled, Frames, bad_rows
from cohorts.records.tables.columns import BadRow

_ADMISSION = ("patient_id", "admission_id", "admission_type", "admitted", "stay_days", "died")
Titles = Mapping[tuple[str, str], str]
_COUNTED = {"diagnosis": "diagnoses", "procedure": "procedures", "drug": "prescriptions"}
_AFTER_DEATH = "admissions after death, counted as died"
OLDEST_AGE = 90.0  # MIMIC hides the ages above 89


def assemble(frames: Frames, unit: Unit, titles: Titles, all_admissions: AdmissionIds) -> Assembled:
    """Return the batch of these patients and what could not go into it; `all_admissions` are those of all patients."""
    book = _Book(frames)
    patients = book.first_of("patients", ["patient_id"], "a patient that stands in the table twice")
    book.keep_known_patients(patients)
    admissions = book.first_of("admissions", ["admission_id"], "an admission that stands in the table twice")
    admissions = book.count_after_death_as_died(admissions)
    book.keep_known_admissions(admissions, all_admissions)
    book.leave_out_erroneous_notes()
    book.leave_out_empty_codes()
    book.date_codes(admissions)
    book.count(patients, admissions)
    units = _units(patients, admissions, book.frames, unit, titles)
    if unit is Unit.ADMISSION:
        book.leave_out_without_admission()
    key = "patient_id" if unit is Unit.PATIENT else "admission_id"
    batch = Batch(
        units=units,
        codes=_rows_of(units, book.frames.get("codes"), key, CODE_COLUMNS, ["kind", "admission_id", "rank"]),
        notes=_rows_of(units, book.frames.get("notes"), key, NOTE_COLUMNS, ["time", "category"]),
        measurements=_rows_of(
            units, book.frames.get("measurements"), key, MEASUREMENT_COLUMNS, ["time", "item"]
        ),
    )
    return Assembled(batch, book.counts, book.left_out, book.bad)


def age_in_years(born: pd.Series, at: pd.Series) -> pd.Series:
    """Return whole years of age; over 89 is 90, and missing where a date is, or where `at` lies before birth."""
    had_birthday = (at.dt.month > born.dt.month) | (
        (at.dt.month == born.dt.month) & (at.dt.day >= born.dt.day)
    )
    years = (at.dt.year - born.dt.year - (~had_birthday).astype("int64")).astype("float64")
    capped: pd.Series = years.where(years >= 0).clip(upper=OLDEST_AGE)
    return capped


class _Book:
    """The frames while they are being checked, and an account of what was taken out of them."""

    def __init__(self, frames: Frames) -> None:
        self.frames = dict(frames)
        self.counts: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.bad: list[BadRow] = []

    def first_of(self, kind: str, key: list[str], fault: str) -> pd.DataFrame:
        """Keep the first row of every key; further ones are bad. Returned sorted by patient."""
        frame = self.frames.get(kind)
        if frame is None:
            return pd.DataFrame({name: pd.Series(dtype=UNIT_COLUMNS[name]) for name in _ADMISSION})
        again = frame.duplicated(key)
        self.bad += bad_rows(frame[again], fault)
        frame = frame[~again]
        order = frame.assign(width=frame["patient_id"].str.len())
        by = ["width", "patient_id", *(["admitted", "admission_id"] if "admitted" in frame else [])]
        self.frames[kind] = order.sort_values(by, ignore_index=True).drop(columns="width")
        return self.frames[kind]

    def count_after_death_as_died(self, admissions: pd.DataFrame) -> pd.DataFrame:
        """Mark admissions that begin after the one in which the patient died: accounts of organ donors, for one."""
        died = admissions["died"].fillna(False)
        deadly = admissions[died].groupby("patient_id")["admitted"].min()
        begun = deadly.reindex(admissions["patient_id"]).set_axis(admissions.index)
        after = (admissions["admitted"] > begun) | (admissions["admitted"].eq(begun) & ~died)
        if after.any():
            self.counts[_AFTER_DEATH] += int(after.sum())
        return admissions.assign(died=admissions["died"] | after, after_death=after)

    def keep_known_patients(self, patients: pd.DataFrame) -> None:
        known = set(patients["patient_id"])
        for kind, frame in self.frames.items():
            here = frame["patient_id"].isin(known)
            self._leave_out(frame[~here], "of patients that the patients' table does not have")
            self.frames[kind] = frame[here]

    def keep_known_admissions(self, admissions: pd.DataFrame, of_all: AdmissionIds) -> None:
        known = pd.MultiIndex.from_frame(admissions[["patient_id", "admission_id"]])
        for kind in set(self.frames) - {"patients", "admissions"}:
            frame = self.frames[kind]
            pairs = pd.MultiIndex.from_frame(frame[["patient_id", "admission_id"]])
            unknown = frame["admission_id"].notna() & ~pairs.isin(known)
            cut_away = unknown & of_all.lacks(frame["admission_id"])
            self._leave_out(frame[cut_away], "of admissions that the admissions' table does not have")
            self.bad += bad_rows(frame[unknown & ~cut_away], "an admission of another patient")
            self.frames[kind] = frame[~unknown]

    def leave_out_erroneous_notes(self) -> None:
        if "notes" in self.frames:
            notes = self.frames["notes"]
            self._leave_out(notes[notes["is_error"]], "marked as errors (ISERROR)")
            notes = notes[~notes["is_error"]]
            self._leave_out(notes[notes["text"].isna()], "without text")
            self.frames["notes"] = notes[notes["text"].notna()]

    def leave_out_empty_codes(self) -> None:
        if "codes" in self.frames:
            codes = self.frames["codes"]
            self._leave_out(codes[codes["code"].isna()], "without a code")
            self.frames["codes"] = codes[codes["code"].notna()]

    def date_codes(self, admissions: pd.DataFrame) -> None:
        if "codes" in self.frames:
            codes, began = self.frames["codes"], admissions.set_index("admission_id")["admitted"]
            dated = began.reindex(codes["admission_id"]).set_axis(codes.index)
            self.frames["codes"] = codes.assign(admitted=dated)

    def leave_out_without_admission(self) -> None:
        for kind in set(self.frames) - {"patients", "admissions"}:
            frame = self.frames[kind]
            self._leave_out(frame[frame["admission_id"].isna()], "without an admission")
            self.frames[kind] = frame[frame["admission_id"].notna()]

    def count(self, patients: pd.DataFrame, admissions: pd.DataFrame) -> None:
        self.counts.update(patients=len(patients), admissions=len(admissions))
        for kind in ("notes", "measurements", "stays"):
            self.counts[kind] += len(self.frames.get(kind, ()))
        codes = self.frames.get("codes")
        if codes is not None:
            by_kind = codes.groupby(["kind", "system"]).size()
            for kind, system, count in by_kind.reset_index(name="count").itertuples(index=False):
                self.counts[_COUNTED[kind]] += count
                if kind != "drug":
                    self.counts[f"{_COUNTED[kind]} {system}"] += count

    def _leave_out(self, frame: pd.DataFrame, why: str) -> None:
        for table, count in frame["table"].value_counts().items():
            self.left_out[f"rows of {table} {why}"] += int(count)


def _units(
    patients: pd.DataFrame, admissions: pd.DataFrame, frames: Frames, unit: Unit, titles: Titles
) -> pd.DataFrame:
    """Return one row per unit, in the order of patients and then of time."""
    if unit is Unit.ADMISSION:
        units = admissions.merge(patients[["patient_id", "sex", "born"]], on="patient_id", how="left")
        units["unit_id"] = units["admission_id"]
    else:
        alive = admissions[~admissions["after_death"]]
        last = alive.drop_duplicates("patient_id", keep="last").drop(columns="died")
        died = admissions.groupby("patient_id")["died"].max()
        units = patients[["patient_id", "sex", "born"]].merge(last, on="patient_id", how="left")
        units["died"] = units["patient_id"].map(died)
        units["unit_id"] = units["patient_id"]
    many = admissions.groupby("patient_id").size()
    units["admissions"] = units["patient_id"].map(many).fillna(0)
    units["age"] = age_in_years(units["born"], units["admitted"])
    units = units.merge(_principal(frames.get("codes"), titles), on="admission_id", how="left")
    units["icu_days"] = units["admission_id"].map(_icu_days(frames.get("stays")))
    return units.astype(UNIT_COLUMNS)[[*UNIT_COLUMNS, "icu_days"]]


def _principal(codes: pd.DataFrame | None, titles: Titles) -> pd.DataFrame:
    """Return the principal diagnosis of every admission: the one of the lowest rank."""
    columns = ["admission_id", "principal_system", "principal_code", "principal_title"]
    if codes is None:
        return pd.DataFrame(columns=columns, dtype="str")
    diagnoses = codes[(codes["kind"] == "diagnosis") & codes["rank"].notna()]
    first = diagnoses.sort_values("rank", kind="stable").drop_duplicates("admission_id")
    keys = zip(first["system"], first["code"], strict=True)
    title = pd.Series([titles.get(key) for key in keys], index=first.index, dtype="str")
    principal = first[["admission_id", "system", "code"]].assign(title=title)
    return principal.set_axis(columns, axis="columns")


def _icu_days(stays: pd.DataFrame | None) -> "pd.Series[float]":
    if stays is None:
        return pd.Series(dtype="float64")
    return stays.groupby("admission_id")["days"].sum(min_count=1)


def _rows_of(
    units: pd.DataFrame, frame: pd.DataFrame | None, key: str, columns: Mapping[str, str], by: list[str]
) -> pd.DataFrame:
    """Return the rows that belong to the units, in the units' order and then sorted `by`."""
    if frame is None:
        return empty_frame(columns)
    place = frame[key].map(pd.Series(range(len(units)), index=units[key]))
    rows = frame.assign(unit_id=frame[key], place=place)[place.notna()]
    rows = rows.sort_values(["place", *by], kind="stable", ignore_index=True)
    return rows.reindex(columns=list(columns)).astype(columns)
