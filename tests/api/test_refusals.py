"""What is of a wrong kind is refused in one sentence: what was got, and what is taken."""

from pathlib import Path
from typing import Any

import cohorts
import numpy as np
import pytest
from cohorts.errors import InputError
from qdrant_client import AsyncQdrantClient, QdrantClient


class OnlyFit:
    def fit(self, source: object) -> None: ...


class SomeBatches:
    name, unit, synthetic, has_notes, has_codes, fingerprint = "mine", "patient", False, False, True, "0" * 16

    def batches(self) -> list[object]:
        return []


def _ingest(**given: Any) -> Any:
    asked: dict[str, Any] = {
        "source": None,
        "encoder": "codes",
        "store": cohorts.connect("memory:"),
        "collection": "icu",
    }
    return cohorts.ingest(**asked | given)


REFUSED: list[tuple[Any, str]] = [
    (lambda f: cohorts.open_source(3, f), "name takes a text; got int."),  # type: ignore[arg-type]
    (lambda f: cohorts.open_source("mimic3", 3), "path takes a path: a text or a pathlib.Path; got int."),  # type: ignore[arg-type]
    (lambda f: cohorts.open_source("mimic3", f, unit=3), "unit takes 'patient' or 'admission'; got int."),  # type: ignore[arg-type]
    (
        lambda f: cohorts.open_source("mimic3", f, unit="ward"),
        "unit takes 'patient' or 'admission'; got 'ward'.",
    ),
    (
        lambda f: cohorts.open_source("notes-csv", f, labels=3),  # type: ignore[arg-type]
        "labels takes names: a list, or a text with commas between them; got int.",
    ),
    (
        lambda f: cohorts.open_source("notes-csv", f, labels=[3]),  # type: ignore[list-item]
        "Each of labels takes a text; got int.",
    ),
    (
        lambda f: cohorts.open_source("notes-csv", f, columns=["id"]),  # type: ignore[arg-type]
        "columns takes a dict of texts, or a text as in 'id=encounter_id,text=note'; got list.",
    ),
    (lambda f: cohorts.open_source("mimic3", f, deidentify="no"), "deidentify takes True or False; got str."),  # type: ignore[arg-type]
    (
        lambda f: cohorts.open_source("mimic3", f, max_bad_share=2),
        "max_bad_share takes a number from 0 to 1; got 2.",
    ),
    (lambda f: cohorts.make_encoder(3), "An encoder takes a text; got int."),  # type: ignore[arg-type]
    (lambda f: cohorts.load_encoder(3), "folder takes a path: a text or a pathlib.Path; got int."),  # type: ignore[arg-type]
    (
        lambda f: cohorts.connect(f),
        "A store is an address as in 'qdrant:PATH', a QdrantClient or a MilvusClient; got PosixPath.",
    ),
    (
        lambda f: cohorts.connect(AsyncQdrantClient),
        "A store is an address as in 'qdrant:PATH', a QdrantClient or a MilvusClient; got the class AsyncQdrantClient.",
    ),
    (
        lambda f: cohorts.connect(QdrantClient(":memory:")),
        "This QdrantClient is of no server: give the address of an embedded store instead, as in 'qdrant:PATH'.",
    ),
    (lambda f: _ingest(source="mimic3"), "source takes what open_source returns; got str."),
    (
        lambda f: _ingest(source=SomeBatches()),
        "source takes a Source; got SomeBatches, which lacks report, work_dir.",
    ),
    (lambda f: _ingest(store="qdrant:./s"), "store takes what connect returns; got str."),
]
REFUSED_OF_A_HOSPITAL: list[tuple[dict[str, Any], str]] = [
    (
        {"index": cohorts.Hnsw},
        (
            "index takes a text as in 'hnsw:m=32', a dict as in {'kind': 'hnsw', 'm': 32}, or cohorts.Hnsw(m=32); "
            "got the class Hnsw."
        ),
    ),
    (
        {"search": 128},
        "search takes a text as in 'ef_search=128', a dict, or cohorts.SearchParams(ef_search=128); got int.",
    ),
    ({"replace": "yes"}, "replace takes True or False; got str."),
    ({"collection": 3}, "collection takes a text; got int."),
    (
        {"encoder": OnlyFit()},
        (
            "encoder takes a text as in 'codes:dim=64', what make_encoder or load_encoder returns, or an object with "
            "fit, encode and save; got OnlyFit, which lacks encode, save."
        ),
    ),
    ({"encoder": OnlyFit}, "encoder takes an object; got the class OnlyFit: call it first."),
]


@pytest.mark.parametrize(("call", "told"), REFUSED, ids=[told[:40] for _, told in REFUSED])
def test_a_wrong_kind_is_refused_in_one_sentence(call: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        call(tmp_path)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("given", "told"), REFUSED_OF_A_HOSPITAL, ids=[told[:40] for _, told in REFUSED_OF_A_HOSPITAL]
)
def test_a_wrong_kind_at_ingest_is_refused_in_one_sentence(
    given: dict[str, Any], told: str, hospital: Path
) -> None:
    with cohorts.open_source("mimic3", hospital) as source, pytest.raises(InputError) as caught:
        _ingest(source=source, **given)
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda c: c.like_patient(10006.0), "patient takes one id: a text or a whole number; got float."),
        (lambda c: c.like_patient(True), "patient takes one id: a text or a whole number; got bool."),
        (
            lambda c: c.like_patient([10006, 10007]),
            "patient takes one id: a text or a whole number; got list.",
        ),
        (lambda c: c.like_patient(10006, "3"), "k takes a whole number from 1; got str."),
        (lambda c: c.like_patient(10006, 0), "k takes a whole number from 1; got 0."),
        (
            lambda c: c.like_patient(10006, where={"sex": "F"}),
            """where takes a text as in "age >= 60 and sex = 'F'", or a Filter; got dict.""",
        ),
        (lambda c: c.like_text(b"pain"), "text takes a text; got bytes."),
        (lambda c: c.like_text(["pain"]), "text takes a text; got list."),
        (lambda c: c.like_vector("pain"), "A vector takes numbers (dim,); got str."),
        (lambda c: c.like_vector(np.ones((2, 16))), "A vector takes numbers (dim,); got the shape (2, 16)."),
        (
            lambda c: c.like_vector(np.zeros(16)),
            "A vector of zeros has no direction to compare: give another.",
        ),
        (
            lambda c: c.fetch({"10006": 1}),
            "ids takes ids: a list, array or column of texts or whole numbers; got dict.",
        ),
    ],
)
def test_a_wrong_kind_in_a_question_is_refused_in_one_sentence(
    notes: cohorts.CollectionHandle, call: Any, told: str
) -> None:
    with pytest.raises(InputError) as caught:
        call(notes)
    assert str(caught.value) == told
