"""The tables, and the page, of a retrieval evaluation: its sheets, and how they are read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from cohorts.harness.evaluate.base import LongSheet, Run, Sheet, Told
from cohorts.harness.evaluate.retrieval import as_published
from cohorts.harness.evaluate.retrieval.figures import ALL, depth_told
from cohorts.harness.evaluate.retrieval.proxies import PRECISION, RECALL, sentences
from cohorts.harness.evaluate.retrieval.rankings import EXACT, Way
from cohorts.harness.evaluate.retrieval.scorers import RANDOM
from cohorts.reports.findings import Score, ranked
from cohorts.reports.formats import decimals
from cohorts.reports.long_table import ColumnSpec, Record, ReportTable, TableSpec, chosen, records
from cohorts.reports.published import RETRIEVAL_K

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
_COUNTED = ("codes_taken", "codes_left", "mentions_taken", "mentions_left")
_NOTES = ("notes", "after_discharge", "without_time")
_MEAN = ("questions", "mean", "sd", "low", "high")
_TESTED = ("difference", "low", "high", "d", "p_wilcoxon", "p_t")
_PUBLISHED = [f"published_{name}" for name, title in as_published.MEASURES.items() if title]
GRADES = ("graded", "judged")
_GRADED = LongSheet((*Way._fields, "k", "measure", *_MEAN, "everybody"), {"mean": "value"})
SHEETS: dict[str, Sheet | LongSheet] = {
    "figures": LongSheet((*Way._fields, "k", "measure", "cohort", *_MEAN), {"mean": "value"}),
    "cohorts": Sheet(
        ("cohort",), ("questions", "matches", "base_rate", "recall_ceiling"), counts=("questions",)
    ),
    "comparisons": LongSheet(
        ("view", "first", "second", "route", "against", "k", *_TESTED), {"difference": "value"}
    ),
    "subgroups": LongSheet(
        (*Way._fields, "group", "value", "k", *_MEAN, "base_rate"), {"value": "part", "mean": "value"}
    ),
    "extremes": Sheet((*Way._fields, "place", "asked", "cohort", "k"), ("precision", "reasons")),
    "leaks": Sheet(("view", "cohort"), _COUNTED, counts=_COUNTED),
    "proxies": Sheet(("view", "cohort", "feature"), ("units", "precision", "recall", "base_rate")),
    "not_measured": LongSheet(("view", "encoder", "reason"), {"reason": "text"}),
    "notes": Sheet(("view",), _NOTES, counts=_NOTES),
    "indexes": LongSheet(("encoder", "route", "in_effect"), {"in_effect": "text"}),
    "published": Sheet(("cohort", "model", "index", *Way._fields), (*as_published.MEASURES, *_PUBLISHED)),
    **dict.fromkeys(GRADES, _GRADED),
}


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The long table of figures, all sheets as they are written, and the k that the tables are of."""

    figures: pd.DataFrame
    frames: Mapping[str, pd.DataFrame]
    k: int

    @property
    def views(self) -> list[str]:
        """Return what encoders saw, by name; the first is what is judged by."""
        return list(dict.fromkeys(self.figures["view"]))

    def drawn(self, **where: Any) -> list[Record]:
        """Return figures at k of all questions in the first view, searched exactly, but for what `where` says."""
        first = {"view": self.views[0], "cohort": ALL, "k": self.k, "route": EXACT}
        asked = {name: value for name, value in (first | where).items() if value is not None}
        return records(chosen(self.figures, asked))


