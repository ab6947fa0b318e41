"""A search is for patients: each once, by the best unit, whatever a unit is and whatever names its patient."""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts.connectors.base import Collection, FieldType, PayloadValue, Points, Scalar, Vectors
from cohorts.connectors.filters.reading import parse_filter
from cohorts.connectors.index import Flat
from cohorts.connectors.memory import MemoryConnector
from cohorts.errors import PatientNotFound
from cohorts.search import neighbours
from cohorts.search.neighbours import Neighbours, of_patient, of_vector
from command_line import ok, refused, run

DIM = 8
QUERY = np.eye(DIM, dtype=np.float32)[0]


def near(scores: list[float]) -> Vectors:
    """Return unit rows whose cosines with the query are these."""
    rows = np.zeros((len(scores), DIM), np.float32)
    rows[:, 0] = scores
    rows[:, 1] = np.sqrt(1 - np.square(scores))
    return rows


def holding(
    scores: list[float], whose: list[PayloadValue], kind: FieldType = str, **more: list[PayloadValue]
) -> MemoryConnector:
    """Return an engine with one unit per score, u0, u1, …, of the patients in field `who`; what is None is missing."""
    connector = MemoryConnector()
    fields: dict[str, FieldType] = {"who": kind, **dict.fromkeys(more, str)}
    connector.create(Collection("c", DIM, Flat(), fields, {"patient_field": "who"}))
    columns = {"who": whose, **more}
    payloads = [
        {name: column[row] for name, column in columns.items() if column[row] is not None}
        for row in range(len(scores))
    ]
    connector.upsert("c", Points([f"u{row}" for row in range(len(scores))], near(scores), payloads))
    return connector


def ids(found: Neighbours) -> list[str]:
    return [hit.id for hit in found.hits]


def test_each_patient_stands_once_by_the_best_unit() -> None:
    connector = holding([0.9, 0.8, 0.7, 0.6, 0.5], ["A", "A", "A", "B", "C"])
    found = of_vector(connector, "c", QUERY, 3)
    assert (ids(found), found.asked, found.shortfall) == (["u0", "u3", "u4"], 3, "")
    assert ids(of_vector(connector, "c", QUERY, 3, per_unit=True)) == ["u0", "u1", "u2"]


def test_all_units_of_the_patient_asked_for_are_left_out() -> None:
    connector = holding([0.9, 0.85, 0.8, 0.7, -0.9], ["A", "B", "B", "C", "A"])
    assert ids(of_patient(connector, "c", "A", 5)) == ["u3", "u2"], "A's units point, on average, to the side"
    assert ids(of_patient(connector, "c", "A", 5, per_unit=True)) == ["u3", "u2", "u1"]


@pytest.mark.parametrize("own", [False, True])
def test_a_patient_with_more_units_than_are_asked_for_at_once_hides_nobody(
    own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "WIDEST", 20)
    crowd = np.linspace(0.99, 0.9, 200).tolist()
    connector = holding([*crowd, 0.5, 0.4, 0.3], [*["A"] * 200, "B", None, "C"])
    if own:
        assert ids(of_patient(connector, "c", "A", 4)) == ["u200", "u201", "u202"]
        assert ids(of_patient(connector, "c", "A", 2, per_unit=True)) == ["u200", "u201"]
    else:
        assert ids(of_vector(connector, "c", QUERY, 4)) == ["u0", "u200", "u201", "u202"]


def test_the_answer_is_that_of_a_scan_whatever_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    monkeypatch.setattr(neighbours, "WIDEST", 12)
    for _ in range(150):
        many = int(rng.integers(1, 120))
        scores = np.round(rng.uniform(-0.9, 0.9, many), int(rng.integers(1, 3))).tolist()  # with ties
        whose = [str(one) if one else None for one in rng.integers(0, rng.integers(2, 30), many)]
        sex = rng.choice(["F", "M"], many).tolist()
        connector = holding(scores, [*whose], sex=sex)
        k, where = int(rng.integers(1, 12)), rng.random() < 0.5
        best: dict[str, float] = {}
        for row, score in enumerate(scores):
            if not where or sex[row] == "F":
                key = whose[row] or f"nobody {row}"
                best[key] = max(score, best.get(key, -1))
        found = of_vector(connector, "c", QUERY, k, where=parse_filter("sex = 'F'") if where else None)
        expected = sorted(best.values(), reverse=True)[:k]
        assert [hit.score for hit in found.hits] == pytest.approx(expected, abs=1e-6)
        named = [hit.payload["who"] for hit in found.hits if "who" in hit.payload]
        assert len(set(named)) == len(named)
        assert bool(found.shortfall) == (len(best) < k)


def test_units_that_name_no_patient_are_not_taken_for_one() -> None:
    connector = holding([0.9, 0.8, 0.7, 0.6], [None, "", "A", None])
    found = of_vector(connector, "c", QUERY, 4)
    assert ids(found) == ["u0", "u1", "u2", "u3"]
    assert found.notes == ("3 of the answers name no patient: each stands for itself",)


