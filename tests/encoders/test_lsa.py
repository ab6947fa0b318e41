"""The encoder lsa: TF-IDF in few numbers, in bounded memory, saved whole and readable by nobody."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cohorts.encoders.features import words as word_counts
from cohorts.encoders.features.latent import Latent
from cohorts.encoders.features.words import Vocabulary, WordSample, hash_of, words_of
from cohorts.encoders.lsa import Lsa, Settings
from cohorts.encoders.pooling import unit_rows
from cohorts.encoders.registry import load_encoder, make_encoder
from cohorts.encoders.saving import ABOUT, TENSORS
from cohorts.errors import EncoderError
from cohorts.records.notes import splitting
from cohorts.records.notes.cleaning import clean, words
from cohorts.records.notes.splitting import Split, split
from hypothesis import given
from hypothesis import strategies as st
from small_sources import Small

PARTS = (
    "hip pain fracture fall",
    "sepsis fever shock lactate",
    "stroke weakness aphasia",
    "renal failure dialysis",
)
TRAIN = """
import sys; from pathlib import Path
from cohorts.encoders.registry import make_encoder
from test_lsa import NOTES
from small_sources import Small
encoder = make_encoder("lsa:dim=16,sample=60").fit(Small(NOTES, per=7))
encoder.save(Path(sys.argv[1]))
"""


def notes(many: int, seed: int = 0) -> list[str]:
    """Return notes of 12 words: most of one topic, some of any, and some that hardly another has."""
    rng = np.random.default_rng(seed)
    every = " ".join(PARTS).split()
    return [
        " ".join(
            [
                *rng.choice(PARTS[row % 4].split(), 6),
                *rng.choice(every, 4),
                *map("w{}".format, rng.integers(0, 60, 2)),
            ]
        )
        for row in range(many)
    ]


NOTES = notes(120)
ASKED = ["sepsis and fever", "hip fracture after a fall; w7", "dialysis", "pain pain pain, stroke"]


@pytest.fixture(scope="module")
def trained() -> Lsa:
    return Lsa(Settings(dim=16)).fit(Small(NOTES))


def test_rows_have_length_one_and_are_alike_by_topic(trained: Lsa) -> None:
    vectors = trained.encode(Small(NOTES).batch)
    assert vectors.shape == (120, 16)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(trained.encode_text(ASKED), axis=1), 1, atol=1e-6)
    nearest = np.argsort(-(trained.encode_text(["sepsis with fever and shock"]) @ vectors.T)[0])[:10]
    assert set(nearest % 4) == {1}


def test_what_is_asked_has_no_padding_and_the_rest_is_the_projection(trained: Lsa) -> None:
    """By numpy: TF-IDF of length 1 onto the directions; a unit's length to the power of 3/4, a question's to 1."""
    space, vocabulary = trained._parts.space, trained._parts.words
    units, asked = trained.encode(Small(NOTES).batch), trained.encode_text(ASKED)
    assert not asked[:, trained.padding].any()
    assert (units[:, trained.padding] > 0).all()

    def projected(texts: list[str]) -> Any:
        counts = vocabulary.rows(split(texts)).toarray().astype(np.float64)
        weights = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * space.idf
        return weights / np.linalg.norm(weights, axis=1, keepdims=True) @ space.directions

    of_units, of_asked = projected(NOTES), projected(ASKED)
    lengths = np.linalg.norm(of_units, axis=1, keepdims=True)
    assert lengths.min() < 0.95  # the directions can't hold all of a note
    expected = of_asked / np.linalg.norm(of_asked, axis=1, keepdims=True) @ (of_units / lengths**0.25).T
    np.testing.assert_allclose(asked @ units.T, expected, atol=1e-5)
    np.testing.assert_allclose(units[:, -1], np.sqrt(1 - lengths[:, 0] ** 1.5), atol=1e-5)


def test_with_enough_numbers_it_is_the_tfidf_of_scikit_learn() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    model = TfidfVectorizer(sublinear_tf=True, analyzer=lambda text: words(clean(text)))
    sparse = model.fit_transform(NOTES)
    encoder = Lsa(Settings(dim=400)).fit(Small(NOTES))
    vectors = encoder.encode(Small(NOTES).batch)
    np.testing.assert_allclose(vectors @ vectors.T, (sparse @ sparse.T).toarray(), atol=1e-4)
    cosines = (model.transform(ASKED) @ sparse.T).toarray()
    for ours, theirs in zip(encoder.encode_text(ASKED) @ vectors.T, cosines, strict=True):
        order = np.argsort(-ours, kind="stable")
        assert (np.diff(theirs[order]) < 1e-5).all()  # never up, ties aside
        assert np.ptp(ours) > 0.2


def test_a_question_is_to_the_last_bit_what_scikit_learn_and_scipy_make(trained: Lsa) -> None:
    from sklearn.feature_extraction.text import TfidfTransformer

    space, texts = trained._parts.space, [*NOTES, *ASKED, "xyzzy", ""]
    rows, model = trained._parts.words.rows(split(texts)), TfidfTransformer(sublinear_tf=True)
    model.idf_ = space.idf
    weights = model.transform(rows)
    assert space.weighted(rows).data.tobytes() == weights.data.tobytes()
    expected = np.zeros((len(texts), trained.dim), np.float32)
    expected[:, : space.directions.shape[1]] = weights @ space.directions
    np.testing.assert_array_equal(trained.encode_text(texts), unit_rows(expected))


def test_units_without_a_known_word_are_zeros_and_counted(trained: Lsa) -> None:
    encoder = Lsa(Settings(dim=16)).fit(Small(NOTES))
    assert encoder.counts == {"units of words that were not learnt": 0}
    vectors = encoder.encode(Small(["xyzzy plugh", "sepsis", "", None, " \n", "[**Name**]"]).batch)
    assert vectors.any(axis=1).tolist() == [False, True, False, False, False, False]
    assert encoder.counts == {"units of words that were not learnt": 2}  # the others say nothing at all
    assert not trained.encode_text(["", "xyzzy"]).any()
    assert trained.explain_text("xyzzy", vectors) == [[]] * 6
    assert trained.encode_text([]).shape == (0, 16)


@pytest.mark.parametrize(
    ("setting", "kept"),
    [
        ("dim=8", {"a", "b", "c", "d", "e"}),
        ("min_df=2", {"a", "b", "c"}),
        ("max_df=.75", {"b", "c", "d", "e"}),
        ("max_df=.5,min_df=2", {"c"}),
        ("max_words=2", {"a", "b"}),  # those of most units
        ("max_words=4", {"a", "b", "c", "d"}),  # of as many units, by the alphabet
        ("ngrams=2,min_df=2", {"a", "b", "c", "a b", "a c"}),  # whatever stands between them
    ],
)
def test_which_words_are_kept(setting: str, kept: set[str]) -> None:
    encoder = make_encoder(f"lsa:{setting}").fit(Small(["a b e", "a b a b", "a. C b", "a c d"]))
    assert isinstance(encoder, Lsa)
    assert set(encoder._parts.words.hashes) == set(map(hash_of, kept))
    assert encoder.describe()["words"] == len(kept)


def test_runs_of_words_tell_the_order_of_words() -> None:
    assert words_of("No pain, no fever.", 2) == Counter(
        ["no", "no", "pain", "fever", "no pain", "pain no", "no fever"]
    )
    texts = ["chest pain left arm", "left chest arm pain"] * 3
    one, two = (make_encoder(f"lsa:ngrams={many}").fit(Small(texts)) for many in (1, 3))
    assert np.ptp(one.encode_text(["left arm"]) @ one.encode(Small(texts).batch).T) < 1e-5
    scores = (two.encode_text(["left arm"]) @ two.encode(Small(texts).batch).T)[0]
    assert scores[0] > scores[1] + 0.1


@given(st.lists(st.lists(st.sampled_from("abcd")).map(" ".join), max_size=6), st.integers(1, 4))
def test_runs_of_many_texts_are_those_of_each(texts: list[str], ngrams: int) -> None:
    counted = [words_of(text, ngrams) for text in texts]
    known = sorted(set().union(*counted))
    rows = Vocabulary(list(map(hash_of, known)), ngrams).rows(split(texts))
    assert rows.toarray().tolist() == [[counts[word] for word in known] for counts in counted]
    _, having, drawn = WordSample(10, ngrams, 0).add(texts).learn(1, 1.0, 1_000)
    assert having.tolist() == [sum(word in counts for counts in counted) for word in known]
    assert drawn.toarray().tolist() == [[counts[word] for word in known] for counts in counted if counts]


def test_neither_pieces_nor_cores_change_a_vector(trained: Lsa, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = trained.encode(Small(NOTES).batch)
    monkeypatch.setattr(splitting, "_PIECE", 1_000)
    for cores in (1, 3):
        monkeypatch.setattr(splitting, "_threads", lambda cores=cores: cores)
        assert Lsa(Settings(dim=16)).fit(Small(NOTES, per=50)).fingerprint == trained.fingerprint
        assert trained.encode(Small(NOTES).batch).tobytes() == vectors.tobytes()


@pytest.mark.parametrize("settings", [Settings(dim=16), Settings(dim=16, ngrams=2, min_df=2)])
def test_units_learnt_from_get_the_vectors_of_their_text_and_are_not_split_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    texts = [*NOTES, "", "\u0130leus, HIP pain 3.5 [**2101-2-3**]", "nothing that another says"]
    learnt = Lsa(settings).fit(Small(texts, per=7))
    learnt.save(tmp_path)
    loaded, again, all_splits = load_encoder(tmp_path), list[str](), splitting.splits

    def told(asked: Iterable[str], make: Callable[[Split], Any]) -> Iterator[Any]:
        again.extend(some := list(asked))
        return all_splits(some, make)

    asked = Small([*texts[::3], "hip pain of another", *texts[1::3], " ", *texts[2::3]]).batch
    vectors = loaded.encode(asked)
    monkeypatch.setattr(splitting, "splits", told)
    assert learnt.encode(asked).tobytes() == vectors.tobytes()
    assert again == ["hip pain of another", " "]
    assert learnt.counts == loaded.counts


def test_units_of_which_words_were_forgotten_are_split_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_counts, "_PRUNE_AT", 6)
    monkeypatch.setattr(splitting, "_PIECE", 1)
    source = Small(["x y", *[f"r{row} s{row} a a" for row in range(30)], "x y", "x y", "y x x"])
    learnt = Lsa(Settings(dim=4, min_df=2)).fit(source)
    learnt.save(tmp_path)
    assert learnt.encode(source.batch).tobytes() == load_encoder(tmp_path).encode(source.batch).tobytes()


def test_the_words_known_while_reading_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_counts, "_PRUNE_AT", 40)
    sample, most = WordSample(10, 1, 0), 0
    for row in range(300):
        sample.add([f"common other {'seldom' if row % 6 == 0 else ''} r{row} s{row} t{row}"])
        most = max(most, len(sample._number))
    assert most <= 40
    vocabulary, having, rows = sample.learn(5, 1.0, 100)
    assert vocabulary.hashes == [hash_of("common"), hash_of("other"), hash_of("seldom")]
    assert having.tolist()[:2] == [300, 300]
    assert having[2] <= 50  # it may have been forgotten on the way
    assert rows.shape == (10, 3)
    assert (rows.toarray()[:, :2] == 1).all()
    assert (
        Lsa(Settings(dim=4))
        .fit(Small([f"a r{row} s{row} t{row}" for row in range(300)]))
        .encode_text(["a"])
        .any()
    )


def test_what_was_forgotten_counts_from_anew_and_harms_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word that comes again gets a number of its own: the rows drawn before point to no other word."""
    monkeypatch.setattr(word_counts, "_PRUNE_AT", 6)
    sample = WordSample(100, 1, 0)
    texts = ["x y", *[f"r{row} s{row} a a" for row in range(30)], "x y", "x y", "y x x"]
    for text in texts:
        sample.add([text])
    vocabulary, having, rows = sample.learn(2, 1.0, 100)
    assert vocabulary.hashes == [hash_of("a"), hash_of("x"), hash_of("y")]
    assert having.tolist() == [30, 3, 3]
    whole = rows.toarray()
    assert whole[1:31, 0].tolist() == [2] * 30
    assert whole[-1].tolist() == [0, 2, 1]
    assert not whole[0].any()


