"""Values that a filter asks for and nobody has: what there is instead is told, where it may be."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts.connectors.base import Collection, FieldType, PayloadValue, Points
from cohorts.connectors.filters.reading import parse_filter
from cohorts.connectors.memory import MemoryConnector
from cohorts.errors import EngineError
from cohorts.search.neighbours import of_vector
from command_line import ok, refused

FIELDS: dict[str, FieldType] = {
    **dict.fromkeys(
        ("sex", "phenotype", "principal_code", "label_ward", "label_name", "note", "patient_id"), str
    ),
    "died": bool,
    "codes": list[str],
    "age": float,
    "other": str,
}
COLUMNS: dict[str, list[PayloadValue]] = {
    "sex": ["F", "M", "F", "M"],
    "died": [False, False, None, False],
    "phenotype": ["heart_failure", "sepsis", None, None],
    "principal_code": ["4280", "99591", "I10", None],
    "codes": [["4280", "428"], ["99591", "995"], ["I10"], []],
    "label_ward": ["ICU", "7 West", "7 West", "ICU"],
    "label_name": ["Ann", "Ann", "Eve", "Eve"],
    "note": ["pain", "pain", "fever", "fever"],
    "patient_id": ["007", "007", "8", "9"],
    "age": [60.5, 70.0, 80.0, 90.0],
}


@pytest.fixture(scope="module")
def store() -> MemoryConnector:
    connector = MemoryConnector()
    connector.create(Collection("c", 2, fields=FIELDS, metadata={"unit": "admission"}))
    payloads = [{name: values[row] for name, values in COLUMNS.items()} for row in range(4)]
    connector.upsert("c", Points(list("abcd"), np.ones((4, 2), np.float32), payloads))
    return connector


def notes(store: MemoryConnector, where: str) -> list[str]:
    found = of_vector(store, "c", np.ones(2, np.float32), 4, where=parse_filter(where), per_unit=True)
    return list(found.notes)


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("sex = 'f'", "no point has sex = 'f'; there is 'F'"),
        ("sex = 'female'", "no point has sex = 'female'; sex is 'F' or 'M'"),
        ("sex != 'm'", "no point has sex = 'm'; there is 'M'"),
        ("not (age > 200 and sex in ('F', ' M '))", "no point has sex = ' M '; there is 'M'"),
        ("died", "no point has died = true"),
        ("phenotype = 'Heart Failure'", "no point has phenotype = 'Heart Failure'; there is 'heart_failure'"),
        ("phenotype = 'gout'", "no point has phenotype = 'gout'; phenotype is 'heart_failure' or 'sepsis'"),
        (
            "codes contains '428.0'",
            "no point has codes with '428.0'; there is '4280' and '428' (codes stand without their dot)",
        ),
        (
            "codes contains '428.9'",
            "no point has codes with '428.9'; there is '428' (codes stand without their dot)",
        ),
        ("codes contains '428%'", "no point has codes with '428%'; there is '428'"),
        ("codes contains 'i10'", "no point has codes with 'i10'; there is 'I10'"),
        ("codes not contains 'E11'", "no point has codes with 'E11'"),
        (
            "principal_code = '995.91'",
            "no point has principal_code = '995.91'; there is '99591' (codes stand without their dot)",
        ),
        ("label_ward = 'icu'", "no point has label_ward = 'icu'; there is 'ICU'"),
        (
            "label_ward = 'surgery'",
            "no point has label_ward = 'surgery'; label_ward is '7 West' or 'ICU'",
        ),
        ("note = 'Pain'", "no point has note = 'Pain'; there is 'pain'"),
        ("other = 'x'", "no point has a value of other"),
    ],
)
def test_a_value_that_nobody_has_is_told_with_what_there_is(
    store: MemoryConnector, where: str, told: str
) -> None:
    assert told in notes(store, where)


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("note = 'cough'", ["no point has note = 'cough'"]),
        ("label_name = 'Dan'", ["no point has label_name = 'Dan'; there is 'Eve', among others"]),
        ("patient_id = '7'", []),
        ("age = 61", []),
    ],
)
def test_texts_ids_and_what_one_patient_alone_has_are_not_shown(
    store: MemoryConnector, where: str, told: list[str]
) -> None:
    assert notes(store, where) == told


@pytest.mark.parametrize(
    "where", ["sex = 'F'", "sex in ('F', 'M') and not died", "died is null", "age >= 70"]
)
def test_values_that_somebody_has_are_not_told(store: MemoryConnector, where: str) -> None:
    assert notes(store, where) == []


def test_what_others_made_has_no_values_shown_that_were_not_typed() -> None:
    connector = MemoryConnector()
    connector.create(Collection("c", 2, fields={"sex": str}, metadata={"attached": True}))
    connector.upsert("c", Points(["a", "b"], np.ones((2, 2), np.float32), [{"sex": "Ann"}, {"sex": "w"}]))
    assert notes(connector, "sex = 'F'") == ["no point has sex = 'F'"]
    assert notes(connector, "sex = 'W'") == ["no point has sex = 'W'; there is 'w'"]


def test_no_vector_is_read_for_what_there_is_instead() -> None:
    class Blind(MemoryConnector):
        def scroll(self, name: str, page: int = 1_000) -> Iterator[Points]:
            raise EngineError(f"No vectors of {name}, not even {page}.")

    connector = Blind()
    connector.create(Collection("c", 2, fields=FIELDS, metadata={"unit": "admission"}))
    payloads: list[Any] = [
        {"label_ward": ward, "patient_id": whose} for ward, whose in (("A", "1"), ("A", "2"), ("B", "2"))
    ]
    connector.upsert("c", Points(list("abc"), np.ones((3, 2), np.float32), payloads))
    assert notes(connector, "label_ward = '7'") == [
        "no point has label_ward = '7'; there is 'A', among others"
    ]


def test_of_many_values_the_nearest_are_shown_and_of_too_many_none() -> None:
    def told(many: int) -> str:
        connector = MemoryConnector()
        connector.create(Collection("c", 2, fields={"label_unit": str}))
        payloads: list[Any] = [{"label_unit": f"unit {row // 2}"} for row in range(2 * many)]
        ids = [str(row) for row in range(2 * many)]
        connector.upsert("c", Points(ids, np.ones((2 * many, 2), np.float32), payloads))
        return notes(connector, "label_unit = 'unit 9.'")[0]

    assert told(31) == "no point has label_unit = 'unit 9.'"
    assert told(30).count("'unit ") == 16
    assert "'unit 9'" in told(30)


EDGE = "--store qdrant:./s --collection c"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an embedded store of made-up vectors."""
    folder = tmp_path_factory.mktemp("loaded")
    sexes = ["F", "M"] * 20
    table = {"id": [str(row) for row in range(40)], "sex": sexes, "vector": np.eye(40).tolist()}
    pq.write_table(pa.table(table), folder / "v.parquet")
    ok(
        f"load --vectors {folder}/v.parquet --store qdrant:{folder}/s --collection c --filterable sex --made-by x"
    )
    return folder


def test_the_commands_tell_it(loaded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(loaded)
    told = "no point has sex = 'f'; there is 'F'"
    found = json.loads(ok(f"query {EDGE} --patient 3 --where \"sex = 'f'\" --format json"))
    assert (found["got"], told in found["notes"]) == (0, True)
    assert told in refused(f"audit {EDGE} --where \"sex = 'f'\" -k 3 --queries 5")
    assert told in refused(f"tune {EDGE} --target-recall 0.9 --where \"sex = 'f'\" -k 3 --queries 5")


@pytest.mark.parametrize("command", ["query --patient 3", "audit", "tune --target-recall 0.9"])
def test_an_empty_filter_is_refused(command: str, loaded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(loaded)
    assert "The filter is empty" in refused(f"{command} {EDGE} --where ''")
