"""The synthetic hospital written as OMOP CDM 5.4: the same persons, visits, codes, values and notes."""

from pathlib import Path

import duckdb

# Concepts, numbered by what they are of: ICD codes, drugs, items that are measured, categories of notes, care units.
_CONCEPTS = """
CREATE TABLE concept AS
SELECT CAST(concept_id AS BIGINT) AS concept_id, concept_name, domain_id, vocabulary_id, concept_class_id,
  standard_concept, concept_code
FROM (
  SELECT 44800000 + row_number() OVER (ORDER BY code) AS concept_id, coalesce(title, code) AS concept_name,
    'Condition' AS domain_id, 'ICD9CM' AS vocabulary_id, 'billing code' AS concept_class_id, NULL AS standard_concept,
    left(code, dot) || '.' || substr(code, dot + 1) AS concept_code
  FROM (
    SELECT DISTINCT icd9_code AS code, CASE WHEN icd9_code LIKE 'E%' THEN 4 ELSE 3 END AS dot, long_title AS title
    FROM DIAGNOSES_ICD LEFT JOIN D_ICD_DIAGNOSES USING (icd9_code) WHERE icd9_code IS NOT NULL)
  UNION ALL
  SELECT 2000000 + row_number() OVER (ORDER BY code), code, 'Procedure', 'ICD9Proc', 'billing code', 'S',
    left(code, 2) || '.' || substr(code, 3)
  FROM (SELECT DISTINCT icd9_code AS code FROM PROCEDURES_ICD WHERE icd9_code IS NOT NULL)
  UNION ALL
  SELECT 19000000 + row_number() OVER (ORDER BY drug), drug, 'Drug', 'RxNorm', 'Clinical Drug', 'S', 'R' || drug
  FROM (SELECT DISTINCT drug FROM PRESCRIPTIONS WHERE drug IS NOT NULL)
  UNION ALL
  SELECT 3000000 + CAST(itemid AS BIGINT), label, 'Measurement',
    CASE WHEN loinc_code IS NULL THEN 'own' ELSE 'LOINC' END, 'Lab Test', 'S', coalesce(loinc_code, itemid)
  FROM D_LABITEMS
  UNION ALL
  SELECT 3000000 + CAST(itemid AS BIGINT), label, 'Measurement', 'own', 'Clinical Observation', 'S', itemid FROM D_ITEMS
  UNION ALL
  SELECT 3900000 + row_number() OVER (ORDER BY category), category, 'Type Concept', 'own', 'Note', 'S', category
  FROM (SELECT DISTINCT category FROM NOTEEVENTS)
);
"""
_TABLES = {
    "person": """
        SELECT subject_id AS person_id, CASE gender WHEN 'M' THEN 8507 ELSE 8532 END AS gender_concept_id,
          year(CAST(dob AS TIMESTAMP)) AS year_of_birth, month(CAST(dob AS TIMESTAMP)) AS month_of_birth,
          day(CAST(dob AS TIMESTAMP)) AS day_of_birth
        FROM PATIENTS ORDER BY CAST(subject_id AS BIGINT)""",
    "death": """
        SELECT subject_id AS person_id, CAST(CAST(coalesce(a.died, dod) AS TIMESTAMP) AS DATE) AS death_date,
          coalesce(a.died, dod) AS death_datetime
        FROM PATIENTS
        LEFT JOIN (SELECT subject_id, min(deathtime) AS died FROM ADMISSIONS GROUP BY ALL) a USING (subject_id)
        WHERE coalesce(a.died, dod) IS NOT NULL""",
    "visit_occurrence": """
        SELECT hadm_id AS visit_occurrence_id, subject_id AS person_id, 9201 AS visit_concept_id,
          admittime[:10] AS visit_start_date, admittime AS visit_start_datetime, dischtime[:10] AS visit_end_date,
          dischtime AS visit_end_datetime, discharge_location AS discharged_to_source_value
        FROM ADMISSIONS""",
    "condition_occurrence": """
        SELECT d.row_id AS condition_occurrence_id, d.subject_id AS person_id, d.hadm_id AS visit_occurrence_id,
          0 AS condition_concept_id, a.admittime[:10] AS condition_start_date, 32821 AS condition_type_concept_id,
          CASE d.seq_num WHEN '1' THEN 32902 END AS condition_status_concept_id,
          d.icd9_code || '  ' AS condition_source_value,
          c.concept_id AS condition_source_concept_id
        FROM DIAGNOSES_ICD d JOIN ADMISSIONS a USING (hadm_id)
        LEFT JOIN concept c ON replace(c.concept_code, '.', '') = d.icd9_code AND c.vocabulary_id = 'ICD9CM'
        ORDER BY CAST(d.row_id AS BIGINT)""",
    "procedure_occurrence": """
        SELECT p.row_id AS procedure_occurrence_id, p.subject_id AS person_id, p.hadm_id AS visit_occurrence_id,
          c.concept_id AS procedure_concept_id, a.admittime[:10] AS procedure_date,
          p.icd9_code AS procedure_source_value, c.concept_id AS procedure_source_concept_id
        FROM PROCEDURES_ICD p JOIN ADMISSIONS a USING (hadm_id)
        LEFT JOIN concept c ON replace(c.concept_code, '.', '') = p.icd9_code AND c.vocabulary_id = 'ICD9Proc'
        ORDER BY CAST(p.row_id AS BIGINT)""",
    "drug_exposure": """
        SELECT p.row_id AS drug_exposure_id, p.subject_id AS person_id, p.hadm_id AS visit_occurrence_id,
          c.concept_id AS drug_concept_id, p.startdate[:10] AS drug_exposure_start_date,
          p.startdate AS drug_exposure_start_datetime, p.enddate[:10] AS drug_exposure_end_date,
          p.enddate AS drug_exposure_end_datetime, p.dose_val_rx AS quantity, p.drug AS drug_source_value,
          p.route AS route_source_value, p.dose_unit_rx AS dose_unit_source_value
        FROM PRESCRIPTIONS p LEFT JOIN concept c ON c.concept_name = p.drug AND c.vocabulary_id = 'RxNorm'
        ORDER BY CAST(p.row_id AS BIGINT)""",
    "measurement": """
        SELECT row_number() OVER () AS measurement_id, subject_id AS person_id, hadm_id AS visit_occurrence_id,
          3000000 + CAST(itemid AS BIGINT) AS measurement_concept_id, charttime[:10] AS measurement_date,
          charttime AS measurement_datetime, valuenum AS value_as_number, valueuom AS unit_source_value,
          itemid AS measurement_source_value
        FROM (
          SELECT subject_id, hadm_id, itemid, charttime, valuenum, valueuom FROM LABEVENTS
          UNION ALL SELECT subject_id, hadm_id, itemid, charttime, valuenum, valueuom FROM CHARTEVENTS
          UNION ALL SELECT subject_id, hadm_id, itemid, charttime, value, valueuom FROM OUTPUTEVENTS)""",
    "note": """
        SELECT n.row_id AS note_id, n.subject_id AS person_id, n.hadm_id AS visit_occurrence_id,
          n.chartdate[:10] AS note_date, n.charttime AS note_datetime, c.concept_id AS note_class_concept_id,
          n.text AS note_text
        FROM NOTEEVENTS n LEFT JOIN concept c ON c.concept_name = n.category AND c.concept_class_id = 'Note'
        WHERE n.iserror IS NULL OR n.iserror <> '1' ORDER BY CAST(n.row_id AS BIGINT)""",
    "visit_detail": """
        SELECT row_id AS visit_detail_id, subject_id AS person_id, hadm_id AS visit_occurrence_id,
          32037 AS visit_detail_concept_id, intime[:10] AS visit_detail_start_date,
          intime AS visit_detail_start_datetime,
          outtime[:10] AS visit_detail_end_date, outtime AS visit_detail_end_datetime
        FROM ICUSTAYS""",
    "concept": "SELECT * FROM concept",
    "vocabulary": "SELECT DISTINCT vocabulary_id, 'of the tests' AS vocabulary_version FROM concept",
}


def as_omop(mimic: Path, folder: Path) -> Path:
    """Write the tables of a synthetic MIMIC-III as those of OMOP, in CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as database:
        for file in mimic.glob("*.csv"):
            database.execute(
                f"CREATE VIEW {file.stem} AS SELECT * FROM read_csv('{file}', all_varchar = true, header = true, "
                "delim = ',', quote = '\"', escape = '\"', auto_detect = true, strict_mode = false)"
            )
        database.execute(_CONCEPTS)
        for name, select in _TABLES.items():
            database.execute(f"COPY ({select}) TO '{folder / name}.csv' (HEADER, FORCE_QUOTE *)")
    return folder
