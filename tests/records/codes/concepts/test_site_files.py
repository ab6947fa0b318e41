"""A site's own concept maps: each shape is known by its content, and anything else is refused."""

from pathlib import Path

import pytest
from cohorts.errors import InputError
from cohorts.records.codes.concepts.base import Key
from cohorts.records.codes.concepts.built_in import open_maps
from cohorts.records.codes.concepts.site_files import read_map
from cohorts.records.codes.concepts.table import TableMap, read_saved

MRCONSO = """\
C0018801|ENG|P|L1|PF|S1|Y|A1|||D1|ICD10CM|PT|I50.9|Heart failure, unspecified|4|N||
C0018802|ENG|P|L2|PF|S2|Y|A2|||D2|ICD9CM|PT|428.0|Congestive heart failure|4|N||
C0018802|ENG|S|L3|PF|S3|Y|A3|||D3|ICD10CM|PT|I50.9|Congestive heart failure|4|N||
C0018802|FRE|P|L4|PF|S4|Y|A4|||D4|ICD10CM|PT|I50.9|Insuffisance cardiaque|4|N||
C0018803|ENG|P|L5|PF|S5|Y|A5|||D5|ICD10CM|PT|I50.9|Withdrawn|4|O||
C0011946|ENG|P|L6|PF|S6|Y|A6|||D6|ICD9CM|PT|39.95|Hemodialysis|4|N||
C0016860|ENG|P|L7|PF|S7|Y|A7|4603|||RXNORM|IN|4603|Furosemide|4|N||
C0202194|ENG|P|L8|PF|S8|Y|A8|||D8|LNC|LC|2951-2|Sodium [Moles/volume] in Serum|4|N||
"""
EXTENDED = """\
id\teffectiveTime\tactive\tmoduleId\trefsetId\treferencedComponentId\tmapGroup\tmapPriority\tmapRule\tmapAdvice\t\
mapTarget\tcorrelationId\tmapCategoryId
a\t20240301\t1\t1\t6011000124106\t84114007\t1\t1\tTRUE\tALWAYS\tI50.9\t1\t1
b\t20240901\t1\t1\t6011000124106\t84114007\t2\t1\tTRUE\tALWAYS\tI10\t1\t1
c\t20250301\t0\t1\t6011000124106\t22298006\t1\t1\tTRUE\tALWAYS\tI21.9\t1\t1
d\t20240301\t1\t1\t6011000124106\t38341003\t1\t1\tTRUE\tCANNOT\t\t1\t1
"""
CONCEPT = """\
concept_id\tconcept_name\tdomain_id\tvocabulary_id\tconcept_class_id\tstandard_concept\tconcept_code\tinvalid_reason
1\tHeart failure, unspecified\tCondition\tICD10CM\t4\t\tI50.9\t
2\tHeart failure\tCondition\tSNOMED\tDisorder\tS\t84114007\t
3\tHypertension\tCondition\tSNOMED\tDisorder\tS\t38341003\t
4\tfurosemide "Lasix" 20 MG\tDrug\tNDC\t11\t\t00000000123\t
5\tfurosemide\tDrug\tRxNorm\tIngredient\tS\t4603\t
6\tNothing here\tDevice\tGTIN\t1\t\t777\t
"""
RELATIONSHIP = """\
concept_id_1\tconcept_id_2\trelationship_id\tvalid_start_date\tvalid_end_date\tinvalid_reason
1\t2\tMaps to\t19700101\t20991231\t
1\t3\tMaps to\t19700101\t20991231\t
4\t3\tMaps to value\t19700101\t20991231\t
4\t5\tMaps to\t19700101\t20991231\t
5\t5\tMaps to\t19700101\t20991231\t
2\t2\tMaps to\t19700101\t20991231\tD
6\t2\tMaps to\t19700101\t20991231\t
"""
OWN = """\
kind,system,code,concept,title,vocabulary
diagnosis,ICD-10,I50.9,HF,heart failure,our registry
diagnosis,ICD-10,I509,CARDIAC,any heart disease,our registry
drug,name,  Wonder   Syrup ,placebo,placebo,
laboratory,LOINC,2951-2,NA,sodium,
"""


def write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def of(found: TableMap, kind: str, *keys: Key) -> list[str]:
    return [str(one) for one in found.of(kind, keys)]


