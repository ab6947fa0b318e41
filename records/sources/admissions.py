"""Patients and their admissions, and the units that are made of them: small frames, by pandas."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from cohorts.records.base import ADMISSION_COLUMNS, UNIT_COLUMNS, Unit, typed
from cohorts.records.sources.partitioned import Account
from cohorts.records.tables.columns import BadRow

Titles = Mapping[tuple[str, str], str]
_AFTER_DEATH = "admissions after death, counted as died"
OLDEST_AGE = 90.0  # MIMIC hides the ages above 89


@dataclass(frozen=True)
class People:
    """Patients in order of their ids, each once; their admissions in their order and then of time, each once.

    `patient_of` is the place of every admission's patient, (admissions,), -1 for one that is not there.
    """

    patients: pd.DataFrame
    admissions: pd.DataFrame
    patient_of: npt.NDArray[np.int64]


def people_of(patients: pa.Table, admissions: pa.Table) -> tuple[People, Account]:
    """Return the patients and admissions, and an account of them: further rows of one id are bad."""
    account = Account()
    patients, admissions = (_used(rows, account) for rows in (patients, admissions))
    known = _first_of(patients, ["patient_id"], "a patient that stands in the table twice", account)
    known = known.assign(sex=_sex(known["sex"]))
    all_of_them = _first_of(
        admissions, ["admission_id"], "an admission that stands in the table twice", account
    )
    all_of_them = _count_after_death_as_died(all_of_them, account)
    place = pd.Index(known["patient_id"]).get_indexer(pd.Index(all_of_them["patient_id"]))
    for table, many in all_of_them.loc[place < 0, "table"].value_counts().items():
        account.left_out[f"rows of {table} of patients that the patients' table does not have"] += int(many)
    mine = all_of_them[place >= 0].reset_index(drop=True)
    account.counts.update(patients=len(known), admissions=len(mine))
    return People(known, mine, place[place >= 0].astype(np.int64)), account


def _used(rows: pa.Table, account: Account) -> pa.Table:
    """Return what the source itself does not leave out."""
    reasons = rows.column("left_out")
    gone = rows.filter(reasons.is_valid()).select(["table", "left_out"])
    for one in (
        gone.group_by(["table", "left_out"], use_threads=False).aggregate([([], "count_all")]).to_pylist()
    ):
        account.left_out[f"rows of {one['table']} {one['left_out']}"] += one["count_all"]
    return rows.filter(reasons.is_null()) if gone.num_rows else rows


def units_of(people: People, codes: pa.Table, stays: pa.Table, unit: Unit, titles: Titles) -> pd.DataFrame:
    """Return one row per unit, in the order of patients and then of time; columns as in UNIT_COLUMNS and icu_days."""
    patients, admissions = people.patients, people.admissions
    days = (admissions["discharged"] - admissions["admitted"]).dt.total_seconds() / 86_400
    admissions = admissions.assign(stay_days=days)
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
    units = units.merge(_principal(codes, titles), on="admission_id", how="left")
    units["icu_days"] = units["admission_id"].map(_icu_days(stays))
    return typed(units, {**UNIT_COLUMNS, "icu_days": "float64"})


def admissions_of(people: People, unit: Unit) -> pd.DataFrame:
    """Return every admission with how it ended and what came after it, as in ADMISSION_COLUMNS."""
    admissions, patients = people.admissions, people.patients.set_index("patient_id")
    own = admissions.assign(unit_id=admissions["admission_id" if unit is Unit.ADMISSION else "patient_id"])
    next_one = own.groupby("patient_id")[["admitted", "after_death"]].shift(-1)
    there = own[~own["after_death"]]
    last = there[["discharged", "admitted"]].max(axis=1).groupby(there["patient_id"]).max()
    in_hospital = own.groupby("patient_id")["died_at"].min()
    death = _of(own["patient_id"], patients["death"]).fillna(_of(own["patient_id"], in_hospital))
    made = own.assign(
        readmitted=next_one["admitted"].mask(next_one["after_death"].eq(True)),
        last_contact=_of(own["patient_id"], last),
        death=death,
        followed_until=_of(own["patient_id"], patients["followed_until"]).fillna(death),
    )
    return typed(made, ADMISSION_COLUMNS)


def _of(patients: "pd.Series[str]", values: pd.Series) -> pd.Series:
    """Return the value of every patient, missing for one that has none."""
    return values.reindex(patients).set_axis(patients.index)


def age_in_years(born: pd.Series, at: pd.Series) -> pd.Series:
    """Return whole years of age; over 89 is 90, and missing where a date is, or where `at` lies before birth."""
    had_birthday = (at.dt.month > born.dt.month) | (
        (at.dt.month == born.dt.month) & (at.dt.day >= born.dt.day)
    )
    years = (at.dt.year - born.dt.year - (~had_birthday).astype("int64")).astype("float64")
    capped: pd.Series = years.where(years >= 0).clip(upper=OLDEST_AGE)
    return capped


def _first_of(rows: pa.Table, key: list[str], fault: str, account: Account) -> pd.DataFrame:
    """Return the first row of every key, sorted by patient; further ones are bad, and those without a key."""
    frame: pd.DataFrame = rows.to_pandas(use_threads=False)
    none = frame[key].isna().any(axis=1)
    again = frame.duplicated(key) & ~none
    for bad, why in ((none, f"no {key[0]}"), (again, fault)):
        if bad.any():
            places = frame.loc[bad, ["table", "row", "line"]].itertuples(index=False)
            account.bad += [BadRow(table, row, line, why) for table, row, line in places]
    frame = frame[~(again | none)].assign(width=frame["patient_id"].str.len())
    by = ["width", "patient_id", *(["admitted", "admission_id"] if "admitted" in frame else [])]
    return frame.sort_values(by, ignore_index=True).drop(columns="width")


def _count_after_death_as_died(admissions: pd.DataFrame, account: Account) -> pd.DataFrame:
    """Mark admissions that begin after the one in which the patient died: accounts of organ donors, for one."""
    said = admissions["died"].astype("boolean")
    died = said.fillna(False).astype(bool)
    deadly = admissions[died].groupby("patient_id")["admitted"].min()
    begun = deadly.reindex(admissions["patient_id"]).set_axis(admissions.index)
    after = (admissions["admitted"] > begun) | (admissions["admitted"].eq(begun) & ~died)
    if after.any():
        account.counts[_AFTER_DEATH] += int(after.sum())
    return admissions.assign(died=said | after, after_death=after)


def _sex(given: "pd.Series[str]") -> "pd.Series[str]":
    """Return F, M or missing."""
    letter = given.astype("str").where(given.notna()).str.strip().str.upper().str[:1]
    return letter.where(letter.isin(["F", "M"]))


def _principal(codes: pa.Table, titles: Titles) -> pd.DataFrame:
    """Return the principal diagnosis of every admission: the one of the lowest rank."""
    columns = ["admission_id", "principal_system", "principal_code", "principal_title"]
    ranked: pd.DataFrame = codes.select(["admission_id", "kind", "system", "code", "rank"]).to_pandas(
        use_threads=False
    )
    ranked = ranked[(ranked["kind"] == "diagnosis") & ranked["rank"].notna()]
    first = ranked.sort_values("rank", kind="stable").drop_duplicates("admission_id")
    keys = zip(first["system"], first["code"], strict=True)
    title = pd.Series([titles.get(key) for key in keys], index=first.index, dtype="str")
    principal = first[["admission_id", "system", "code"]].assign(title=title)
    return principal.set_axis(columns, axis="columns")


def _icu_days(stays: pa.Table) -> "pd.Series[float]":
    days: pd.DataFrame = stays.select(["admission_id", "value"]).to_pandas(use_threads=False)
    return days.groupby("admission_id")["value"].sum(min_count=1)
