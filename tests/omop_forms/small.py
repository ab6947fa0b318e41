"""An OMOP database of three persons, every table as its header and rows; None leaves one out."""

from pathlib import Path

_TABLES: dict[str, str | None] = {
    "person": "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,person_source_value\n"
    "-9223372036854775808,8507,1950,3,5,A\n9223372036854775807,8532,1960,,,B\n3,0,1970,1,1,C",
    "observation_period": "person_id,observation_period_end_date\n-9223372036854775808,2021-12-31\n3,2022-01-01",
    "death": "person_id,death_date,death_datetime\n9223372036854775807,2021-02-03,2021-02-03 10:00:00",
    "visit_occurrence": "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_start_datetime,"
    "visit_end_date,visit_end_datetime,discharged_to_source_value\n"
    "1,-9223372036854775808,9201,2020-01-01,2020-01-01 08:00:00,2020-01-05,2020-01-05 08:00:00,HOME\n"
    "2,-9223372036854775808,9202,2020-02-01,2020-02-01 09:00:00,2020-02-01,2020-02-01 09:30:00,\n"
    "3,-9223372036854775808,262,2020-03-01,2020-03-01 09:00:00,2020-03-02,2020-03-02 09:30:00,\n"
    "4,9223372036854775807,9203,2021-02-01,2021-02-01 09:00:00,2021-02-03,2021-02-03 11:00:00,\n"
    "5,3,9202,2021-01-01,2021-01-01 09:00:00,2021-01-01,2021-01-01 09:30:00,\n"
    "6,3,9202,2021-05-01,2021-05-01 09:00:00,2021-05-01,2021-05-01 09:30:00,",
    "condition_occurrence": "person_id,visit_occurrence_id,condition_concept_id,condition_start_date,"
    "condition_type_concept_id,condition_status_concept_id,condition_source_value,condition_source_concept_id\n"
    "-9223372036854775808,1,201826,2020-01-01,32817,32902,250.00  ,44836914\n"
    "-9223372036854775808,2,4145513,2020-02-01,32817,,rhythm,2000000001\n"
    "-9223372036854775808,,255848,2020-02-03,32817,,233604007,255848\n"
    "9223372036854775807,4,0,2021-02-01,32817,,mystery,0\n"
    "9223372036854775807,4,4299128,2021-02-01,32817,,x,999\n"
    "3,6,35208414,2021-05-01,32817,,K92.2,35208414\n"
    "3,6,,2021-05-01,32817,,,",
    "procedure_occurrence": "person_id,visit_occurrence_id,procedure_concept_id,procedure_date,"
    "procedure_source_value,procedure_source_concept_id\n"
    "-9223372036854775808,1,2102720,2020-01-02,19301,2102720\n"
    "-9223372036854775808,1,2000001,2020-01-02,38.93,2000001",
    "drug_exposure": "person_id,visit_occurrence_id,drug_concept_id,drug_exposure_start_date,"
    "drug_exposure_start_datetime,drug_exposure_end_date,quantity,drug_source_value,drug_source_concept_id,"
    "route_concept_id,route_source_value,dose_unit_source_value\n"
    "-9223372036854775808,1,1125,2020-01-01,2020-01-01 10:00:00,2020-01-02,2,Tylenol 325,0,4132161,PO,mg\n"
    "-9223372036854775808,1,0,2020-01-01,,,,Home brew ,0,0,IV,\n"
    "-9223372036854775808,1,40220357,2020-01-01,,,,00338004904,45317536,,,\n"
    "-9223372036854775808,1,77777,2020-01-01,,,,99999999999,45317537,,,",
    "measurement": "person_id,visit_occurrence_id,measurement_concept_id,measurement_date,measurement_datetime,"
    "measurement_type_concept_id,value_as_number,value_as_concept_id,unit_concept_id,unit_source_value,range_low,"
    "range_high,measurement_source_value,measurement_source_concept_id\n"
    "-9223372036854775808,1,3004501,2020-01-01,2020-01-01 11:00:00,32856,110,4135493,8840,,70,100,GLU,0\n"
    "-9223372036854775808,1,3027018,2020-01-01,2020-01-01 11:00:00,32817,80,,,/min,,,HR,0\n"
    "-9223372036854775808,1,0,2020-01-01,,,7,,,,,,own test,0\n"
    "-9223372036854775808,1,4000000,2020-01-01,,,,,,,,,R73.09,35211359",
    "observation": "person_id,visit_occurrence_id,observation_concept_id,observation_date,value_as_string,"
    "observation_source_value,observation_source_concept_id\n"
    "-9223372036854775808,1,4005823,2020-01-01,never,smoking,0\n"
    "-9223372036854775808,1,4058431,2020-01-01,,V15.82,44828746",
    "note": "person_id,visit_occurrence_id,note_date,note_datetime,note_type_concept_id,note_class_concept_id,"
    "note_title,note_text\n"
    "-9223372036854775808,1,2020-01-05,2020-01-05 07:00:00,32831,3000735,ignored,went home well\n"
    "3,,2021-05-02,,0,0,Phone call,called",
    "visit_detail": "person_id,visit_occurrence_id,visit_detail_concept_id,visit_detail_start_date,"
    "visit_detail_start_datetime,visit_detail_end_date,visit_detail_end_datetime,care_site_id\n"
    "-9223372036854775808,1,32037,2020-01-01,2020-01-01 09:00:00,2020-01-02,2020-01-02 09:00:00,\n"
    "-9223372036854775808,1,9201,2020-01-02,2020-01-02 09:00:00,2020-01-05,2020-01-05 08:00:00,5",
    "care_site": "care_site_id,care_site_name\n5,Medicine",
    "vocabulary": "vocabulary_id,vocabulary_name,vocabulary_version\nICD9CM,ICD-9-CM,2014\nSNOMED,SNOMED CT,2024-02",
    "concept": "concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,standard_concept,concept_code\n"
    "201826,Type 2 diabetes mellitus,Condition,SNOMED,Disorder,S,44054006\n"
    "44836914,Diabetes without complication,Condition,ICD9CM,5-dig billing code,,250.00\n"
    "255848,Pneumonia,Condition,SNOMED,Disorder,S,233604007\n"
    "35208414,Gastrointestinal hemorrhage,Condition,ICD10CM,4-char billing code,,K92.2\n"
    "44828746,History of tobacco use,Observation,ICD9CM,5-dig billing V code,,V15.82\n"
    "35211359,Other abnormal glucose,Measurement,ICD10CM,5-char billing code,,R73.09\n"
    "2102720,Mastectomy partial,Procedure,CPT4,CPT4,S,19301\n"
    "2000001,Venous catheterization,Procedure,ICD9Proc,4-dig billing code,S,38.93\n"
    "1125,acetaminophen 325 MG Oral Tablet,Drug,RxNorm,Clinical Drug,S,313782\n"
    "11,acetaminophen,Drug,RxNorm,Ingredient,S,161\n"
    "4132161,Oral,Route,SNOMED,Qualifier Value,S,26643006\n"
    "3004501,Glucose [Mass/volume] in Serum or Plasma,Measurement,LOINC,Lab Test,S,2345-7\n"
    "3027018,Heart rate,Measurement,LOINC,Clinical Observation,S,8867-4\n"
    "4135493,Abnormally high,Meas Value,SNOMED,Qualifier Value,S,281302008\n"
    "8840,milligram per deciliter,Unit,UCUM,Unit,S,mg/dL\n"
    "4005823,Tobacco user,Observation,SNOMED,Clinical Finding,S,110483000\n"
    "3000735,Discharge summary,Note Type,LOINC,Document,S,18842-5\n"
    "9201,Inpatient Visit,Visit,Visit,Visit,S,IP\n"
    "123456,Of no use here,Condition,SNOMED,Disorder,S,1",
    "concept_ancestor": "ancestor_concept_id,descendant_concept_id\n11,1125\n11,11\n123456,123456",
    "concept_relationship": "concept_id_1,concept_id_2,relationship_id,invalid_reason\n"
    "999,255848,Maps to,\n999,201826,Maps to,D\n44836914,201826,Maps to,",
}


def omop(folder: Path, **tables: str | None) -> Path:
    """Write it: one in hospital twice and in a clinic, one who died there, one who was in a clinic alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (_TABLES | tables).items():
        if content is not None:
            (folder / f"{name}.csv").write_text(content + "\n")
    return folder


def without_vocabulary(folder: Path, **tables: str | None) -> Path:
    """Write it without any vocabulary."""
    gone = dict.fromkeys(("concept", "vocabulary", "concept_ancestor", "concept_relationship"))
    return omop(folder, **{**gone, **tables})
