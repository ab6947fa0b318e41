"""Retrieval quality: figures by hand, questions without leaks, rankings against naive ones, and the command line."""

import csv
import gzip
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from cohorts.connectors.base import Collection
from cohorts.connectors.index import Flat, Hnsw, Index, Ivf, SearchParams
from cohorts.connectors.registry import connect
from cohorts.encoders.features.codes import tokens_of
from cohorts.encoders.pooling import unit_rows
from cohorts.errors import InputError
from cohorts.harness.evaluate.data import words as word_counts
from cohorts.harness.evaluate.data.encoders import parse_contestant
from cohorts.harness.evaluate.data.text_baselines import TfIdf
from cohorts.harness.evaluate.data.words import Bm25, WordCounter
from cohorts.harness.evaluate.retrieval import as_published, grades, leaks, proxies, questions, rankings
from cohorts.harness.evaluate.retrieval.plan import Plan, routes_through
from cohorts.harness.evaluate.retrieval.population import (
    CohortBy,
    Population,
    age_bands,
    read_labelled,
    read_patients,
)
from cohorts.harness.evaluate.retrieval.scorers import (
    OF_CODES,
    AtRandom,
    ByCodes,
    ByDemographics,
    ByVectors,
    GroupCounter,
    Seen,
    by_rare_codes,
    groups_of,
)
from cohorts.harness.reports import published
from cohorts.measures import intervals, ranking
from cohorts.records.base import Batch, Source, joined_notes
from cohorts.records.codes import phenotypes as phenotyping
from cohorts.records.codes.phenotypes import load_phenotypes
from cohorts.records.codes.prefixes import FIELDS
from cohorts.records.notes.cleaning import clean, words
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize
from cohorts.records.tables import partition
from cohorts.records.withheld import Withheld, WithheldSource
from command_line import ok, refused, run
from hypothesis import given
from hypothesis import strategies as st

HITS = np.array([[1, 0, 1, 0], [0, 0, 0, 1]], np.bool_)
MATCHES = np.array([2, 8])


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hospital") / "tables"
    synthesize(folder, 250, seed=3)
    return folder


@pytest.fixture
def source(tables: Path, tmp_path: Path) -> Iterator[Source]:
    with open_source("mimic3", tables, work_dir=tmp_path, quarantine_file=tmp_path / "bad.csv") as opened:
        yield opened