def test_every_unit_is_as_likely_to_be_drawn() -> None:
    drawn = np.zeros(40)
    for seed in range(500):
        sample = WordSample(10, 1, seed)
        sample.add(f"w{row:02}" for row in range(40))
        _, _, rows = sample.learn(1, 1.0, 100)
        assert rows.sum() == 10
        drawn += np.asarray(rows.sum(axis=0)).ravel()
    assert np.abs(drawn / 500 - 0.25).max() < 0.09  # four and a half standard errors


def test_a_sample_of_the_units_teaches_nearly_the_same() -> None:
    part = make_encoder("lsa:dim=8,sample=80").fit(Small(notes(400)))
    assert part.fingerprint == make_encoder("lsa:dim=8,sample=80").fit(Small(notes(400), per=9)).fingerprint
    assert part.fingerprint != make_encoder("lsa:dim=8,sample=80,seed=1").fit(Small(notes(400))).fingerprint
    assert isinstance(part, Lsa)
    whole = Lsa(Settings(dim=8)).fit(Small(notes(400)))
    np.testing.assert_array_equal(part._parts.space.idf, whole._parts.space.idf)  # which counts all units
    vectors = part.encode(Small(NOTES).batch)
    for place, topic in enumerate(PARTS):
        nearest = np.argsort(-(part.encode_text([topic]) @ vectors.T)[0])[:10]
        assert set(nearest % 4) == {place}


