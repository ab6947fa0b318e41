"""The encoder concat: parts side by side by weight, and nobody found for what is not known of them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from cohorts.commands import hints
from cohorts.connectors.base import Collection, Connector, Points
from cohorts.connectors.index import Flat
from cohorts.connectors.padding import as_questions
from cohorts.connectors.registry import connect
from cohorts.encoders.base import Vectors, padding_of
from cohorts.encoders.codes import Codes
from cohorts.encoders.concat import Concat, Settings, parse_parts
from cohorts.encoders.lsa import Lsa
from cohorts.encoders.registry import load_encoder, make_encoder
from cohorts.encoders.saving import ABOUT, TENSORS
from cohorts.errors import EncoderError, NoText
from cohorts.loaders.points.records import metadata_of
from cohorts.search.neighbours import of_patient, of_vector
from small_sources import Code, Small, diagnosis

TOPICS = {
    "hip pain fracture fall": diagnosis("S72001A"),
    "sepsis fever shock lactate": diagnosis("0389"),
    "stroke weakness aphasia": diagnosis("4321"),
    "renal failure dialysis": diagnosis("5849"),
}
OTHERS = [diagnosis(code) for code in ("4019", "25000", "41401", "486")]
TEXT = "sepsis with fever and shock"


def hospital(many: int = 80) -> tuple[list[str | None], list[list[Code]]]:
    """Return notes and codes of one topic each, and some of any."""
    rng, texts, codes = np.random.default_rng(0), list[str | None](), list[list[Code]]()
    every = " ".join(TOPICS).split()
    for row in range(many):
        words, code = list(TOPICS.items())[row % 4]
        texts.append(" ".join([*rng.choice(words.split(), 5), *rng.choice(every, 3), f"w{row % 17}"]))
        codes.append([code, *(OTHERS[place] for place in rng.choice(4, rng.integers(0, 3), replace=False))])
    return texts, codes


TEXTS, CODES = hospital()


def fitted(spec: str = "concat:lsa:dim=24+codes:dim=8", source: Small | None = None) -> Concat:
    encoder = make_encoder(spec).fit(source or Small(TEXTS, CODES))
    assert isinstance(encoder, Concat)
    return encoder


@pytest.mark.parametrize(
    ("spec", "parts", "weights"),
    [
        ("lsa+codes", ["lsa", "codes"], [1, 1]),
        ("lsa=1,codes=.5", ["lsa", "codes"], [1, 0.5]),
        ("lsa=0+codes=2.", ["lsa", "codes"], [0, 2]),
        ("lsa + codes", ["lsa", "codes"], [1, 1]),
        ("lsa:dim=64,min_df=2+codes", ["lsa:dim=64,min_df=2", "codes"], [1, 1]),
        ("lsa:dim=64=.5+codes", ["lsa:dim=64", "codes"], [0.5, 1]),
        (
            "lsa:dim=64,min_df=2=.5,codes:half_life=3=2",
            ["lsa:dim=64,min_df=2", "codes:half_life=3"],
            [0.5, 2],
        ),
        ("lsa:max_df=.5+codes:half_life=.5", ["lsa:max_df=.5", "codes:half_life=.5"], [1, 1]),
        ("lsa:max_df=.5=.25+codes", ["lsa:max_df=.5", "codes"], [0.25, 1]),
        ("codes+lsa+lsa:ngrams=2", ["codes", "lsa", "lsa:ngrams=2"], [1, 1, 1]),
        ("word2vec:input=codes+lsa=3", ["word2vec:input=codes", "lsa"], [1, 3]),
    ],
)
def test_parts_and_weights_are_read(spec: str, parts: list[str], weights: list[float]) -> None:
    encoder = make_encoder(f"concat:{spec}")
    assert isinstance(encoder, Concat)
    assert encoder.settings.parts == parts
    assert encoder.settings.weights == weights
    assert encoder.settings.target == ""
    assert len(encoder.parts) == len(parts)


def test_a_part_may_be_a_folder_of_a_model() -> None:
    known = {"lsa": ["dim"], "codes": [], "bert": ["model", "pooling"]}
    read = parse_parts("lsa=1,codes=.5,bert:/path/x=.25", list(known), known.__getitem__)
    assert read == Settings(["lsa", "codes", "bert:/path/x"], [1, 0.5, 0.25])
    read = parse_parts("bert:/path/x,pooling=mean+lsa:dim=9,target=a b", list(known), known.__getitem__)
    assert read == Settings(["bert:/path/x,pooling=mean", "lsa:dim=9"], [1, 1], "a b")


def test_settings_of_parts_reach_them() -> None:
    encoder = make_encoder("concat:lsa:dim=64,min_df=2+codes:half_life=3,dim=16,target=died")
    assert isinstance(encoder, Concat)
    notes, codes = encoder.parts
    assert isinstance(notes, Lsa)
    assert isinstance(codes, Codes)
    assert (notes.settings.dim, notes.settings.min_df) == (64, 2)
    assert (codes.settings.dim, codes.settings.half_life) == (16, 3)
    assert encoder.settings.target == "died"


REFUSED = {
    "concat": "names? two or more|name two or more",
    "concat:lsa": "name two or more, as in concat:lsa[+]codes",
    "concat:lsa=1": "name two or more",
    "concat:lsa+gpt": "no encoder|no setting",
    "concat:gpt+lsa": "'gpt' begins with no encoder's name. Encoders: lsa, codes",
    "concat:lsa+concat:lsa+codes": "no encoder|begins with no",
    "concat:lsa=0,codes=0": "one of the weights must be above 0",
    "concat:lsa=-1,codes=1": "no encoder 'lsa=-1'",
    "concat:lsa=much,codes=1": "no encoder 'lsa=much'",
    "concat:lsa=1,codes=.5,target=died": "given, or chosen for a target, and not both",
    "concat:lsa+codes,target= ": "target= names nothing",
    "concat:lsa:rank=3+codes": "a key of dim",
    "concat:lsa:dim=1+codes": "at least 2",
}


@pytest.mark.parametrize(("spec", "told"), REFUSED.items())
def test_what_can_not_be_is_refused(spec: str, told: str) -> None:
    with pytest.raises(EncoderError, match=told):
        make_encoder(spec)


@pytest.mark.parametrize(
    "parts", ["lsa:dim=3+codes:dim=2", "lsa:dim=9+codes:dim=9", "lsa:dim=5+codes:dim=5", "lsa+codes"]
)
def test_a_vector_has_a_multiple_of_eight_numbers(parts: str) -> None:
    encoder = fitted(f"concat:{parts}")
    widths = sum(part.dim - 1 for part in encoder.parts)
    assert encoder.dim % 8 == 0
    assert widths < encoder.dim <= widths + 8
    assert padding_of(encoder) == encoder.dim - 1
    vectors = encoder.encode(Small(TEXTS, CODES).batch)
    assert vectors.shape == (80, encoder.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 0.25), (0.5, 3.0), (0.0, 1.0)])
def test_the_inner_product_is_the_weighted_mean_of_the_parts(weights: tuple[float, float]) -> None:
    notes, codes = weights
    encoder = fitted(f"concat:lsa:dim=24={notes},codes:dim=8={codes}")
    texts, sets = [*TEXTS, None, TEXTS[0], None], [*CODES, CODES[0], [], []]
    batch = Small(texts, sets).batch
    vectors = encoder.encode(batch)
    assert vectors.any(axis=1).tolist() == [True] * 80 + [codes > 0, notes > 0, False]
    blocks = [part.encode(batch)[:, :-1].astype(np.float64) for part in encoder.parts]
    mean = (notes * blocks[0] @ blocks[0].T + codes * blocks[1] @ blocks[1].T) / (notes + codes)
    # As stored, less the padding: what a patient is asked by, before its length is made 1.
    left = vectors.astype(np.float64)
    left[:, encoder.padding] = 0
    there = vectors.any(axis=1)
    np.testing.assert_allclose((left @ vectors.T)[there][:, there], mean[there][:, there], atol=1e-5)
    lengths = np.sqrt(np.diag(mean))[there][:, None]
    asked = as_questions(vectors[there], encoder.padding)
    np.testing.assert_allclose(asked @ vectors[there].T, mean[there][:, there] / lengths, atol=1e-5)
    if notes:
        lsa = encoder.parts[0]
        scores = encoder.encode_text([TEXT]) @ vectors.T
        expected = lsa.encode_text([TEXT]) @ lsa.encode(batch).T * math.sqrt(notes / sum(weights))
        np.testing.assert_allclose(scores, expected, atol=1e-5)


def stored(encoder: Concat, source: Small, store: str = "memory:") -> Connector:
    """Return an engine with the units of a source, as an ingest leaves them."""
    connector = connect(store)
    vectors = encoder.encode(source.batch)
    metadata = metadata_of(source, encoder)
    connector.create(Collection("c", encoder.dim, Flat(), {"n": int}, metadata))
    ids = source.batch.units["unit_id"].tolist()
    kept = np.flatnonzero(vectors.any(axis=1)).tolist()
    connector.upsert("c", Points([ids[row] for row in kept], vectors[kept], [{"n": row} for row in kept]))
    connector.finalize("c")
    return connector


STORES = ["memory:", "qdrant:{tmp}/store", "milvus:{tmp}/store.db"]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("weights", ["", "lsa:dim=24=1,codes:dim=8=4"])
def test_a_patient_without_codes_does_not_win_texts(store: str, weights: str, tmp_path: Path) -> None:
    """u80 and u81 have the same notes, the second no codes; the notes of u82 are the text, those of u83 too."""
    encoder = fitted(f"concat:{weights}" if weights else "concat:lsa:dim=24+codes:dim=8")
    near = "sepsis with fever, w3"
    source = Small([*TEXTS, near, near, TEXT, TEXT], [*CODES, CODES[1], [], CODES[1], []])
    for asked in (TEXT, near):
        with stored(encoder, source, store.format(tmp=tmp_path / asked[-2:])) as connector:
            (question,) = encoder.encode_text([asked])
            score = {hit.id: hit.score for hit in of_vector(connector, "c", question, 84).hits}
        assert score["u80"] == pytest.approx(score["u81"], abs=1e-5)
        assert score["u82"] == pytest.approx(score["u83"], abs=1e-5)
        if asked == TEXT:
            assert score["u82"] > score["u81"] + 0.005
            assert score["u82"] >= max(score.values()) - 1e-5
        assert min(score["u81"], score["u83"]) > 0.1


@pytest.mark.parametrize("store", STORES)
def test_patients_without_notes_are_not_pulled_together_by_it(store: str, tmp_path: Path) -> None:
    """u80, u81 and u82 have no notes; u80 and u81 share no code, and u83 has notes and the codes of u80."""
    encoder = fitted("concat:lsa:dim=24=3,codes:dim=16=1")
    hip, renal = [diagnosis("S72001A"), diagnosis("4019")], [diagnosis("5849"), diagnosis("486")]
    source = Small([*TEXTS, None, None, None, TEXTS[0]], [*CODES, hip, renal, hip, hip])
    with stored(encoder, source, store.format(tmp=tmp_path)) as connector:
        found = of_patient(connector, "c", "u80", 84)
    score = {hit.id: hit.score for hit in found.hits}
    assert "u80" not in score
    parts = [part.encode(source.batch)[:, :-1] for part in encoder.parts]
    alike = (parts[1] @ parts[1][80]) * 0.25 / math.sqrt(0.25 * parts[1][80] @ parts[1][80])
    for (
        unit,
        one,
    ) in score.items():  # no notes are asked for: codes alone decide, and notes of others count nothing
        assert one == pytest.approx(float(alike[int(unit[1:])]), abs=1e-4), unit
    assert score["u82"] == pytest.approx(score["u83"], abs=1e-5)
    assert score["u81"] < score["u82"] / 2
    vectors = encoder.encode(source.batch)
    assert vectors[80] @ vectors[81] > 0.5, "with the padding they would be alike"


def test_units_that_lack_a_part_are_told() -> None:
    encoder = fitted()
    assert not any(encoder.counts.values())
    encoder.encode(
        Small(
            ["sepsis", None, "sepsis", None, "xyzzy", "xyzzy"], [[], CODES[1], CODES[1], [], CODES[1], []]
        ).batch
    )
    assert {what: count for what, count in encoder.counts.items() if count} == {
        "units of which lsa knows nothing": 2,
        "units of which codes knows nothing": 1,
        "units of words that were not learnt": 2,
    }
    encoder.fit(Small(TEXTS, CODES))
    assert not any(encoder.counts.values())


def test_what_was_met_while_weights_were_chosen_is_not_told() -> None:
    label = [str(row % 4) for row in range(80)]
    codes = [[*one, diagnosis("XXX")] for one in CODES]
    encoder = fitted(
        "concat:lsa:dim=24,min_df=30+codes:dim=8,target=topic", Small(TEXTS, codes, label_topic=label)
    )
    assert not any(encoder.counts.values())
    encoder.encode(Small(TEXTS[:2], codes[:2]).batch)
    assert encoder.counts["diagnosis codes without a group"] == 2


def test_what_it_needs_is_what_its_parts_need() -> None:
    assert not make_encoder("concat:lsa+codes").needs_notes
    assert make_encoder("concat:lsa+word2vec").needs_notes
    assert not make_encoder("concat:lsa+codes").uses_transformer
    for source, told in ((Small(TEXTS), "holds no codes"), (Small(codes=CODES), "holds no notes")):
        with pytest.raises(EncoderError, match=told):
            fitted(source=source)
    with pytest.raises(EncoderError, match="not trained yet"):
        _ = make_encoder("concat:lsa+codes").fingerprint


def test_a_text_is_asked_of_the_parts_that_know_text() -> None:
    encoder = fitted("concat:codes:dim=8+lsa:dim=24")
    asked = encoder.encode_text([TEXT, "xyzzy"])
    np.testing.assert_allclose(asked[0, 7:30], encoder.parts[1].encode_text([TEXT])[0, :-1], atol=1e-6)
    assert not asked[0, :7].any()
    assert not asked[0, 30:].any()
    assert not asked[1].any()
    codes = fitted("concat:codes:dim=8+codes:dim=8,columns=each")
    for ask in (
        lambda: codes.encode_text([TEXT]),
        lambda: codes.explain_text(TEXT, np.zeros((1, 16), np.float32)),
    ):
        with pytest.raises(NoText) as refused:
            ask()
        assert hints.told(refused.value) == "No part of this encoder knows text. Query by --patient."


def test_two_parts_that_know_text_share_it_by_their_weights() -> None:
    encoder = fitted("concat:lsa:dim=24=3,lsa:dim=24,ngrams=2=1")
    vectors = encoder.encode(Small(TEXTS, CODES).batch)
    one, two = (part.encode_text([TEXT]) @ part.encode(Small(TEXTS, CODES).batch).T for part in encoder.parts)
    np.testing.assert_allclose(encoder.encode_text([TEXT]) @ vectors.T, 0.75 * one + 0.25 * two, atol=1e-5)


def test_what_words_add_sums_to_the_cosine() -> None:
    encoder = fitted("concat:lsa:dim=24=3,codes:dim=8=2,lsa:dim=24,ngrams=2=1")
    found = encoder.encode(Small(TEXTS[:12], CODES[:12]).batch)
    cosines = (encoder.encode_text([TEXT]) @ found.T)[0]
    for told, cosine in zip(encoder.explain_text(TEXT, found), cosines, strict=True):
        assert sum(share for _, share in told) == pytest.approx(float(cosine), abs=1e-5)
        assert len(dict(told)) == len(told)
    assert encoder.explain_text(TEXT, found)[1][0][0] in ("sepsis", "fever", "shock")


def angle(one: Vectors, other: Vectors) -> float:
    a, b = one[:-1].astype(np.float64), other[:-1].astype(np.float64)
    return float(np.degrees(np.arccos(min(1.0, a @ b / np.linalg.norm(a) / np.linalg.norm(b)))))


def test_a_reason_is_what_leaving_it_out_turns() -> None:
    encoder = fitted("concat:lsa:dim=300=1,codes:dim=40=2")
    batch = Small(TEXTS, CODES).batch
    vectors, told = encoder.explain(batch)
    assert vectors.tobytes() == encoder.encode(batch).tobytes()
    codes = encoder.parts[1]
    lone = 0
    for row in range(20):
        names = dict(told[row].reasons)
        assert told[row].from_notes == pytest.approx(1 / 3, abs=0.01)
        assert len(names) == len(CODES[row])
        for code in CODES[row]:
            (name,) = dict(codes.explain(Small([""], [[code]]).batch)[1][0].reasons)  # type: ignore[attr-defined]
            left = [one for one in CODES[row] if one != code]
            lone += not left
            without = encoder.encode(Small([TEXTS[row]], [left]).batch)[0]
            assert names[name] == pytest.approx(angle(vectors[row], without), abs=0.5), name
    assert lone > 2


def test_notes_alone_and_codes_alone_are_told_apart() -> None:
    encoder = fitted()
    _, told = encoder.explain(Small(["sepsis", None, None], [[], CODES[1], []]).batch)
    assert [one.from_notes for one in told] == [1.0, 0.0, 0.0]
    assert [bool(one.reasons) for one in told] == [False, True, False]


def test_save_and_load_encode_byte_identically(tmp_path: Path) -> None:
    encoder = fitted("concat:lsa:dim=24=2,codes:dim=8,half_life=2=.5,word2vec:dim=8,min_count=1,epochs=1=.25")
    batch = Small([*TEXTS, None], [*CODES, CODES[0]]).batch
    vectors = encoder.encode(batch)
    encoder.save(tmp_path)
    assert {file.name for file in tmp_path.rglob("*") if file.is_file()} == {ABOUT, TENSORS}
    assert sorted(file.name for file in tmp_path.iterdir()) == [ABOUT, "part-1", "part-2", "part-3"]
    loaded = load_encoder(tmp_path)
    assert isinstance(loaded, Concat)
    assert loaded.fingerprint == encoder.fingerprint
    assert loaded.encode(batch).tobytes() == vectors.tobytes()
    assert loaded.encode_text([TEXT]).tobytes() == encoder.encode_text([TEXT]).tobytes()
    assert loaded.explain(batch)[1] == encoder.explain(batch)[1]
    assert loaded.explain_text(TEXT, vectors) == encoder.explain_text(TEXT, vectors)
    assert loaded.describe() == encoder.describe()
    assert (loaded.dim, loaded.padding) == (encoder.dim, encoder.padding)


@pytest.mark.parametrize("what", ["weights", "parts", "other weights"])
def test_a_changed_folder_is_refused(what: str, tmp_path: Path) -> None:
    fitted().save(tmp_path / "one")
    fitted("concat:lsa:dim=25+codes:dim=8").save(tmp_path / "two")
    about = json.loads((tmp_path / "one" / ABOUT).read_text())
    if what == "weights":
        about["settings"]["weights"] = [1.0, 0.5]
    elif what == "other weights":
        about["settings"]["weights"] = [1.0]
    else:
        for name in (ABOUT, TENSORS):
            (tmp_path / "one" / "part-1" / name).write_bytes(
                (tmp_path / "two" / "part-1" / name).read_bytes()
            )
    (tmp_path / "one" / ABOUT).write_text(json.dumps(about))
    with pytest.raises(EncoderError, match=r"was changed since it was saved|2 parts and 1 weights"):
        load_encoder(tmp_path / "one")


def test_fingerprint_follows_weights_and_parts() -> None:
    prints = [
        fitted(f"concat:{spec}").fingerprint
        for spec in (
            "lsa:dim=24+codes:dim=8",
            "lsa:dim=24+codes:dim=8=.5",
            "lsa:dim=25+codes:dim=8",
            "codes:dim=8+lsa:dim=24",
        )
    ]
    assert len(set(prints)) == 4
    assert fitted().fingerprint == prints[0]
