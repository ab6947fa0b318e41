"""A cohort of sepsis as tables for people, and as a folder: page, flow chart, counts and manifest beside the stays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from cohorts.analysis.sepsis.defining import STAYS, Defined
from cohorts.analysis.sepsis.first_day import AFTER_H, BEFORE_H
from cohorts.provenance import made_from, made_with, peak_rss_mib
from cohorts.records.base import Source
from cohorts.records.sepsis.cohort import CODES, SEPSIS3
from cohorts.reports.figures.flow import Exclusion, FlowFigure
from cohorts.reports.figures.svg import STYLE, both
from cohorts.reports.long_table import Cell, ColumnSpec, Line, ReportTable
from cohorts.reports.page import keep, render

HIDDEN = "hidden"
RULES: Mapping[str, str] = {SEPSIS3: "sepsis by Sepsis-3", CODES: "sepsis by diagnosis codes"}


def flow_table(told: Defined) -> ReportTable:
    """Return the flow chart as a table: after each exclusion, how many stays are left out, and how many remain."""
    lines = [Line(("admissions read",), (Cell(""), Cell(_count(told.admissions))))]
    lines += [
        Line((one.reason,), (Cell(_count(one.left_out)), Cell(_count(one.remaining)))) for one in told.steps
    ]
    lines.append(Line((f"{RULES[told.rule]}",), (Cell(""), Cell(_count(told.members)))))
    lines.append(Line(("of these, died in hospital",), (Cell(""), Cell(_count(told.died)))))
    return ReportTable("Stays", ("",), _columns("left out", "remain"), tuple(lines))


def unseen_table(told: Defined) -> ReportTable:
    """Return of each part of each score in how many stays with intensive care it could not be seen on the first day."""
    title = f"Not seen on the first day, of {_count(told.icu)} stays with intensive care"
    lines = [Line((one.score, one.part), (Cell(_count(one.stays)),)) for one in told.unseen]
    return ReportTable(title, ("score", "part"), _columns("not seen"), tuple(lines))


def write_folder(told: Defined, source: Source, folder: Path) -> Path:
    """Write report.html, flow.csv, unseen.csv and manifest.json beside stays.csv; return the page. Raises OSError."""
    figure = FlowFigure(
        title=f"Who is of the cohort: {RULES[told.rule]}",
        about="Exclusions in their order, with the stays left out and those that remain.",
        start="admissions read",
        end=RULES[told.rule],
        everybody=_count(told.admissions),
        exclusions=[
            Exclusion(reason=one.reason, left_out=_count(one.left_out), remaining=_count(one.remaining))
            for one in told.steps
        ],
    )
    page = render(
        "sepsis_cohort.html",
        told=told,
        rule=RULES[told.rule],
        figure=both(figure.svg),
        style=STYLE,
        members=_count(told.members),
        tables=[flow_table(told), unseen_table(told)],
        stays=STAYS,
    )
    return keep(folder, page, _manifest(told, source), [("flow", _flow(told)), ("unseen", _unseen(told))])


def _manifest(told: Defined, source: Source) -> dict[str, Any]:
    return {
        **made_with(),
        **made_from(source),
        "rule": told.rule,
        "first_day": f"icu-{BEFORE_H}h..icu+{AFTER_H}h",
        "min_cell": told.min_cell,
        "stays": told.members,
        "died": told.died,
        "seconds": round(told.seconds, 1),
        "peak_rss_mib": peak_rss_mib(),
    }


def _flow(told: Defined) -> pd.DataFrame:
    rows = [("admissions read", "", _cell(told.admissions))]
    rows += [(one.reason, _cell(one.left_out), _cell(one.remaining)) for one in told.steps]
    return pd.DataFrame(rows, columns=["reason", "left_out", "remaining"])


def _unseen(told: Defined) -> pd.DataFrame:
    rows = [(one.score, one.part, _cell(one.stays)) for one in told.unseen]
    return pd.DataFrame(rows, columns=["score", "part", "unseen"])


def _columns(*titles: str) -> tuple[ColumnSpec, ...]:
    return tuple(ColumnSpec(title=one, measure=one, short=one) for one in titles)


def _count(value: int | None) -> str:
    return HIDDEN if value is None else f"{value:,}"


def _cell(value: int | None) -> str:
    return HIDDEN if value is None else str(value)