def test_it_reads_the_source_once() -> None:
    source = Small(NOTES)
    Lsa().fit(source)
    assert source.passes == 1


def test_save_and_load_encode_byte_identically(trained: Lsa, tmp_path: Path) -> None:
    trained.save(tmp_path / "saved")
    loaded = load_encoder(tmp_path / "saved")
    assert isinstance(loaded, Lsa)
    assert loaded.fingerprint == trained.fingerprint
    batch = Small(NOTES).batch
    vectors = trained.encode(batch)
    assert loaded.encode(batch).tobytes() == vectors.tobytes()
    assert loaded.encode_text(ASKED).tobytes() == trained.encode_text(ASKED).tobytes()
    for text in ASKED:
        assert loaded.explain_text(text, vectors) == trained.explain_text(text, vectors)
    assert (loaded.describe(), loaded.padding) == (trained.describe(), trained.padding)
    assert sorted(file.name for file in (tmp_path / "saved").iterdir()) == [ABOUT, TENSORS]
    loaded.save(tmp_path / "again")
    for name in (ABOUT, TENSORS):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "saved" / name).read_bytes()


def test_same_source_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    made = []
    for hash_seed in ("1", "2"):
        folder = tmp_path / hash_seed
        subprocess.run(
            [sys.executable, "-c", TRAIN, str(folder)],
            env={
                **os.environ,
                "PYTHONHASHSEED": hash_seed,
                "PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2])),
            },
            check=True,
        )
        made.append([(folder / name).read_bytes() for name in (ABOUT, TENSORS)])
    assert made[0] == made[1]


