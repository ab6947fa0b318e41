"""MIMIC-III's tables as a MEDS data set, with the codes that MEDS-Extract's MIMIC-IV specification gives them."""

import json
from pathlib import Path

import duckdb

# Every event: its code, its time, and the columns that MEDS lets a data set add.
EVENTS = """
SELECT SUBJECT_ID, NULL::TIMESTAMP AS time, 'GENDER//' || GENDER AS code FROM PATIENTS
UNION ALL BY NAME SELECT SUBJECT_ID, DOB AS time, 'MEDS_BIRTH' AS code FROM PATIENTS
UNION ALL BY NAME SELECT SUBJECT_ID, DOD AS time, 'MEDS_DEATH' AS code FROM PATIENTS WHERE DOD IS NOT NULL
UNION ALL BY NAME
SELECT SUBJECT_ID, ADMITTIME AS time, HADM_ID, concat_ws('//', 'HOSPITAL_ADMISSION', ADMISSION_TYPE,
  ADMISSION_LOCATION) AS code
FROM ADMISSIONS
UNION ALL BY NAME
SELECT SUBJECT_ID, DISCHTIME AS time, HADM_ID,
  'HOSPITAL_DISCHARGE//' || if(HOSPITAL_EXPIRE_FLAG = 1, 'DIED', coalesce(DISCHARGE_LOCATION, 'UNK')) AS code
FROM ADMISSIONS
UNION ALL BY NAME SELECT SUBJECT_ID, EDREGTIME AS time, 'ED_REGISTRATION' AS code
FROM ADMISSIONS WHERE EDREGTIME IS NOT NULL
UNION ALL BY NAME SELECT SUBJECT_ID, EDOUTTIME AS time, 'ED_OUT' AS code
FROM ADMISSIONS WHERE EDOUTTIME IS NOT NULL
UNION ALL BY NAME
SELECT d.SUBJECT_ID, a.DISCHTIME AS time, HADM_ID, 'DIAGNOSIS//ICD//9//' || ICD9_CODE AS code,
  SEQ_NUM AS seq_num
FROM DIAGNOSES_ICD d JOIN ADMISSIONS a USING (HADM_ID)
UNION ALL BY NAME
SELECT p.SUBJECT_ID, a.DISCHTIME AS time, HADM_ID, 'PROCEDURE//ICD//9//' || ICD9_CODE AS code,
  SEQ_NUM AS seq_num
FROM PROCEDURES_ICD p JOIN ADMISSIONS a USING (HADM_ID)
UNION ALL BY NAME
SELECT SUBJECT_ID, STARTDATE AS time, ENDDATE AS "end", HADM_ID, 'MEDICATION//START//' || DRUG AS code,
  ROUTE AS route,
  DOSE_VAL_RX AS dose, DOSE_UNIT_RX AS dose_unit, NDC AS ndc
FROM PRESCRIPTIONS
UNION ALL BY NAME
SELECT SUBJECT_ID, CHARTTIME AS time, HADM_ID, concat_ws('//', 'LAB', ITEMID, VALUEUOM) AS code,
  VALUENUM AS numeric_value,
  if(VALUENUM IS NULL, VALUE, NULL) AS text_value
FROM LABEVENTS
UNION ALL BY NAME
SELECT SUBJECT_ID, CHARTTIME AS time, HADM_ID, concat_ws('//', 'LAB', ITEMID, VALUEUOM) AS code,
  if(VALUE IN ('1.0 ET/Trach', 'No Response-ETT'), 0, VALUENUM) AS numeric_value
FROM CHARTEVENTS WHERE ERROR::VARCHAR IS DISTINCT FROM '1'
UNION ALL BY NAME
SELECT SUBJECT_ID, CHARTTIME AS time, HADM_ID, concat_ws('//', 'SUBJECT_FLUID_OUTPUT', ITEMID,
  VALUEUOM) AS code,
  VALUE AS numeric_value
FROM OUTPUTEVENTS WHERE ISERROR::VARCHAR IS DISTINCT FROM '1'
UNION ALL BY NAME
SELECT SUBJECT_ID, coalesce(CHARTTIME, CHARTDATE) AS time, HADM_ID, 'NOTE//' || trim(CATEGORY) AS code,
  TEXT AS text_value
FROM NOTEEVENTS WHERE ISERROR::VARCHAR IS DISTINCT FROM '1'
UNION ALL BY NAME
SELECT SUBJECT_ID, INTIME AS time, HADM_ID, ICUSTAY_ID AS icustay_id, 'ICU_ADMISSION//' || FIRST_CAREUNIT AS code
FROM ICUSTAYS
UNION ALL BY NAME
SELECT SUBJECT_ID, OUTTIME AS time, HADM_ID, ICUSTAY_ID AS icustay_id, 'ICU_DISCHARGE//' || LAST_CAREUNIT AS code
FROM ICUSTAYS
"""
CODES = """
SELECT e.code, coalesce(i.label, t.LONG_TITLE) AS description,
  if(l.LOINC_CODE IS NULL, NULL, ['LOINC/' || l.LOINC_CODE]) AS parent_codes
FROM (SELECT DISTINCT code, string_split(code, '//') AS parts FROM events) e
LEFT JOIN (
  SELECT ITEMID, LABEL AS label FROM D_ITEMS
  UNION ALL SELECT ITEMID,
    if(lower(FLUID) = 'blood' OR contains(lower(LABEL), lower(FLUID)), LABEL,
      LABEL || ' (' || lower(FLUID) || ')') AS label
  FROM D_LABITEMS) i
  ON e.parts[1] IN ('LAB', 'SUBJECT_FLUID_OUTPUT') AND i.ITEMID = try_cast(e.parts[2] AS BIGINT)
LEFT JOIN D_LABITEMS l ON e.parts[1] = 'LAB' AND l.ITEMID = try_cast(e.parts[2] AS BIGINT)
LEFT JOIN D_ICD_DIAGNOSES t ON e.parts[1] = 'DIAGNOSIS' AND t.ICD9_CODE = e.parts[4]
"""
SPLITS = ("train", "tuning", "held_out")
TEXTS = {"ICD9_CODE", "DRG_CODE", "NDC", "DOSE_VAL_RX", "VALUE"}


