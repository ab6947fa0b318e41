"""Mappings that come with the package: Synthea's, on real files, and eICU's, on invented rows of the same form."""

from pathlib import Path

import pandas as pd
import pytest
from cohorts import open_source as open_from_python
from cohorts.records.sources.mappings import shipped_mappings
from command_line import ok, refused
from small_hospitals import OpenOwn

SYNTHEA = {  # of version 3.3, with all its columns
    "patients": "Id,BIRTHDATE,DEATHDATE,SSN,DRIVERS,PASSPORT,PREFIX,FIRST,MIDDLE,LAST,SUFFIX,MAIDEN,MARITAL,RACE,"
    "ETHNICITY,GENDER,BIRTHPLACE,ADDRESS,CITY,STATE,COUNTY,FIPS,ZIP,LAT,LON,HEALTHCARE_EXPENSES,HEALTHCARE_COVERAGE,INCOME\n"
    "a,1950-03-05,2020-01-04,999,S9,X6,Mr.,Pat,,Doe,,,M,white,nonhispanic,M,x,x,x,x,x,1,1,1,1,1,1,1\n"
    "b,1990-07-01,,999,S9,X6,Ms.,Sam,,Doe,,,M,white,nonhispanic,F,x,x,x,x,x,1,1,1,1,1,1,1",
    "encounters": "Id,START,STOP,PATIENT,ORGANIZATION,PROVIDER,PAYER,ENCOUNTERCLASS,CODE,DESCRIPTION,"
    "BASE_ENCOUNTER_COST,TOTAL_CLAIM_COST,PAYER_COVERAGE,REASONCODE,REASONDESCRIPTION\n"
    "e1,2020-01-02T10:00:00Z,2020-01-05T10:00:00Z,a,o,p,q,inpatient,1,x,1,1,1,,\n"
    "e2,2021-01-02T10:00:00Z,2021-01-02T10:15:00Z,b,o,p,q,wellness,1,x,1,1,1,,",
    "conditions": "START,STOP,PATIENT,ENCOUNTER,SYSTEM,CODE,DESCRIPTION\n"
    "2020-01-02,,a,e1,http://snomed.info/sct,22298006,Infarction\n"
    "2021-01-02,2021-02-01,b,e2,http://hl7.org/fhir/sid/icd-10-cm,I10.9,Hypertension",
    "procedures": "START,STOP,PATIENT,ENCOUNTER,SYSTEM,CODE,DESCRIPTION,BASE_COST,REASONCODE,REASONDESCRIPTION\n"
    "2020-01-02T11:00:00Z,2020-01-02T11:15:00Z,a,e1,http://snomed.info/sct,232717009,Bypass,1.0,,",
    "medications": "START,STOP,PATIENT,PAYER,ENCOUNTER,CODE,DESCRIPTION,BASE_COST,PAYER_COVERAGE,DISPENSES,TOTALCOST,"
    "REASONCODE,REASONDESCRIPTION\n2020-01-02T12:00:00Z,,a,q,e1,309362,Clopidogrel 75 MG Oral Tablet,1,1,1,1,,",
    "observations": "DATE,PATIENT,ENCOUNTER,CATEGORY,CODE,DESCRIPTION,VALUE,UNITS,TYPE\n"
    "2020-01-02T12:00:00Z,a,e1,vital-signs,29463-7,Body Weight,80.0,kg,numeric\n"
    "2020-01-02T12:00:00Z,a,e1,laboratory,2160-0,Creatinine,1.4,mg/dL,numeric\n"
    "2020-01-02T12:00:00Z,a,e1,laboratory,5778-6,Color of Urine,Yellow,,text\n"
    "2020-01-02T12:00:00Z,a,e1,survey,55758-7,PHQ-2,3.0,{score},numeric\n"
    "2020-01-02T12:00:00Z,a,,,QALY,QALY,12.5,a,numeric",
    "allergies": "START,STOP,PATIENT,ENCOUNTER,CODE,SYSTEM,DESCRIPTION,TYPE,CATEGORY,REACTION1,DESCRIPTION1,SEVERITY1,"
    "REACTION2,DESCRIPTION2,SEVERITY2\n2021-01-02,,b,e2,7980,RxNorm,Penicillin,allergy,medication,,,,,,",
    "immunizations": "DATE,PATIENT,ENCOUNTER,CODE,DESCRIPTION,BASE_COST\n"
    "2021-01-02T10:00:00Z,b,e2,140,Influenza,136.00",
    "careplans": "Id,START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION,REASONCODE,REASONDESCRIPTION\n"
    "c,2020-01-02,,a,e1,736285004,Care plan,,",
    "devices": "START,STOP,PATIENT,ENCOUNTER,CODE,DESCRIPTION,UDI\n2020-01-02T10:00:00Z,,a,e1,72506001,Defibrillator,1",
    "imaging_studies": "Id,DATE,PATIENT,ENCOUNTER,SERIES_UID,BODYSITE_CODE,BODYSITE_DESCRIPTION,MODALITY_CODE,"
    "MODALITY_DESCRIPTION,INSTANCE_UID,SOP_CODE,SOP_DESCRIPTION,PROCEDURE_CODE\n"
    "i,2020-01-02T10:00:00Z,a,e1,1,51185008,Chest,DX,Digital Radiography,1,1,x,399208008",
    "payers": "Id,NAME\nq,Humana",
}
EICU = {
    "patient": "patientunitstayid,patienthealthsystemstayid,gender,age,ethnicity,hospitalid,wardid,apacheadmissiondx,"
    "admissionheight,hospitaladmittime24,hospitaladmitoffset,hospitaladmitsource,hospitaldischargeyear,"
    "hospitaldischargetime24,hospitaldischargeoffset,hospitaldischargelocation,hospitaldischargestatus,unittype,"
    "unitadmittime24,unitadmitsource,unitvisitnumber,unitstaytype,admissionweight,dischargeweight,unitdischargetime24,"
    "unitdischargeoffset,unitdischargelocation,unitdischargestatus,uniquepid\n"
    "141168,128919,Female,70,Caucasian,59,91,Rhythm,152.4,15:54:00,-60,Direct Admit,2015,03:50:00,3596,Death,Expired,"
    "Med-Surg ICU,16:54:00,Direct Admit,1,admit,84.3,85.8,03:50:00,2880,Death,Expired,002-34851\n"
    "141178,128927,Male,> 89,Caucasian,60,83,,162.6,08:56:00,-14,Emergency Department,2014,19:20:00,2050,Home,Alive,"
    "MICU,09:10:00,ED,1,admit,54.4,54.4,09:18:00,8,Step-Down Unit,Alive,002-33870\n"
    "141179,128927,Male,> 89,Caucasian,60,83,,162.6,08:56:00,-22,Emergency Department,2014,19:20:00,2042,Home,Alive,"
    "CCU,09:18:00,ICU,2,stepdown,,60.4,19:20:00,2042,Home,Alive,002-33870",
    "diagnosis": "diagnosisid,patientunitstayid,activeupondischarge,diagnosisoffset,diagnosisstring,icd9code,"
    'diagnosispriority\n1,141168,False,13,cardiovascular|arrhythmia,"427.31, I48.0",Primary\n'
    '2,141168,True,72,cardiovascular|arrhythmia,"427.31, I48.0",Other\n3,141178,True,8,renal|chronic,,Major\n'
    "4,141178,True,8,burns|external,E879.9,Other\n5,141178,True,8,pulmonary|failure,J96.00,Other",
    "treatment": "treatmentid,patientunitstayid,treatmentoffset,treatmentstring,activeupondischarge\n"
    "1,141168,44,cardiovascular|ventilation,False\n2,141168,144,cardiovascular|ventilation,True",
    "medication": "medicationid,patientunitstayid,drugorderoffset,drugstartoffset,drugivadmixture,drugordercancelled,"
    "drugname,drughiclseqno,dosage,routeadmin,frequency,loadingdose,prn,drugstopoffset,gtc\n"
    "1,141168,134,171,No,No,METOPROLOL TARTRATE 25 MG PO TABS,2102,25 3,PO,Q12H,,No,244,0\n"
    "2,141168,134,171,No,Yes,ASPIRIN EC 81 MG PO TBEC,1820,81 3,PO,Daily,,No,244,0",
    "lab": "labid,patientunitstayid,labresultoffset,labtypeid,labname,labresult,labresulttext,labmeasurenamesystem,"
    "labmeasurenameinterface,labresultrevisedoffset\n1,141168,120,1,creatinine,2.3,2.3,mg/dL,mg/dL,134\n"
    "2,141168,120,1,creatinine,,cancelled,mg/dL,mg/dL,134",
    "note": "noteid,patientunitstayid,noteoffset,noteenteredoffset,notetype,notepath,notevalue,notetext\n"
    "1,141168,205,213,Admission,notes/Progress Notes/Past History,Pacemaker,pacemaker\n"
    "2,141168,205,213,Admission,notes/Progress Notes/Past History,Asthma,",
    "apachePatientResult": "apachepatientresultsid,patientunitstayid,physicianspeciality,physicianinterventioncategory,"
    "acutephysiologyscore,apachescore,apacheversion,predictedicumortality\n1,141168,x,y,60,72,IVa,0.2",
}


