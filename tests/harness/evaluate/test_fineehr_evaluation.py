"""The harness: splits, scores, retrieval, summaries, and FineEHR's table from the command to the page."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cohorts.encoders.fineehr.encoder import FineEhr
from cohorts.encoders.fineehr.note_vectors import NoteVectors
from cohorts.encoders.fineehr.training import SETTINGS, Settings
from cohorts.errors import InputError, LeakageError
from cohorts.harness.evaluate import fineehr
from cohorts.harness.evaluate.base import evaluate, figures
from cohorts.harness.evaluate.data.baselines import scorers_of
from cohorts.harness.evaluate.data.classifiers import CLASSIFIERS, score
from cohorts.harness.evaluate.data.precision import precision_by_phenotype
from cohorts.harness.evaluate.data.splits import Split, SplitBy, split
from cohorts.harness.evaluate.fineehr import FineEhrTask, concatenation
from cohorts.harness.evaluate.fineehr_tables import prediction_table, summary, unimproved
from cohorts.harness.evaluate.retrieval.scorers import ByCodes, ByVectors, Seen
from cohorts.records.base import Unit
from cohorts.records.sources.partitioned import PartitionedSource
from cohorts.records.sources.registry import open_source
from cohorts.records.window import parse_window
from cohorts.records.withheld import WithheldSource, parse_withheld
from cohorts.reports import published
from cohorts.reports.long_table import Record, long_table
from command_line import ok, refused
from planted.hospital import telling_hospital
from scipy.sparse import csr_array
from scipy.stats import ttest_rel
from sklearn.feature_extraction.text import TfidfVectorizer

QUICK = "fineehr:dim=24,epochs=2,steps=200,patience=3"


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory, one_batch: None) -> Path:
    return telling_hospital(tmp_path_factory.mktemp("evaluation") / "tables", 1_000, seed=11)


def admissions(folder: Path, work: Path) -> PartitionedSource:
    return open_source("mimic3", folder, unit=Unit.ADMISSION, work_dir=work, quarantine_file=work / "bad.csv")


def made_up(n: int = 2_000) -> tuple["pd.Series[str]", "np.ndarray[tuple[int], np.dtype[np.bool_]]"]:
    """Two admissions per patient, an eighth of which end with death."""
    return pd.Series([f"p{row // 2}" for row in range(n)]), np.arange(n) % 8 == 0


@pytest.mark.parametrize("by", list(SplitBy))
def test_a_split_is_balanced_and_holds_out_a_fifth(by: SplitBy) -> None:
    patients, died = made_up()
    made = split(patients, died, by, seed=1)
    assert sorted([*made.training, *made.held_out]) == list(range(2_000))
    assert len(made.held_out) == 400
    assert set(made.train) <= set(made.training)
    assert set(made.test) <= set(made.held_out)
    for rows in (made.train, made.test):
        assert died[rows].mean() == 0.5
        assert len(set(rows)) == len(rows)
    # Survivors are sampled, the dead are all there.
    assert died[made.train].sum() == died[made.training].sum()
    shared = set(patients[made.training]) & set(patients[made.held_out])
    assert bool(shared) == (by is SplitBy.ADMISSION)
    other = split(patients, died, by, seed=2)
    assert set(other.held_out) != set(made.held_out)


def test_too_few_deaths_to_judge_by() -> None:
    patients, _ = made_up(200)
    with pytest.raises(InputError, match="at least 10 of either are needed"):
        split(patients, np.arange(200) < 12, SplitBy.PATIENT, seed=0)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_scores_are_half_by_chance_and_whole_where_the_label_is_told(classifier: str) -> None:
    rng = np.random.default_rng(0)
    died = np.arange(400) % 2 == 0
    noise = rng.normal(size=(400, 4))
    told = noise + 6 * died[:, None]
    halves = (slice(0, 200), slice(200, 400))
    by_chance = score(classifier, 0, *((noise[half], died[half]) for half in halves))
    whole = score(classifier, 0, *((told[half], died[half]) for half in halves))
    assert by_chance.auc == pytest.approx(0.5, abs=0.12)
    assert whole.auc > 0.99
    assert whole.auc_pr > 0.99


def test_precision_counts_other_patients_of_the_same_phenotype(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cohorts.harness.evaluate.data.precision.K", 2)
    angles = np.deg2rad([0, 1, 2, 5, 90, 91, 93, 180])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    vectors[7] = 0
    phenotype = np.array(["a", "a", "a", "b", "b", "b", "", "a"])
    patient = np.array([0, 0, 1, 2, 3, 4, 5, 6])
    of = phenotype, patient, np.arange(8)
    found = {one.phenotype: one for one in precision_by_phenotype(ByVectors(vectors), *of)}
    # Row 0 finds rows 2 (a) and 3 (b), for row 1 is the same patient's; 1 the same; 2 finds 1 and 0; 7 finds nobody.
    assert found["a"].precision == pytest.approx((0.5 + 0.5 + 1 + 0) / 4)
    # Row 3 finds 2 and 1; row 4 finds 5 (b) and 6; row 5 finds 4 (b) and 6.
    assert found["b"].precision == pytest.approx((0 + 0.5 + 0.5) / 3)
    assert found["a"].queries == 4
    assert found["a"].base == pytest.approx(4 / 8)
    assert found["all"].queries == 7
    sparse = {one.phenotype: one for one in precision_by_phenotype(ByVectors(csr_array(vectors)), *of)}
    assert sparse == found
    assert precision_by_phenotype(ByVectors(vectors), phenotype, patient, np.array([6])) == []
    # Asked by another vector, row 0 finds 4 and 5, which are b.
    asked = np.where(np.arange(8)[:, None] == 0, vectors[4], 0)
    (_, by_another) = precision_by_phenotype(ByVectors(vectors, asked), phenotype, patient, np.array([0]))
    assert by_another.precision == 0


class Given:
    """Scores that are given, (n, n)."""

    def __init__(self, scores: list[list[float]]) -> None:
        self._scores = np.array(scores, np.float32)

    def scores(
        self, rows: "np.ndarray[tuple[int], np.dtype[np.intp]]"
    ) -> "np.ndarray[Any, np.dtype[np.float32]]":
        return self._scores[rows]


def test_precision_of_any_scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be compared fills no place; a tie at 0, or a score below it, is a place as any other."""
    monkeypatch.setattr("cohorts.harness.evaluate.data.precision.K", 2)
    out = -np.inf
    scorer = Given([[9, 5, out, out], [5, 9, 0, 0], [out, 0, 9, 0], [-1, -2, -3, 9]])
    phenotype = np.array(["a", "a", "a", "b"])
    by_row = [
        precision_by_phenotype(scorer, phenotype, np.arange(4), np.array([row]))[0].precision
        for row in range(3)
    ]
    # Row 0 finds row 1 and nobody else; row 1 finds 0, and 2 or 3; row 2 finds 1 and 3.
    assert by_row == pytest.approx([1 / 2, (1 + 1 / 2) / 2, 1 / 2])
    found = precision_by_phenotype(scorer, np.array(["b", "a", "a", "b"]), np.arange(4), np.array([3]))
    assert found[0].precision == pytest.approx(1 / 2)


