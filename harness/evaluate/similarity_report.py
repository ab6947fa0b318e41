"""The page of scored pairs, and its table."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from cohorts.harness.evaluate.similarity import WORDS, Plan, Result, Row
from cohorts.harness.reports.page import keep, render
from cohorts.harness.reports.published import NOTE_TASKS
from cohorts.provenance import made_with

_VERSIONS = ("numpy", "pandas", "scipy", "torch", "transformers")


def manifest_of(file: Path, plan: Plan, result: Result) -> dict[str, Any]:
    """Return what is needed to measure the same again."""
    with file.open("rb") as stream:
        checksum = hashlib.file_digest(stream, "sha256").hexdigest()
    return {
        **made_with(_VERSIONS),
        "pairs": len(plan.pairs.score),
        "checksum": checksum,
        "encoders": {one.name: one.encoder.fingerprint for one in plan.contestants if one.name in plan.here},
        **result.stages.facts,
    }


def write_report(folder: Path, manifest: Mapping[str, Any], result: Result) -> Path:
    """Write report.html, similarity.csv and manifest.json; return the page's path."""
    measured = [row for row in result.rows if row.encoder != WORDS and row.spearman == row.spearman]
    page = render(
        "similarity.html",
        manifest=manifest,
        rows=result.rows,
        best=max(measured, key=lambda row: row.spearman, default=None),
        words=result.rows[0],
        published=NOTE_TASKS,
        known=lambda number: number == number,
    )
    return keep(
        folder, page, manifest, [("similarity", pd.DataFrame(result.rows, columns=list(Row._fields)))]
    )