def people(n: int = 60, cohorts: int = 2, seed: int = 0) -> Population:
    """Return n units of n // 2 patients, each in every cohort with probability .3."""
    rng = np.random.default_rng(seed)
    member = rng.random((n, cohorts)) < 0.3
    names = [f"c{i}" for i in range(cohorts)]
    return Population([f"u{i}" for i in range(n)], rng.permutation(n) // 2, names, member, {})


def test_recall_and_f1_by_hand() -> None:
    np.testing.assert_allclose(ranking.recall(HITS, 3, MATCHES), [2 / 2, 0])
    np.testing.assert_allclose(ranking.recall(HITS, 4, MATCHES), [1, 1 / 8])
    np.testing.assert_allclose(ranking.f1(HITS, 4, MATCHES), [4 / 6, 2 / 12])
    np.testing.assert_allclose(ranking.capped_recall(HITS, 4, MATCHES), [1, 1 / 4])
    np.testing.assert_allclose(ranking.average_precision(HITS, MATCHES), [(1 + 2 / 3) / 2, (1 / 4) / 4])
    np.testing.assert_allclose(ranking.precision_ceiling(MATCHES, 4), [2 / 4, 1])
    np.testing.assert_allclose(ranking.recall_ceiling(MATCHES, 4), [1, 4 / 8])
    np.testing.assert_allclose(ranking.f1_ceiling(MATCHES, 4), [4 / 6, 8 / 12])


@given(
    st.integers(1, 40).flatmap(
        lambda n: st.tuples(
            st.lists(st.booleans(), min_size=n, max_size=n), st.integers(0, 30), st.integers(1, 40)
        )
    )
)
def test_no_figure_exceeds_its_ceiling(case: tuple[list[bool], int, int]) -> None:
    row, unseen, k = case
    hits = np.array([row], np.bool_)
    matches = hits.sum(axis=1) + unseen
    k = min(k, len(row))
    if not matches[0]:
        return
    assert ranking.precision(hits, k) <= ranking.precision_ceiling(matches, k) + 1e-12
    assert ranking.recall(hits, k, matches) <= ranking.recall_ceiling(matches, k) + 1e-12
    assert ranking.f1(hits, k, matches) <= ranking.f1_ceiling(matches, k) + 1e-12
    for values in (
        ranking.capped_recall(hits, k, matches),
        ranking.ndcg(hits, k, matches),
        ranking.average_precision(hits[:, :k], matches),
    ):
        assert 0 <= values[0] <= 1 + 1e-12
    best = np.sort(hits, axis=1)[:, ::-1]
    if not unseen:
        assert ranking.precision(best, k) == pytest.approx(ranking.precision_ceiling(matches, k))


def test_a_cohort_by_principal_diagnosis_is_that_of_the_last_admission(source: Source, tables: Path) -> None:
    stays = (
        pd.read_csv(tables / "ADMISSIONS.csv")
        .sort_values("ADMITTIME")
        .drop_duplicates("SUBJECT_ID", keep="last")
    )
    codes = pd.read_csv(tables / "DIAGNOSES_ICD.csv", dtype={"ICD9_CODE": str})
    codes = codes[codes["HADM_ID"].isin(stays["HADM_ID"]) & (codes["SEQ_NUM"] == 1)]
    theirs = set(codes["SUBJECT_ID"][codes["ICD9_CODE"].str.startswith("428")].astype(str))
    narrow, wide = (read_patients(source, ["heart_failure"], by) for by in (CohortBy.PRIMARY, CohortBy.ANY))
    inside = {unit for unit, own in zip(narrow.ids, narrow.member[:, 0], strict=True) if own}
    assert inside == theirs
    assert 0 < narrow.member.sum() < wide.member.sum()
    assert not (narrow.member & ~wide.member).any()


def test_cohorts_by_principal_diagnosis_through_the_command(tables: Path, tmp_path: Path) -> None:
    asked = f"evaluate retrieval --source mimic3 --path {tables} --out {tmp_path}/out --k 10 --cohort sepsis"
    ok(f"{asked} --cohort-by primary --queries 5")
    told = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert told["plan"]["cohort_by"] == "primary"
    assert "as principal diagnosis" in (tmp_path / "out" / "report.html").read_text()
    assert "answers to other questions" in refused(f"{asked} --queries 5")
    assert "leave out --cohort-by" in refused(f"{asked} --labels text --cohort-by any")


@pytest.mark.parametrize("folds", [1, 5])
def test_nobody_asked_about_is_learnt_from(folds: int) -> None:
    population = people(200)
    made = questions.deal(population, folds, 10_000, seed=1)
    assert leaks.shared_patients(population, made) == 0
    assert [len(fold.training) for fold in made] == pytest.approx([160] * folds, abs=2)
    asked = [(unit, name) for fold in made for unit, name in zip(fold.units, fold.cohort, strict=True)]
    assert len(set(asked)) == len(asked)
    for fold in made:
        for _, alike, others in questions.blocks(population, fold):
            assert alike.any(axis=1).all()
            assert not alike[~others].any()
        for unit, name, wanted in zip(fold.units, fold.cohort, fold.wanted, strict=True):
            assert population.member[unit, population.cohorts.index(name)]
            assert wanted.sum() == 1
    if folds == 5:  # everybody is asked about once in each of their cohorts, one unit of a patient
        for column, name in enumerate(population.cohorts):
            patients = set(population.patient[population.member[:, column]])
            assert {population.patient[unit] for unit, of in asked if of == name} == patients


def test_as_many_are_asked_about_as_wanted() -> None:
    made = questions.deal(people(200), 5, 7, seed=1)
    names = np.concatenate([fold.cohort for fold in made])
    assert dict(zip(*np.unique(names, return_counts=True), strict=True)) == {"c0": 7, "c1": 7}


def test_whoever_is_alone_in_a_cohort_is_not_asked_about() -> None:
    population = people(40)
    population.member[:] = False
    population.member[0, 0] = True
    with pytest.raises(InputError, match="nobody to ask about"):
        questions.deal(population, 5, 100, seed=0)


def test_exact_rankings_are_naive_ones() -> None:
    population, rng = people(), np.random.default_rng(5)
    vectors = unit_rows(rng.normal(size=(60, 8)).astype(np.float32))
    vectors[7] = 0
    for fold in questions.deal(population, 5, 100, seed=0):
        made = rankings.rank_exactly(ByVectors(vectors), population, fold, 20, seed=0)
        hits, matches = rankings.hits_of(made.found, population, fold), rankings.matches_of(population, fold)
        for question, unit in enumerate(fold.units):
            others = [
                i for i in range(60) if population.patient[i] != population.patient[unit] and vectors[i].any()
            ]
            best = (
                sorted(others, key=lambda i: -float(vectors[i] @ vectors[unit]))
                if vectors[unit].any()
                else []
            )
            assert [i for i in made.found[question] if i >= 0] == best[:20]
            column = population.cohorts.index(fold.cohort[question])
            alike = {
                i
                for i in range(60)
                if population.member[i, column] and population.patient[i] != population.patient[unit]
            }
            assert matches[question] == len(alike)
            assert hits[question].tolist() == [i in alike for i in [*best, *[-1] * 20][:20]]
            found = len(set(best[: len(alike)]) & alike) / len(alike)
            assert made.r_precision[question] == pytest.approx(found)


def test_random_rankings_reach_the_base_rate() -> None:
    population = people(600, 3)
    (fold,) = questions.deal(population, 1, 1_000, seed=0)
    made = rankings.rank_exactly(AtRandom(600, 0), population, fold, 50, seed=0)
    hits, matches = rankings.hits_of(made.found, population, fold), rankings.matches_of(population, fold)
    low, high = intervals.of_mean(ranking.precision(hits, 50), np.random.default_rng(0))
    assert low <= (matches / 598).mean() <= high


def test_ties_are_in_no_order() -> None:
    population = people(400, 1)
    population.member[:, 0] = np.arange(400) < 200  # the first ones: a stable order would find them first
    (fold,) = questions.deal(population, 1, 1_000, seed=0)
    same = ByVectors(np.ones((400, 1), np.float32))
    made = rankings.rank_exactly(same, population, fold, 50, seed=0)
    hits = rankings.hits_of(made.found, population, fold)
    assert 0.3 < ranking.precision(hits, 50).mean() < 0.7


@pytest.mark.parametrize(
    ("store", "index"),
    [("qdrant:{}/s", Flat()), ("qdrant:{}/s", Hnsw()), ("milvus:{}/s.db", Ivf(nlist=8))],
    ids=["qdrant-flat", "qdrant-hnsw", "milvus-ivf"],
)
def test_an_index_finds_the_neighbours_and_its_loss_is_told(store: str, index: Index, tmp_path: Path) -> None:
    population, rng = people(800), np.random.default_rng(5)
    vectors = unit_rows(rng.normal(size=(800, 16)).astype(np.float32))
    vectors[3] = 0
    (fold,) = questions.deal(population, 1, 100, seed=0)
    exact = rankings.rank_exactly(ByVectors(vectors), population, fold, 20, seed=0)
    search = SearchParams(nprobe=1) if isinstance(index, Ivf) else SearchParams()
    with connect(store.format(tmp_path)) as connector:
        made = rankings.rank_through(
            connector, Collection("c", 16, index, search=search), vectors, population, fold, exact, [10, 20]
        )
        assert connector.collections() == []
    for k in (10, 20):
        for question, unit in enumerate(fold.units):
            own = population.patient[made.found[question]] == population.patient[unit]
            assert not own[made.found[question] >= 0].any()
            naive = len({*exact.found[question, :k]} & {*made.found[question, :k]} - {-1})
            assert made.recall[k][question] == pytest.approx(naive / k) or unit == 3
        if not isinstance(index, Ivf):
            assert np.nanmean(made.recall[k]) > 0.95
    if isinstance(index, Ivf):
        assert np.nanmean(made.recall[10]) < 1  # it looks into some of the cells

    file = tmp_path / "r.parquet"
    rankings.keep_ranking(file, made, population, fold)
    again = rankings.read_ranking(file, population)
    np.testing.assert_array_equal(again.found, made.found)
    np.testing.assert_array_equal(again.recall[20], made.recall[20])
    assert again.note == made.note


def test_questions_may_have_vectors_of_their_own(tmp_path: Path) -> None:
    """What lies on one side asks for the other one: exactly, and through an engine."""
    population, rng = people(200), np.random.default_rng(5)
    (fold,) = questions.deal(population, 1, 1_000, seed=0)
    side = np.arange(200) < 100
    on_axis = np.eye(2, 8, dtype=np.float32)[side.astype(int)]
    vectors = unit_rows(on_axis + 0.1 * rng.random((200, 8), np.float32))
    asked = np.eye(2, 8, dtype=np.float32)[(~side).astype(int)]
    asked[fold.units[0]] = 0
    exact = rankings.rank_exactly(ByVectors(vectors, asked), population, fold, 20, seed=0)
    with connect(f"qdrant:{tmp_path}/s") as connector:
        made = rankings.rank_through(
            connector, Collection("c", 8, Flat()), vectors, population, fold, exact, [20], asked
        )
    for found in (exact.found, made.found):
        nobody = fold.units == fold.units[0]
        assert (found[nobody] == -1).all()
        assert (side[found[~nobody]] != side[fold.units[~nobody]][:, None]).all()
    assert (made.recall[20][~nobody] == 1).all()


def batch(units: Mapping[str, Mapping[str, Sequence[str]]]) -> Batch:
    """Return units of one patient each, by id, with their `drugs` and `notes`."""
    codes = [(unit, "drug", "", drug) for unit, one in units.items() for drug in one.get("drugs", ())]
    notes = [(unit, text) for unit, one in units.items() for text in one.get("notes", ())]
    return Batch(
        pd.DataFrame({"unit_id": list(units), "patient_id": list(units)}),
        pd.DataFrame(codes, columns=["unit_id", "kind", "system", "code"]),
        pd.DataFrame(notes, columns=["unit_id", "text"]),
        pd.DataFrame(columns=["unit_id"]),
    )


def test_idf_cosine_of_codes_by_hand() -> None:
    """All have heparin, two furosemide, one digoxin, and one unit has nothing."""
    drugs = {
        "a": ["Heparin", "Furosemide"],
        "b": ["Heparin", "Furosemide"],
        "c": ["Heparin", "Digoxin"],
        "d": [],
    }
    counter = GroupCounter()
    counter.add(groups_of(batch({unit: {"drugs": own} for unit, own in drugs.items()})))
    made = by_rare_codes(counter.rows()[1])
    heparin, furosemide, digoxin = (np.log((1 + 4) / (1 + units_with)) + 1 for units_with in (3, 2, 1))
    scores = made.scores(np.arange(4))
    cosine = heparin**2 / (np.hypot(heparin, furosemide) * np.hypot(heparin, digoxin))
    np.testing.assert_allclose(scores[0, :3], [1, 1, cosine], rtol=1e-6)
    assert (scores[3] == -np.inf).all()
    assert (scores[:, 3] == -np.inf).all()


def test_bm25_ties_who_shares_no_word_and_leaves_out_who_has_none() -> None:
    texts = {"a": ["chest pain"], "b": ["pain"], "c": ["rash"], "d": [], "e": ["itching"]}
    notes = joined_notes(batch({unit: {"notes": own} for unit, own in texts.items()}))
    made = Bm25(WordCounter().add(notes).counts())
    scores = made.scores(np.arange(5))
    assert scores[0, 0] > scores[0, 1] > 0
    assert scores[0].tolist()[2:] == [0, -np.inf, 0]
    assert (scores[3] == -np.inf).all()
    others = WordCounter().add(["", "rash", "pain", "rash", "unheard"]).counts()
    asked = made.asked_by(others).scores(np.arange(5))
    assert (asked[0] == -np.inf).all()
    assert asked[1].argmax() == asked[3].argmax() == 2
    assert asked[4].tolist() == [0, 0, 0, -np.inf, 0]
    np.testing.assert_array_equal(made.scores(np.arange(5)), scores)  # the first one asks as before


def test_words_that_share_a_column_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["pain in the chest and pain in the arm", "", "the rash"]
    monkeypatch.setattr("cohorts.harness.evaluate.data.words.crc32", lambda _: 7)
    counts = WordCounter().add(texts).counts()
    assert counts.rows.toarray().tolist() == [[9], [0], [2]]
    assert counts.texts_with().tolist() == [2]
    assert counts.texts_with(np.array([True, True, False])).tolist() == [1]


def test_tfidf_of_counts_is_that_of_the_encoder(tmp_path: Path) -> None:
    """Words that nobody who is learnt from has count nothing."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice([f"w{i}" for i in range(60)], 12)) for _ in range(40)] + ["", "unheard"]
    learnt = np.arange(42) < 30
    made = WordCounter().add(texts).counts().tfidf(learnt)
    encoder = TfIdf()
    encoder._model.fit(texts[:30])
    expected = encoder.encode_text(texts)
    np.testing.assert_allclose((made @ made.T).toarray(), (expected @ expected.T).toarray(), atol=1e-6)
    assert abs(made).sum(axis=1)[-2:].tolist() == [0, 0]


def test_baselines_of_a_source_are_read_batch_by_batch(
    source: Source, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Seen.read(source)
    monkeypatch.setattr(partition, "PART_BYTES", 500_000)
    (tmp_path / "other").mkdir()
    with open_source(
        "mimic3", tables, work_dir=tmp_path / "other", quarantine_file=tmp_path / "b.csv"
    ) as again:
        batches = list(again.batches())
        parts = Seen.read(again)
    assert len(batches) > 2
    unit = [one for batch in batches for one in batch.units["unit_id"]]
    order = np.argsort(unit)  # parts have an order of their own
    whole_order = np.argsort(read_patients(source).ids)
    assert (parts.groups, parts.has_codes) == (whole.groups, True)
    assert parts.groups == sorted({str(token) for one in batches for token in tokens_of(one.codes)})
    assert (parts.codes[order] != whole.codes[whole_order]).nnz == 0
    assert (parts.words.rows[order] != whole.words.rows[whole_order]).nnz == 0
    np.testing.assert_array_equal(parts.age[order], whole.age[whole_order])


def test_a_planted_leak_is_found(source: Source) -> None:
    names = ["sepsis", "heart_failure"]
    withheld = WithheldSource(source, Withheld(("sepsis",), text=True))
    found, late = leaks.find_leaks("seen", names, source.batches(), withheld.batches())
    sepsis, heart = found
    assert (sepsis.codes_left, sepsis.mentions_left) == (0, 0)
    assert sepsis.codes_taken > 0
    assert sepsis.mentions_taken > 0
    assert heart.codes_left > 0
    assert (heart.codes_taken, heart.mentions_taken) == (0, 0)
    assert late.notes > 0
    (told,) = leaks.verdict(found, 0)
    assert "codes that state heart_failure stand in what encoders see" in told
    assert leaks.verdict([sepsis], 0) == []
    assert "2 patients are asked about and learnt from" in leaks.verdict([sepsis], 2)[0]


def test_what_withholding_forgets_the_report_counts(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """Septic shock states sepsis, whatever the lists of phenotypes say."""
    whole = list(source.batches())
    codes, unit = whole[0].codes, whole[0].units["unit_id"].iloc[0]
    shock = pd.DataFrame({"unit_id": [unit], "kind": "diagnosis", "system": "ICD-9", "code": "78552"})
    whole[0] = replace(whole[0], codes=pd.concat([codes, shock], ignore_index=True))
    withheld = Withheld(("sepsis",))
    ((all_taken,), _) = leaks.find_leaks("seen", ["sepsis"], whole, map(withheld.apply, whole))
    assert all_taken.codes_left == 0
    before = Withheld(("sepsis",), implied=False)
    ((shock_left,), _) = leaks.find_leaks("seen", ["sepsis"], whole, map(before.apply, whole))
    assert (shock_left.codes_left, shock_left.codes_taken) == (1, all_taken.codes_taken - 1)
    assert "1 codes that state sepsis" in leaks.verdict([shock_left], 0)[0]
    monkeypatch.setattr(phenotyping, "_stating", lambda *_: ())
    ((all_left,), _) = leaks.find_leaks("seen", ["sepsis"], whole, map(withheld.apply, whole))
    assert (all_left.codes_left, all_left.codes_taken) == (all_taken.codes_taken, 0)


def test_the_reports_codes_and_those_withheld_cover_the_same() -> None:
    """They are two lists, and a code that stands in one alone is a mistake in the other."""
    assert set(leaks.leak_codes()) == {one.name for one in load_phenotypes()}
    for one in load_phenotypes():
        for system, field in FIELDS.items():
            listed = sorted(leaks.leak_codes()[one.name][system])
            assert listed == sorted({*getattr(one, field), *getattr(one, f"implies_{field}")})


# Of the CCS groups of a cohort that hold little else, the codes that state it neither by name nor by rule.
SAY_LESS = {
    "acute_kidney_injury": {"586"},
    "acute_myocardial_infarction": set(),
    "asthma": set(),
    "copd": {"490", "494", "4940", "4941"},  # bronchitis that is not said to be chronic, bronchiectasis
    "gi_haemorrhage": set(),
    "heart_failure": set(),
    "hip_fracture": set(),
    "pneumonia": {"0212", "0221", "0310", "0391", "0830", "1124", "1140", "1144", "1145", "5130"},
    "sepsis": {"449", "7907"},  # septic embolism, bacteraemia
    "stroke": {"4320", "4321", "4329", "4340", "43400", "4341", "43410", "4349", "43490"},
}


def test_codes_of_a_cohorts_ccs_groups_state_it_or_are_known_to_say_less(shared_data: Path) -> None:
    groups = {one.name: set(one.ccs) for one in load_phenotypes()}
    unstated: dict[str, set[str]] = {name: set() for name in SAY_LESS}
    with gzip.open(shared_data / "code-maps" / "ccs_icd9_dx_2015.csv.gz", "rt") as stream:
        for row in csv.DictReader(stream):
            for name, found in unstated.items():
                stated = row["icd9_code"].startswith(leaks.leak_codes()[name]["ICD-9"])
                if row["ccs_category"] in groups[name] and not stated:
                    found.add(row["icd9_code"])
    assert unstated == SAY_LESS


def test_every_listed_code_exists(shared_data: Path) -> None:
    """In ICD-9-CM; of ICD-10-CM the equivalence mappings have a part only."""
    with gzip.open(shared_data / "code-maps" / "ccs_icd9_dx_2015.csv.gz", "rt") as stream:
        known = [row["icd9_code"] for row in csv.DictReader(stream)]
    for name, lists in leaks.leak_codes().items():
        for prefix in lists["ICD-9"]:
            assert any(code.startswith(prefix) for code in known), (name, prefix)


def planted_hospital(tables: Path, folder: Path) -> tuple[Path, list[str], list[str]]:
    """Copy a hospital and plant what finds hip fractures; return folder, members and others.

    Drug planted: 10 members and nobody else's but one (.909). Drug toofew: 9 and one (.9). Drug missed: 8 and one
    (.889). Word rareword: 4 members; word commonword: all of them.
    """
    shutil.copytree(tables, folder)
    codes = pd.read_csv(folder / "DIAGNOSES_ICD.csv", dtype=str)
    hips = codes["SUBJECT_ID"][codes["ICD9_CODE"].str.startswith("820")].unique().tolist()
    others = sorted({*codes["SUBJECT_ID"]} - {*hips})
    stays = codes.drop_duplicates("SUBJECT_ID").set_index("SUBJECT_ID")["HADM_ID"]
    drugs = pd.read_csv(folder / "PRESCRIPTIONS.csv", dtype=str)
    notes = pd.read_csv(folder / "NOTEEVENTS.csv", dtype=str)
    plan = {
        "planted": [*hips[:10], others[0]],
        "toofew": [*hips[:9], others[1]],
        "missed": [*hips[:8], others[2]],
    }
    for drug, patients in plan.items():
        more = [
            drugs.iloc[0].to_dict() | {"SUBJECT_ID": one, "HADM_ID": stays[one], "DRUG": drug}
            for one in patients
        ]
        drugs = pd.concat([drugs, pd.DataFrame(more)])
    for word, patients in {"rareword": hips[:4], "commonword": hips}.items():
        more = [
            notes.iloc[0].to_dict() | {"SUBJECT_ID": one, "HADM_ID": stays[one], "TEXT": word}
            for one in patients
        ]
        notes = pd.concat([notes, pd.DataFrame(more)])
    drugs.to_csv(folder / "PRESCRIPTIONS.csv", index=False)
    notes.to_csv(folder / "NOTEEVENTS.csv", index=False)
    return folder, hips, others


def test_planted_proxies_are_named_with_their_figures(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, hips, others = planted_hospital(tables, tmp_path / "hospital")
    assert len(hips) >= 11
    monkeypatch.chdir(tmp_path)
    read = f"evaluate retrieval --source mimic3 --path {folder} --cohort hip_fracture --k 5 --queries 5 --out report"
    code, _, told = run(read)
    assert code == 0, told
    with Path("report/proxies.csv").open(newline="") as stream:
        rows = {row["feature"]: row for row in csv.DictReader(stream)}
    assert {row["cohort"] for row in rows.values()} == {"hip_fracture"}
    base = len(hips) / len([*hips, *others])
    assert [float(row["base_rate"]) for row in rows.values()] == pytest.approx([base] * len(rows))
    planted, common, few = rows["drug:planted"], rows["word:commonword"], rows["drug:toofew"]
    assert planted["units"] == "11"
    assert float(planted["precision"]) == pytest.approx(10 / 11)
    assert float(planted["recall"]) == pytest.approx(10 / len(hips))
    assert [common[name] for name in ("units", "precision", "recall")] == [str(len(hips)), "1.0", "1.0"]
    assert [few[name] for name in ("units", "precision", "recall")] == ["5 to 10", "", ""]
    assert "drug:missed" not in rows
    assert (
        f"{len(rows)} features find hip_fracture by themselves (codes withheld; precision ≥ 0.9, recall ≥ 0.1): "
        in (told)
    )
    assert "(recall 1.00)" in told
    page = Path("report/report.html").read_text()
    assert "drug:planted" in page
    written = [file for file in Path("report").rglob("*") if file.is_file()]
    assert len(written) > 8
    assert not any(b"rareword" in file.read_bytes() for file in written)
    assert "rareword" not in told


def test_proxies_are_those_of_a_naive_count(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every feature of every unit, over several batches, with hashes that fall on one another."""
    for module in (proxies, word_counts):
        monkeypatch.setattr(module, "hash_of", lambda word: crc32(word.encode()) % 64)
    monkeypatch.setattr(partition, "PART_BYTES", 500_000)
    assert len(list(source.batches())) > 2
    population = read_patients(source, ["sepsis", "asthma"])
    seen = WithheldSource(source, Withheld(("sepsis", "asthma"), text=True))
    having: dict[str, set[str]] = defaultdict(set)
    for batch in seen.batches():
        for unit, token in zip(batch.codes["unit_id"], tokens_of(batch.codes), strict=True):
            having[str(token)].add(unit)
        for unit, text in zip(batch.notes["unit_id"], batch.notes["text"], strict=True):
            for word in words(clean(text)):
                having[f"word:{word}"].add(unit)
    expected = set()
    for column, name in enumerate(population.cohorts):
        theirs = {unit for unit, own in zip(population.ids, population.member[:, column], strict=True) if own}
        for feature, units in having.items():
            precision, recall = len(units & theirs) / len(units), len(units & theirs) / len(theirs)
            if len(units) >= 5 and precision >= 0.9 and recall >= 0.1:
                expected.add((name, feature, len(units), precision, recall))
    counts = Seen.read(seen).words
    assert len(counts.hashes) == 64
    found = proxies.find_proxies("seen", population, seen, counts)
    assert {one[1:6] for one in found} == expected
    assert {name for name, *_ in expected} == {"sepsis", "asthma"}
    assert {feature.partition(":")[0] for _, feature, *_ in expected} >= {"drug", "word"}
    recalls = [one.recall for one in found if one.cohort == "sepsis"]
    assert recalls == sorted(recalls, reverse=True)


def test_cohorts_are_those_who_have_the_diagnosis(source: Source) -> None:
    population = read_patients(source, ["sepsis"])
    codes = pd.concat([batch.codes for batch in source.batches()])
    codes = codes[codes["kind"] == "diagnosis"]
    septic = codes["code"].str.startswith(("038", "99591", "99592"))
    assert {population.ids[row] for row in np.flatnonzero(population.member[:, 0])} == set(
        codes["unit_id"][septic]
    )
    assert set(population.groups["sex"]) == {"F", "M"}
    assert set(population.groups["admission"]) == {"elective", "emergency"}
    with pytest.raises(InputError, match="no phenotype 'flu'"):
        read_patients(source, ["flu"])


def test_age_bands() -> None:
    bands = age_bands(pd.Series([0, 44.9, 45, 79, 80, 90, np.nan]))
    assert bands.tolist() == ["under 45", "under 45", "45-64", "65-79", "80 and over", "80 and over", ""]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    file = tmp_path / "notes.csv"
    topics = {
        "heart": "furosemide oedema dyspnoea",
        "knee": "pain swelling trauma",
        "skin": "rash itching cream",
    }
    rows = [
        {
            "id": f"{topic}{i}",
            "text": f"{words} visit {i}",
            "topic": f"{topic};Visit  {i % 2}",
            "more": "none",
        }
        for topic, words in topics.items()
        for i in range(12)
    ]
    pd.DataFrame(rows).to_csv(file, index=False)
    return file


def test_labels_may_be_several(notes: Path, tmp_path: Path) -> None:
    columns = {"id": "id", "text": "text"}
    with open_source(
        "notes-csv", notes, work_dir=tmp_path, quarantine_file=tmp_path / "b.csv", columns=columns,
        labels=["topic", "more"],
    ) as source:  # fmt: skip
        population = read_labelled(source, ["topic", "more"])
        with pytest.raises(InputError, match="keeps no label 'other'"):
            read_labelled(source, ["other"])
        with pytest.raises(InputError, match="No two of 36 documents"):
            read_labelled(source, ["more"])
    assert population.cohorts == ["heart", "knee", "skin", "visit 0", "visit 1"]
    (fold,) = questions.deal(population, 1, 100, seed=0)
    ((_, alike, _),) = questions.blocks(population, fold)
    assert alike.sum(axis=1).tolist() == [11 + 12] * len(
        fold
    )  # of the topic, and of the other two's same visits
    assert set(fold.cohort) == {"topic or more"}


def test_grades_by_hand(source: Source) -> None:
    batches = list(source.batches())
    of = grades.OfRecords(source, ["sepsis"])
    rows = np.array([0, 5])
    made = of.of(rows)
    assert made.shape == (2, len(read_patients(source)))
    assert (made.min(), made.max()) >= (0, 0)
    assert made.max() <= 1
    np.testing.assert_allclose(made[0, 5], made[1, 0])
    bare = [Withheld(("sepsis",)).apply(batch) for batch in batches]
    units = pd.concat([batch.units for batch in bare], ignore_index=True)
    expected = []
    for kind in ("diagnosis", "drug"):
        counter = GroupCounter()
        for one in bare:
            counter.add(groups_of(replace(one, codes=one.codes[one.codes["kind"] == kind])))
        expected.append(ByCodes(counter.rows()[1]).jaccard(rows))
    ended = (units["died"].to_numpy()[rows][:, None] == units["died"].to_numpy()).astype(float)
    np.testing.assert_allclose(made, (expected[0] + expected[1] + ended) / 3, atol=1e-6)
    seen = Seen.read(source)
    assert ByDemographics(seen.sex, seen.age).scores(rows)[0, 0] == 1


def test_ndcg_by_grades_by_hand() -> None:
    made, best = np.array([[0.5, 1.0], [0.0, 0.0]]), np.array([[1.0, 0.5], [0.0, 0.0]])
    discount = 1 / np.log2([2, 3])
    (first, nothing) = grades.graded_ndcg(made, best, 2)
    assert first == pytest.approx((0.5 * discount[0] + discount[1]) / (discount[0] + 0.5 * discount[1]))
    assert np.isnan(nothing)


def test_judgements_are_checked_and_compared(source: Source, tmp_path: Path) -> None:
    population, of = read_patients(source), grades.OfRecords(source, ["sepsis"])
    file = tmp_path / "pairs.csv"
    pairs = [(a, b) for a in range(12) for b in range(a)]
    rows = [(population.ids[a], population.ids[b], float(of.of(np.array([a]))[0, b])) for a, b in pairs]
    pd.DataFrame(rows, columns=["patient", "other", "grade"]).to_csv(file, index=False)
    judged = grades.Judged(file, population)
    correlation, many = grades.agreement(judged, of)
    assert (correlation, many) == pytest.approx((1, len(pairs)))
    assert judged.of(np.array([0]))[0, 5] == pytest.approx(judged.of(np.array([5]))[0, 0])
    for text, told in (
        ("patient,other\n1,2\n", r"has no column grade .*It has: patient, other\."),
        ("patient,other,grade\n1,2,high\n", "a grade is a number of 0 or more"),
        ("patient,other,grade\nx,y,1\n", "2 ids are no units"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=told):
            grades.Judged(file, population)


def test_the_whole_on_a_synthetic_hospital(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = (
        f"evaluate retrieval --source mimic3 --path {tables} --cohort sepsis --cohort heart_failure "
        "--encoder w=word2vec:dim=16,min_count=2 --withhold-text --leave-codes --store qdrant:s --store milvus:m.db "
        "--index hnsw --k 5 --k 10 --queries 8 --out report"
    )
    code, shown, told = run(command)
    assert code == 0, told
    assert "SYNTHETIC" in shown.upper()
    assert "LEAK: " in told
    assert "codes withheld, searched exactly" in shown
    out = Path("report")
    frame = pd.read_csv(out / "figures.csv")
    ways = frame[["view", "encoder", "route"]].drop_duplicates()
    baselines, routes = ["random", *OF_CODES, "BM25", "TF-IDF"], 3
    assert set(baselines) < set(ways["encoder"])
    assert len(ways) == 3 * (len(baselines) + 2 * routes)
    wide = frame.pivot_table(
        index=["view", "encoder", "route", "cohort", "k"], columns="measure", values="mean"
    )
    for name in ("precision", "recall", "f1"):
        assert (wide[name] <= wide[f"{name}_ceiling"] + 1e-9).all()
    through = wide["neighbour_recall"].dropna()
    assert set(through.index.get_level_values("encoder")) == {"w", "w, centred"}
    assert through.min() > 0.9
    left = pd.read_csv(out / "leaks.csv").groupby("view")[["codes_left", "mentions_left"]].sum().to_dict()
    assert left["codes_left"]["codes withheld"] == 0
    assert left["mentions_left"]["codes and mentions withheld"] == 0
    assert left["codes_left"]["nothing withheld"] > 0
    page = (out / "report.html").read_text()
    assert page.count("<strong>LEAK</strong>") == 2
    assert "Synthetic data." in page
    assert "Too small to conclude." in page
    assert "0.67 to 0.76; possible there: 0.020" in page
    assert "0.69 to 0.79; possible there: 0.017" in page
    assert "Published recall above what is possible" in page
    beside = page.split("The cohort paper's Table 2")[1].split("Notes by category")[0]
    rows = [cells for row, cells in published.RETRIEVAL_MIMIC3.rows.items() if row[0] != "Diabetes"]
    printed = iter(re.findall(r'<td class="published">(.+?)</td>', beside))
    assert sorted(zip(printed, printed, printed, strict=True)) == sorted(rows)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["patients_asked_about_and_learnt_from"] == 0
    tests = pd.read_csv(out / "comparisons.csv")
    assert ((tests["p_wilcoxon"] >= 0) & (tests["p_wilcoxon"] <= 1)).all()

    files = sorted(out.glob("rankings/**/*.parquet"))
    written = [file.stat().st_mtime_ns for file in files]
    files[0].unlink()
    ok(command)
    assert [file.stat().st_mtime_ns for file in files][1:] == written[
        1:
    ]  # the missing one alone is ranked again
    assert pd.read_csv(out / "figures.csv").equals(frame)
    assert "answers to other questions" in refused(command.replace("--queries 8", "--queries 9"))


def test_the_papers_table_stands_beside_what_has_its_model_and_index() -> None:
    """Of the paper's k, models and kinds of index, and of nothing else."""
    encoders = [
        "c=bert:clinicalbert",
        "f=fused:gated,model=/models/biobert-base-cased-v1.1",
        "s=fused:structured",
    ]
    routes = routes_through(["qdrant:q"], ["hnsw ef_search=128", "annoy", "flat"])
    plan = Plan([parse_contestant(one) for one in encoders], {}, routes)
    hnsw, annoy, flat = (one.name for one in routes)
    ways = [("c", "exact"), ("c", hnsw), ("c, centred", hnsw), ("c", flat), ("f", annoy), ("s", hnsw)]
    asked = ["sepsis", "heart_failure", "asthma"]
    figures = pd.DataFrame(
        [
            ("codes withheld", encoder, route, k, measure, cohort, k / 1000 + place / 10)
            for encoder, route in ways
            for k in (50, 100)
            for place, measure in enumerate(as_published.MEASURES)
            for cohort in (*asked, "all")
        ],
        columns=["view", "encoder", "route", "k", "measure", "cohort", "mean"],
    )
    made = as_published.beside(figures, asked, plan, as_published.table_of("mimic3"))
    there = made.dropna(subset="encoder")
    assert there[["model", "index", "encoder", "route"]].drop_duplicates().to_numpy().tolist() == [
        ["ClinicalBERT", "HNSW", "c", hnsw],
        ["ClinicalBERT", "HNSW", "c, centred", hnsw],
        ["BioBERT", "ANNOY", "f", annoy],
    ]
    assert (there["precision"] == 0.1).all()  # at 100, not at 50
    assert list(made["cohort"].unique()) == ["sepsis", "heart_failure"]
    assert len(made.drop_duplicates(["cohort", "model", "index"])) == 2 * 6
    first = made.iloc[0]
    assert (first["published_precision"], first["published_recall"], first["published_f1"]) == (
        *("0.74", "0.76", "0.75 ± 0.04"),
    )
    alone = as_published.beside(
        figures, ["sepsis"], plan, as_published.table_of("mimic4")
    )  # whose figures are those of all
    assert alone["precision"].notna().sum() == 3
    assert alone["published_recall"].iloc[0] == "0.75"  # MIMIC-IV has a table of its own
    assert as_published.beside(figures, ["asthma"], plan, as_published.table_of("mimic3")).empty


@pytest.mark.filterwarnings("ignore:fused.*was still falling:UserWarning")
def test_the_best_and_the_worst_are_told_with_reasons(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = (
        f"evaluate retrieval --source mimic3 --path {tables} --cohort sepsis --k 5 --queries 8 --out report "
        "--encoder f=fused:structured,objective=multitask,epochs=1,dim=16"
    )
    ok(command)
    told = pd.read_csv("report/extremes.csv", keep_default_na=False)
    fused = told[told["encoder"] == "f"]
    assert fused["place"].tolist() == ["best"] * 3 + ["worst"] * 3
    assert fused["precision"].tolist()[:3] == sorted(fused["precision"], reverse=True)[:3]
    assert fused["reasons"].str.fullmatch(r"notes 0%(; [^;]+ \d+°){1,5}").all()
    assert not fused["reasons"].str.contains("septic|sepsis").any()  # it is withheld
    assert (told.loc[told["encoder"] == "random", "reasons"] == "").all()
    assert "what its vector is made of" in Path("report/report.html").read_text()
    ok(command)  # from what was kept
    assert pd.read_csv("report/extremes.csv", keep_default_na=False).equals(told)


def test_real_records_without_notes_run_through_and_are_too_few(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    read = f"--source mimic3 --path {shared_data}/mimic3-demo --cohort sepsis --k 10 --folds 5"
    code, shown, told = run(f"evaluate retrieval {read} --out report")
    assert code == 0, told
    assert "The source has no notes: TF-IDF and BM25 are left out." in told
    assert "26 questions (too few to conclude)" in shown
    assert set(pd.read_csv("report/figures.csv")["encoder"]) == {"random", *OF_CODES}
    assert "Too small to conclude." in Path("report/report.html").read_text()


def test_labelled_notes_from_the_command_line(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    read = f"evaluate retrieval --source notes-csv --path {notes} --columns id=id,text=text --labels topic --folds 5"
    ok(f"{read} --k 5 --k 11 --out report")
    frame = pd.read_csv("report/figures.csv")
    best = frame[(frame["encoder"] == "TF-IDF") & (frame["measure"] == "precision") & (frame["k"] == 5)]
    assert best["questions"].tolist() == [36]
    assert best["mean"].min() > 0.9
    assert "leave out --cohort" in refused(f"{read} --cohort sepsis --out other")
    assert "too few for k = 200" in refused(f"{read} --k 200 --out other")
    assert "name one with --store" in refused(f"{read} --index hnsw --out other")
