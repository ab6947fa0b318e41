"""Codes of both classifications in one space of groups, against CMS' equivalences and real rows; drugs by name."""

from pathlib import Path

import pandas as pd
import pytest
from cohorts.errors import SourceError
from cohorts.records.codes import grouping
from cohorts.records.codes.grouping import drug_name, group_of


@pytest.mark.parametrize(
    ("kind", "system", "code", "group"),
    [
        ("diagnosis", "ICD-9", "4280", "heart_failure"),
        ("diagnosis", "ICD-10", "I5021", "heart_failure"),
        # Hypertension with heart failure; 402.90 is without.
        ("diagnosis", "ICD-9", "40291", "heart_failure"),
        ("diagnosis", "ICD-9", "40290", "hypertension"),
        ("diagnosis", "ICD-9", "0389", "sepsis"),
        ("diagnosis", "ICD-10", "R6521", "sepsis"),
        ("diagnosis", "ICD-9", "4275", "cardiac_arrest"),
        ("diagnosis", "ICD-9", "42731", "arrhythmia"),
        ("diagnosis", "ICD-9", "E8859", "accidents"),
        ("diagnosis", "ICD-10", "C7A010", "neuroendocrine_tumour"),
        ("procedure", "ICD-9", "3995", "dialysis"),
        ("procedure", "ICD-10", "5A1D70Z", "dialysis"),
        ("procedure", "ICD-9", "9672", "intubation_ventilation"),
        ("procedure", "ICD-9", "3899", "vessels"),
        ("diagnosis", "ICD-9", "", None),
        ("diagnosis", "unknown", "4280", None),
        ("drug", "name", "Furosemide", None),
    ],
)
def test_the_longest_entry_decides(kind: str, system: str, code: str, group: str | None) -> None:
    assert group_of(kind, system, code) == group


def test_icd9_and_icd10_agree_where_cms_calls_codes_equivalent(shared_data: Path) -> None:
    pairs = pd.read_csv(shared_data / "code-maps" / "icd9_to_icd10cm_gem2018.csv.gz", dtype=str).dropna()
    old, new = (
        pd.Series([group_of("diagnosis", system, code.replace(".", "")) for code in pairs[column]])
        for system, column in (("ICD-9", "icd9"), ("ICD-10", "icd10cm"))
    )
    assert len(pairs) > 14_000
    assert old.notna().all()
    assert new.notna().mean() > 0.995
    assert (old == new).mean() > 0.93


def test_a_group_is_made_of_whole_ccs_categories_for_the_most_part(shared_data: Path) -> None:
    ccs = pd.read_csv(shared_data / "code-maps" / "ccs_icd9_dx_2015.csv.gz", dtype=str)
    ccs["group"] = [group_of("diagnosis", "ICD-9", code) for code in ccs["icd9_code"]]
    assert ccs["group"].notna().mean() > 0.999
    in_main_group = ccs.groupby("ccs_category")["group"].agg(
        lambda names: names.value_counts(normalize=True).iloc[0]
    )
    assert in_main_group.mean() > 0.85


@pytest.mark.parametrize("kind", ["diagnosis", "procedure"])
def test_nearly_every_code_of_real_patients_has_a_group(shared_data: Path, kind: str) -> None:
    table = {"diagnosis": "diagnoses_icd", "procedure": "procedures_icd"}[kind]
    old = pd.read_csv(shared_data / "mimic3-demo" / f"{table.upper()}.csv", dtype=str).rename(
        columns=str.lower
    )
    new = pd.read_csv(next((shared_data / "mimic4-demo" / "hosp").glob(f"{table}.csv*")), dtype=str)
    found = [group_of(kind, "ICD-9", code) for code in old["icd9_code"]]
    found += [
        group_of(kind, f"ICD-{version}", code.strip())
        for version, code in zip(new["icd_version"], new["icd_code"], strict=True)
    ]
    assert sum(group is None for group in found) / len(found) < 0.002


def test_every_group_is_reached_from_both_classifications() -> None:
    names = list(grouping._table()["diagnosis"])
    assert len(names) == len(set(names)) > 100
    for system in ("icd9", "icd10"):
        reached = set(grouping._prefixes("diagnosis", system).values())
        assert reached == set(names)


@pytest.mark.parametrize(
    ("ordered", "name"),
    [
        ("Furosemide", "furosemide"),
        ("furosemide 40mg Tab", "furosemide"),
        ("Metoprolol Succinate XL", "metoprolol"),
        ("Metoprolol Tartrate", "metoprolol"),
        ("Heparin Sodium", "heparin"),
        ("Sodium Chloride 0.9%  Flush", "sodium chloride flush"),
        ("Docusate Sodium (Liquid)", "docusate"),
        ("OxyCODONE (Immediate Release) ", "oxycodone"),
        ("*NF* Ertapenem", "ertapenem"),
        ("5% Dextrose", "dextrose"),
        ("D5W", "d5w"),
        ("", ""),
    ],
)
def test_a_drug_goes_by_its_ingredient(ordered: str, name: str) -> None:
    assert drug_name(ordered) == name


def test_a_range_that_is_none_is_told() -> None:
    with pytest.raises(SourceError, match="A00-B99 is no range"):
        list(grouping._range("A00-B99"))
    assert list(grouping._range("V08-V10")) == ["V08", "V09", "V10"]
    assert list(grouping._range("0066")) == ["0066"]