def write_meds(tables: Path, folder: Path) -> Path:
    """Write the tables of a folder as a data set in another: three splits, a file of events each."""
    database = open_tables(tables)
    database.execute(f"CREATE TABLE events AS {EVENTS}")
    for number, split in enumerate(SPLITS):
        (folder / "data" / split).mkdir(parents=True)
        database.execute(
            f"""COPY (SELECT SUBJECT_ID AS subject_id, time, code, numeric_value::FLOAT AS numeric_value, text_value,
            HADM_ID AS hadm_id, * EXCLUDE (SUBJECT_ID, time, code, numeric_value, text_value, HADM_ID) FROM events
            WHERE SUBJECT_ID % 3 = {number} ORDER BY subject_id, time NULLS FIRST)
            TO '{folder / "data" / split / "0.parquet"}' (FORMAT parquet)"""
        )
    (folder / "metadata").mkdir()
    database.execute(f"COPY ({CODES}) TO '{folder / 'metadata' / 'codes.parquet'}' (FORMAT parquet)")
    database.execute(
        f"""COPY (SELECT SUBJECT_ID AS subject_id, {list(SPLITS)}[SUBJECT_ID % 3 + 1] AS split FROM PATIENTS)
        TO '{folder / "metadata" / "subject_splits.parquet"}' (FORMAT parquet)"""
    )
    about = {"dataset_name": "MIMIC-III, synthetic", "meds_version": "0.4.1"}
    (folder / "metadata" / "dataset.json").write_text(json.dumps(about))
    return folder


def open_tables(folder: Path) -> duckdb.DuckDBPyConnection:
    """Return a database with every table of a folder; codes and what looks like a number now and then are text."""
    database = duckdb.connect()
    for file in sorted(folder.glob("*.csv")):
        header = file.open().readline().strip().split(",")
        texts = TEXTS & {*header} if file.stem != "OUTPUTEVENTS" else ()
        types = ", ".join(f"'{name}': 'VARCHAR'" for name in sorted(texts))
        given = f", types={{{types}}}" if types else ""
        read = f"read_csv('{file}', header=true, quote='\"', sample_size=-1{given})"
        database.execute(f"CREATE VIEW {file.stem} AS SELECT * FROM {read}")
    return database
