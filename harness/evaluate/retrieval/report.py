"""The tables, and the page, of a retrieval evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from cohorts.harness.evaluate.note_categories import category_lines
from cohorts.harness.evaluate.retrieval import as_published
from cohorts.harness.evaluate.retrieval.evaluation import EXACT, Result
from cohorts.harness.evaluate.retrieval.figures import (
    ALL,
    base_rates,
    comparisons,
    extremes,
    figures,
    gather,
    graded_figures,
    subgroups,
)
from cohorts.harness.evaluate.retrieval.grades import Judged, OfRecords, agreement
from cohorts.harness.evaluate.retrieval.leaks import verdict
from cohorts.harness.evaluate.retrieval.plan import Plan
from cohorts.harness.evaluate.retrieval.proxies import PRECISION, RECALL, frame_of, sentences
from cohorts.harness.evaluate.retrieval.scorers import RANDOM
from cohorts.harness.reports.findings import Score, ranked
from cohorts.harness.reports.page import keep, render
from cohorts.harness.reports.published import FINEEHR_CATEGORIES, RETRIEVAL_K
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
_VERSIONS = (
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "torch",
    "transformers",
    "pymilvus",
    "qdrant-client",
)


class Line(NamedTuple):
    """One way: its names, and mean and 95 % interval of each of MEASURES, NaN where there is none."""

    encoder: str
    route: str
    cells: dict[str, tuple[float, float, float]]


class Tables(NamedTuple):
    """All that is told, as frames by the name of their CSV file, and the k that the tables are of.

    `faults` make the figures worthless; `notes` are what else to know of the first view: its proxies.
    """

    frames: dict[str, pd.DataFrame]
    k: int
    faults: list[str]
    agreement: tuple[float, int] | None
    notes: Sequence[str] = ()


def tables(source: Source, plan: Plan, result: Result, grades: Sequence[OfRecords | Judged]) -> Tables:
    """Compute every figure from the raw rankings, and put those beside them that were published of the same."""
    ways, ks = gather(result), result.ks
    k = RETRIEVAL_K if RETRIEVAL_K in ks else max(ks)
    frames = {
        "figures": figures(ways, ks),
        "cohorts": base_rates(ways, k),
        "comparisons": comparisons(ways, k),
        "subgroups": subgroups(ways, k),
        "extremes": extremes(ways, result.reasons, k),
        "leaks": pd.DataFrame(result.leaks),
        "proxies": frame_of(result.proxies),
        "not_measured": pd.DataFrame(
            [(*way, reason) for way, reason in result.not_measured.items()],
            columns=["view", "encoder", "reason"],
        ),
        "notes": pd.DataFrame(result.late),
        "indexes": pd.DataFrame(
            {(cell.encoder, cell.route, one.note) for cell, one in result.rankings.items() if one.note},
            columns=["encoder", "route", "in_effect"],
        ).sort_values(["encoder", "route"]),
    }
    frames["published"] = as_published.beside(
        frames["figures"], ways.cohort, plan, as_published.table_of(source.name)
    )
    for one in grades:
        name = "graded" if isinstance(one, OfRecords) else "judged"
        frames[name] = graded_figures(result, one, ks)
    both = {type(one): one for one in grades}
    agreed = None
    if len(both) == 2:
        agreed = agreement(both[Judged], both[OfRecords])  # type: ignore[arg-type]
    faults = verdict(result.leaks, result.shared_patients)
    return Tables(frames, k, faults, agreed, sentences(result.proxies, next(iter(plan.views))))


def views(made: Tables) -> list[str]:
    """Return what encoders saw, by name; the first is what is judged by."""
    names: list[str] = made.frames["figures"]["view"].unique().tolist()
    return names


def lines(made: Tables, view: str, cohort: str = ALL) -> list[Line]:
    """Return a line for every way of one view, of all questions or those of one cohort."""
    frame = made.frames["figures"]
    here = frame[(frame["view"] == view) & (frame["cohort"] == cohort) & (frame["k"] == made.k)]
    return [
        Line(
            str(encoder),
            str(route),
            {
                name: tuple(group.loc[group["measure"] == name, ["mean", "low", "high"]].iloc[0])
                for name in MEASURES
            },
        )
        for (encoder, route), group in here.groupby(["encoder", "route"], sort=False)
    ]


def finding(made: Tables) -> str:
    """Return who ranks best of all questions in the first view, searched exactly, and whether the next can be told."""
    view, everybody = views(made)[0], made.frames["cohorts"].iloc[0]
    scores = [
        Score(line.encoder, *line.cells["precision"])
        for line in lines(made, view)
        if line.route == EXACT and line.encoder != RANDOM
    ]
    best, *others = sorted(scores, key=lambda one: -one.mean)
    second = others[0] if others else None
    tests = made.frames["comparisons"]
    p = [
        one["p_wilcoxon"]
        for one in tests[tests["view"] == view].to_dict("records")
        if second and {one["first"], one["second"]} == {best.name, second.name} and one["against"] == EXACT
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
        **made_with(_VERSIONS),
        **made_from(source),
        "plan": {
            "encoders": {one.name: one.spec or one.name for one in plan.contestants},
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
        "faults": made.faults,
        **result.stages.facts,
    }


def write_report(folder: Path, manifest: Mapping[str, Any], made: Tables) -> Path:
    """Write report.html, a CSV file per table, and manifest.json; return the page's path."""
    published = as_published.table_of(manifest["source"]["name"])
    cohorts = made.frames["cohorts"].to_dict("records")
    page = render(
        "retrieval.html",
        manifest=manifest,
        categories=category_lines(manifest["note_categories"]),
        categories_table=FINEEHR_CATEGORIES,
        finding=finding(made),
        made=made,
        views=[{"name": view, "lines": lines(made, view)} for view in views(made)],
        titles={name: title.format(k=made.k) for name, title in MEASURES.items()},
        cohorts=cohorts,
        bars=[_bars(made, cohort["cohort"]) for cohort in cohorts],
        forests=_forests(made),
        losses=_losses(made),
        sweeps=_sweeps(made),
        ranges=as_published.ranges(published),
        published=published,
        published_k=RETRIEVAL_K,
        published_titles=[title for title in as_published.MEASURES.values() if title],
        few=[one["cohort"] for one in cohorts if one["questions"] < ENOUGH],
        enough=ENOUGH,
        exact=EXACT,
        many=FOLDED,
        proxies_by=(PRECISION, RECALL),
        line_count=len(_best(made)),
        known=lambda number: number == number,
    )
    return keep(folder, page, manifest, made.frames.items())


