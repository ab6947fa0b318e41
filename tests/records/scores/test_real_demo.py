"""Scores of the first day on the open demo of MIMIC-III, which lacks CHARTEVENTS, against what its tables hold."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts.records.base import Batch, Unit
from cohorts.records.scores.charlson import charlson
from cohorts.records.scores.sapsii import sapsii
from cohorts.records.scores.sofa import sofa
from cohorts.records.scores.worst import worst_values
from cohorts.records.sources.registry import open_source

LABS = {
    "platelets": ("51265", "min"),
    "bilirubin": ("50885", "max"),
    "creatinine": ("50912", "max"),
    "urea_nitrogen": ("51006", "max"),
}


@pytest.fixture(scope="module")
def demo(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    work = tmp_path_factory.mktemp("demo")
    bad = work / "bad.csv"
    with open_source(
        "mimic3", shared_data / "mimic3-demo", unit=Unit.ADMISSION, work_dir=work, quarantine_file=bad
    ) as source:
        (batch,) = source.batches()
    return batch


@pytest.fixture(scope="module")
def tables(shared_data: Path) -> dict[str, pd.DataFrame]:
    folder = shared_data / "mimic3-demo"
    names = ("ICUSTAYS.csv", "LABEVENTS.csv.gz", "INPUTEVENTS_MV.csv.gz", "DIAGNOSES_ICD.csv")
    return {
        name.partition(".")[0]: pd.read_csv(folder / name, dtype=str).rename(columns=str.lower)
        for name in names
    }


def first_day(
    batch: Batch, tables: dict[str, pd.DataFrame]
) -> tuple["pd.Series[pd.Timestamp]", pd.DataFrame]:
    stays = tables["ICUSTAYS"]
    began = pd.to_datetime(stays["intime"]).groupby(stays["hadm_id"]).min()
    icu = batch.units["admission_id"].map(began)
    return icu, worst_values(batch, icu - pd.Timedelta("6h"), icu + pd.Timedelta("24h"))


def test_values_and_scores_are_those_of_the_tables(demo: Batch, tables: dict[str, pd.DataFrame]) -> None:
    icu, found = first_day(demo, tables)
    stays = demo.units["admission_id"]
    since = icu.set_axis(stays)
    labs = tables["LABEVENTS"]
    hours = (pd.to_datetime(labs["charttime"]) - labs["hadm_id"].map(since)).dt.total_seconds() / 3600
    labs = labs[(hours > -6) & (hours <= 24)].assign(number=lambda rows: rows["valuenum"].astype(float))
    for name, (item, way) in LABS.items():
        expected = labs[labs["itemid"] == item].groupby("hadm_id")["number"].agg(way).reindex(stays)
        np.testing.assert_allclose(found[name], expected, err_msg=name)
    pumps = tables["INPUTEVENTS_MV"]
    pumps = pumps[(pumps["itemid"] == "221906") & (pumps["statusdescription"] != "Rewritten")]
    start, end = (
        pd.to_datetime(pumps[one]) - pumps["hadm_id"].map(since) for one in ("starttime", "endtime")
    )
    pumps = pumps[(start <= pd.Timedelta("24h")) & (end > -pd.Timedelta("6h"))]
    rates = pumps["rate"].astype(float).groupby(pumps["hadm_id"]).max().reindex(stays)
    assert set(pumps["rateuom"]) == {"mcg/kg/min"}
    np.testing.assert_allclose(found["norepinephrine"], rates)


def test_what_the_demo_lacks_is_unseen(demo: Batch, tables: dict[str, pd.DataFrame]) -> None:
    _, found = first_day(demo, tables)
    organs, physiology = sofa(found), sapsii(found)
    assert organs.parts["cns"].isna().all()  # no CHARTEVENTS
    assert physiology.parts[["heart_rate", "systolic_pressure", "gcs"]].isna().all(axis=None)
    assert organs.parts["coagulation"].notna().sum() == 116
    assert organs.unseen.min() == 1
    no_drug = found[["dopamine", "dobutamine", "epinephrine", "norepinephrine"]].isna().all(axis=1)
    assert (
        organs.parts["cardiovascular"].isna().equals(no_drug)
    )  # no pressure was seen, which is not 0 points


# Worked by hand from LABEVENTS, INPUTEVENTS_MV, PROCEDUREEVENTS_MV and OUTPUTEVENTS, with Vincent's table.
U = np.nan
BY_HAND = {
    # respiration, coagulation, liver, cardiovascular, coma, renal
    "142345": (U, 1, 0, U, U, 2),  # platelets 106, bilirubin 1, creatinine 3
    "165520": (2, 0, 0, U, U, 1),  # pO2 60 at 70 % without a ventilator, creatinine 1.7, urine 1,261 mL/24 h
    "186361": (
        3,
        0,
        0,
        4,
        U,
        1,
    ),  # 125 at 70 % with one, norepinephrine .50, creatinine 1.2, urine 2,659 mL/24 h
    "163189": (
        4,
        2,
        4,
        4,
        U,
        3,
    ),  # 60 at 100 % with one, platelets 69, bilirubin 21, norepinephrine .25, creatinine 4.8
}


def test_sofa_of_patients_worked_by_hand(demo: Batch, tables: dict[str, pd.DataFrame]) -> None:
    _, found = first_day(demo, tables)
    told = sofa(found).parts.set_axis(demo.units["admission_id"].tolist())
    for stay, points in BY_HAND.items():
        assert told.loc[stay].to_numpy() == pytest.approx(points, nan_ok=True), stay


def test_sapsii_of_a_patient_worked_by_hand(demo: Batch, tables: dict[str, pd.DataFrame]) -> None:
    _, found = first_day(demo, tables)
    place = demo.units.index[demo.units["admission_id"] == "186361"][0]
    told = sapsii(found)
    # 40 to 59 years, 38.9 degC, ventilated with 179 mmHg, 2,659 mL of urine, urea nitrogen 62, white cells 7.6 to 14.2,
    # potassium 5.1, sodium 149, bicarbonate 20, bilirubin .7, a lymphoma, not operated on
    points = (7, U, U, 0, 9, 0, 6, 0, 3, 1, 0, 0, U, 10, 6)
    assert told.parts.loc[place].tolist() == pytest.approx(points, nan_ok=True)
    assert (told.total[place], told.unseen[place]) == (42, 3)
    assert charlson(demo).total[place] == 3  # bronchiectasis, and the lymphoma


def test_charlson_is_what_the_codes_say(demo: Batch, tables: dict[str, pd.DataFrame]) -> None:
    index = charlson(demo)
    codes = tables["DIAGNOSES_ICD"].dropna(subset="icd9_code").groupby("hadm_id")["icd9_code"].agg(list)
    own = codes.reindex(demo.units["admission_id"])
    failing = [any(code.startswith("428") for code in told) for told in own]
    metastatic = [any(code[:3] in ("196", "197", "198", "199") for code in told) for told in own]
    heart = index.parts["congestive heart failure"].to_numpy()
    assert heart[failing].all()
    assert (index.parts["metastatic solid tumour"] == 6).tolist() == metastatic
    assert index.unseen.eq(0).all()