def test_a_unit_of_several_patients_answers_for_all_of_them() -> None:
    connector = holding([0.9, 0.8, 0.7, 0.6], [["A", "B"], ["B"], ["C"], []], list[str])
    assert ids(of_vector(connector, "c", QUERY, 4)) == ["u0", "u2", "u3"]
    assert ids(of_patient(connector, "c", "B", 4)) == ["u2", "u3"]


def test_whole_numbers_are_ids_however_they_are_written() -> None:
    connector = holding([0.9, 0.8, 0.7, 0.6], [7, 7, 8, -1], int)
    assert ids(of_patient(connector, "c", "007", 4)) == ["u2", "u3"]


def test_too_few_patients_are_told_in_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    visits(tmp_path / "v.parquet", patients=8)
    ok("load --vectors v.parquet")
    told = "10 were asked for, 7 found: only 7 patients match"
    for output in ("table", "csv", "json"):
        code, out, err = run(f"query --patient P3 -k 10 --format {output}")
        assert code == 0
        assert told in err
    answer = json.loads(out)
    assert (answer["asked"], answer["got"], answer["per"]) == (10, 7, "patient")
    assert answer["notes"] == [told]
    units = json.loads(ok("query --patient P3 -k 100 --per-unit --format json"))
    assert (units["got"], units["per"]) == (21, "unit")
    assert units["notes"] == ["100 were asked for, 21 found: only 21 units match"]


def visits(file: Path, *, patients: int, column: str = "patient_id") -> Vectors:
    """Write a file of vectors, three visits of each patient, P0, P1, …, that are near each other."""
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(patients, DIM)), 3, axis=0) + rng.normal(
        scale=0.05, size=(3 * patients, DIM)
    )
    whose = [f"P{row // 3}" for row in range(3 * patients)]
    table = {
        "id": [f"V{row}" for row in range(3 * patients)],
        "vector": [*rows.astype(np.float32)],
        column: whose,
        "rank": list(range(3 * patients)),
    }
    pq.write_table(pa.table(table), file)
    return rows.astype(np.float32)


@pytest.mark.parametrize("column", ["patient_id", "subject"])
def test_ready_vectors_of_visits_are_queried_by_patient(
    column: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    visits(tmp_path / "v.parquet", patients=30, column=column)
    ok(f"load --vectors v.parquet --made-by m {'' if column == 'patient_id' else '--patient-field subject'}")
    found = list(csv.DictReader(io.StringIO(ok("query --patient P3 -k 12 --format csv"))))
    assert len({row["patient"] for row in found} - {"P3"}) == 12
    assert [row["rank"] for row in found] == [str(rank) for rank in range(1, 13)], (
        "ours, not their column of that name"
    )
    shown = ok("query --patient P3 -k 12").splitlines()
    assert [line.split()[:2] for line in shown if "P3" in line.split()] == [["like", "P3"]], (
        "who was asked for"
    )


def test_a_column_that_can_not_name_patients_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table: dict[str, Any] = {"id": ["a"], "vector": [[1.0, 0.0]], "weight": [70.5], "n": [1]}
    pq.write_table(pa.table(table), "v.parquet")
    assert "no column who to take" in refused("load --vectors v.parquet --patient-field who")
    assert "Field weight holds float" in refused("load --vectors v.parquet --patient-field weight")


class Metered(MemoryConnector):
    """Counts the bytes of vectors that it hands out."""

    handed_out = 0

    def _metered(self, points: Points) -> Points:
        self.handed_out += points.vectors.nbytes
        return points

    def fetch(self, name: str, ids: Sequence[str]) -> Points:
        return self._metered(super().fetch(name, ids))

    def scroll(self, name: str, page: int = 1_000) -> Iterator[Points]:
        return map(self._metered, super().scroll(name, page))


@pytest.mark.parametrize(("field", "nearest"), [(None, "u2, u20, u21, u200, u201"), ("who", "P2, P20, P21")])
def test_ids_like_a_mistyped_one_are_found_without_a_vector(field: str | None, nearest: str) -> None:
    connector, many = Metered(), 3_000
    fields: dict[str, FieldType] = {"who": str}
    metadata: dict[str, Scalar] = {"patient_field": field} if field else {}
    connector.create(Collection("c", DIM, Flat(), fields, metadata))
    payloads = [{"who": f"P{row // 2}"} for row in range(many)]
    connector.upsert("c", Points([f"u{row}" for row in range(many)], near([0.5] * many), payloads))
    with pytest.raises(PatientNotFound) as raised:
        of_patient(connector, "c", f"{nearest[0]}_2", 5, suggest=True)
    assert set(nearest.split(", ")) & set(re.findall(r"[uP]\d+", str(raised.value)))
    assert connector.handed_out == 0
    of_patient(connector, "c", nearest.partition(",")[0], 5)
    assert connector.handed_out > 0, "those of the patient"