def _drawn(made: Tables, cohort: str = ALL) -> pd.DataFrame:
    """Return the figures of one cohort in the first view: pictures show that one alone."""
    frame = made.frames["figures"]
    drawn: pd.DataFrame = frame[(frame["view"] == frame["view"].iloc[0]) & (frame["cohort"] == cohort)]
    return drawn


def _bars(made: Tables, cohort: str) -> dict[str, Any]:
    """Return precision at k of one cohort, searched exactly, in the first view."""
    frame = _drawn(made, cohort)
    chosen = frame[(frame["k"] == made.k) & (frame["measure"] == "precision") & (frame["route"] == EXACT)]
    rows = chosen.rename(columns={"encoder": "name"})[["name", "mean", "low", "high"]]
    return {"title": cohort.replace("_", " "), "rows": rows.to_dict("records")}


def _best(made: Tables) -> list[str]:
    """Return the encoders and baselines by their precision at k, searched exactly, in the first view."""
    here = _drawn(made)
    here = here[(here["route"] == EXACT) & (here["measure"] == "precision") & (here["k"] == made.k)]
    return here.sort_values("mean", ascending=False)["encoder"].tolist()


def _forests(made: Tables) -> list[dict[str, Any]]:
    """Return precision at k by group, an encoder each, in the first view; suppressed groups are left out."""
    frame = made.frames["subgroups"]
    if not len(frame):
        return []
    shown = frame[(frame["view"] == frame["view"].iloc[0]) & frame["mean"].notna()]
    names = shown["group"] + ": " + shown["value"] + " (" + shown["questions"].astype(str) + ")"
    return [
        {"title": str(encoder), "rows": group[["name", "mean", "low", "high"]].to_dict("records")}
        for encoder, group in shown.assign(name=names).groupby("encoder", sort=False)
    ]


def _losses(made: Tables) -> list[dict[str, Any]]:
    """Return, for every index, the precision at k that is found, and what index and encoder cost of the ceiling."""
    here = _drawn(made)
    here = here[here["k"] == made.k]
    mean = here.set_index(["encoder", "route", "measure"])["mean"]
    rows = []
    for encoder, route in here[["encoder", "route"]].drop_duplicates().itertuples(index=False, name=None):
        if route != EXACT:
            found, exact = (float(mean[encoder, way, "precision"]) for way in (route, EXACT))
            ceiling = float(mean[encoder, EXACT, "precision_ceiling"])
            name = f"{encoder} | {route}"
            rows.append({"name": name, "found": found, "index": exact - found, "encoder": ceiling - exact})
    return rows


def _sweeps(made: Tables) -> list[dict[str, Any]]:
    """Return precision and recall over k of the best, all questions together, beside their ceilings."""
    here = _drawn(made)
    here = here[(here["route"] == EXACT) & here["encoder"].isin(_best(made)[:CURVES])]
    drawn = []
    for measure in ("precision", "recall"):
        curves = here[here["measure"] == measure]
        ceiling = here[here["measure"] == f"{measure}_ceiling"].drop_duplicates("k")
        drawn.append(
            {
                "measure": measure,
                "curves": {
                    str(name): group[["k", "mean"]].to_dict("records")
                    for name, group in curves.groupby("encoder", sort=False)
                },
                "ceiling": ceiling[["k", "mean"]].to_dict("records"),
            }
        )
    return drawn