def test_umls_is_known_by_its_bars_and_codes_of_one_cui_mean_the_same(tmp_path: Path) -> None:
    found = read_map(write(tmp_path / "meta.txt", MRCONSO))
    assert of(found, "diagnosis", ("ICD-9", "4280")) == ["UMLS C0018802 Congestive heart failure"]
    assert of(found, "diagnosis", ("ICD-10", "I50.9")) == [
        "UMLS C0018801 Heart failure, unspecified",
        "UMLS C0018802 Congestive heart failure",
    ]
    assert of(found, "procedure", ("ICD-9", "3995")) == ["UMLS C0011946 Hemodialysis"]
    assert of(found, "drug", ("name", "FUROSEMIDE")) == of(found, "drug", ("RxNorm", "4603"))
    assert of(found, "laboratory", ("LOINC", "2951-2"), ("name", "Na"))
    assert "UMLS" in found.licence


def test_a_map_of_snomed_goes_to_its_classification_whose_codes_stand_for_themselves(tmp_path: Path) -> None:
    found = read_map(write(tmp_path / "der2_iisssccRefset_ExtendedMapFull_US.txt", EXTENDED))
    assert of(found, "diagnosis", ("SNOMED", "84114007")) == ["ICD-10 I10", "ICD-10 I509"]
    assert of(found, "diagnosis", ("ICD-10", "I50.9")) == ["ICD-10 I509"]
    assert (
        of(found, "diagnosis", ("SNOMED", "22298006")) == of(found, "diagnosis", ("SNOMED", "38341003")) == []
    )
    assert found.version == "20240901"
    simple = EXTENDED.splitlines()[0].split("\t")
    kept = [place for place, name in enumerate(simple) if name[:3] != "map" or name == "mapTarget"]
    rows = [[line.split("\t")[place] for place in kept] for line in EXTENDED.splitlines()]
    text = "".join("\t".join(row) + "\n" for row in rows)
    assert read_map(write(tmp_path / "simple.txt", text)).rows == found.rows


def test_omop_goes_by_what_codes_map_to(tmp_path: Path) -> None:
    write(tmp_path / "CONCEPT.csv", CONCEPT)
    write(tmp_path / "concept_relationship.csv", RELATIONSHIP)
    write(tmp_path / "VOCABULARY.csv", "vocabulary_id\tvocabulary_version\nNone\tv5.0 27-FEB-25\n")
    found = read_map(tmp_path)
    assert of(found, "diagnosis", ("ICD-10", "I509")) == [
        "SNOMED 38341003 Hypertension",
        "SNOMED 84114007 Heart failure",
    ]
    assert of(found, "drug", ("NDC", "00000000123")) == of(found, "drug", ("name", "Furosemide"))
    assert of(found, "diagnosis", ("SNOMED", "84114007")) == []  # its own relation is no longer valid
    assert found.version == "v5.0 27-FEB-25"


def test_a_table_of_ones_own_keeps_many_to_many_and_is_known_by_its_rows(tmp_path: Path) -> None:
    found = read_map(write(tmp_path / "ours.csv", OWN))
    assert of(found, "diagnosis", ("ICD-10", "I50.9")) == [
        "our registry CARDIAC any heart disease",
        "our registry HF heart failure",
    ]
    assert of(found, "drug", ("NDC", "1"), ("name", "wonder syrup")) == ["placebo"]
    assert of(found, "laboratory", ("LOINC", "2951-2")) == ["ours NA sodium"]
    assert found.covers["diagnosis"] == {"ICD-10"}
    again = read_map(write(tmp_path / "again.csv", OWN.replace("our registry", "our list")))
    assert found.digest in found.version
    assert again.digest != found.digest


def test_saved_rows_are_the_same_and_their_owners_alone(tmp_path: Path) -> None:
    found = read_map(write(tmp_path / "ours.csv", OWN))
    found.save(tmp_path / "kept.csv.gz")
    assert read_saved(tmp_path / "kept.csv.gz") == found.rows
    assert (tmp_path / "kept.csv.gz").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,c\n1,2,3\n", "no concept map that is known"),
        ("", "no concept map that is known"),
        (OWN.replace("laboratory", "vital"), "the kind in line 5 is none"),
        ("kind,system,code,concept,title\ndrug,name,,x,x\n", "maps no code"),
        ("id\tactive\treferencedComponentId\n1\t1\t2\n", "no concept map that is known"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_map(write(tmp_path / "map.csv", text))


def test_a_folder_without_omops_tables_a_lost_file_and_a_map_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"it lacks CONCEPT\.csv and CONCEPT_RELATIONSHIP\.csv"):
        read_map(tmp_path)
    with pytest.raises(InputError, match=r"no concept map nowhere\.csv, neither built in nor a file"):
        open_maps(["nowhere.csv"])
    with pytest.raises(InputError, match="ccs is asked for twice"):
        open_maps(["ccs", "ccs"])
