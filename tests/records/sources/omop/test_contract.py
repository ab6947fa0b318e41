"""OMOP holds the contract of every source."""

from collections.abc import Sequence
from pathlib import Path

from source_contract import SECRET, Patient, SourceContract, write_table

GENDER = {"F": 8532, "M": 8507}
INPATIENT = 9201


def concepts(people: Sequence[Patient]) -> dict[str, int]:
    """Return an id for every code and drug that the patients have."""
    stays = [stay for one in people for stay in one.stays]
    names = [
        *(code for stay in stays for code in stay.diagnoses),
        *(drug for stay in stays for drug, _ in stay.drugs),
    ]
    return {name: 1_000 + number for number, name in enumerate(dict.fromkeys(names))}


class TestOmop(SourceContract):
    name = "omop"

    def write(self, folder: Path, people: Sequence[Patient]) -> Path:
        stays = [(one, stay) for one in people for stay in one.stays]
        known = concepts(people)
        drugs = {drug for _, stay in stays for drug, _ in stay.drugs}
        write_table(
            folder / "CONCEPT.csv",
            "concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,standard_concept,concept_code",
            [
                (number, name, "Drug", "RxNorm", "Ingredient", "S", number)
                if name in drugs
                else (number, f"Disease {name}", "Condition", "ICD10CM", "4-char billing code", "", name)
                for name, number in known.items()
            ],
        )
        write_table(
            folder / "person.csv",
            "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth",
            [(one.number, GENDER[one.sex], one.born.year, one.born.month, one.born.day) for one in people],
        )
        write_table(
            folder / "visit_occurrence.csv",
            "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_start_datetime,visit_end_date,"
            "visit_end_datetime",
            [
                (
                    stay.number,
                    one.number,
                    INPATIENT,
                    stay.admitted.date(),
                    stay.admitted,
                    stay.discharged.date(),
                    stay.discharged,
                )
                for one, stay in stays
            ],
        )
        write_table(
            folder / "condition_occurrence.csv",
            "condition_occurrence_id,person_id,condition_concept_id,condition_start_date,visit_occurrence_id,"
            "condition_source_value,condition_source_concept_id",
            [
                (
                    f"{stay.number}{rank}",
                    one.number,
                    0,
                    stay.discharged.date(),
                    stay.number,
                    code,
                    known[code],
                )
                for one, stay in stays
                for rank, code in enumerate(stay.diagnoses)
            ],
        )
        write_table(
            folder / "drug_exposure.csv",
            "drug_exposure_id,person_id,drug_concept_id,drug_exposure_start_date,drug_exposure_start_datetime,"
            "visit_occurrence_id",
            [
                (f"{stay.number}{place}", one.number, known[drug], time.date(), time, stay.number)
                for one, stay in stays
                for place, (drug, time) in enumerate(stay.drugs)
            ],
        )
        return folder

    def spoil(self, path: Path) -> None:
        with (path / "drug_exposure.csv").open("a") as stream:
            stream.write(f"77,1001,0,{SECRET},,11\n")
