"""The ablation of the fusion, several seeds in one line, and its page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from cohorts.harness.evaluate.fused import BINS, CENTRED, RAW, Plan, Result, Row, SearchRow
from cohorts.harness.evaluate.note_categories import category_lines
from cohorts.harness.evaluate.statistics import Cell, cell_of, paired_p
from cohorts.harness.reports.findings import Score, against
from cohorts.harness.reports.page import keep, render
from cohorts.harness.reports.published import FINEEHR_CATEGORIES, FUSIONS, PHENOTYPES, RETRIEVAL_K, Figure
from cohorts.provenance import made_from, made_with
from cohorts.records.base import Source

_VERSIONS = ("numpy", "pandas", "scikit-learn", "scipy", "torch", "transformers")
MEASURES = {
    "precision": "precision@10",
    "precision_text": "precision@10, asked by a note",
    "pair_auc": "pair AUC",
    "pair_auc_hard": "pair AUC, hard",
    "auc": "AUC, death",
}


_FUSIONS = {  # ours, as the paper's Table 5 calls them: all but the text were trained for mortality
    RAW: "Text-Only",
    "structured, mortality": "Structured-Only",
    "concat, mortality": "Simple Concatenation",
    "gated, mortality": "Gated Fusion (Ours)",
}


class SearchLine(NamedTuple):
    """F1@100 of one encoder through HNSW: by cohort a cell, and what was published of it."""

    withheld: str
    encoder: str
    cells: dict[str, Cell]
    published: dict[str, Figure | None]


class Line(NamedTuple):
    """One encoder: a cell for each of MEASURES, what chance gives, and what training took."""

    withheld: str
    encoder: str
    cells: dict[str, Cell]
    base: float
    train_s: float
    kept_epoch: float


def summarize(rows: Sequence[Row]) -> list[Line]:
    """Return a line for every encoder, in the order in which they were measured.

    `p` is of a two-sided paired t-test over the seeds, against the centred vectors of the notes alone.
    """
    frame = pd.DataFrame(rows, columns=list(Row._fields))
    groups = {
        (str(withheld), str(encoder)): group.sort_values("seed")
        for (withheld, encoder), group in frame.groupby(["withheld", "encoder"], sort=False)
    }
    return [
        Line(
            withheld,
            encoder,
            {name: cell_of(group[name], groups[withheld, CENTRED][name]) for name in MEASURES},
            *(float(group[name].mean()) for name in ("base", "train_s", "kept_epoch")),
        )
        for (withheld, encoder), group in groups.items()
    ]


def summarize_search(rows: Sequence[SearchRow]) -> list[SearchLine]:
    """Return a line for every encoder that was searched, with a cell for every cohort that was asked about."""
    frame = pd.DataFrame(rows, columns=list(SearchRow._fields))
    return [
        SearchLine(
            str(withheld),
            str(encoder),
            {str(cohort): cell_of(own["f1"]) for cohort, own in group.groupby("cohort", sort=False)},
            {
                phenotype: FUSIONS.figure((_FUSIONS.get(str(encoder), ""),), f"{name} F1")
                for phenotype, name in PHENOTYPES.items()
            },
        )
        for (withheld, encoder), group in frame.groupby(["withheld", "encoder"], sort=False)
    ]


def search_ceilings(rows: Sequence[SearchRow]) -> dict[str, float]:
    """Return, by cohort, the most that F1@100 could be, mean over the seeds."""
    frame = pd.DataFrame(rows, columns=list(SearchRow._fields))
    return {
        str(cohort): float(mean)
        for cohort, mean in frame.groupby("cohort", sort=False)["ceiling"].mean().items()
    }


def finding(rows: Sequence[Row]) -> str:
    """Return whether anything trained finds more than the best of what was not, in the first way of withholding."""
    frame = pd.DataFrame(rows, columns=list(Row._fields)).sort_values("seed", kind="stable")
    first = frame[frame["withheld"] == rows[0].withheld]
    found = {str(name): group["precision"] for name, group in first.groupby("encoder", sort=False)}
    trained = first.loc[first["train_s"].notna(), "encoder"].unique().tolist()
    base = max(found.keys() - trained, key=lambda name: float(found[name].mean()))
    return against(
        f"precision@10 ({rows[0].withheld}; by chance {100 * first['base'].mean():.1f} %)",
        [Score.of(name, cell_of(found[name]), percent=True) for name in trained],
        Score.of(base, cell_of(found[base]), percent=True),
        [paired_p(found[name], found[base]) for name in trained],
        "paired t-test over the seeds, Bonferroni's correction",
    )


def manifest_of(source: Source, plan: Plan, result: Result) -> dict[str, Any]:
    """Return what is needed to measure the same again."""
    return {
        **made_with(_VERSIONS),
        **made_from(source),
        "plan": {
            "seeds": plan.seeds,
            "withheld": list(plan.withheld.phenotypes),
            "mask_notes": plan.mask_notes,
            "cohort_by": plan.cohort_by,
            "encoder": asdict(plan.settings),
        },
        "counts": result.counts,
        **result.stages.facts,
    }


def write_report(folder: Path, manifest: Mapping[str, Any], result: Result) -> Path:
    """Write report.html, fused.csv, f1_through_hnsw.csv, gates.csv and manifest.json; return the page's path."""
    lines = summarize(result.rows)
    page = render(
        "fused.html",
        manifest=manifest,
        categories=category_lines(manifest["note_categories"]),
        categories_table=FINEEHR_CATEGORIES,
        finding=finding(result.rows),
        lines=lines,
        measures=MEASURES,
        searched=summarize_search(result.searched),
        ceilings=search_ceilings(result.searched),
        no_search=result.no_search,
        without_hard=[name.replace("_", " ") for name in result.without_hard],
        fusions=FUSIONS,
        k=RETRIEVAL_K,
        gates=[
            {"name": f"{name} ({withheld})", "bins": bins} for (withheld, name), bins in result.gates.items()
        ],
        known=lambda number: number == number,
    )
    edges = np.arange(BINS) / BINS
    gates = [
        (withheld, name, edge, many)
        for (withheld, name), bins in result.gates.items()
        for edge, many in zip(edges, bins, strict=True)
    ]
    tables = [
        ("fused", pd.DataFrame(result.rows, columns=list(Row._fields))),
        ("f1_through_hnsw", pd.DataFrame(result.searched, columns=list(SearchRow._fields))),
        ("gates", pd.DataFrame(gates, columns=["withheld", "encoder", "weight_from", "patients"])),
    ]
    return keep(folder, page, manifest, tables)
