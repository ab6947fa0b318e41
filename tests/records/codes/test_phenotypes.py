"""Phenotype definitions, checked against an independent grouping."""

import csv
import gzip
from pathlib import Path

import pandas as pd
import pytest
from cohorts.errors import SourceError
from cohorts.records.codes.phenotypes import (
    load_phenotypes,
    parse_phenotypes,
    phenotype_of,
    phenotypes_of,
    stating,
)

GOOD = """
name = "gout"
title = "Gout"
group = "endocrine"
source = "a test"
ccs = ["54"]
icd9 = ["2740"]
icd10 = ["M10"]
terms = ["gout"]
"""
# Where the general equivalence mappings and this project differ, on purpose: ICD-9 code to ICD-10-CM category.
OTHER_IN_ICD10 = {
    ("436", "I67"),  # ill-defined: a stroke in CCS, and no infarction in ICD-10-CM
    ("5715", "K74"),  # one target is K74.0, hepatic fibrosis, which is no cirrhosis yet
    ("48284", "A48"),  # Legionnaires' disease stands with the infections in ICD-10-CM
    ("49320", "J44"),  # chronic obstructive asthma: asthma in CCS, COPD in ICD-10-CM
    ("49321", "J44"),
    ("49322", "J44"),
}


@pytest.mark.parametrize(
    ("system", "code", "name"),
    [
        ("ICD-9", "25000", "type_2_diabetes"),
        ("ICD-9", "25001", None),  # type 1
        ("ICD-10", "E119", "type_2_diabetes"),
        ("ICD-9", "99591", "sepsis"),
        ("ICD-9", "4280", "heart_failure"),
        ("ICD-10", "4280", None),
        ("ICD-9", "43310", None),  # occlusion without infarction
        ("ICD-9", "43311", "stroke"),
        ("name", "4280", None),
    ],
)
def test_codes_and_their_phenotypes(system: str, code: str, name: str | None) -> None:
    assert phenotype_of(system, code) == name


def test_no_code_belongs_to_two() -> None:
    for field in ("icd9", "icd10"):
        prefixes = [(prefix, one.name) for one in load_phenotypes() for prefix in getattr(one, field)]
        for prefix, name in prefixes:
            assert [n for p, n in prefixes if prefix.startswith(p)] == [name]


def test_icd9_lists_lie_in_the_stated_ccs_groups(shared_data: Path) -> None:
    expected = {one.name: set(one.ccs) for one in load_phenotypes()}
    found: dict[str, set[str]] = {name: set() for name in expected}
    with gzip.open(shared_data / "code-maps" / "ccs_icd9_dx_2015.csv.gz", "rt") as stream:
        for row in csv.DictReader(stream):
            name = phenotype_of("ICD-9", row["icd9_code"])
            if name:
                found[name].add(row["ccs_category"])
    assert found == expected


def test_icd10_lists_agree_with_the_general_equivalence_mappings(shared_data: Path) -> None:
    differ = set()
    with gzip.open(shared_data / "code-maps" / "icd9_to_icd10cm_gem2018.csv.gz", "rt") as stream:
        for row in csv.DictReader(stream):
            old, new = (row[field].strip(" '").replace(".", "") for field in ("icd9", "icd10cm"))
            name = phenotype_of("ICD-9", old)
            if name and phenotype_of("ICD-10", new) != name:
                differ.add((old, new[:3]))
    assert differ == OTHER_IN_ICD10


def test_a_frame_of_codes() -> None:
    codes = pd.DataFrame(
        {"system": ["ICD-9", "ICD-10", None, "ICD-9"], "code": ["4280", "J440", None, "V4582"]},
        index=[5, 6, 7, 8],
    )
    found = phenotypes_of(codes)
    assert list(found.index) == [5, 6, 7, 8]
    assert found.dropna().to_dict() == {5: "heart_failure", 6: "copd"}


def test_what_implies_a_phenotype_is_no_member_and_states_it() -> None:
    """Septic shock; hypertensive heart disease with heart failure; chronic obstructive asthma; type 1 is not type 2."""
    codes = pd.DataFrame(
        [
            ("diagnosis", "ICD-9", "78552"),
            ("diagnosis", "ICD-10", "I110"),
            ("diagnosis", "ICD-9", "49320"),
            ("diagnosis", "ICD-9", "25001"),
            ("procedure", "ICD-9", "4311"),
            ("diagnosis", "ICD-9", "0389"),
            ("drug", "name", "038"),
        ],
        columns=["kind", "system", "code"],
        index=[9, 1, 2, 3, 4, 5, 6],
    )
    assert phenotypes_of(codes).dropna().to_dict() == {2: "asthma", 5: "sepsis"}
    expected = {
        ("sepsis",): [9, 5],
        ("heart_failure",): [1],
        ("copd",): [2],
        ("asthma", "copd"): [2],
        ("type_2_diabetes", "stroke"): [],
    }
    for names, rows in expected.items():
        found = stating(codes, names)
        assert found[found].index.tolist() == rows
    without = stating(codes, ["sepsis"], implied=False)
    assert without[without].index.tolist() == [5]


def test_a_procedure_whose_number_begins_like_a_diagnosis_has_none() -> None:
    """43.11 is a feeding tube; 431 is a stroke."""
    codes = pd.DataFrame(
        {"system": "ICD-9", "code": ["431", "4311"], "kind": ["diagnosis", "procedure"]}, index=[4, 2]
    )
    found = phenotypes_of(codes)
    assert found.to_dict() == {4: "stroke", 2: pytest.approx(float("nan"), nan_ok=True)}
    assert phenotypes_of(codes.drop(columns="kind"))[2] == "stroke"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "Gout"', "title = Gout", "is not TOML"),
        ('title = "Gout"\n', "", "needs exactly"),
        ('title = "Gout"', "title = 3", "must be text"),
        ('icd9 = ["2740"]', "icd9 = [2740]", "holds 2740"),
        ('icd9 = ["2740"]', 'icd9 = ["274.0"]', "without a dot"),
        ('icd10 = ["M10"]', "icd10 = []", "at least one"),
        ('name = "gout"', 'name = "podagra"', "must agree"),
        ('icd9 = ["2740"]', 'icd9 = ["2740", "27400"]', "lies within 2740"),
        ('title = "Gout"', 'title = "Gout"\nimplies_icd9 = ["274.8"]', "without a dot"),
        ('title = "Gout"', 'title = "Gout"\nimplies = ["2748"]', "may have .*implies_icd10"),
    ],
)
def test_a_definition_that_is_not_well_formed(old: str, new: str, message: str) -> None:
    (gout,) = parse_phenotypes({"gout.toml": GOOD + 'implies_icd9 = ["2748"]\n'})
    assert (gout.name, gout.implies_icd9, gout.implies_icd10) == ("gout", ("2748",), ())
    with pytest.raises(SourceError, match=message):
        parse_phenotypes({"gout.toml": GOOD.replace(old, new)})