def write(folder: Path, tables: dict[str, str]) -> Path:
    folder.mkdir()
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text + "\n")
    return folder


def cells(frame: pd.DataFrame, *columns: str) -> list[tuple[object, ...]]:
    found = frame[list(columns)].astype(object).where(frame[list(columns)].notna(), None)
    return sorted(found.itertuples(index=False, name=None), key=str)


def test_real_synthea_is_read_end_to_end(shared_data: Path, open_own: OpenOwn) -> None:
    source = open_own(shared_data / "synthea-notes", Path("synthea"))
    assert source.synthetic
    with source:
        (batch,) = source.batches()
    assert source.report.counts == {
        "admissions after death, counted as died": 17,
        "patients": 116,
        "admissions": 5_722,
        "diagnoses": 4_032,
        "diagnoses SNOMED": 4_032,
        "procedures": 17_043,
        "procedures SNOMED": 17_043,
        "prescriptions": 5_607,
        "measurements": 8_459,
        "vital signs": 7_615,
        "social history": 916,
        "survey": 13_642,
        "laboratory finding": 250,
        "imaging finding": 3,
        "procedure finding": 9,
        "exam": 47,
        "therapy": 4,
        "allergy": 83,
        "immunization": 1_507,
        "care plan": 375,
        "device": 619,
        "notes": 3_299,
    }
    assert source.report.left_out == {}
    assert source.report.quarantined == {}
    assert batch.units["age"].notna().all()
    weights = batch.measurements.query("loinc == '29463-7'")
    assert set(weights["uom"]) == {"kg"}