def test_equal_vectors_have_the_precision_of_chance_in_any_order_of_their_rows() -> None:
    vectors, patient = np.tile(np.array([0.6, 0.8], np.float32), (40, 1)), np.arange(40)
    halves = np.repeat(["a", "b"], 20)
    for phenotype in (halves, halves[::-1], np.tile(["a", "b"], 20)):
        found = precision_by_phenotype(ByVectors(vectors), phenotype, patient, np.arange(40))
        assert [one.precision for one in found] == pytest.approx([19 / 39] * 3)


@pytest.mark.parametrize("units", [1, 2, 5, 10, 11])
def test_few_units_have_a_precision_too(units: int) -> None:
    vectors = np.eye(units, dtype=np.float32) + 0.5
    phenotype, patient = np.repeat(["a", "b"], [1, units])[:units], np.arange(units)
    found = precision_by_phenotype(ByVectors(vectors), phenotype, patient, np.arange(units))
    assert found[0].precision == pytest.approx((units - 2) / units if units > 1 else 0)


def test_tfidf_is_scikit_learns(hospital: Path, tmp_path: Path) -> None:
    with admissions(hospital, tmp_path) as source:
        (batch,) = source.batches()
        ours = fineehr.read_baselines(source).words.tfidf(np.arange(100))
    assert ours.shape[0] == len(batch)
    texts = batch.notes.groupby("unit_id")["text"].apply("\n".join).reindex(batch.units["unit_id"]).fillna("")
    from cohorts.records.notes.cleaning import clean, words

    plain = TfidfVectorizer(analyzer=lambda text: words(clean(text)), sublinear_tf=True).fit(texts[:100])
    shown, expected = ours[:100] @ ours[:100].T, plain.transform(texts[:100]) @ plain.transform(texts[:100]).T
    difference = np.abs(shown.toarray() - expected.toarray())
    assert difference.max() < 1e-5


