"""The page of a measurement, and the tables it is made from, kept beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cohorts.encoders.fineehr.training import ANY
from cohorts.harness.evaluate.fineehr import Plan, Result, tables
from cohorts.harness.evaluate.note_categories import category_lines
from cohorts.harness.evaluate.statistics import (
    AVERAGE,
    BASELINE,
    PredictionSummary,
    RetrievalSummary,
    average_auc,
    cell_of,
    paired_p,
    summarize_predictions,
    summarize_retrieval,
)
from cohorts.harness.reports.findings import Score, against
from cohorts.harness.reports.page import keep, render
from cohorts.harness.reports.published import (
    FINEEHR_AVERAGES,
    FINEEHR_CATEGORIES,
    FINEEHR_OTHERS,
    FINEEHR_SETTINGS,
    Figure,
    Names,
)
from cohorts.provenance import made_from, made_with
from cohorts.records.base import Source

_APPROACHES = {"baseline": "Baseline", "metric": "Only Metric", "weight": "Only Weight", "full": "FineEHR"}
_CLASSIFIERS = {"random forest": "RF", "logistic regression": "LR", "MLP": "MLP", "gradient boosting": "GBDT"}
_BESIDE_OTHERS: dict[Names, str] = {("Baseline", "Only Text"): "baseline", ("FINEEHR", "Only Text"): "full"}
_VERSIONS = ("gensim", "numpy", "pandas", "scikit-learn", "scipy", "torch")


def manifest_of(source: Source, plan: Plan, result: Result) -> dict[str, Any]:
    """Return what is needed to measure the same again."""
    return {
        **made_with(_VERSIONS),
        **made_from(source),
        "plan": {
            "seeds": plan.seeds,
            "split_by": str(plan.split_by),
            "as_of_h": plan.as_of.total_seconds() / 3600 if plan.as_of else None,
            "encoder": asdict(plan.settings),
        },
        "counts": result.counts,
        "not_measured": result.not_measured,
        **result.stages.facts,
    }


def write_report(folder: Path, manifest: Mapping[str, Any], result: Result) -> Path:
    """Write report.html, predictions.csv, retrieval.csv and manifest.json; return the page's path."""
    page = _page(manifest, result)
    return keep(folder, page, {**manifest, "learnt": result.learnt}, tables(result))


def _page(manifest: Mapping[str, Any], result: Result) -> str:
    predictions, retrieval = summarize_predictions(result.predictions), summarize_retrieval(result.retrieval)
    notes = list(dict.fromkeys(row.notes for row in predictions))
    phenotypes = list(dict.fromkeys(row.phenotype for row in retrieval))
    return render(
        "fineehr.html",
        manifest=manifest,
        categories=category_lines(manifest["note_categories"]),
        categories_table=FINEEHR_CATEGORIES,
        finding=finding(result),
        notes=notes,
        predictions=prediction_lines(predictions, notes),
        unimproved=unimproved_lines(predictions),
        phenotypes=phenotypes,
        retrieval=retrieval_lines(retrieval, notes[0], phenotypes),
        learnt=result.learnt,
        traces={name: _traces(facts) for name, facts in result.learnt.items()},
        settings=FINEEHR_SETTINGS,
        averages=FINEEHR_AVERAGES,
        others=FINEEHR_OTHERS,
        other_lines=other_lines(predictions, notes[0]),
        spread=lambda sd: "–" if sd != sd else f"{100 * sd:.1f}",
        p=show_p,
    )


def finding(result: Result) -> str:
    """Return whether any vectors tell better than the baseline's who dies, from the first kind of notes."""
    mean = average_auc(result.predictions, result.predictions[0].notes)
    base = mean.pop(BASELINE)
    return against(
        f"AUC for death in hospital ({result.predictions[0].notes}, average of the classifiers)",
        [Score.of(name, cell_of(auc), percent=True) for name, auc in mean.items()],
        Score.of(BASELINE, cell_of(base), percent=True),
        [paired_p(auc, base) for auc in mean.values()],
        "paired t-test over the seeds, Bonferroni's correction",
    )


