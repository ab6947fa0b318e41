"""A question by several examples: their mean or the best of them, weighed, and away from others; none is an answer."""

import json
from pathlib import Path
from typing import Any

import cohorts
import numpy as np
import pytest
from cohorts.connectors.base import Collection, FieldType, Points, Scalar, Vectors
from cohorts.connectors.filters.reading import parse_filter
from cohorts.connectors.index import Flat
from cohorts.connectors.memory import MemoryConnector
from cohorts.errors import CohortsError, InputError, PatientNotFound, VectorError
from cohorts.search.neighbours import Neighbours, of_question
from cohorts.search.question import Question, examples_of
from command_line import ok, refused, run

DIM = 6
WORDS = {"fever": 0, "cough": 1, "pain": 2}


def encode(texts: Any) -> Vectors:
    """Return an axis for each word that is known."""
    rows = np.zeros((len(texts), DIM), np.float32)
    for row, text in enumerate(texts):
        rows[row, [WORDS[word] for word in text.split() if word in WORDS]] = 1
    return rows


def unit(rows: Any) -> Any:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


class Ward:
    """Units u0, u1, … of random patients, whose vectors may have a padding, and the same by a scan."""

    def __init__(self, seed: int, *, padding: int | None = None, units: int | None = None) -> None:
        rng = np.random.default_rng(seed)
        self.many = units or int(rng.integers(12, 60))
        self.padding = padding
        self.vectors = unit(rng.normal(size=(self.many, DIM))).astype(np.float32)
        self.whose = rng.integers(0, self.many // 2, self.many).astype(str)
        self.sex = rng.choice(["F", "M"], self.many)
        self.connector = MemoryConnector()
        fields: dict[str, FieldType] = {"who": str, "sex": str}
        metadata: dict[str, Scalar] = {"patient_field": "who"}
        metadata |= {} if padding is None else {"padding": padding}
        self.connector.create(Collection("c", DIM, Flat(), fields, metadata))
        payloads = [{"who": who, "sex": sex} for who, sex in zip(self.whose, self.sex, strict=True)]
        self.connector.upsert("c", Points([f"u{row}" for row in range(self.many)], self.vectors, payloads))

    def direction(self, patient: str) -> Any:
        mean = self.vectors[self.whose == patient].astype(np.float64).mean(axis=0)
        if self.padding is not None:
            mean[self.padding] = 0
        return unit(mean)

    def scan(self, directions: Any, own: set[str], k: int, *, sex: str = "FM") -> list[float]:
        """Return the k best scores, a patient once, by the best of some directions."""
        best: dict[str, float] = {}
        for row, score in enumerate((self.vectors @ unit(np.atleast_2d(directions)).T).max(axis=1)):
            if self.whose[row] not in own and self.sex[row] in sex:
                best[self.whose[row]] = max(score, best.get(self.whose[row], -1))
        return sorted(best.values(), reverse=True)[:k]

    def ask(
        self,
        k: int = 5,
        *,
        any_of: bool = False,
        contrast: bool | None = None,
        where: str | None = None,
        **named: Any,
    ) -> Neighbours:
        condition = None if where is None else parse_filter(where)
        question = Question(
            examples=examples_of(**named), k=k, any_of=any_of, contrast=contrast, where=condition
        )
        return of_question(self.connector, "c", question, encode)


def scores(found: Neighbours) -> list[float]:
    return [hit.score for hit in found.hits]


@pytest.mark.parametrize("seed", range(30))
def test_answers_are_those_of_a_scan(seed: int) -> None:
    ward = Ward(seed, padding=DIM - 1 if seed % 3 == 0 else None)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(np.unique(ward.whose))[:4].tolist()
    *like, away = chosen
    k = int(rng.integers(1, 8))
    each = np.stack([ward.direction(one) for one in like])
    found = ward.ask(k, patients=like)
    assert scores(found) == pytest.approx(ward.scan(each.mean(axis=0), {*like}, k), abs=1e-5)
    assert not {hit.payload["who"] for hit in found.hits} & {*like}
    found = ward.ask(k, patients=like, any_of=True)
    assert scores(found) == pytest.approx(ward.scan(each, {*like}, k), abs=1e-5)
    found = ward.ask(k, patients=like, any_of=True, where="sex = 'F'")
    assert scores(found) == pytest.approx(ward.scan(each, {*like}, k, sex="F"), abs=1e-5)
    found = ward.ask(k, patients=like, weights=[2, 1, 0.5], texts=[])
    assert scores(found) == pytest.approx(ward.scan([2, 1, 0.5] @ each, {*like}, k), abs=1e-5)
    found = ward.ask(k, patients=like, texts=["fever cough"], weights=[1, 1, 1, 3])
    mixed = each.sum(axis=0) + 3 * unit(encode(["fever cough"])[0])
    assert scores(found) == pytest.approx(ward.scan(mixed, {*like}, k), abs=1e-5)
    found = ward.ask(k, patients=like, unlike=[away])
    less = unit(each.mean(axis=0)) - 0.2 * ward.direction(away)
    assert scores(found) == pytest.approx(ward.scan(less, {*chosen}, k), abs=1e-5)
    found = ward.ask(k, patients=like, unlike=[away], unlike_weight=0.5, any_of=True)
    assert scores(found) == pytest.approx(
        ward.scan(each - 0.5 * ward.direction(away), {*chosen}, k), abs=1e-5
    )


@pytest.mark.parametrize("seed", range(5))
def test_what_everybody_has_in_common_is_taken_out_of_the_mean_of_many(seed: int) -> None:
    ward = Ward(seed, padding=DIM - 1 if seed % 2 else None, units=80)
    directions = ward.vectors.astype(np.float64)
    if ward.padding is not None:
        directions[:, ward.padding] = 0
    directions = unit(directions)
    common = directions.mean(axis=0)
    like = np.unique(ward.whose)[:10].tolist()
    mean = np.stack([ward.direction(one) for one in like]).mean(axis=0)
    expected = ward.scan(mean - 10 / 15 * common, {*like}, 5)
    many, plain = ward.ask(patients=like), ward.ask(patients=like, contrast=False)
    assert scores(many) == pytest.approx(expected, abs=1e-5)
    assert many.notes[-1] == "0.67 of what everybody has in common was taken out of the mean"
    assert scores(plain) == pytest.approx(ward.scan(mean, {*like}, 5), abs=1e-5)
    assert scores(plain) != pytest.approx(expected, abs=1e-5)
    two = np.stack([ward.direction(one) for one in like[:2]])
    assert len(ward.ask(patients=like[:2]).notes) == 1, "of a few examples, nothing is taken out unasked"
    weights = [3, 1]  # as good as 1.6 examples
    found = ward.ask(patients=like[:2], weights=weights, contrast=True)
    assert scores(found) == pytest.approx(
        ward.scan(weights @ two / 4 - 1.6 / 6.6 * common, {*like[:2]}, 5), abs=1e-5
    )
    women = directions[ward.sex == "F"].mean(axis=0)
    found = ward.ask(patients=like, where="sex = 'F'")
    assert scores(found) == pytest.approx(ward.scan(mean - 10 / 15 * women, {*like}, 5, sex="F"), abs=1e-5)


def test_a_text_is_subtracted_only_where_its_weight_says_so() -> None:
    ward = Ward(1)
    plain, told = (ward.ask(texts=["fever"], unlike_texts=some) for some in ([], ["pain"]))
    assert told.hits == plain.hits
    assert "not subtracted: its unlike weight is 0" in " ".join(told.notes)
    assert "subtraction is not negation" in " ".join(told.notes)
    weighed = ward.ask(texts=["fever"], unlike_texts=["pain"], unlike_weight=0.5)
    towards = unit(encode(["fever"])[0]) - 0.5 * unit(encode(["pain"])[0])
    assert scores(weighed) == pytest.approx(ward.scan(towards, set(), 5), abs=1e-5)
    assert weighed.notes == ("1 example was subtracted, with the weight 0.5",)


def test_how_examples_counted_is_told_without_ids_and_texts() -> None:
    ward = Ward(2)
    a, b, c = np.unique(ward.whose)[:3].tolist()
    found = ward.ask(patients=[a, b], texts=["cough"], weights=[2, 1, 1], unlike=[c])
    assert found.notes == (
        "asked by the mean direction of 3 examples, with the weights 2, 1, 1",
        "1 example was subtracted, with the weight 0.2",
    )
    assert ward.ask(patients=[a, b], any_of=True).notes == ("asked by the best of 2 examples",)
    assert ward.ask(patients=[a]).notes == ()
    assert found.question is not None
    assert [one.value for one in found.question.examples] == [a, b, "cough", c]
    secret = Question(
        examples=examples_of(["id-17"], ["fever of Smith"], [[0.25, 1]]), where=parse_filter("a = 'Jo'")
    )
    assert not any(word in repr(secret) for word in ("id-17", "Smith", "0.25", "Jo"))


def test_what_leaves_no_direction_is_refused() -> None:
    ward = Ward(3)
    a, b = np.unique(ward.whose)[:2].tolist()
    opposite = [[1.0, 2, 3, 4, 5, 6], [-1.0, -2, -3, -4, -5, -6]]
    refusals: list[tuple[dict[str, Any], type[CohortsError], str]] = [
        ({"vectors": opposite}, InputError, "The examples cancel out: no direction is left"),
        ({"texts": ["pain"], "unlike_texts": ["pain"], "unlike_weight": 1}, InputError, "cancel out"),
        ({"patients": [a, a]}, InputError, "A patient is named twice"),
        ({"patients": [a], "unlike": [a]}, InputError, "A patient is named twice"),
        ({"unlike": [a]}, InputError, "Nobody to be like is named"),
        ({}, InputError, "Nobody to be like is named"),
        ({"patients": [a, "no such"]}, PatientNotFound, "holds no patient no such"),
        ({"patients": [a], "texts": ["unknown"]}, InputError, "knows no word of this text"),
        ({"patients": [a], "vectors": [[1.0, 2]]}, VectorError, r"shape \(1, 2\)"),
        ({"patients": [a], "vectors": [[float("nan")] * DIM]}, VectorError, "NaN"),
        ({"patients": [a, b], "weights": [1]}, InputError, "2 examples take as many weights"),
        ({"patients": [a, b], "weights": [0, 0]}, InputError, "All weights are 0"),
        ({"patients": [a, b], "weights": [1, -1]}, InputError, "A weight is a number from 0; got -1"),
        ({"patients": [a], "weights": [float("inf")]}, InputError, "got inf"),
        ({"patients": [a], "unlike": [b], "unlike_weight": -0.5}, InputError, "got -0.5"),
        ({"patients": [a, b], "weights": [1, 2], "any_of": True}, InputError, "Weights count in a mean"),
        (
            {"patients": [a, b], "contrast": True, "any_of": True},
            InputError,
            "taken out of a mean, not of each",
        ),
    ]
    for named, error, told in refusals:
        with pytest.raises(error, match=told):
            ward.ask(**named)


def test_the_command_asks_by_several(icu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(icu)
    asked = '--patient 10003 --patient 10005 --text fever --weights 1,1,.5 --unlike 10007 -k 4 --where "age >= 20"'
    answer = json.loads(ok(f"query {asked} --format json"))
    found = [row["patient"] for row in answer["neighbours"]]
    assert len(set(found) - {"10003", "10005", "10007"}) == 4
    with cohorts.connect("qdrant:./cohorts.qdrant") as store:
        same = store.collection("cohorts").like(
            ["10003", 10005], "fever", k=4, weights=[1, 1, 0.5], unlike="10007", where="age >= 20"
        )
        assert [hit.id for hit in same] == found
        assert set(same.notes) <= set(answer["notes"])
        one = store.collection("cohorts").like("10003", k=3)
        assert one == store.collection("cohorts").like_patient("10003", k=3)
    assert answer["notes"][0] == "asked by the mean direction of 3 examples, with the weights 1, 1, 0.5"
    code, out, err = run(f"query {asked} --explain")
    assert (code, "Note: asked by the mean direction of 3 examples" in err) == (0, True)
    assert "shared codes" in out
    best = json.loads(ok("query --patient 10003 --patient 10005 --any -k 4 --format json"))
    assert best["notes"][0] == "asked by the best of 2 examples"


def test_mistakes_of_the_command_are_told(icu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(icu)
    assert "--weights takes numbers with commas between them; got 'x'" in refused(
        "query --patient 10003 --patient 10005 --weights 1,x"
    )
    assert "Ask by --patient ID, --text TEXT" in refused("query --unlike 10003")
    message = refused("query --patient 10003 --patient 1000x --suggest")
    assert "holds no patient 1000x. The nearest ids: " in message
