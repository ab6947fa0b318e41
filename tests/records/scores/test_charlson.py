"""The Charlson index: every condition by codes of both classifications, the two grades of a disease, age."""

from typing import Any

import numpy as np
import pytest
from bedside import diagnosis, intensive_care
from cohorts.records.base import Batch
from cohorts.records.scores.charlson import AGE, charlson
from cohorts.records.scores.conditions import conditions

CONDITIONS = [
    # condition, its weight (Charlson 1987), ICD-9-CM and ICD-10 codes of it (Quan 2005), and near ones that are not
    ("myocardial infarction", 1, ["41071", "412"], ["I214", "I252"], ["4111", "I249"]),
    ("congestive heart failure", 1, ["4280", "39891", "4254", "40493"], ["I500", "I110", "I429"], ["4250", "I421"]),
    ("peripheral vascular disease", 1, ["4414", "V434", "4439"], ["I7102", "Z959"], ["4430", "I732"]),
    ("cerebrovascular disease", 1, ["43491", "36234"], ["I639", "G459", "H340"], ["36235", "I700X", "G440"]),
    ("dementia", 1, ["2900", "3312"], ["F03", "G309", "F051"], ["2930", "F04"]),
    ("chronic pulmonary disease", 1, ["49121", "4168", "505"], ["J449", "J60", "J703"], ["486", "5061", "J18", "J48"]),
    ("rheumatic disease", 1, ["7140", "725"], ["M069", "M351"], ["7143", "M350"]),
    ("peptic ulcer disease", 1, ["53100", "5349"], ["K250", "K289"], ["5350", "K29"]),
    ("mild liver disease", 1, ["5715", "07054"], ["K746", "B182", "K769"], ["07051", "K761"]),
    ("diabetes", 1, ["25000", "25092"], ["E119", "E109"], ["2510", "E15"]),
    ("diabetes with end-organ damage", 2, ["25040", "25070"], ["E112", "E105"], []),
    ("hemiplegia or paraplegia", 2, ["34290", "3440"], ["G819", "G041"], ["3448", "G835"]),
    ("renal disease", 2, ["5856", "40391", "V4511"], ["N186", "Z992", "I120"], ["5849", "N179", "I129"]),
    ("malignancy", 2, ["1629", "1749", "1958", "20280"], ["C349", "C509", "C900"], ["173", "1960X", "C44", "C59"]),
    ("moderate or severe liver disease", 3, ["5722", "4561"], ["K729", "I859"], ["5721", "K720"]),
    ("metastatic solid tumour", 6, ["1970", "1991"], ["C787", "C800"], []),
    ("AIDS", 6, ["042"], ["B20", "B24"], ["V08", "B23"]),
]  # fmt: skip


def with_codes(codes: list[str], system: str) -> Batch:
    return intensive_care(
        units=[{"age": 30.0}] * len(codes),
        codes=[diagnosis(code, str(unit), system) for unit, code in enumerate(codes, start=1)],
    )


def test_there_are_the_17_conditions() -> None:
    assert {name: told["points"] for name, told in conditions("charlson").items()} == {
        name: weight for name, weight, *_ in CONDITIONS
    }


@pytest.mark.parametrize(
    ("name", "weight", "icd9", "icd10", "others"), CONDITIONS, ids=[one[0] for one in CONDITIONS]
)
def test_each_condition_by_its_codes(name: str, weight: int, icd9: Any, icd10: Any, others: Any) -> None:
    for codes, system in ((icd9, "ICD-9"), (icd10, "ICD-10")):
        assert charlson(with_codes(codes, system)).parts[name].tolist() == [weight] * len(codes)
        of_the_other = "ICD-10" if system == "ICD-9" else "ICD-9"
        letters = [one for one in codes if one[0].isdigit()]  # V45 and E10 are codes of both
        assert not charlson(with_codes(letters, of_the_other)).parts[name].any()
    for code in others:
        system = "ICD-10" if code[0].isalpha() and code[0] != "V" else "ICD-9"
        assert charlson(with_codes([code], system)).parts[name].tolist() == [0]


def total(codes: list[str], age: float = 30.0) -> float:
    batch = intensive_care(units=[{"age": age}], codes=[diagnosis(code) for code in codes])
    return float(charlson(batch).total[0])


def test_of_two_grades_the_graver_counts_and_a_condition_counts_once() -> None:
    assert total(["41071", "41011", "412"]) == 1
    assert total(["25000", "25040"]) == 2
    assert total(["5715", "5722"]) == 3
    assert total(["1629", "1970"]) == 6
    assert total(["40493"]) == 3  # heart failure and renal disease in one code
    assert total(["4019"]) == 0


@pytest.mark.parametrize(
    ("age", "expected"), [(49, 0), (50, 1), (59, 1), (60, 2), (69, 2), (70, 3), (79, 3), (80, 4), (90, 4)]
)
def test_points_by_age_are_a_part_of_their_own(age: float, expected: float) -> None:
    found = charlson(intensive_care(units=[{"age": age}], codes=[diagnosis("4280")]))
    assert found.parts[AGE].tolist() == [expected]
    assert found.total.tolist() == [1 + expected]


def test_a_patient_worked_by_hand() -> None:
    # 71 years (3), heart failure (1), diabetes with nephropathy (2), renal disease (2), metastases of a lung cancer (6)
    assert total(["0389", "4280", "25000", "25040", "5854", "1623", "1983"], age=71) == 14


def test_without_codes_the_conditions_are_unseen() -> None:
    batch = intensive_care(units=[{}, {"age": np.nan}], codes=[diagnosis("T81", "2", "SNOMED")])
    found = charlson(batch)
    assert found.parts.drop(columns=AGE).isna().all(axis=None)
    assert (found.unseen.tolist(), found.total[0]) == ([17, 18], 1)
    assert np.isnan(found.total[1])
