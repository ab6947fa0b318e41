"""The tables, and the page, of a retrieval evaluation: what is read of its long table, figures.csv."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from cohorts.harness.evaluate.note_categories import category_tables
from cohorts.harness.evaluate.retrieval import as_published
from cohorts.harness.evaluate.retrieval.evaluation import Result
from cohorts.harness.evaluate.retrieval.figures import (
    ALL,
    Answers,
    base_rates,
    comparisons,
    extremes,
    figures,
    graded_figures,
    subgroups,
)
from cohorts.harness.evaluate.retrieval.grades import Judged, OfRecords, agreement
from cohorts.harness.evaluate.retrieval.leaks import verdict
from cohorts.harness.evaluate.retrieval.plan import Plan
from cohorts.harness.evaluate.retrieval.proxies import PRECISION, RECALL, frame_of, sentences
from cohorts.harness.evaluate.retrieval.rankings import EXACT
from cohorts.harness.evaluate.retrieval.scorers import RANDOM
from cohorts.harness.reports.findings import Score, ranked
from cohorts.harness.reports.formats import decimals
from cohorts.harness.reports.long_table import (
    FAULT,
    ColumnSpec,
    Record,
    ReportTable,
    TableSpec,
    chosen,
    long_table,
    records,
)
from cohorts.harness.reports.page import keep, render
from cohorts.harness.reports.published import RETRIEVAL_K
from cohorts.provenance import made_from, made_with
from cohorts.records.base import Source

ENOUGH = 30  # questions: below it, nothing is concluded
CURVES = 10  # in one picture, each in its colour
FOLDED = 24  # ways: a longer table is opened by who wants it
MEASURES = {
    "precision": "P@{k}",
    "lift": "lift",
    "recall": "R@{k}",
    "capped_recall": "capped R",
    "f1": "F1",
    "r_precision": "R-prec.",
    "ndcg": "nDCG",
    "average_precision": "MAP@{k}",
    "neighbour_recall": "neighbours found",
}
_EXACTLY = [name for name in MEASURES if name != "neighbour_recall"]
_THROUGH = ["neighbour_recall", *(name for name in _EXACTLY if name != "r_precision")]
_PACKAGES = ("numpy", "pandas", "scikit-learn", "scipy", "torch", "transformers", "pymilvus", "qdrant-client")


@dataclass(frozen=True, kw_only=True)
class Tables:
    """All that is told, as frames by the name of their CSV file, and the k that the tables are of.

    `faults` make the figures worthless; `notes` are what else to know of the first view: its proxies. `agreement` of
    given grades with those by records is a correlation, and of how many pairs.
    """

    frames: Mapping[str, pd.DataFrame]
    k: int
    faults: Sequence[str] = ()
    agreement: tuple[float, int] | None = None
    notes: Sequence[str] = ()

    @property
    def views(self) -> list[str]:
        """Return what encoders saw, by name; the first is what is judged by."""
        return list(dict.fromkeys(self.frames["figures"]["view"]))

    def drawn(self, **where: Any) -> list[Record]:
        """Return figures at k of all questions in the first view, searched exactly, but for what `where` says."""
        first = {"view": self.views[0], "cohort": ALL, "k": self.k, "route": EXACT}
        asked = {name: value for name, value in (first | where).items() if value is not None}
        return records(chosen(self.frames["figures"], asked))


def tables(source: Source, plan: Plan, result: Result, grades: Sequence[OfRecords | Judged]) -> Tables:
    """Compute every figure from the raw rankings, and put those beside them that were published of the same."""
    answers, ks = Answers.of(result), result.ks
    k = RETRIEVAL_K if RETRIEVAL_K in ks else max(ks)
    not_measured = [(*way, reason) for way, reason in result.not_measured.items()]
    in_effect = {
        (cell.way.encoder, cell.way.route, one.note) for cell, one in result.rankings.items() if one.note
    }
    all_figures = figures(answers, ks)
    published = as_published.table_of(source.name)
    frames = {
        "figures": all_figures,
        "cohorts": base_rates(answers, k),
        "comparisons": comparisons(answers, k),
        "subgroups": subgroups(answers, k),
        "extremes": extremes(answers, result.reasons, k),
        "leaks": pd.DataFrame(result.leaks),
        "proxies": frame_of(result.proxies),
        "not_measured": pd.DataFrame(not_measured, columns=["view", "encoder", "reason"]),
        "notes": pd.DataFrame(result.late),
        "indexes": pd.DataFrame(sorted(in_effect), columns=["encoder", "route", "in_effect"]),
        "published": as_published.beside(all_figures, answers.cohort.tolist(), plan, published),
    }
    for one in grades:
        frames["graded" if isinstance(one, OfRecords) else "judged"] = graded_figures(result, one, ks)
    return Tables(
        frames=frames,
        k=k,
        faults=verdict(result.leaks, result.shared_patients),
        agreement=agreement(grades),
        notes=sentences(result.proxies, next(iter(plan.views))),
    )


def finding(made: Tables) -> str:
    """Return who ranks best of all questions in the first view, searched exactly, and whether the next can be told."""
    view, everybody = made.views[0], records(made.frames["cohorts"])[0]
    scores = [
        Score(one["encoder"], one["mean"], one["low"], one["high"])
        for one in made.drawn(measure="precision")
        if one["encoder"] != RANDOM
    ]
    best, *others = sorted(scores, key=lambda one: -one.mean)
    second = others[0] if others else None
    p = [
        one["p_wilcoxon"]
        for one in records(made.frames["comparisons"])
        if second and {one["first"], one["second"]} == {best.name, second.name}
        if (one["view"], one["against"]) == (view, EXACT)
    ]
    return ranked(
        f"{view}, {everybody['questions']:,} questions: {MEASURES['precision'].format(k=made.k)}",
        best,
        second,
        p[0] if p else float("nan"),
        "Wilcoxon's test, Holm's correction",
        chance=everybody["base_rate"],
        enough=everybody["questions"] >= ENOUGH,
    )


def manifest_of(source: Source, plan: Plan, result: Result, made: Tables) -> dict[str, Any]:
    """Return what is needed to measure the same again, and what could flatter it."""
    return {
        **made_with(_PACKAGES),
        **made_from(source),
        "plan": {
            "encoders": {one.name: one.spec for one in plan.contestants},
            "views": list(plan.views),
            "routes": [one.name for one in plan.routes],
            "k": list(result.ks),
            "queries": plan.queries,
            "folds": plan.folds,
            "seed": plan.seed,
            "cohort_by": result.population.by,
        },
        "units": len(result.population),
        "questions": sum(map(len, result.folds)),
        "patients_asked_about_and_learnt_from": result.shared_patients,
        "trained_elsewhere": [one.name for one in plan.contestants if one.trained],
        "faults": list(made.faults),
        **result.stages.facts,
    }


def write_report(folder: Path, manifest: Mapping[str, Any], made: Tables) -> Path:
    """Write report.html, a CSV file per table, and manifest.json; return the page's path."""
    published = as_published.table_of(manifest["source"]["name"])
    cohorts = records(made.frames["cohorts"])
    page = render(
        "retrieval.html",
        manifest=manifest,
        categories=category_tables(manifest["note_categories"]),
        finding=finding(made),
        made=made,
        views=[(view, _ways(made, view, exact=True), _ways(made, view, exact=False)) for view in made.views],
        cohorts=cohorts,
        bars=[
            _bars(str(one["cohort"]), made.drawn(cohort=one["cohort"], measure="precision"))
            for one in cohorts
        ],
        forests=list(_forests(made)),
        losses=list(_losses(made)),
        sweeps=[_sweep(made, measure) for measure in ("precision", "recall")],
        ranges=as_published.ranges(published),
        published=published,
        published_k=RETRIEVAL_K,
        published_titles=[title for title in as_published.MEASURES.values() if title],
        few=[one["cohort"] for one in cohorts if one["questions"] < ENOUGH],
        enough=ENOUGH,
        exact=EXACT,
        many=FOLDED,
        proxies_by=(PRECISION, RECALL),
        line_count=len(made.drawn(measure="precision")),
        known=lambda number: number == number,
    )
    return keep(folder, page, manifest, made.frames.items())