def finding(made: Tables) -> str:
    """Return who ranks best of all questions in the first view, searched exactly, and whether the next can be told."""
    view, everybody = made.views[0], records(made.frames["cohorts"])[0]
    scores = [
        Score(one["encoder"], one["value"], one["low"], one["high"])
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


def read(run: Run, frames: Mapping[str, pd.DataFrame]) -> Told:
    """Return how the figures are read: on the page, in the first sentence and, of what flatters them, in warnings."""
    every = run.table("figures")
    made = Tables(figures=every, frames=frames, k=depth_told(set(every["k"])))
    first, cohorts = made.views[0], records(frames["cohorts"])
    paper = as_published.table_of(run.manifest["source"]["name"])
    precision = made.drawn(measure="precision")
    best = sorted(precision, key=lambda one: -one["value"])[:CURVES]
    return Told(
        finding=finding(made),
        tables={},
        drawn={
            "made": made,
            "views": [
                (view, _ways(run, made, view, True), _ways(run, made, view, False)) for view in made.views
            ],
            "cohorts": cohorts,
            "bars": [
                (name, made.drawn(cohort=name, measure="precision")) for name in frames["cohorts"]["cohort"]
            ],
            "forests": _forests(run.table("subgroups"), first),
            "losses": list(_losses(made)),
            "sweeps": [
                _sweep(made, measure, [one["encoder"] for one in best]) for measure in ("precision", "recall")
            ],
            "agreement": {one["measure"]: one["value"] for one in records(run.table("agreement"))},
            "ranges": as_published.ranges(paper),
            "paper": paper,
            "paper_k": RETRIEVAL_K,
            "few": [one["cohort"] for one in cohorts if one["questions"] < ENOUGH],
            "enough": ENOUGH,
            "many": FOLDED,
            "proxies_by": (PRECISION, RECALL),
            "line_count": len(precision),
            "known": pd.notna,
        },
        warnings=[f"LEAK: {fault}" for fault in run.manifest["faults"]],
        notes=sentences(records(frames["proxies"]), first),
    )


def _ways(run: Run, made: Tables, view: str, exact: bool) -> ReportTable:
    """Return a row for every way of a view, searched exactly or through an index."""
    told = chosen(made.figures, {"view": view, "cohort": ALL, "k": made.k})
    told = told[(told["route"] == EXACT) == exact]
    left_out = run.table("not_measured")
    if exact and len(left_out):
        told = pd.concat([told, chosen(left_out, {"view": view})])
    names = {"ranked by, searched exactly": "encoder"}
    return TableSpec(
        title=view,
        rows=names if exact else {"ranked by": "encoder", "through": "route"},
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
    ).of(told)


def _forests(groups: pd.DataFrame, view: str) -> list[tuple[str, list[Record]]]:
    """Return precision at k by group, an encoder each, in one view; suppressed groups are left out."""
    if not len(groups):
        return []
    shown = groups[(groups["view"] == view) & groups["value"].notna()]
    names = shown["group"] + ": " + shown["part"] + " (" + shown["questions"].astype(str) + ")"
    by_encoder = shown.assign(name=names).groupby("encoder", sort=False)
    return [(str(encoder), records(group)) for encoder, group in by_encoder]


def _losses(made: Tables) -> Iterator[dict[str, Any]]:
    """Yield, for every index, the precision at k that is found, and what index and encoder cost of the ceiling."""
    mean = {(one["encoder"], one["route"], one["measure"]): one["value"] for one in made.drawn(route=None)}
    for encoder, route, measure in mean:
        if route != EXACT and measure == "precision":
            found, exact = (mean[encoder, way, "precision"] for way in (route, EXACT))
            lost = mean[encoder, EXACT, "precision_ceiling"] - exact
            name = f"{encoder} | {route}"
            yield {"name": name, "found": found, "index": exact - found, "encoder": lost}


def _sweep(made: Tables, measure: str, best: Sequence[str]) -> dict[str, Any]:
    """Return a measure over k of the best by precision at k, all questions together, beside its ceiling."""
    curves: dict[str, list[Record]] = {}
    for one in made.drawn(k=None, measure=measure, encoder=tuple(best)):
        curves.setdefault(one["encoder"], []).append(one)
    ceiling = made.drawn(k=None, measure=f"{measure}_ceiling", encoder=best[0])
    return {"measure": measure, "curves": curves, "ceiling": ceiling}
