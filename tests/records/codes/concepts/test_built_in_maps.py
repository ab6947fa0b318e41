"""The built-in concept maps, against what agencies publish and how drugs and items are written."""

from pathlib import Path

import pandas as pd
import pytest
from cohorts.records.codes.concepts.base import Key
from cohorts.records.codes.concepts.built_in import BUILT_IN
from cohorts.records.codes.concepts.drugs import ingredients_of_name, ingredients_of_ndc
from cohorts.records.codes.concepts.laboratory import fluid_of, item_of


def of(name: str, kind: str, *keys: Key) -> list[str]:
    return [str(one) for one in BUILT_IN[name].of(kind, keys)]


@pytest.mark.parametrize(("kind", "file"), [("diagnosis", "dx"), ("procedure", "pr")])
def test_every_icd9_code_has_the_category_that_ahrq_gives_it(shared_data: Path, kind: str, file: str) -> None:
    table = pd.read_csv(shared_data / "code-maps" / f"ccs_icd9_{file}_2015.csv.gz", dtype=str)
    found = [BUILT_IN["ccs"].of(kind, [("ICD-9", code)]) for code in table["icd9_code"]]
    assert [[one.code for one in each] for each in found] == [[code] for code in table["ccs_category"]]
    assert len(table) > 3_900


def test_icd9_and_icd10_meet_in_ccs_and_a_code_may_have_several_categories_in_ccsr() -> None:
    assert of("ccs", "diagnosis", ("ICD-9", "428.0")) == of("ccs", "diagnosis", ("ICD-10", "I50.9"))
    assert of("ccs", "procedure", ("ICD-9", "3995")) == of("ccs", "procedure", ("ICD-10", "5A1D70Z"))
    assert of("ccsr", "diagnosis", ("ICD-10", "A0103")) == [
        "CCSR INF003 Bacterial infections",
        "CCSR RSP002 Pneumonia (except that caused by tuberculosis)",
    ]
    assert of("ccsr", "diagnosis", ("ICD-9", "4280")) == []


def test_a_later_code_goes_by_what_it_refines_and_nonsense_by_nothing() -> None:
    assert of("ccs", "diagnosis", ("ICD-10", "I50999")) == of("ccs", "diagnosis", ("ICD-10", "I509"))
    assert of("ccs", "diagnosis", ("ICD-10", "I")) == of("ccs", "diagnosis", ("ICD-10", "QQQ")) == []
    assert of("ccs", "diagnosis", ("SNOMED", "84114007")) == of("ccs", "drug", ("ICD-9", "4280")) == []


def test_hcpcs_has_its_sections_and_cpt_none() -> None:
    assert of("hcpcs", "procedure", ("HCPCS", "J1940")) == ["HCPCS J Drugs administered other than by mouth"]
    assert of("hcpcs", "procedure", ("HCPCS", "99254")) == of("hcpcs", "procedure", ("CPT", "99254")) == []


@pytest.mark.parametrize(
    ("ordered", "ingredients"),
    [
        ("Furosemide", "furosemide"),
        ("Furosemide 40mg Tab", "furosemide"),
        ("*NF* FUROSEMIDE (Lasix) 10 mg/mL", "furosemide"),
        ("Lasix", "furosemide"),
        ("Furosemde 40 mg", "furosemide"),  # a letter lacks
        ("Metoprolol Tartrate", "metoprolol"),
        ("Toprol-XL", "metoprolol"),
        ("paracetamol", "acetaminophen"),
        ("Piperacillin-Tazobactam 4.5 g", "piperacillin tazobactam"),
        ("Zosyn", "piperacillin tazobactam"),
        ("Acetaminophen w/Codeine", "acetaminophen codeine"),
        ("Advair Diskus 250/50", "fluticasone salmeterol"),
        ("Heparin Sodium", "heparin"),
        ("0.9% Sodium Chloride", "sodium-chloride"),
        ("Iso-Osmotic Dextrose", "glucose"),
        ("Prednisone", "prednisone"),  # a letter or two from prednisolone
        ("Prednisolone", "prednisolone"),
        ("Bag", ""),
        ("", ""),
        ("Click here to choose", ""),
    ],
)
def test_a_drug_goes_by_its_ingredients_however_it_is_ordered(ordered: str, ingredients: str) -> None:
    found = [name.replace(" ", "-") for name in ingredients_of_name(ordered)]
    assert sorted(found) == ingredients.split()


def test_an_ndc_tells_what_a_name_does_not_and_gives_way_to_another_drug() -> None:
    assert ingredients_of_ndc("00310027110") == ingredients_of_ndc("0310-0271-10") == ("quetiapine",)
    quetiapine = ("NDC", "00310027110")
    assert of("ingredients", "drug", quetiapine, ("name", "Bag")) == ["quetiapine"]
    assert of("ingredients", "drug", ("NDC", "0"), ("name", "Lasix")) == ["furosemide"]
    assert of("ingredients", "drug", quetiapine, ("name", "Rasburicase")) == ["rasburicase"]


@pytest.mark.parametrize(
    ("name", "loinc", "item"),
    [
        ("Sodium", "", "sodium"),
        ("NA", "", "sodium"),
        ("Sodium, Whole Blood", "", "sodium"),
        ("Sodium, Urine", "", "urine sodium"),
        ("Urine sodium", "", "urine sodium"),
        ("Glucose", "", "glucose"),
        ("Glucose (urine)", "", "urine glucose"),
        ("Glucose, CSF", "", "cerebrospinal fluid glucose"),
        ("Serum creatinine", "", "creatinine"),
        ("Hgb", "", "haemoglobin"),
        ("WBC, Joint Fluid", "", "joint fluid white cells"),
        ("whatever it is called", "2160-0", "creatinine"),
        ("Protein", "2880-3", "cerebrospinal fluid protein"),  # the code tells the fluid
        ("Transferrin", "2500-7", "transferrin"),  # iron binding capacity, as MIMIC-III codes it
        ("Blood (urine)", "", "urine blood"),
        ("Voided Specimen (urine)", "", ""),
        ("Delete (csf)", "", ""),
        ("urine", "", ""),
    ],
)
def test_an_item_is_one_whatever_its_name_and_that_of_urine_another(name: str, loinc: str, item: str) -> None:
    assert item_of(name, loinc) == item


def test_what_fluid_a_name_tells() -> None:
    names = ("Albumin, Ascites", "Lactate Dehydrogenase, Pleural", "Plasma Cells", "Hematocrit, Other Fluid")
    assert [fluid_of(name) for name in names] == ["ascites", "pleural fluid", "", "body fluid"]
    assert item_of("Plasma Cells") != item_of("Cells")


def test_each_map_tells_its_version_licence_and_what_it_has() -> None:
    assert set(BUILT_IN) == {"ccs", "ccsr", "hcpcs", "ingredients", "laboratory"}
    assert len({one.digest for one in BUILT_IN.values()}) == len(BUILT_IN)
    assert all(one.version and one.licence for one in BUILT_IN.values())
    assert BUILT_IN["ccs"].covers["diagnosis"] == {"ICD-9", "ICD-10"}
    assert BUILT_IN["ccsr"].covers["diagnosis"] == {"ICD-10"}
