"""The ablation of the fusion through the command line, on a synthetic hospital with a tiny checkpoint."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from checkpoints import make_checkpoint
from cohorts.encoders.bert.note_cache import FOLDER
from cohorts.encoders.fused.settings import Settings
from cohorts.harness.evaluate.base import figures
from cohorts.harness.evaluate.data.splits import Split
from cohorts.harness.evaluate.data.units import Units, read_units
from cohorts.harness.evaluate.fused import CODES_WITHHELD, MENTIONS_TOO, RECORDS, encoders_of
from cohorts.harness.evaluate.fused_search import Questions, members_of, why_not
from cohorts.harness.evaluate.fused_tables import CENTRED, RAW, summary
from cohorts.harness.evaluate.retrieval.population import CohortBy
from cohorts.records.sources.registry import open_source
from cohorts.reports import published
from cohorts.reports.long_table import Record, long_table, records
from command_line import refused, run
from planted.hospital import telling_hospital

SEEDS = 1
COUNTED = ["codes, Jaccard", "codes, idf cosine", "age and sex", "BM25", "TF-IDF"]
PATIENTS = 450
NO_SOURCE: Any = None  # who has a principal diagnosis is known of the units
pytestmark = pytest.mark.filterwarnings("ignore:fused.*was still falling:UserWarning")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablation") / "tables"
    return telling_hospital(folder, PATIENTS, seed=5)


@pytest.fixture(scope="module")
def tiny(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = pd.read_csv(hospital / "NOTEEVENTS.csv", usecols=["TEXT"])["TEXT"]
    return make_checkpoint(tmp_path_factory.mktemp("bert") / "tiny", texts)


@pytest.fixture(scope="module")
def evaluated(hospital: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    out = tmp_path_factory.mktemp("evaluated") / "report"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(out.parent / "cache"))
        code, shown, told = run(
            f"evaluate fused --source mimic3 --path {hospital} --out {out} --seeds {SEEDS} --withhold-text "
            f"--encoder fused:model={tiny},dim=32,epochs=3,preset=fast"
        )
    assert code == 0, told
    return out, shown, told


def test_every_encoder_is_measured_in_every_way(evaluated: tuple[Path, str, str]) -> None:
    out, shown, _ = evaluated
    frame = pd.read_csv(out / "fused.csv")
    names = [RAW, CENTRED, RECORDS, *COUNTED, *(name for name, _ in encoders_of(Settings()))]
    assert len(names) == 3 + 5 + 13
    expected = {
        (mode, name, seed)
        for mode in (CODES_WITHHELD, MENTIONS_TOO)
        for name in names
        for seed in range(SEEDS)
    }
    assert set(frame[["withheld", "encoder", "seed"]].itertuples(index=False, name=None)) == expected
    trained = frame[frame["train_s"].notna()]
    assert set(trained["encoder"]) == set(names[8:])
    counted = frame["encoder"].isin(COUNTED)
    for measure in ("precision", "base", "pair_auc", "auc", "auc_pr"):
        has_it = frame[measure] if measure in ("precision", "base") else frame.loc[~counted, measure]
        assert has_it.between(0, 1).all(), measure
    assert frame.loc[counted, ["pair_auc", "auc", "auc_pr"]].isna().all(axis=None)
    no_text = frame["encoder"].str.startswith(("structured", RECORDS, "codes", "age"))
    assert (frame["precision_text"].isna() == no_text).all()
    assert all(name in shown for name in names)
    assert "synthetic data" in shown


def test_what_does_better_than_chance_on_invented_patients(evaluated: tuple[Path, str, str]) -> None:
    """Drugs and words are planted that follow the condition asked for: what reads them finds some of it.

    Not all: a cohort is those whose principal diagnosis it is, and most conditions stand beside another.
    """
    frame = pd.read_csv(evaluated[0] / "fused.csv")
    means = frame[frame["withheld"] == CODES_WITHHELD].groupby("encoder")
    precision, base, pairs = (means[one].mean().to_dict() for one in ("precision", "base", "pair_auc"))
    for name in (RECORDS, "structured, multitask", "gated, multitask"):
        assert precision[name] > 1.2 * base[name]
        assert pairs[name] > 0.58
    for name in ("codes, Jaccard", "codes, idf cosine"):
        assert precision[name] > 2 * base[name]
    by_note = means["precision_text"].mean()
    for name in ("BM25", "TF-IDF"):
        assert precision[name] > 1.2 * base[name]
        assert by_note[name] > 1.2 * base[RAW]


def test_baselines_read_what_is_withheld_from_encoders(evaluated: tuple[Path, str, str]) -> None:
    """Words alone change where mentions are masked."""
    frame = pd.read_csv(evaluated[0] / "fused.csv")
    found = {way: rows.set_index("encoder")["precision"].to_dict() for way, rows in frame.groupby("withheld")}
    same = {name for name in COUNTED if found[CODES_WITHHELD][name] == found[MENTIONS_TOO][name]}
    assert same == set(COUNTED) - {"BM25", "TF-IDF"}


def test_the_page_and_the_manifest_tell_how(evaluated: tuple[Path, str, str]) -> None:
    out, _, told = evaluated
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["synthetic"] is True
    assert len(manifest["plan"]["withheld"]) == 13
    assert manifest["counts"]["patients"] == PATIENTS
    assert "training" in manifest["peak_rss_mib"]
    page = (out / "report.html").read_text()
    assert "Synthetic data." in page
    gates = pd.read_csv(out / "gates.csv")
    assert page.count("<svg") == gates.groupby(["withheld", "encoder"]).ngroups == 6
    assert page.count("<rect") == len(gates) == 6 * 20
    assert (gates.groupby(["withheld", "encoder"])["patients"].sum() > 0.875 * PATIENTS).all()
    assert f"Report: {out}/report.html" in told


def test_f1_through_hnsw_stands_beside_the_papers_table(evaluated: tuple[Path, str, str]) -> None:
    out, shown, _ = evaluated
    frame = pd.read_csv(out / "f1_through_hnsw.csv")
    assert set(frame["cohort"]) == set(published.PHENOTYPES)
    assert set(frame["withheld"]) == {CODES_WITHHELD, MENTIONS_TOO}
    assert set(frame["encoder"]) == {RAW, CENTRED, *(name for name, _ in encoders_of(Settings()))}
    assert (frame["f1"] <= frame["ceiling"] + 1e-9).all()
    assert (frame["f1"][frame["questions"] > 4] > 0).all()
    assert frame["questions"].max() > 4
    assert frame["neighbours"].min() > 0.9
    page = (out / "report.html").read_text()
    table = page.split("through HNSW</h2>")[1].split("<h2>")[0].split("<h3>")[1]
    printed = iter(re.findall(r'<td class="published">([^<]+)</td>', table))
    assert sorted(zip(printed, printed, printed, strict=True)) == sorted(published.FUSIONS.rows.values())
    assert re.search(r"gated, mortality +0\.\d{3}", shown)


def test_f1_through_hnsw_by_hand(tmp_path: Path) -> None:
    """160 patients in two directions, one cohort each: of the 79 others, 100 places hold all, and 21 strangers."""
    septic = np.arange(160) % 2 == 0
    patients = Units(
        [str(row) for row in range(160)],
        pd.Series([str(row) for row in range(160)]),
        np.zeros(160, np.bool_),
        np.where(septic, "sepsis", "heart_failure"),
    )
    vectors = np.eye(2, 4, dtype=np.float32)[septic.astype(int)]
    held_out = np.arange(0, 40)
    nobody = np.zeros(0, np.intp)
    member = members_of(patients, NO_SOURCE, CohortBy.PRIMARY)
    questions = Questions.of(patients, member, Split(np.arange(40, 160), held_out, nobody, nobody), seed=0)
    made = questions.through_hnsw(vectors, tmp_path / "q")
    assert {name: one["questions"] for name, one in made.items()} == {"heart_failure": 20, "sepsis": 20}
    for one in made.values():
        assert one["f1"] == pytest.approx(2 * 79 / (100 + 79))
        assert one["ceiling"] == pytest.approx(one["f1"])
        assert one["neighbours"] == 1


def test_f1_through_hnsw_may_be_of_cohorts_by_any_diagnosis(hospital: Path, tmp_path: Path) -> None:
    with open_source("mimic3", hospital, work_dir=tmp_path, quarantine_file=tmp_path / "bad.csv") as source:
        patients = read_units(source)
        by_principal, member = (members_of(patients, source, by) for by in (CohortBy.PRIMARY, CohortBy.ANY))
    assert (member.sum(axis=0) > by_principal.sum(axis=0)).all()
    assert not (by_principal & ~member).any()
    rows = np.arange(len(patients.ids))
    split = Split(rows[:300], rows[300:], rows[:0], rows[:0])
    asked = Questions.of(patients, member, split, 0)
    np.testing.assert_array_equal(asked.population.member, member)
    assert len(asked.fold) > len(Questions.of(patients, by_principal, split, 0).fold)
    assert "nobody has a diagnosis of" in why_not(patients, member & False, CohortBy.ANY)


def test_why_f1_through_hnsw_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(many: int, phenotype: str) -> str:
        ids = [str(row) for row in range(many)]
        patients = Units(ids, pd.Series(ids), np.zeros(many, np.bool_), np.array([phenotype] * many))
        return why_not(patients, members_of(patients, NO_SOURCE, CohortBy.PRIMARY), CohortBy.PRIMARY)

    assert told(102, "sepsis") == ""
    assert "101 patients are too few" in told(101, "sepsis")
    assert "nobody has a principal diagnosis" in told(102, "asthma")
    monkeypatch.setattr("cohorts.harness.evaluate.fused_search.find_spec", lambda _: None)
    assert "ehr-cohorts[qdrant-embedded]" in told(102, "sepsis")


def row(encoder: str, seed: int, precision: float) -> list[Record]:
    of = {"withheld": "codes withheld", "encoder": encoder, "seed": seed}
    return list(figures("fused", of, precision=precision, base=0.1, pair_auc=0.5, auc=0.6))


def test_intervals_are_students_and_tests_are_paired() -> None:
    found = [0.30, 0.36, 0.33]
    rows = [one for seed, value in enumerate(found) for one in row("gated", seed, value)]
    rows += [one for seed, value in enumerate([0.2, 0.25, 0.26]) for one in row(CENTRED, seed, value)]
    cells = {one["measure"]: one for one in records(summary(long_table(rows))) if one["encoder"] == "gated"}
    assert list(cells) == ["precision", "base", "pair_auc", "auc"]
    cell = cells["precision"]
    assert cell["value"] == pytest.approx(0.33)
    half = 4.302653 * np.std(found, ddof=1) / 3**0.5  # t(.975, 2)
    assert (cell["high"] - cell["low"]) / 2 == pytest.approx(half, rel=1e-5)
    assert cell["low"] == pytest.approx(0.33 - half, rel=1e-5)
    differences = np.array([0.10, 0.11, 0.07])
    t = differences.mean() / (differences.std(ddof=1) / 3**0.5)
    assert t == pytest.approx(7.766, abs=1e-3)
    assert cell["p"] == pytest.approx(0.0162, abs=5e-4)  # two-sided, 2 degrees of freedom


def test_what_can_not_be_measured_is_told(hospital: Path, tmp_path: Path) -> None:
    place = f"evaluate fused --source mimic3 --path {hospital} --out {tmp_path}/report"
    assert "this table is of fused" in refused(f"{place} --encoder word2vec")
    assert "There is no phenotype 'flu'" in refused(
        f"{place} --encoder fused:model={tmp_path} --withhold flu"
    )
