"""The first sentence of a page says what was found, with its interval, and where nothing can be told."""

import re
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cohorts.harness.bench.report.page import finding as bench_finding
from cohorts.harness.evaluate import fineehr_tables, fused_tables
from cohorts.harness.evaluate.base import Run, figures, write_report
from cohorts.harness.evaluate.fineehr import FineEhrTask
from cohorts.harness.evaluate.fused_tables import CENTRED
from cohorts.harness.evaluate.retrieval.rankings import EXACT
from cohorts.harness.evaluate.retrieval.tables import MEASURES, Tables
from cohorts.harness.evaluate.retrieval.tables import finding as quality_finding
from cohorts.harness.evaluate.space import tables as space_tables
from cohorts.measures.intervals import UNTOLD, Estimate
from cohorts.measures.noise import Noise
from cohorts.reports import findings
from cohorts.reports.findings import Score, against, ranked
from cohorts.reports.long_table import Record, long_table

BEST, SECOND = Score("BM25", 0.4, 0.37, 0.43), Score("TF-IDF", 0.35, 0.32, 0.38)


@pytest.mark.parametrize(
    ("p", "chance", "enough", "told"),
    [
        (
            0.01,
            0.2,
            True,
            "BM25 ranks best (P@10 0.400 [0.370, 0.430], by chance 0.200); that is more than TF-IDF",
        ),
        (0.2, 0.2, True, "TF-IDF, 0.350 [0.320, 0.380], can't be told from it (a test: p = 0.20)."),
        (0.01, 0.38, True, "Nothing can be told from chance; the highest is BM25"),
        (0.01, 0.2, False, "Too few questions to tell who ranks best; the highest is BM25"),
    ],
)
def test_who_ranks_best(p: float, chance: float, enough: bool, told: str) -> None:
    assert told in ranked("P@10", BEST, SECOND, p, "a test", chance=chance, enough=enough)


def test_who_ranks_best_with_nobody_beside() -> None:
    told = ranked("P@10", BEST, None, nan, "a test", chance=0.2, enough=True)
    assert told == "BM25 ranks best (P@10 0.400 [0.370, 0.430], by chance 0.200)."


@pytest.mark.parametrize(
    ("means", "p", "told"),
    [
        (
            [0.5, 0.9],
            [0.2, 0.001],
            "b reaches the highest AUC, 0.900 [0.850, 0.950]; that is more than base, 0.600",
        ),
        ([0.5, 0.9], [0.2, 0.03], "can't be told from it (t, for the best of 2: p = 0.06)"),  # corrected
        (
            [0.5, 0.9],
            [nan, nan],
            "whether that is more than base, 0.600 [0.550, 0.650], can't be told from one seed",
        ),
        (
            [0.5, 0.4],
            [0.2, 0.2],
            "Nothing reaches more than base does: AUC 0.600 [0.550, 0.650]; next is a, 0.500",
        ),
    ],
)
def test_whether_the_best_of_several_is_above_a_baseline(
    means: list[float], p: list[float], told: str
) -> None:
    def score(name: str, mean: float) -> Score:
        return Score(name, mean, mean - 0.05, mean + 0.05)

    scores = [score(name, mean) for name, mean in zip("ab", means, strict=True)]
    assert told in against("AUC", scores, score("base", 0.6), p, "t")


def test_one_seed_has_no_interval() -> None:
    assert Score("a", 51.24, nan, nan, percent=True).shown == "51.2 %"


def test_retrieval_takes_the_test_of_the_two_best_of_the_first_view() -> None:
    figures = pd.DataFrame(
        [
            {"view": view, "cohort": "all", "encoder": name, "route": EXACT, "k": 10, "measure": measure}
            | {"value": mean, "low": mean - 0.02, "high": mean + 0.02}
            for view, shift in (("codes withheld", 0), ("nothing withheld", 0.2))
            for name, mean in (("random", 0.9), ("x", 0.3 + shift), ("y", 0.5), ("z", 0.4))
            for measure in MEASURES
        ]
    )
    tests = pd.DataFrame(
        [
            {
                "view": view,
                "first": first,
                "second": second,
                "route": EXACT,
                "against": EXACT,
                "p_wilcoxon": p,
            }
            for view, p in (("nothing withheld", 0.9), ("codes withheld", 0.004))
            for first, second in (("x", "y"), ("z", "y"))
        ]
    )
    tests.loc[tests["first"] == "x", "p_wilcoxon"] = 0.6
    cohorts = pd.DataFrame([{"cohort": "all", "questions": 146, "matches": 9.0, "base_rate": 0.1}])
    made = Tables(figures=figures, frames={"cohorts": cohorts, "comparisons": tests}, k=10)
    told = quality_finding(made)
    assert told.startswith(
        "y ranks best (codes withheld, 146 questions: P@10 0.500 [0.480, 0.520], by chance 0.100)"
    )
    assert "more than z, 0.400 [0.380, 0.420] (Wilcoxon's test, Holm's correction: p = 0.004)" in told


def prediction(encoder: str, classifier: str, seed: int, auc: float) -> list[Record]:
    setting = {"notes": "all notes", "encoder": encoder, "classifier": classifier, "seed": seed}
    return list(figures("predictions", setting, auc=auc, auc_pr=0.5))


