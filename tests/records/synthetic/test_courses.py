"""What is measured, given and done by time: everything lies within its stay, and follows what the patient has."""

from collections.abc import Mapping

import pandas as pd
import pytest
from cohorts.records.codes.phenotypes import phenotype_of
from cohorts.records.synthetic.hospital import synthesize

PATIENTS = 1_000
Tables = Mapping[str, pd.DataFrame]
TIMES = {  # the columns that tell when a row was
    "LABEVENTS": ["CHARTTIME"],
    "CHARTEVENTS": ["CHARTTIME"],
    "OUTPUTEVENTS": ["CHARTTIME"],
    "INPUTEVENTS_MV": ["STARTTIME", "ENDTIME"],
    "PROCEDUREEVENTS_MV": ["STARTTIME", "ENDTIME"],
    "ICUSTAYS": ["INTIME", "OUTTIME"],
    "TRANSFERS": ["INTIME", "OUTTIME"],
    "SERVICES": ["TRANSFERTIME"],
    "NOTEEVENTS": ["CHARTTIME"],
}
DAYS = {
    "PRESCRIPTIONS": ["STARTDATE", "ENDDATE"],
    "MICROBIOLOGYEVENTS": ["CHARTDATE"],
    "NOTEEVENTS": ["CHARTDATE"],
}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    folder = tmp_path_factory.mktemp("synth") / "hospital"
    synthesize(folder, PATIENTS, 5)
    dates = [*{column for columns in (TIMES | DAYS).values() for column in columns}]
    dates += ["ADMITTIME", "DISCHTIME", "DOD", "DOD_HOSP", "DOD_SSN"]
    found = {}
    for file in folder.glob("*.csv"):
        table = pd.read_csv(file, dtype={"ICD9_CODE": str, "VALUE": str})
        for column in set(dates) & set(table):
            table[column] = pd.to_datetime(table[column])
        found[file.stem] = table
    return found


def with_stay(tables: Tables, table: str) -> pd.DataFrame:
    stays = tables["ADMISSIONS"][["HADM_ID", "ADMITTIME", "DISCHTIME", "HOSPITAL_EXPIRE_FLAG"]]
    return tables[table].merge(stays, on="HADM_ID")


def having(tables: Tables, condition: str) -> pd.Series:
    """Return which rows of ADMISSIONS have a condition by their codes."""
    codes = tables["DIAGNOSES_ICD"]
    found = codes["HADM_ID"][[phenotype_of("ICD-9", code) == condition for code in codes["ICD9_CODE"]]]
    return tables["ADMISSIONS"]["HADM_ID"].isin(found)


def values(tables: Tables, table: str, item: int) -> pd.DataFrame:
    rows = with_stay(tables, table)
    return rows[rows["ITEMID"] == item]


def test_every_event_lies_within_its_stay(tables: Tables) -> None:
    for table, columns in TIMES.items():
        rows = with_stay(tables, table)
        latest = rows["DISCHTIME"] + pd.Timedelta(hours=1)
        for column in columns:
            known = rows[column].notna()
            assert known.any()
            assert (rows[column] >= rows["ADMITTIME"])[known].all(), (table, column)
            assert (rows[column] <= latest)[known].all(), (table, column)
        if len(columns) == 2:
            assert not (rows[columns[1]] < rows[columns[0]]).any(), table
    for table, columns in DAYS.items():
        rows = with_stay(tables, table)
        for column in columns:
            known = rows[column].notna()
            assert (rows[column] >= rows["ADMITTIME"].dt.normalize() - pd.Timedelta(days=1))[known].all()
            assert (rows[column] <= rows["DISCHTIME"])[known].all(), (table, column)


def test_what_has_the_number_of_an_icu_stay_is_within_it(tables: Tables) -> None:
    stays = tables["ICUSTAYS"].set_index("ICUSTAY_ID")[["INTIME", "OUTTIME", "HADM_ID"]]
    assert stays.index.is_unique
    for table, column in (("CHARTEVENTS", "CHARTTIME"), ("INPUTEVENTS_MV", "STARTTIME")):
        rows = tables[table].dropna(subset=["ICUSTAY_ID"])
        assert len(rows) > 0.9 * len(tables[table])
        stay = stays.loc[rows["ICUSTAY_ID"]].reset_index()
        assert (rows["HADM_ID"].to_numpy() == stay["HADM_ID"].to_numpy()).all()
        when = rows[column].reset_index(drop=True)
        assert ((when >= stay["INTIME"]) & (when < stay["OUTTIME"])).all()


def test_a_ward_follows_the_other_without_a_gap(tables: Tables) -> None:
    moves = tables["TRANSFERS"]
    before = moves.groupby("HADM_ID")[["OUTTIME", "CURR_WARDID", "CURR_CAREUNIT"]].shift()
    follows = before["OUTTIME"].notna()
    assert (before["OUTTIME"] == moves["INTIME"])[follows].mean() > 0.9  # moves of minutes are left out
    assert (before["CURR_WARDID"] == moves["PREV_WARDID"])[follows].all()
    assert (before["CURR_CAREUNIT"].fillna("") == moves["PREV_CAREUNIT"].fillna("")).all()
    assert set(moves["EVENTTYPE"]) == {"admit", "transfer", "discharge"}