def _ways(made: Tables, view: str, *, exact: bool) -> ReportTable:
    """Return a row for every way of a view, searched exactly or through an index."""
    left_out = records(chosen(made.frames["not_measured"], {"view": view})) if exact else []
    told = [
        {"measure": FAULT, "encoder": one["encoder"], "route": EXACT, "text": one["reason"]}
        for one in left_out
    ]
    found = made.drawn(view=view, route=None)
    names = (
        {"ranked by, searched exactly": "encoder"} if exact else {"ranked by": "encoder", "through": "route"}
    )
    return TableSpec(
        title=view,
        rows=names,
        columns=[
            ColumnSpec(
                title=MEASURES[name].format(k=made.k),
                measure=name,
                show=decimals(2 if name == "lift" else 3),
                missing="",
            )
            for name in (_EXACTLY if exact else _THROUGH)
        ],
        fault_word="not measured:",
    ).of(
        long_table(
            [{**one, "value": one["mean"]} for one in found if (one["route"] == EXACT) == exact] + told
        )
    )


def _bars(title: str, rows: Sequence[Record], name: str = "encoder") -> dict[str, Any]:
    """Return figures with their intervals, a bar each."""
    bars = [{"name": one[name], **{side: one[side] for side in ("mean", "low", "high")}} for one in rows]
    return {"title": title.replace("_", " "), "rows": bars}


def _forests(made: Tables) -> Iterator[dict[str, Any]]:
    """Yield precision at k by group, an encoder each, in the first view; suppressed groups are left out."""
    frame = made.frames["subgroups"]
    if len(frame):
        shown = frame[(frame["view"] == made.views[0]) & frame["mean"].notna()]
        names = shown["group"] + ": " + shown["value"] + " (" + shown["questions"].astype(str) + ")"
        for encoder, group in shown.assign(name=names).groupby("encoder", sort=False):
            yield {**_bars("", records(group), "name"), "title": str(encoder)}


def _losses(made: Tables) -> Iterator[dict[str, Any]]:
    """Yield, for every index, the precision at k that is found, and what index and encoder cost of the ceiling."""
    mean = {(one["encoder"], one["route"], one["measure"]): one["mean"] for one in made.drawn(route=None)}
    for encoder, route, measure in mean:
        if route != EXACT and measure == "precision":
            found, exact = (mean[encoder, way, "precision"] for way in (route, EXACT))
            lost = mean[encoder, EXACT, "precision_ceiling"] - exact
            name = f"{encoder} | {route}"
            yield {"name": name, "found": found, "index": exact - found, "encoder": lost}


def _sweep(made: Tables, measure: str) -> dict[str, Any]:
    """Return a measure over k of the best by precision at k, all questions together, beside its ceiling."""
    best = sorted(made.drawn(measure="precision"), key=lambda one: -one["mean"])[:CURVES]
    curves: dict[str, list[Record]] = {}
    for one in made.drawn(k=None, measure=measure, encoder=tuple(one["encoder"] for one in best)):
        curves.setdefault(one["encoder"], []).append(one)
    ceiling = made.drawn(k=None, measure=f"{measure}_ceiling", encoder=best[0]["encoder"])
    return {"measure": measure, "curves": curves, "ceiling": ceiling}