def show_p(p: float) -> str:
    """Return a p-value as it is printed; – where there is none."""
    return "–" if p != p else "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def prediction_lines(rows: Sequence[PredictionSummary], notes: Sequence[str]) -> list[dict[str, Any]]:
    """Return a line per encoder and classifier, with a cell for each kind of notes, and what was published."""
    cells = {(row.encoder, row.classifier, row.notes): row for row in rows}
    lines: list[dict[str, Any]] = []
    for encoder in dict.fromkeys(row.encoder for row in rows):
        for classifier in dict.fromkeys(row.classifier for row in rows if row.encoder == encoder):
            lines.append(
                {
                    "encoder": encoder,
                    "classifier": classifier,
                    "first": not lines or lines[-1]["encoder"] != encoder,
                    "mark": " †" if any(row.unimproved for row in rows if row.encoder == encoder) else "",
                    "cells": [cells.get((encoder, classifier, name)) for name in notes],
                    "published": published_scores(encoder, classifier),
                }
            )
    return lines


def unimproved_lines(rows: Sequence[PredictionSummary]) -> list[str]:
    """Return what is to be told of the encoders whose training brought nothing, each and kind of notes once."""
    told = {(row.encoder, row.notes): row.unimproved for row in rows if row.unimproved}
    return [f"{encoder}, {notes}: {text}." for (encoder, notes), text in told.items()]


def published_scores(encoder: str, classifier: str) -> tuple[Figure | None, ...]:
    """Return what the paper tells of a setting and a classifier, or of all four: AUC and AUC-PR."""
    row = (_APPROACHES.get(encoder, encoder),)
    if classifier == AVERAGE:
        return tuple(FINEEHR_AVERAGES.figure(row, column) for column in FINEEHR_AVERAGES.columns)
    name = _CLASSIFIERS[classifier]
    return tuple(FINEEHR_SETTINGS.figure(row, f"{name} {measure}") for measure in ("AUC", "AUC-PR"))


def other_lines(rows: Sequence[PredictionSummary], notes: str) -> list[dict[str, Any]]:
    """Return the paper's comparison with others, a line each, with ours where it is of a random forest here too."""
    ours = {row.encoder: row for row in rows if (row.notes, row.classifier) == (notes, "random forest")}
    return [
        {"names": names, "published": printed, "ours": ours.get(_BESIDE_OTHERS.get(names, ""))}
        for names, (printed,) in FINEEHR_OTHERS.rows.items()
    ]


def retrieval_lines(
    rows: Sequence[RetrievalSummary], notes: str, phenotypes: Sequence[str]
) -> list[dict[str, Any]]:
    """Return a line per encoder, with a cell for each phenotype."""
    cells = {(row.encoder, row.phenotype): row for row in rows if row.notes == notes}
    encoders = dict.fromkeys(row.encoder for row in rows)
    return [
        {"encoder": encoder, "cells": [cells.get((encoder, name)) for name in phenotypes]}
        for encoder in encoders
    ]


def category_name(category: str) -> str:
    """Return a category of notes as it is printed."""
    return "any other" if category == ANY else category


def _traces(facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return how each network's training went: its first check, the one kept, and its last."""
    return {category: trace_ends(trace) for category, trace in facts["training"].items()}


def trace_ends(trace: Mapping[str, Any]) -> dict[str, Any]:
    """Return loss and effective rank of a training at its start, at the step kept, and at its end."""
    at = (0, trace["steps"].index(trace["kept_step"]), -1)
    return {
        "notes": trace["notes"],
        "kept_step": trace["kept_step"],
        "last_step": trace["steps"][-1],
        "loss": [trace["validation_loss"][place] for place in at],
        "rank": [trace["effective_rank"][place] for place in at],
    }