def test_concatenation_has_means_side_by_side_and_flags() -> None:
    notes = NoteVectors(
        np.array([[1, 0], [3, 0], [0, 5], [9, 9]], np.float32),
        np.array(["ECG", "ECG", "Echo", "Podiatry"]),
        np.array([0, 0, 1, 1]),
        np.array([0, 2]),
        np.array(["NaT", "NaT"], "datetime64[us]"),
        units=3,
    )
    made = concatenation(notes, ["ECG", "Echo"])
    np.testing.assert_array_equal(made, [[2, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0], [0, 0, 0, 5, 0, 1]])


def prediction(encoder: str, classifier: str, seed: int, **measured: float | str) -> list[Record]:
    setting = {"notes": "all notes", "encoder": encoder, "classifier": classifier, "seed": seed}
    return list(figures("predictions", setting, **measured))


def test_a_summary_of_seeds() -> None:
    auc = {("baseline", "MLP"): [0.5, 0.6, 0.7], ("baseline", "forest"): [0.5, 0.5, 0.6]}
    auc |= {
        ("full", "MLP"): [0.7, 0.75, 0.9],
        ("full", "forest"): [0.6, 0.8, 0.9],
        ("TF-IDF", "MLP"): [0.9, 0.9, 0.9],
    }
    rows = [
        row
        for (encoder, classifier), values in auc.items()
        for seed, value in enumerate(values)
        for row in prediction(encoder, classifier, seed, auc=value, auc_pr=value - 0.1)
    ]
    means = summary(long_table(rows)).to_dict("records")
    found = {(row["encoder"], row["classifier"], row["measure"]): row for row in means}
    one = found["full", "MLP", "auc"]
    assert one["value"] == pytest.approx(np.mean(auc["full", "MLP"]))
    assert one["sd"] == pytest.approx(np.std(auc["full", "MLP"], ddof=1))
    assert found["full", "MLP", "auc_pr"]["value"] == pytest.approx(one["value"] - 0.1)
    assert one["p"] == pytest.approx(ttest_rel(auc["full", "MLP"], auc["baseline", "MLP"]).pvalue)
    assert found["full", "MLP", "auc_p"]["value"] == one["p"]
    assert np.isnan(found["baseline", "MLP", "auc"]["p"])
    both = [auc["full", "MLP"], auc["full", "forest"]]
    assert found["full", "average", "auc"]["value"] == pytest.approx(np.mean(both))
    assert ("TF-IDF", "average", "auc") not in found
    (single, *_) = summary(long_table(rows[:2])).to_dict("records")
    assert np.isnan(single["sd"])
    assert np.isnan(single["p"])


def test_training_that_brought_nothing_is_told_of_its_rows() -> None:
    told = "no step of the training of the category weights was an improvement: it is equal to categories"
    rows = [
        row
        for seed in range(3)
        for encoder, text in (("baseline", ""), ("weight", told * (seed < 2)))
        for row in prediction(encoder, "MLP", seed, auc=0.5, auc_pr=0.5, unimproved=text)
    ]
    of = unimproved(long_table(rows))
    assert of == {("weight", "all notes"): f"{told} (2 of 3 seeds)"}
    made = prediction_table(summary(long_table(rows)), of)
    assert [line.names for line in made.lines] == [("baseline", "MLP"), ("weight †", "MLP")]


def test_codes_are_judged_without_those_that_neighbours_are_judged_by(hospital: Path, tmp_path: Path) -> None:
    rows = np.arange(50)
    with admissions(hospital, tmp_path) as source:
        made = scorers_of(fineehr.read_baselines(source))["codes, Jaccard"].scores(rows)
        withheld = parse_withheld("all", text=False)
        bare, whole = (
            ByCodes(Seen.read(view).codes).scores(rows) for view in (WithheldSource(source, withheld), source)
        )
    np.testing.assert_array_equal(made, bare)
    assert not np.array_equal(made, whole)