@pytest.mark.parametrize(
    "other", ["seed=1", "min_df=2", "max_df=.9", "ngrams=2", "max_words=20", "sample=30", "dim=9"]
)
def test_fingerprint_follows_every_setting(other: str) -> None:
    first = make_encoder("lsa:dim=8").fit(Small(NOTES)).fingerprint
    assert first == make_encoder("lsa:dim=8").fit(Small(NOTES, per=11)).fingerprint
    assert (
        first
        != make_encoder(f"lsa:{other if 'dim' in other else f'dim=8,{other}'}").fit(Small(NOTES)).fingerprint
    )


def test_fingerprint_follows_the_words_and_the_cleaning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prints = {Lsa().fit(Small([text] * 5)).fingerprint for text in ("edema", "pain")}
    monkeypatch.setattr("cohorts.encoders.lsa.cleaning_version", lambda: "another")
    encoder = Lsa().fit(Small(["pain"] * 5))
    assert len(prints | {encoder.fingerprint}) == 3
    encoder.save(tmp_path)
    with pytest.raises(EncoderError, match="another cleaning of notes"):
        load_encoder(tmp_path)


def test_no_word_of_the_notes_stands_in_its_folder(tmp_path: Path) -> None:
    texts = [*NOTES, "seen with family Featherstonehaugh, sepsis"]
    make_encoder("lsa:dim=16,ngrams=2").fit(Small(texts)).save(tmp_path)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) == 2
    for file in files:
        for word in ("featherstonehaugh", "sepsis", "family"):
            for code in ("utf-8", "utf-16-le"):
                assert word.encode(code) not in file.read_bytes().lower()
    encoder = load_encoder(tmp_path)
    assert encoder.encode_text(
        ["Featherstonehaugh"]
    ).any()  # it is known all the same: the folder is patient data


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda about: about["words"].reverse(), "was changed since it was saved"),
        (lambda about: about["settings"].update(seed=5), "was changed since it was saved"),
        (lambda about: about["settings"].update(dim=64), "was changed since it was saved"),
        (lambda about: about["words"].pop(), "damaged: idf has the shape"),
        (lambda about: about.update(directions=3), "damaged: directions has the shape"),
        (lambda about: about["settings"].update(dim=1), "at least 2"),
    ],
)
def test_a_changed_folder_is_refused(trained: Lsa, tmp_path: Path, change: Any, told: str) -> None:
    trained.save(tmp_path)
    about = json.loads((tmp_path / ABOUT).read_text())
    change(about)
    (tmp_path / ABOUT).write_text(json.dumps(about))
    with pytest.raises(EncoderError, match=told):
        load_encoder(tmp_path)


