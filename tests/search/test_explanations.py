"""What is told of an answer: the words of the text asked by, and the codes that it shares with who was asked for."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohorts.analysis.words import word_shares
from cohorts.commands.output.neighbours import show_neighbours
from cohorts.connectors.base import Collection, Description, Hit, Points
from cohorts.connectors.memory import MemoryConnector
from cohorts.connectors.registry import connect
from cohorts.encoders.base import Encoder, ExplainsText, Pads, padding_of
from cohorts.encoders.features.codes import tokens_of
from cohorts.encoders.registry import load_encoder, make_encoder, parse_encoder
from cohorts.encoders.views.withholding import Withholding
from cohorts.loaders.points.reasons import codes_of, shared_codes
from cohorts.records.base import Source
from cohorts.records.notes.cleaning import clean, words
from cohorts.records.sources.registry import open_source
from cohorts.records.withheld import Withheld
from cohorts.search.neighbours import Neighbours
from command_line import ok, refused
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
    encoder = make_encoder(parse_encoder(spec, Withheld(("sepsis",), text=True)))
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


def ingest(hospital: Path, store: str, encoder: str) -> str:
    """Ingest the hospital, and return how to query it."""
    ok(f"ingest --source mimic3 --path {hospital} --store {store} --encoder {encoder}")
    return f"query --store {store}"


def answers(command: str) -> dict[str, Any]:
    return dict(json.loads(ok(f"{command} --format json")))


def codes_in(source: Source) -> dict[str, set[str]]:
    """Return the codes of each patient, as the records have them."""
    (batch,) = source.batches()
    patients = dict(zip(batch.units["unit_id"], batch.units["patient_id"], strict=True))
    found: dict[str, set[str]] = {patient: set() for patient in patients.values()}
    for unit, code in zip(batch.codes["unit_id"], tokens_of(batch.codes), strict=True):
        found[patients[unit]].add(str(code))
    return found


@pytest.mark.parametrize("encoder", ["codes:dim=8", "concat:lsa+codes"])
def test_every_answer_tells_the_codes_it_shares(
    hospital: Path, source: Source, tmp_path: Path, encoder: str
) -> None:
    query = ingest(hospital, f"qdrant:{tmp_path}/store", encoder)
    codes = codes_in(source)
    found = answers(f"{query} --patient 1 -k 4")
    asked = found["asked_codes"]
    reasons = answers(f"{query} --patient 1 -k 4 --explain")["patient"][0]["reasons"]
    assert len(asked) == 3
    assert asked == sorted(reasons, key=lambda one: -reasons[one])
    assert set(asked) == codes["1"]
    assert {row["patient"] for row in found["neighbours"]} >= {"2", "3", "4"}
    for row in found["neighbours"]:
        assert row["shared_codes"] == [code for code in asked if code in codes[row["patient"]]], row
    lines = list(csv.DictReader(io.StringIO(ok(f"{query} --patient 1 -k 4 --format csv"))))
    shared = {row["patient"]: row["shared_codes"] for row in found["neighbours"]}
    assert {line["patient"]: line["shared_codes"] for line in lines} == {
        patient: "; ".join(codes) for patient, codes in shared.items()
    }
    names = [code.removeprefix("diagnosis:").replace("_", " ") for code in shared["2"]]
    table = ok(f"{query} --patient 1 -k 4")
    assert "shared codes, of 3 asked for, the weightiest first" in table
    assert f" 2: {', '.join(names)} " in table


@pytest.mark.parametrize(
    ("encoder", "asked"),
    [
        ("concat:lsa+codes", "--text 'back pain'"),
        ("concat:lsa+codes", "--patient 5"),
        ("lsa:dim=8", "--patient 1"),
        ("word2vec:dim=8,epochs=1,min_count=1", "--patient 1"),
    ],
)
def test_no_shared_codes_where_none_are_known(
    hospital: Path, tmp_path: Path, encoder: str, asked: str
) -> None:
    """Of a text, of who has no code, and of encoders that tell none."""
    query = f"{ingest(hospital, f'qdrant:{tmp_path}/store', encoder)} {asked} -k 2"
    assert "shared" not in "".join(ok(f"{query} --format {form}") for form in ("json", "csv", "table"))


@pytest.mark.parametrize("engine", ["qdrant:{}/store", "milvus:{}/store.db"])
@pytest.mark.parametrize("encoder", ["lsa:dim=8", "concat:lsa+codes", "lsa:dim=8 --withhold sepsis"])
def test_words_of_a_text_sum_up_to_the_similarity(
    hospital: Path, tmp_path: Path, engine: str, encoder: str
) -> None:
    query = ingest(hospital, engine.format(tmp_path), encoder)
    query = f"{query} --text '{TEXT}' -k 5 --explain"
    rows = answers(query)["neighbours"]
    assert len(rows) == 5
    for row in rows:
        shares = [share for _, share in row["words"]]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(row["similarity"], abs=2e-4)
        assert {word for word, _ in row["words"]} <= set(words(clean(TEXT)))
        assert ("reasons" in row) is encoder.startswith("concat")
    assert rows[0]["words"][0][1] > 0.1
    lines = list(csv.DictReader(io.StringIO(ok(f"{query} --format csv"))))
    assert lines[0]["words"] == "; ".join(f"{word}={share}" for word, share in rows[0]["words"])
    best, share = rows[0]["words"][0]
    assert f" {best} +{share:.3f}".replace("+0.", "+.") in ok(query)


def test_words_are_told_by_an_encoder_in_a_folder_and_without_what_is_withheld(
    hospital: Path, tmp_path: Path
) -> None:
    place = f"--source mimic3 --path {hospital}"
    ok(f"fit {place} --out {tmp_path}/kept --encoder concat:lsa+codes --withhold sepsis --withhold-text")
    query = ingest(hospital, f"qdrant:{tmp_path}/store", f"{tmp_path}/kept")
    query = f"{query} --encoder {tmp_path}/kept --text '{TEXT}' -k 5 --explain"
    rows = answers(query)["neighbours"]
    assert {word for row in rows for word, _ in row["words"]} == {"back", "pain", "fever", "and"}
    for row in rows:
        assert sum(share for _, share in row["words"]) == pytest.approx(row["similarity"], abs=2e-4)
    assert "padding" in ok(f"describe --store qdrant:{tmp_path}/store")


def test_no_word_of_a_note_is_stored_or_told(hospital: Path, tmp_path: Path) -> None:
    """Neither in a payload, nor in a file of the run, nor in an answer, unless it stands in the text asked by."""
    store = f"qdrant:{tmp_path}/store"
    query = ingest(hospital, store, "concat:lsa+codes")
    secret = {"numbness", "lifting", "chills", "legs"}
    assert all(any(word in note for note in NOTES) for word in secret)
    with connect(store) as connector:
        kept = json.dumps([payload for page in connector.scroll("cohorts") for payload in page.payloads])
    told = [
        ok(f"{query} {asked} -k 5 --explain --format {form}")
        for asked in ("--patient 1", f"--text '{TEXT}'")
        for form in ("json", "csv", "table")
    ]
    files = [file.read_bytes().decode(errors="replace") for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) > 5
    for word in secret:
        assert not any(word in text for text in (kept, *told, *files)), word
    assert "reasons" in kept


def test_what_can_not_be_told_is_refused_with_what_can(hospital: Path, tmp_path: Path) -> None:
    lsa = ingest(hospital, f"qdrant:{tmp_path}/lsa", "lsa:dim=8")
    assert "words of notes are not stored" in refused(f"{lsa} --patient 1 --explain").lower()
    other = ingest(hospital, f"qdrant:{tmp_path}/other", "word2vec:dim=8,epochs=1,min_count=1")
    for asked in ("--patient 1", "--text fever"):
        message = refused(f"{other} {asked} --explain")
        assert "keeps no explanations: its encoder is word2vec" in message
        assert "codes, concat:… of which codes or fused is a part, fused:… or sepsis" in message
        assert "lsa, alone or in concat:…, explains answers to a --text" in message
    both = ingest(hospital, f"qdrant:{tmp_path}/both", "concat:lsa+word2vec:dim=8,epochs=1,min_count=1")
    assert "keeps no explanations: its encoder is concat" in refused(f"{both} --patient 1 --explain")
    assert answers(f"{both} --text fever --explain")["neighbours"][0]["words"]
    unread = ingest(hospital, f"qdrant:{tmp_path}/unread", "concat:codes+word2vec:dim=8,epochs=1,min_count=1")
    assert "words" not in answers(f"{unread} --text fever --explain")["neighbours"][0]


def test_who_was_asked_for_is_the_first_line(hospital: Path, tmp_path: Path) -> None:
    query = ingest(hospital, f"qdrant:{tmp_path}/store", "concat:lsa+codes")
    lines = [line.split() for line in ok(f"{query} --patient 1 -k 2").splitlines()]
    (first,) = [at for at, line in enumerate(lines) if line[:1] == ["rank"]]
    assert lines[first + 2][:3] == ["like", "1", "1.0000"]
    assert [line[0] for line in lines[first + 3 : first + 5]] == ["1", "2"]
    both = answers(f"{query} --patient 1 --patient 2 -k 2")
    assert [row["patient"] for row in both["examples"]] == ["1", "2"]
    assert all(0.5 < row["similarity"] < 1 and "rank" not in row for row in both["examples"])
    assert "examples" not in answers(f"{query} --text pain -k 2")
    rows = list(csv.DictReader(io.StringIO(ok(f"{query} --patient 1 -k 2 --format csv"))))
    assert [row["rank"] for row in rows] == ["1", "2"], "a CSV holds answers alone"


def test_codes_drugs_and_flags_stand_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    own = payload("drug:b=12.0", "diagnosis:a=9.0", "lab:Sodium low=3.0", "procedure:p=2.0", patient_id="0")
    hits = [Hit("1", 0.5, payload("drug:b=1.0", "lab:Sodium low=2.0", patient_id="1"))]
    about = Description(Collection("c", 4, metadata={"encoder_fingerprint": "f"}), "memory", "cosine", 9, 9)
    show_neighbours(Neighbours(hits, 1, about, own=(own,)), "table")
    told = " ".join(capsys.readouterr().out.split())
    assert "shared codes, of 2 asked for, the weightiest first 1 1 0 shared drugs" in told
    assert "shared drugs, of 1 asked for, the weightiest first 1 1 1: b" in told
    assert "shared laboratory flags, of 1 asked for, the weightiest first 1 1 1: Sodium low" in told


def payload(*reasons: str, **more: Any) -> dict[str, Any]:
    return {"from_notes": 0.25, "reasons": list(reasons), **more}


def test_codes_of_several_units_weigh_what_they_weigh_most() -> None:
    admissions = [
        payload("drug:b=12.0", "diagnosis:a=9.0"),
        payload("drug:b=2.0", "notes:Echo=7.0", "lab:c=3.5"),
    ]
    asked = codes_of([*admissions, {}])
    assert asked == ["drug:b", "diagnosis:a", "lab:c"]
    assert shared_codes(asked, payload("lab:c=80.0", "drug:b=1.0", "notes:Echo=7.0", "drug:d=9.0")) == [
        "drug:b",
        "lab:c",
    ]
    assert shared_codes(asked, payload()) == []
    assert shared_codes(asked, {}) is None


@pytest.mark.parametrize("columns", [80, 120])
def test_lists_stand_on_a_line_each_and_no_name_is_cut(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    names = [f"diagnosis:failure_of_organ_{number}" for number in range(30)]
    own = payload(*(f"{name}={50 - at}.0" for at, name in enumerate(names)), patient_id="0")
    hits = [
        Hit(str(many), 0.5, payload(*(f"{name}=1.0" for name in names[:many]), patient_id=str(many)))
        for many in (0, 1, 30)
    ] + [Hit("4", 0.5, {"patient_id": "4"})]
    about = Description(Collection("c", 4, metadata={"encoder_fingerprint": "f"}), "memory", "cosine", 9, 9)
    added = [
        [("pain", 0.25), ("no", 0.0001), ("cough", -0.125)],
        [("x" * 200, 0.5)],
        [("word", 0.1)] * 30,
        [],
    ]
    show_neighbours(Neighbours(hits, 4, about, own=(own,)), "table", explain=True, words=added)
    shown = capsys.readouterr().out
    lines = [line.strip() for line in shown.splitlines()]
    assert all(len(line) <= columns - 1 for line in lines if "xxx" not in line)
    assert re.search(r"^ +1 +0  0 *$", shown, re.MULTILINE)
    assert "2        1  1: failure of organ 0" in lines
    (full,) = [line for line in lines if "30: failure of organ 0, failure of organ 1, " in line]
    assert full.endswith((" 0, …", " 1, …", " 2, …", " 3, …")), "whole names"
    assert len(full) > columns - 30
    assert "1        0  pain +.250, cough -.125" in lines
    assert f"2        1  {'x' * 200} +.500" in lines


def test_a_hit_that_is_gone_since_has_no_words() -> None:
    with MemoryConnector() as store:
        store.create(Collection("c", 2))
        store.upsert("c", Points(["a", "b"], np.eye(2, dtype=np.float32), [{}, {}]))
        hits = [Hit(key, 0.5, {}) for key in ("b", "gone", "a")]
        told = word_shares(store, "c", hits, lambda found: [[("first", float(row[0]))] for row in found])
    assert told == [[("first", 0.0)], (), [("first", 1.0)]]