def test_the_files_that_synthea_writes_are_read(tmp_path: Path, open_own: OpenOwn) -> None:
    source = open_own(write(tmp_path / "csv", SYNTHEA), Path("synthea"))
    with source:
        (batch,) = source.batches()
    assert cells(batch.codes, "admission_id", "kind", "system", "code") == [
        ("e1", "diagnosis", "SNOMED", "22298006"),
        ("e1", "drug", "name", "Clopidogrel 75 MG Oral Tablet"),
        ("e1", "procedure", "SNOMED", "232717009"),
        ("e2", "diagnosis", "ICD-10", "I109"),
    ]
    assert cells(batch.admissions, "admission_id", "admission_type", "died") == [
        ("e1", "inpatient", True),
        ("e2", "wellness", False),
    ]
    assert cells(batch.measurements, "item", "kind", "value") == [
        ("Body Weight", "vital", 80.0),
        ("Creatinine", "laboratory", 1.4),
    ]
    assert cells(batch.events, "kind", "code", "result", "value") == [
        ("allergy", "7980", "allergy", None),
        ("care plan", "736285004", None, None),
        ("device", "72506001", None, None),
        ("imaging study", "DX", "Chest", None),
        ("immunization", "140", None, None),
        ("laboratory finding", "5778-6", "Yellow", None),
        ("observation", "QALY", None, 12.5),
        ("survey", "55758-7", None, 3.0),
    ]
    assert source.report.quarantined == {}