def test_test_ids_that_reach_the_classifiers_stop_the_measurement(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaking(
        patients: "pd.Series[str]", died: "np.ndarray[tuple[int], np.dtype[np.bool_]]", by: SplitBy, seed: int
    ) -> Split:
        made = split(patients, died, by, seed)
        return replace(made, train=np.concatenate([made.train, made.test]))

    monkeypatch.setattr(fineehr, "split", leaking)
    settings = Settings(dim=16, epochs=1, steps=50, patience=1)
    with admissions(hospital, tmp_path) as source, pytest.raises(LeakageError, match="the classifiers"):
        evaluate(FineEhrTask(seeds=1, settings=settings), source)


def test_learning_from_those_who_are_judged_by_flatters(hospital: Path, tmp_path: Path) -> None:
    """What the guard is for: with the held-out admissions among the training ids, the same AUC comes out higher."""
    settings = Settings(setting="metric", dim=96, epochs=1, steps=300, patience=3)
    with admissions(hospital, tmp_path) as source:
        (batch,) = source.batches()
        died, ids = batch.units["died"].to_numpy(dtype=np.bool_), batch.units["unit_id"]
        gains = []
        for seed in range(2):
            made = split(batch.units["patient_id"], died, SplitBy.PATIENT, seed)
            honest, leaked = (
                FineEhr(replace(settings, seed=seed)).fit(source, frozenset(training)).encode(batch)
                for training in (ids[made.training], ids)
            )
            auc = [
                score(
                    "random forest",
                    seed,
                    (vectors[made.train], died[made.train]),
                    (vectors[made.held_out], died[made.held_out]),
                ).auc
                for vectors in (honest, leaked)
            ]
            gains.append(auc[1] - auc[0])
    assert np.mean(gains) > 0.04


@pytest.fixture(scope="module")
def evaluated(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("evaluated") / "report"
    shown = ok(
        f"evaluate fineehr --source mimic3 --path {hospital} --encoder {QUICK} --seeds 1 --as-of admission+9d "
        f"--out {out}"
    )
    return out, shown


def test_the_table_in_the_terminal(evaluated: tuple[Path, str]) -> None:
    _, shown = evaluated
    assert shown.count("synthetic data: invented patients, no clinical meaning") == 3
    for name in (
        *SETTINGS,
        "TF-IDF",
        "concatenation",
        "word2vec",
        "average",
        "base rate",
        "BM25",
        "codes, Jaccard",
    ):
        assert name in shown
    assert "…" not in shown
    assert re.search(r"all +admission *\n.* notes +\+216h *\n", shown)
    assert "published" not in shown


def test_every_measurement_is_kept(evaluated: tuple[Path, str]) -> None:
    folder, _ = evaluated
    predictions = pd.read_csv(folder / "predictions.csv")
    assert list(predictions) == ["notes", "encoder", "classifier", "seed", "auc", "auc_pr", "unimproved"]
    four = [
        (encoder, classifier)
        for encoder in (*SETTINGS, "word2vec", "concatenation")
        for classifier in CLASSIFIERS
    ]
    expected = {
        (notes, encoder, classifier, 0)
        for notes in ("all notes", "admission+216h")
        for encoder, classifier in [*four, ("TF-IDF", "logistic regression")]
    }
    assert (
        set(predictions[["notes", "encoder", "classifier", "seed"]].itertuples(index=False, name=None))
        == expected
    )
    assert len(predictions) == len(expected)
    assert ((predictions[["auc", "auc_pr"]] > 0.2) & (predictions[["auc", "auc_pr"]] <= 1)).all(axis=None)
    told = predictions[predictions["encoder"] == "TF-IDF"].groupby("notes")["auc"].mean()
    assert told["all notes"] > told["admission+216h"] - 0.05
    retrieval = pd.read_csv(folder / "retrieval.csv")
    overall = retrieval[retrieval["phenotype"] == "all"]
    # Most conditions stand beside the principal one, which a cohort here goes by: little of it can be found.
    gain = (overall["precision"] / overall["base"]).groupby(overall["encoder"]).mean()
    assert (gain[["codes, Jaccard", "codes, idf cosine", "TF-IDF", "BM25"]] > 1.25).all(), gain.to_string()
    assert gain[[*SETTINGS, "word2vec"]].mean() > 1
    everybody = {
        *SETTINGS,
        "word2vec",
        "TF-IDF",
        "BM25",
        "codes, Jaccard",
        "codes, idf cosine",
        "age and sex",
    }
    of = {notes: set(rows["encoder"]) for notes, rows in overall.groupby("notes")}
    assert of == dict.fromkeys(("all notes", "admission+216h"), everybody)  # drugs are known by then, too
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["synthetic"] is True
    assert manifest["plan"]["encoder"]["dim"] == 24
    assert manifest["counts"]["died"] > 100
    assert set(manifest["seconds"]) == set(manifest["peak_rss_mib"])
    assert manifest["learnt"]["all notes"]["weights"]["Discharge summary"] > 0


def test_the_page_keeps_published_figures_apart(evaluated: tuple[Path, str]) -> None:
    folder, _ = evaluated
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Synthetic data." in page
    assert page.count('<th class="published" colspan="2">published, MIMIC-III</th>') == 1
    table, others = page.split("What the paper compares itself with")
    shown = Counter(re.findall(r'<td class="published">([^<]+)</td>', table))
    kept = [published.FINEEHR_SETTINGS, published.FINEEHR_AVERAGES]
    figures = Counter(cell for one in kept for row in one.rows.values() for cell in row)
    assert shown == figures
    assert sum(figures.values()) == 32 + 2
    for figure in figures:  # nowhere else, not even in another writing
        assert len(re.findall(rf"<td[^>]*>{figure.rstrip('%')}%?</td>", table)) == figures[figure]
    others, categories = others.split("Notes by category")
    assert len(re.findall(r'<td class="published">([^<]+)</td>', others)) == 9
    ratios = [row[0] for row in published.FINEEHR_CATEGORIES.rows.values()]
    assert sorted(re.findall(r'<td class="published">([^<]+)</td>', categories)) == sorted(ratios)
    assert 'class="bar" style="width: 100.0%"' in page
    assert "<script" not in page


def test_no_note_text_in_what_is_kept(evaluated: tuple[Path, str], hospital: Path) -> None:
    folder, _ = evaluated
    notes = pd.read_csv(hospital / "NOTEEVENTS.csv", nrows=200)["TEXT"]
    kept = "".join(file.read_text(encoding="utf-8") for file in folder.iterdir())
    lines = {line for text in notes for line in text.splitlines() if len(line) > 25}
    assert len(lines) > 100
    assert not [line for line in lines if line in kept]


def test_what_an_encoder_learnt_is_shown(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ok(f"fit --source mimic3 --path {hospital} --unit admission --encoder {QUICK} --out kept")
    shown = ok("describe --encoder kept")
    assert "encoder fineehr" in shown
    weights = re.findall(r"^ *([A-Z][\w/ ]+?) +(0\.\d{3}) +(█+)", shown, re.MULTILINE)
    assert len(weights) >= 3
    assert sum(float(weight) for _, weight, _ in weights) == pytest.approx(1, abs=0.01)
    assert [len(bar) for *_, bar in weights] == sorted((len(bar) for *_, bar in weights), reverse=True)
    assert "any other" in shown
    ok(f"fit --source mimic3 --path {hospital} --encoder word2vec:dim=8 --out words")
    assert "encoder word2vec" in ok("describe --encoder words")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--as-of 24h", r"write admission+24h"),
        ("--encoder word2vec", "this table is of fineehr"),
        ("--encoder fineehr:best", "setting is 'best'"),
    ],
)
def test_what_cannot_be_evaluated(hospital: Path, tmp_path: Path, more: str, message: str) -> None:
    told = refused(f"evaluate fineehr --source mimic3 --path {hospital} --out {tmp_path} --seeds 1 {more}")
    assert message in told


def test_a_source_that_does_not_say_who_died(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("id,text\n1,chest pain\n2,no pain\n")
    with (
        open_source(
            "notes-csv",
            tmp_path / "notes.csv",
            work_dir=tmp_path,
            quarantine_file=tmp_path / "bad.csv",
            columns={"id": "id", "text": "text"},
        ) as source,
        pytest.raises(InputError, match="not known whether they ended with death"),
    ):
        evaluate(FineEhrTask(window=parse_window("admission+24h")), source)
