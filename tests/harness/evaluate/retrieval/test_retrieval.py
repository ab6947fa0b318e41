"""The whole of `cohorts evaluate retrieval` from the command line, and what was published beside it."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from cohorts.harness.evaluate.data.encoders import parse_contestant
from cohorts.harness.evaluate.retrieval import as_published
from cohorts.harness.evaluate.retrieval.routes import routes_through
from cohorts.harness.evaluate.retrieval.scorers import (
    OF_CODES,
)
from cohorts.harness.evaluate.retrieval.tables import SHEETS
from cohorts.reports import published
from cohorts.reports.long_table import long_table, records
from command_line import ok, refused, run


def test_cohorts_by_principal_diagnosis_through_the_command(tables: Path, tmp_path: Path) -> None:
    asked = f"evaluate retrieval --source mimic3 --path {tables} --out {tmp_path}/out --k 10 --cohort sepsis"
    ok(f"{asked} --cohort-by primary --queries 5")
    told = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert told["plan"]["cohort_by"] == "primary"
    assert "as principal diagnosis" in (tmp_path / "out" / "report.html").read_text()
    assert "answers to other questions" in refused(f"{asked} --queries 5")
    assert "leave out --cohort-by" in refused(f"{asked} --labels text --cohort-by any")


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
    assert "find sepsis by themselves (codes withheld" in told
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
    assert "Given grades" not in page  # none were
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
    contestants = [parse_contestant(one) for one in encoders]
    hnsw, annoy, flat = (one.name for one in routes)
    ways = [("c", "exact"), ("c", hnsw), ("c, centred", hnsw), ("c", flat), ("f", annoy), ("s", hnsw)]
    asked = ["sepsis", "heart_failure", "asthma"]
    figures = records(
        pd.DataFrame(
            [
                ("figures", "codes withheld", encoder, route, k, measure, cohort, k / 1000 + place / 10)
                for encoder, route in ways
                for k in (50, 100)
                for place, measure in enumerate(as_published.MEASURES)
                for cohort in (*asked, "all")
            ],
            columns=["sheet", "view", "encoder", "route", "k", "measure", "cohort", "value"],
        )
    )

    def beside(asked: list[str], source: str) -> pd.DataFrame:
        table = as_published.table_of(source)
        return SHEETS["published"].of(
            long_table(as_published.beside(figures, asked, contestants, routes, table))
        )

    made = beside(asked, "mimic3")
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
    alone = beside(["sepsis"], "mimic4")  # whose figures are those of all
    assert alone["precision"].notna().sum() == 3
    assert alone["published_recall"].iloc[0] == "0.75"  # MIMIC-IV has a table of its own
    assert beside(["asthma"], "mimic3").empty


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
    for name in ("leaks", "notes", "subgroups"):  # which nothing is told of
        nothing = pd.read_csv(f"report/{name}.csv")
        assert nothing.empty
        assert nothing.columns[0] == "view"
    assert not Path("report/graded.csv").exists()
    assert "leave out --cohort" in refused(f"{read} --cohort sepsis --out other")
    assert "too few for k = 200" in refused(f"{read} --k 200 --out other")
    assert "name one with --store" in refused(f"{read} --index hnsw --out other")