@pytest.mark.parametrize(
    "texts", [["sepsis"], ["hip pain"], ["hip pain", "sepsis"], ["pain"] * 9, ["a b", "a b c"]]
)
def test_fewer_units_or_words_than_numbers(texts: list[str], tmp_path: Path) -> None:
    encoder = Lsa().fit(Small(texts))
    vectors = encoder.encode(Small(texts).batch)
    assert vectors.shape == (len(texts), 256)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.isfinite(vectors).all()
    assert encoder.describe()["directions"] <= min(len(texts), len(set(" ".join(texts).split())))
    asked = encoder.encode_text([texts[0]])
    np.testing.assert_allclose(asked[0] @ vectors[0], 1, atol=1e-5)
    encoder.save(tmp_path)
    assert load_encoder(tmp_path).encode(Small(texts).batch).tobytes() == vectors.tobytes()


def test_the_smallest_space_holds_one_direction() -> None:
    vectors = make_encoder("lsa:dim=2").fit(Small(NOTES)).encode(Small(NOTES).batch)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.abs(vectors).min() > 0


def test_what_a_word_adds_sums_to_the_cosine(trained: Lsa) -> None:
    found = trained.encode(Small(NOTES[:8]).batch)
    for text in ASKED:
        told = trained.explain_text(text, found)
        cosines = (trained.encode_text([text]) @ found.T)[0]
        assert len(told) == 8
        for words_, cosine in zip(told, cosines, strict=True):
            assert {word for word, _ in words_} <= set(words(clean(text)))
            assert sum(share for _, share in words_) == pytest.approx(float(cosine), abs=1e-5)
            assert [share for _, share in words_] == sorted((share for _, share in words_), reverse=True)
    (first, *_), *_ = trained.explain_text("weakness and sepsis and xyzzy", found[1:2])
    assert first[0] == "sepsis"  # of unit 1


def test_a_source_with_nothing_to_read_is_told() -> None:
    for source, told in (
        (Small(codes=[()]), "holds no notes, and lsa needs them: use codes"),
        (Small(["", None, "..."]), "finds no word in the notes"),
        (Small([]), "finds no word in the notes"),
    ):
        with pytest.raises(EncoderError, match=told):
            Lsa().fit(source)
    with pytest.raises(
        EncoderError, match=r"stands in 3 units, and in no more than 50% of them\. There are 4"
    ):
        make_encoder("lsa:min_df=3,max_df=.5").fit(Small(["a b", "a", "a", "a c"]))
    with pytest.raises(
        EncoderError, match=r"of the 1 units drawn none has a word .* There are 4 .* lsa:sample=4"
    ):
        make_encoder("lsa:min_df=2,sample=1").fit(Small(["x", "a b", "a b", "y z"]))
    with pytest.raises(EncoderError, match="not trained yet"):
        Lsa().encode_text(["sepsis"])
    for spec, told in (
        ("lsa:dim=1", "at least 2"),
        ("lsa:min_df=0", "at least 1"),
        ("lsa:max_df=0", "a share, above 0"),
        ("lsa:max_df=1.5", "a share, above 0"),
        ("lsa:sample=0", "at least 1"),
        ("lsa:rank=3", "a key of dim"),
    ):
        with pytest.raises(EncoderError, match=told):
            make_encoder(spec)


def test_notes_of_a_unit_are_one_text() -> None:
    batch = Small(["hip pain", "sepsis"]).batch
    more = batch.notes[:1].assign(text="sepsis")
    batch = replace(batch, notes=pd.concat([batch.notes, more], ignore_index=True))
    encoder = Lsa().fit(Small(["hip pain", "sepsis", "stroke"]))
    one = encoder.encode(Small(["hip pain\nsepsis", "sepsis"]).batch)
    assert encoder.encode(batch).tobytes() == one.tobytes()


def test_a_space_that_learnt_from_equal_rows_has_one_direction() -> None:
    from scipy.sparse import csr_array

    rows = csr_array(np.ones((5, 3), np.float32))
    space = Latent.learn(rows, np.full(3, 5), 5, 16, sublinear=True, seed=0)
    assert space.directions.shape == (3, 1)
    np.testing.assert_allclose(np.abs(space.units(rows)[:, 0]), 1, atol=1e-6)
    np.testing.assert_allclose(space.idf, 1, atol=1e-6)