def test_fineehr_compares_the_mean_over_the_classifiers_with_the_baseline() -> None:
    auc = {"baseline": 0.6, "full": 0.8, "word2vec": 0.5}
    rows = [
        row
        for name, mean in auc.items()
        for classifier, shift in (("MLP", -0.02), ("random forest", 0.02))
        for seed in range(4)
        for row in prediction(name, classifier, seed, mean + shift + seed / 100 * (1 + (name == "full")))
    ]
    rows += prediction("TF-IDF", "MLP", 0, 0.99)  # of one classifier alone
    told = fineehr_tables.finding(fineehr_tables.summary(long_table(rows)))
    assert told.startswith(
        "full reaches the highest AUC for death in hospital (all notes, average of the classifiers)"
    )
    assert ", 83.0 [78.9, 87.1] %; that is more than baseline, 61.5 [59.4, 63.6] % (paired t-test" in told


def test_the_page_of_fineehr_names_the_half_that_could_not_be_measured(tmp_path: Path) -> None:
    run = Run(facts={"not_measured": {"admission+24h": "Too few notes."}, "learnt": {}})
    for name in ("baseline", "full"):
        run.records += prediction(name, "MLP", 0, 0.6)
        of = {"notes": "all notes", "encoder": name, "phenotype": "sepsis", "seed": 0}
        run.records += figures("retrieval", of, queries=10, precision=0.5, base=0.1)
    run.manifest = {
        "source": {"name": "mimic3"},
        "counts": {"admissions": 9, "patients": 9, "died": 3},
        "plan": {"split_by": "patient", "seeds": 1},
        "started": "today",
        "synthetic": False,
        "note_categories": {},
        **run.facts,
        "seconds": {},
        "peak_rss_mib": {},
    }
    task = FineEhrTask()
    page = write_report(tmp_path, task, run, task.told(run)).read_text(encoding="utf-8")
    assert "<strong>admission+24h could not be measured.</strong> Too few notes." in page


def test_fusion_is_compared_with_the_best_that_was_not_trained() -> None:
    spread = (0.0, 0.01, -0.01)
    rows = [
        row
        for name, mean, trained in (
            (CENTRED, 0.3, {}),
            ("BM25", 0.4, {}),
            ("gated", 0.401, {"train_s": 1.0}),
            ("text", 0.2, {"train_s": 1.0}),
        )
        for seed, more in enumerate(spread[::-1] if trained else spread)
        for row in figures(
            "fused",
            {"withheld": "codes withheld", "encoder": name, "seed": seed},
            precision=mean + more,
            base=0.1,
            **trained,
        )
    ]
    told = fused_tables.finding(long_table(rows))
    assert told.startswith("gated reaches the highest precision@10 (codes withheld; by chance 10.0 %), 40.1")
    assert "BM25, 40.0 [37.5, 42.5] %, can't be told from it" in told
    fewer = fused_tables.finding(long_table(row for row in rows if row["encoder"] != "gated"))
    assert fewer.startswith("Nothing reaches more than BM25 does")


def test_spaces_are_compared_with_tfidf() -> None:
    rows = [
        row
        for name, f1 in (("TF-IDF", 0.7), ("tiny", 0.4))
        for labels in (16, 644)
        for seed in range(2)
        for row in figures(
            "few_labels",
            {"encoder": name, "seed": seed, "labels": labels, "unfrozen": None},
            f1=f1 + seed / 100,
        )
    ]
    told = space_tables.finding(space_tables.learnt(long_table(rows)))
    assert told.startswith("Nothing reaches more than TF-IDF does: F1 macro from all 644 labels 0.705 [")
    assert "next is tiny, 0.405" in told


def at(
    store: str,
    recall: float,
    p50_ms: float,
    ratio: tuple[float, float, float] | None,
    *,
    reference: bool = False,
) -> list[Record]:
    setting = {"part": "equal_recall", "k": 10, "recall": recall, "store": store, "reference": reference}
    told: dict[str, Record] = {
        "p50_ms": {"value": p50_ms},
        "beside": {"text": "Theirs, hnsw"},
        "speed_up": Estimate(*(ratio or UNTOLD))._asdict(),
    }
    return [{**setting, "index": "hnsw", "measure": name, **one} for name, one in told.items()]


@pytest.mark.parametrize(
    ("ratio", "told"),
    [
        (
            (2.0, 1.5, 2.5),
            "At recall@10 of 0.99, Ours, hnsw is fastest: p50 2.00 ms, 2.00 times [1.50, 2.50] as fast as",
        ),
        ((1.2, 0.9, 1.5), "At recall@10 of 0.99, Ours, hnsw and Theirs, hnsw can't be told apart"),
        (None, "What is faster can't be told"),
    ],
)
def test_what_is_fastest_at_equal_recall(ratio: Any, told: str) -> None:
    inverse = ratio and tuple(1 / np.array(ratio)[[0, 2, 1]])
    equal = long_table(
        [
            *at("Theirs", 0.99, 4.0, inverse),
            *at("Ours", 0.99, 2.0, ratio),
            *at("faiss", 0.99, 1.0, ratio, reference=True),
            *at("Ours", 0.999, 1.0, None),
        ]
    )
    assert bench_finding(equal, Noise(4, 0.01, (), ())).startswith(told)


PAGES = sorted(Path(findings.__file__).parent.glob("templates/*.html"))


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_begins_with_what_was_found_and_its_tables_scroll_by_themselves(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("<table") == text.count('<div class="scroll"><table') == text.count("</table></div>")
    if "<h1>" in text:
        assert re.search(r'</h1>\n(\{% if best %\})?<p class="found">', text)
    if "synthetic %}" in text:
        assert re.search(r'<p class="found">\{% if \w+\.synthetic %\}On synthetic data', text)
