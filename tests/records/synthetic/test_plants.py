"""What is planted shows in the tables, is told in PLANTED.json, and leaves no trace where nothing is planted."""

import json
import stat
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cohorts.errors import InputError
from cohorts.records.synthetic.hospital import synthesize
from cohorts.records.synthetic.plants.declared import read_plants
from cohorts.records.synthetic.plants.planting import FILE

PATIENTS = 1_500
PLANTS = """
[[treatment]]
name = "steroids"
condition = "sepsis"
drug = "Hydrocortisone Na Succ."
given = 0.5
group = { over = 65, lacks = ["cirrhosis"] }
death_in_group = -4.0
death_elsewhere = 1.0

[[treatment]]
name = "to the ill"
condition = "heart_failure"
drug = "Testimab"
given = 0.3
given_by_severity = 1.5
group = { sex = "F" }
death_in_group = 0.0

[[reaction]]
name = "platelets"
drug = "Heparin"
chance = 0.3
days = [2, 4]
labs = { "Platelet Count" = 0.2 }
diagnoses = { 28984 = "Heparin-induced thrombocytopenia (HIT)" }
words = ["HIT ab sent"]

[[subtypes]]
name = "two kinds"
condition = "copd"
types = [
    { name = "young", share = 0.3, drugs = { "PredniSONE" = 1, "Aspirin" = 0 }, days = 3, words = ["frequent flare"] },
    { name = "old", share = 0.7, labs = { "Bicarbonate" = 1.5 } },
]

[[rare]]
name = "copper"
patients = 5
conditions = ["cirrhosis", "psychosis", "liver_injury"]
diagnoses = { 2751 = "Disorders of copper metabolism" }
drugs = ["Penicillamine"]
labs = { "Albumin" = 0.5 }
words = ["KF rings on slit lamp"]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    (folder / "plants.toml").write_text(PLANTS)
    synthesize(folder / "hospital", PATIENTS, 3, folder / "plants.toml")
    return folder / "hospital"


@pytest.fixture(scope="module")
def told(made: Path) -> dict[str, dict[str, Any]]:
    kinds = json.loads((made / FILE).read_text(encoding="utf-8"))
    assert kinds.pop("synthetic") is True
    return {one["name"]: one for kind in kinds.values() for one in kind}


def rows(folder: Path, table: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{table}.csv", dtype={"ICD9_CODE": str})


def stays_with(folder: Path, drug: str) -> set[int]:
    orders = rows(folder, "PRESCRIPTIONS")
    return set(orders["HADM_ID"][orders["DRUG"] == drug])


def died(told: dict[str, Any], group: str) -> float:
    count = told["counts"][group]
    return float(count["died"] / count["stays"])


def test_a_treatment_helps_its_sub_group_alone(made: Path, told: dict[str, dict[str, Any]]) -> None:
    steroids = told["steroids"]
    assert died(steroids, "in_group_treated") < died(steroids, "in_group_untreated") - 0.1
    assert died(steroids, "elsewhere_treated") > died(steroids, "elsewhere_untreated") + 0.05
    found, given = steroids["found"], stays_with(made, "Hydrocortisone Na Succ.")
    assert set(found["in_group_treated"]) | set(found["elsewhere_treated"]) <= given
    assert not given & (set(found["in_group_untreated"]) | set(found["elsewhere_untreated"]))
    stays = rows(made, "ADMISSIONS").set_index("HADM_ID")
    assert (
        stays.loc[found["in_group_treated"], "HOSPITAL_EXPIRE_FLAG"].sum()
        == steroids["counts"]["in_group_treated"]["died"]
    )


def test_a_drug_that_goes_to_the_ill_looks_worse_than_it_is(told: dict[str, dict[str, Any]]) -> None:
    new = told["to the ill"]
    assert died(new, "in_group_treated") > died(new, "in_group_untreated") + 0.05


def test_a_new_drug_goes_to_those_of_the_condition_alone(made: Path, told: dict[str, dict[str, Any]]) -> None:
    found = told["to the ill"]["found"]
    assert stays_with(made, "Testimab") == set(found["in_group_treated"]) | set(found["elsewhere_treated"])


def test_a_reaction_comes_days_after_the_first_dose(made: Path, told: dict[str, dict[str, Any]]) -> None:
    found = told["platelets"]["found"]
    reacted, exposed = set(found["reacted"]), set(found["exposed"])
    assert reacted < exposed
    assert stays_with(made, "Heparin") <= exposed  # Heparin Sodium is the same drug
    assert 0.1 < len(reacted) / len(exposed) < 0.3  # some leave before
    assert 2 <= min(found["days_after_first_dose"]) <= max(found["days_after_first_dose"]) <= 4
    labs = rows(made, "LABEVENTS")
    platelets = labs[(labs["ITEMID"] == 51265) & labs["HADM_ID"].isin(reacted)].groupby("HADM_ID")["VALUENUM"]
    assert (platelets.last() / platelets.first()).median() < 0.4
    codes = rows(made, "DIAGNOSES_ICD")
    assert set(codes["HADM_ID"][codes["ICD9_CODE"] == "28984"]) <= reacted
    titles = rows(made, "D_ICD_DIAGNOSES").set_index("ICD9_CODE")["LONG_TITLE"]
    assert titles["28984"] == "Heparin-induced thrombocytopenia (HIT)"
    notes = rows(made, "NOTEEVENTS")
    said = set(notes["HADM_ID"][notes["TEXT"].str.contains("HIT ab sent")])
    assert said <= reacted
    assert len(said) > 0.5 * len(reacted)


def test_kinds_of_a_condition_have_their_own_drugs_values_course_and_words(
    made: Path, told: dict[str, dict[str, Any]]
) -> None:
    found = told["two kinds"]["found"]
    young, old = set(found["young"]), set(found["old"])
    assert len(young) / (len(young) + len(old)) == pytest.approx(0.3, abs=0.08)
    assert young <= stays_with(made, "PredniSONE")
    assert not young & stays_with(made, "Aspirin")
    assert old & stays_with(made, "Aspirin")
    labs = rows(made, "LABEVENTS")
    bicarbonate = labs[labs["ITEMID"] == 50882].groupby("HADM_ID")["VALUENUM"].median()
    assert bicarbonate.reindex(sorted(old)).median() > 1.3 * bicarbonate.reindex(sorted(young)).median()
    stays = rows(made, "ADMISSIONS").set_index("HADM_ID")
    days = (pd.to_datetime(stays["DISCHTIME"]) - pd.to_datetime(stays["ADMITTIME"])).dt.total_seconds()
    assert days.reindex(sorted(young)).median() > 2 * days.reindex(sorted(old)).median()
    notes = rows(made, "NOTEEVENTS")
    assert set(notes["HADM_ID"][notes["TEXT"].str.contains("frequent flare")]) <= young
    patients = rows(made, "ADMISSIONS").set_index("HADM_ID")["SUBJECT_ID"]
    assert set(patients[sorted(young)]) == set(found["young_patients"])
    assert not set(found["young_patients"]) & set(found["old_patients"])


def test_a_handful_of_patients_are_rare(made: Path, told: dict[str, dict[str, Any]]) -> None:
    copper = told["copper"]
    assert len(copper["patients"]) == 5
    stays = rows(made, "ADMISSIONS").set_index("HADM_ID")["SUBJECT_ID"]
    mine = set(stays.index[stays.isin(copper["patients"])])
    assert mine == set(copper["found"]["stays"])
    assert stays_with(made, "Penicillamine") == mine
    codes = rows(made, "DIAGNOSES_ICD")
    assert len(set(codes["HADM_ID"][codes["ICD9_CODE"] == "2751"]) - mine) == 0
    liver = set(codes["HADM_ID"][codes["ICD9_CODE"].isin(["5712", "5715", "5716"])])
    assert len(mine & liver) > 0.6 * len(mine)


def test_without_plants_the_bytes_are_as_if_there_were_none(made: Path, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(
        '[[rare]]\nname = "words"\npatients = 1\nwords = ["seen by the dean"]\n'
    )
    synthesize(tmp_path / "plain", 60, 3)
    synthesize(tmp_path / "planted", 60, 3, tmp_path / "small.toml")
    plain, planted = (
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()}
        for name in ("plain", "planted")
    )
    assert FILE not in plain
    assert set(planted) - set(plain) == {FILE}
    assert {name for name in plain if plain[name] != planted[name]} <= {"NOTEEVENTS.csv"}
    assert stat.S_IMODE((tmp_path / "planted" / FILE).stat().st_mode) == 0o600


def test_no_code_of_the_product_reads_what_was_planted() -> None:
    root = Path(__file__).resolve().parents[3]
    ours = [
        file
        for folder in root.iterdir()
        if folder.name not in ("tests", "benchmarks") and not folder.name.startswith(".")
        for file in folder.rglob("*.py")
    ]  # a benchmark judges by it
    naming = {file.name for file in ours if "PLANTED.json" in file.read_text(encoding="utf-8")}
    assert naming == {"planting.py"}


RARE = '[[rare]]\nname = "a"\npatients = 2\n'
REACTION = '[[reaction]]\nname = "a"\ndrug = "Heparin"\n'
TREATMENT = '[[treatment]]\nname = "a"\ndrug = "X"\ngiven = 0.5\ndeath_in_group = 1\n'
SUBTYPES = '[[subtypes]]\nname = "a"\ncondition = "gout"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "plants nothing"),
        ("[[rare]\n", "is no TOML"),
        ("[[rares]]\n", "'rares', which is not known; known are treatment, reaction, subtypes, rare"),
        ('[[rare]]\nname = "a"\n', "rare[0] lacks patients"),
        ('[[rare]]\nname = "a"\npatients = 0\n', "rare[0].patients must be 1 or more"),
        (RARE + "who = 1\n", "'who', which is not known; known are name, patients"),
        (RARE + 'conditions = ["gout", "flu"]\n', "no condition 'flu'. Known are hypertension"),
        (RARE + 'labs = { "Gold" = 2 }\n', "no laboratory item 'Gold'. Known are Sodium"),
        (RARE + 'labs = { "Sodium" = 0 }\n', "must be a factor above 0"),
        (RARE + 'diagnoses = { E11 = "x" }\n', "keys are ICD-9 codes"),
        (RARE + RARE, "two plants are called 'a'"),
        (REACTION + 'chance = 0.1\ndays = [3, 1]\nwords = ["x"]\n', "days must be two numbers"),
        (REACTION + "chance = 0.1\ndays = [1, 3]\n", "does nothing"),
        (REACTION + "chance = 2\ndays = [1, 3]\n", "must be a share from 0 to 1"),
        (
            REACTION.replace("Heparin", "X") + 'chance = 0.1\ndays = [1, 2]\nwords = ["x"]\n',
            "'X' is no drug that the hospital orders, so it needs given",
        ),
        (
            REACTION + 'condition = "gout"\nchance = 1\ndays = [1, 3]\nwords = ["x"]\n',
            "condition says to whom the drug is given; it needs given",
        ),
        (TREATMENT + 'condition = "flu"\ngroup = {}\n', "no condition 'flu'"),
        (
            TREATMENT + 'condition = "gout"\ngroup = { age = 3 }\n',
            "'age', which is not known; known are has, lacks, over, under, sex",
        ),
        (
            SUBTYPES + 'types = [{ name = "x", share = 0.5 }, { name = "x", share = 0.5 }]\n',
            "two types are called 'x'",
        ),
        (SUBTYPES + 'types = [{ name = "x", share = 1 }]\n', "must be two or more"),
        (
            SUBTYPES + 'types = [{ name = "x", share = 0.5 }, { name = "y", share = 0.4 }]\n',
            "must add up to 1",
        ),
    ],
)
def test_what_can_not_be_planted_is_told(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "plants.toml").write_text(text)
    with pytest.raises(InputError) as refused:
        read_plants(tmp_path / "plants.toml")
    assert told in str(refused.value)
    with pytest.raises(InputError):
        synthesize(tmp_path / "hospital", 5, 0, tmp_path / "plants.toml")
    assert not (tmp_path / "hospital").exists()


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be read"):
        read_plants(tmp_path / "none.toml")
