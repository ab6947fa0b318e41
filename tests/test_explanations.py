"""What is told of an answer: the words of the text asked by, and the codes that it shares with who was asked for."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cohorts.encoders.base import Encoder, ExplainsText, Pads, padding_of
from cohorts.encoders.registry import load_encoder, make_encoder
from cohorts.encoders.withholding import Withholding
from cohorts.records.base import Source
from cohorts.records.sources import open_source
from small_hospitals import mimic3

NOTES = [
    "back pain after lifting, no numbness",
    "chest pain and fever",
    "septic shock, fever and chills",
    "back pain for years, numb leg",
    "rash on both legs, no shock",
]
TEXT = "back pain, fever and septic shock"  # withholding sepsis masks the last two
SEPSIS = "0389"
CODES = [["4280", "5849", "4019"], ["4280", "5849"], [SEPSIS, "4280"], ["5849"], []]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five patients, with a note and up to three diagnoses each; the last has none."""
    people = range(1, len(NOTES) + 1)
    rows = {
        "PATIENTS": [f"{one},F,2094-03-05" for one in people],
        "ADMISSIONS": [
            f"{one},{one}0,2164-10-23 21:09:00,2164-10-25 21:09:00,,EMERGENCY,0" for one in people
        ],
        "DIAGNOSES_ICD": [
            f"{one},{one}0,{rank},{code}"
            for one, codes in zip(people, CODES, strict=True)
            for rank, code in enumerate(codes, start=1)
        ],
        "NOTEEVENTS": [
            f'{one},{one}0,2164-10-24,2164-10-24 08:00:00,Nursing,,"{note}"'
            for one, note in zip(people, NOTES, strict=True)
        ],
    }
    heads = {
        "PATIENTS": "SUBJECT_ID,GENDER,DOB",
        "ADMISSIONS": "SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,DEATHTIME,ADMISSION_TYPE,HOSPITAL_EXPIRE_FLAG",
        "DIAGNOSES_ICD": "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE",
        "NOTEEVENTS": "SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,ISERROR,TEXT",
    }
    tables: dict[str, str | None] = {name: "\n".join([head, *rows[name]]) for name, head in heads.items()}
    others = {"PROCEDURES_ICD": None, "PRESCRIPTIONS": None, "LABEVENTS": None, "ICUSTAYS": None}
    return mimic3(tmp_path_factory.mktemp("hospital"), **tables, **others)


@pytest.fixture(scope="module")
def source(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    work = tmp_path_factory.mktemp("work")
    with open_source("mimic3", hospital, work_dir=work, quarantine_file=work / "bad.csv") as opened:
        yield opened


def withholding(spec: str) -> Withholding:
    encoder = make_encoder(f"{spec} without sepsis in notes too")
    assert isinstance(encoder, Withholding)
    return encoder


@pytest.mark.parametrize(
    ("spec", "pads", "explains"),
    [
        ("lsa:dim=8", True, True),
        ("codes:dim=8", True, False),
        ("concat:lsa+codes", True, True),
        ("word2vec:dim=8", False, False),
    ],
)
def test_withholding_claims_what_its_encoder_can(spec: str, pads: bool, explains: bool) -> None:
    inner, outer = make_encoder(spec), withholding(spec)
    for one in (inner, outer):
        assert isinstance(one, Pads) is pads
        assert isinstance(one, ExplainsText) is explains
    assert padding_of(outer) == padding_of(inner)
    assert padding_of(outer) == (outer.dim - 1 if pads else None)


def test_withholding_explains_the_text_that_it_encodes(source: Source, tmp_path: Path) -> None:
    """Sums of the shares are the cosines, a masked word has none, and a restored encoder tells the same."""
    made = withholding("lsa:dim=8").fit(source)
    made.save(tmp_path)
    told: list[list[list[tuple[str, float]]]] = []
    encoders: list[Encoder] = [made, load_encoder(tmp_path)]
    for encoder in encoders:
        assert isinstance(encoder, ExplainsText)
        assert padding_of(encoder) == 7
        (batch,) = source.batches()
        vectors = encoder.encode(batch)
        told.append(encoder.explain_text(TEXT, vectors))
        cosines = vectors @ encoder.encode_text([TEXT])[0]
        np.testing.assert_allclose(
            [sum(share for _, share in words) for words in told[-1]], cosines, atol=1e-5
        )
        assert {word for words in told[-1] for word, _ in words} == {"back", "pain", "fever", "and"}
    assert told[0] == told[1]
    inner = made.encoder
    assert isinstance(inner, ExplainsText)
    assert "shock" in dict(inner.explain_text(TEXT, vectors)[0]), "masked, though it was learnt from another"
