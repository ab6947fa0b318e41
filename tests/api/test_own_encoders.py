"""An object of the user's own as an encoder: three methods are enough."""

import json
from pathlib import Path
from typing import Any

import cohorts
import numpy as np
import pytest
from cohorts.encoders.adapted import adapt
from cohorts.errors import EncoderError, FingerprintMismatch, NoText


class Ages:
    """An encoder of nobody's: a user's class with the three methods that are needed."""

    def fit(self, source: cohorts.Source) -> None:
        self.mean = float(np.mean(np.concatenate([batch.units["age"] for batch in source.batches()])))

    def encode(self, batch: cohorts.Batch) -> "np.ndarray[Any, Any]":
        ages = batch.units["age"].to_numpy()
        return np.stack([ages - self.mean, np.full(len(ages), 10.0)], axis=1)

    def save(self, folder: Path) -> None:
        (folder / "mean.json").write_text(json.dumps(self.mean))


class Texts(Ages):
    def encode_text(self, texts: list[str]) -> list[list[float]]:
        return [[len(text), 10.0] for text in texts]


def test_any_object_with_fit_encode_and_save_is_an_encoder(hospital: Path, tmp_path: Path) -> None:
    store, mine = cohorts.connect(f"qdrant:{tmp_path}/s"), Ages()
    with cohorts.open_source("mimic3", hospital) as source:
        made = cohorts.ingest(source, mine, store, "ages")
        about = made.describe().collection
        assert (about.dim, about.metadata["encoder"]) == (2, "Ages")
        assert np.allclose(np.linalg.norm(made.fetch("10006").vectors, axis=1), 1)
        age = made.fetch("10006").payloads[0]["age"]
        assert isinstance(age, float)
        assert all(abs(float(hit.payload["age"]) - age) < 15 for hit in made.like_patient("10006", 3))  # type: ignore[arg-type]
        assert made.like_vector([age - mine.mean, 10], 1)[0].id in {"10006"} | {
            hit.id for hit in made.like_patient("10006", 20)
        }
        with pytest.raises(NoText, match="Ages has no method encode_text"):
            made.like_text("old")
        later = store.collection("ages")
        assert later.like_patient(10006, 3) == made.like_patient(10006, 3)
        with pytest.raises(EncoderError, match="an object of your own"):
            later.like_text("old")
        assert store.collection("ages", encoder=mine).like_patient(10006, 3) == made.like_patient(10006, 3)
        other = Ages()
        other.mean = 3.0
        with pytest.raises(FingerprintMismatch):
            store.collection("ages", encoder=other)
        texts = cohorts.ingest(source, Texts(), store, "texts")
        assert len(texts.like_text("old", 3)) == 3
    (kept,) = (store.run_dir("ages") / "encoders").iterdir()
    assert json.loads((kept / "object" / "mean.json").read_text()) == mine.mean


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (lambda many: np.ones(many), r"Ages.encode returned the shape \(90,\); it must be \(90, dim\)"),
        (lambda many: np.ones((many - 1, 2)), r"returned the shape \(89, 2\); it must be \(90, dim\)"),
        (lambda many: np.full((many, 2), np.nan), "returned NaN or infinite numbers"),
    ],
)
def test_rows_that_are_none_are_told(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: Any, told: str
) -> None:
    monkeypatch.setattr(Ages, "encode", lambda self, batch: rows(len(batch)))
    with (
        cohorts.open_source("mimic3", hospital) as source,
        pytest.raises(EncoderError, match=told),
    ):
        cohorts.ingest(source, Ages(), cohorts.connect(f"qdrant:{tmp_path}/s"))


def test_rows_are_scaled_to_length_1_and_zeros_stay(hospital: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ages, "encode", lambda self, batch: np.outer(np.arange(len(batch)), [3, 4]))
    with cohorts.open_source("mimic3", hospital) as source:
        rows = adapt(Ages()).fit(source).encode(next(iter(source.batches())))
    assert rows.dtype == np.float32
    assert np.allclose(rows[0], 0)
    assert np.allclose(rows[1:], [0.6, 0.8])