def test_procedures_of_an_earlier_synthea(tmp_path: Path, open_own: OpenOwn) -> None:
    earlier = "DATE,PATIENT,ENCOUNTER,CODE,DESCRIPTION\n2020-01-02T11:00:00Z,a,e1,232717009,Bypass"
    only = {name: SYNTHEA[name] for name in ("patients", "encounters")}
    source = open_own(write(tmp_path / "csv", {**only, "procedures": earlier}), Path("synthea"))
    with source:
        (batch,) = source.batches()
    assert cells(batch.codes, "system", "code", "time") == [
        ("SNOMED", "232717009", pd.Timestamp("2020-01-02 11:00"))
    ]


def test_rows_in_the_form_of_eicu(tmp_path: Path, open_own: OpenOwn) -> None:
    source = open_own(write(tmp_path / "csv", EICU), Path("eicu"))
    with source:
        (batch,) = source.batches()
    assert source.report.quarantined == {}
    assert cells(batch.units, "patient_id", "age", "sex", "died") == [
        ("002-33870", 90.0, "M", False),
        ("002-34851", 70.0, "F", True),
    ]
    old, dead = batch.admissions.sort_values("admission_id", ascending=False).to_dict("records")
    assert (dead["admitted"], dead["admission_type"]) == (pd.Timestamp("2015-01-01 15:54"), "Direct Admit")
    assert dead["discharged"] == dead["died_at"] == dead["death"] == pd.Timestamp("2015-01-04 04:50")
    assert (old["admitted"], old["discharged"]) == (
        pd.Timestamp("2014-01-01 08:56"),
        pd.Timestamp("2014-01-02 19:20"),
    )
    assert cells(batch.codes, "kind", "system", "code", "rank") == [
        ("diagnosis", "ICD-10", "J9600", 3),
        ("diagnosis", "ICD-9", "42731", 1),
        ("diagnosis", "ICD-9", "E8799", 3),
        ("diagnosis", "name", "renal|chronic", 2),
        ("drug", "name", "METOPROLOL TARTRATE 25 MG PO TABS", None),
        ("procedure", "name", "cardiovascular|ventilation", None),
    ]
    assert cells(batch.measurements, "item", "time", "value") == [
        ("creatinine", pd.Timestamp("2015-01-01 18:54"), 2.3)
    ]
    assert cells(batch.notes, "category", "text") == [("Admission", "pacemaker\nAsthma")]
    assert cells(batch.events, "kind", "code", "value") == [
        ("icu stay", "CCU", 2042 / 1440),
        ("icu stay", "MICU", 8 / 1440),
        ("icu stay", "Med-Surg ICU", 2.0),
        ("score", "APACHE IVa", 72.0),
    ]
    assert source.report.left_out == {
        "rows of lab without a number": 1,
        "rows of medication that were cancelled": 1,
    }


def test_a_mapping_goes_by_its_name(tmp_path: Path) -> None:
    assert shipped_mappings() == ["eicu", "synthea"]
    folder = write(tmp_path / "csv", SYNTHEA)
    ok(f"ingest --source tables --path {folder} --mapping synthea --run-dir {tmp_path / 'run'} --dry-run")
    told = refused(
        f"ingest --source tables --path {folder} --mapping mimic --run-dir {tmp_path / 'run'} --dry-run"
    )
    assert "mimic can't be read" in told
    with open_from_python("tables", folder, mapping="synthea") as source:
        assert len(next(source.batches())) == 2


@pytest.mark.parametrize("mapping", ["synthea", "eicu"])
def test_every_table_but_those_of_patients_may_be_lacking(
    tmp_path: Path, open_own: OpenOwn, mapping: str
) -> None:
    tables = SYNTHEA if mapping == "synthea" else EICU
    needed: dict[str, str] = {
        name: tables[name] for name in ("patients", "encounters", "patient") if name in tables
    }
    source = open_own(write(tmp_path / "csv", needed), Path(mapping))
    with source:
        (batch,) = source.batches()
    assert len(batch.codes) == 0
