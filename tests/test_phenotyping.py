"""Phenotype definitions, checked against an independent grouping."""

import csv
import gzip
from pathlib import Path

import pytest
from cohorts.records.phenotyping import load_phenotypes, phenotype_of


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