def test_values_follow_conditions(tables: Tables) -> None:
    for item, condition, more in ((50912, "acute_kidney_injury", 1.8), (50931, "type_2_diabetes", 1.2)):
        rows = values(tables, "LABEVENTS", item)
        has = rows["HADM_ID"].isin(tables["ADMISSIONS"]["HADM_ID"][having(tables, condition)])
        assert rows["VALUENUM"][has].median() > more * rows["VALUENUM"][~has].median()
    pressure = values(tables, "CHARTEVENTS", 220179)
    ill = pressure["HADM_ID"].isin(tables["ADMISSIONS"]["HADM_ID"][having(tables, "sepsis")])
    assert pressure["VALUENUM"][ill].mean() < pressure["VALUENUM"][~ill].mean() - 8


def test_the_dying_worsen_and_the_others_do_not(tables: Tables) -> None:
    for table, item, up in (
        ("LABEVENTS", 50813, True),
        ("CHARTEVENTS", 220179, False),
        ("OUTPUTEVENTS", 226559, False),
    ):
        rows = values(tables, table, item)
        rows = rows.assign(amount=pd.to_numeric(rows["VALUE"]), left=rows["DISCHTIME"] - rows["CHARTTIME"])
        near, died = rows["left"] < pd.Timedelta(hours=18), rows["HOSPITAL_EXPIRE_FLAG"] == 1
        worse = rows["amount"][died & near].median() / rows["amount"][died & ~near].median()
        usual = rows["amount"][~died & near].median() / rows["amount"][~died & ~near].median()
        assert (worse > 1.2 * usual) if up else (worse < 0.9 * usual), item


def test_the_intubated_say_nothing_and_machines_have_hours(tables: Tables) -> None:
    bedside = tables["PROCEDUREEVENTS_MV"]
    machines = bedside[bedside["ITEMID"] == 225792]
    minutes = (machines["ENDTIME"] - machines["STARTTIME"]).dt.total_seconds() / 60
    assert (minutes.round() - machines["VALUE"].astype(float)).abs().max() <= 1
    said = tables["CHARTEVENTS"][tables["CHARTEVENTS"]["ITEMID"] == 223900]
    silent = said[said["VALUE"] == "No Response-ETT"]
    assert 0 < len(silent) < len(said) / 2
    assert set(silent["HADM_ID"]) <= set(machines["HADM_ID"])


def test_antibiotics_begin_when_cultures_are_taken(tables: Tables) -> None:
    drugs, cultures = with_stay(tables, "PRESCRIPTIONS"), tables["MICROBIOLOGYEVENTS"]
    first = cultures.groupby("HADM_ID")["CHARTDATE"].min().dt.normalize()
    vancomycin = drugs[drugs["DRUG"].str.startswith("Vancomycin")].drop_duplicates("HADM_ID")
    vancomycin = vancomycin.set_index("HADM_ID")
    late = first[first > vancomycin["ADMITTIME"].reindex(first.index) + pd.Timedelta(days=2)]
    wait = (vancomycin["STARTDATE"] - late).dropna().dt.days
    assert len(wait) > 20
    assert wait.between(-1, 3).mean() > 0.9


def test_deaths_are_in_hospital_and_after_it(tables: Tables) -> None:
    patients = tables["PATIENTS"].set_index("SUBJECT_ID")
    last = tables["ADMISSIONS"].groupby("SUBJECT_ID")[["DISCHTIME", "HOSPITAL_EXPIRE_FLAG"]].last()
    inside = last["HOSPITAL_EXPIRE_FLAG"] == 1
    assert (patients["DOD_HOSP"].notna() == inside).all()
    later = patients[~inside & patients["DOD"].notna()]
    assert 0.1 < len(later) / len(patients) < 0.5
    assert (later["DOD"] >= last.loc[later.index, "DISCHTIME"].dt.normalize()).all()
    assert (later["DOD"] == later["DOD_SSN"]).all()


def test_who_comes_back_keeps_what_lasts(tables: Tables) -> None:
    stays = tables["ADMISSIONS"]
    assert 1.15 < len(stays) / PATIENTS < 1.4
    for condition in ("heart_failure", "copd", "type_2_diabetes"):
        has = having(tables, condition)
        before = has.groupby(stays["SUBJECT_ID"]).shift().astype("boolean")
        again = has[before.fillna(False)]
        assert len(again) > 20
        assert again.mean() > 0.75  # and not all: coders miss some
        assert again.mean() < 1


def test_notes_are_copied_forward_and_name_no_condition_always(tables: Tables) -> None:
    notes = tables["NOTEEVENTS"]
    plans = notes[notes["CATEGORY"] == "Physician "].sort_values(["HADM_ID", "CHARTTIME"])
    first = plans["TEXT"].str.extract(r"\n(# .*)")[0]
    before = first.groupby(plans["HADM_ID"]).shift().dropna()
    assert 0.3 < (first[before.index] == before).mean() < 0.7
    stays = tables["ADMISSIONS"]["HADM_ID"][having(tables, "sepsis")]
    summaries = notes[(notes["CATEGORY"] == "Discharge summary") & notes["HADM_ID"].isin(stays)]
    named = summaries["TEXT"].str.contains("sepsis|septic", case=False)
    assert 0.3 < named.mean() < 0.8
