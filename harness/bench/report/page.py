"""The page of an experiment, and beside it the same tables as Markdown and CSV."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd
from cohorts.harness.bench.report.as_published import PUBLISHED, published_table
from cohorts.harness.bench.report.equal_recall import AtRecall, at_equal_recall
from cohorts.harness.bench.report.figures import build_figures, figures_of, growth_figures
from cohorts.harness.bench.report.growth import grown, growth_table
from cohorts.harness.bench.report.run_table import csv_tables, run_table
from cohorts.harness.bench.report.summary import Summary
from cohorts.harness.bench.report.tables import BUILT, growth, of_k
from cohorts.harness.reports import charts
from cohorts.harness.reports.formats import number
from cohorts.harness.reports.long_table import ReportTable
from cohorts.harness.reports.markdown import fenced, markdown, shown
from cohorts.harness.reports.page import keep, render
from cohorts.harness.reports.published import RESOURCES, SEARCH
from cohorts.measures.intervals import UNTOLD
from cohorts.plain_text import printable
from cohorts.private_files import write_private

MARKDOWN = "report.md"
SYNTHETIC = "Synthetic data: vectors drawn by a program"


@dataclass(frozen=True)
class Origin:
    """How to measure the same again: the command, and the text of the experiment's file."""

    command: str
    experiment: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """An experiment as it is read: its summary, what is at equal recall, and the long table of all figures."""

    summary: Summary
    equal: tuple[AtRecall, ...]
    run: pd.DataFrame

    @classmethod
    def of(cls, summary: Summary) -> "Report":
        """Return the report of what was measured."""
        equal = at_equal_recall(summary)
        return cls(summary=summary, equal=equal, run=run_table(summary, equal))

    def tables(self, k: int) -> list[ReportTable]:
        """Return the tables of one k; those that nothing was measured for are left out."""
        return [made for spec in of_k(k) if (made := spec.of(self.run)).lines]


def write_report(folder: Path, report: Report, origin: Origin, others: Sequence[Path] = ()) -> Path:
    """Write report.html, report.md, manifest.json, settings.csv, builds.csv and equal_recall.csv; return the page.

    With `others`, folders of experiments of other sizes, also how cost grows. Raises InputError for a folder without a
    report.
    """
    page = keep(folder, "", _manifest(report.summary, origin), csv_tables(report.run))
    growing = growth_table(
        grown([folder, *others]) if others else ()
    )  # the tables of this one are read as theirs are
    write_private(page, _page(report, origin, growing))
    write_private(folder / MARKDOWN, _markdown(report, origin, growing))
    return page


def headline(summary: Summary) -> str:
    """Return the data and the machine in a line."""
    facts = summary.facts
    return (
        f"{facts.rows:,} × {facts.dim} vectors, {facts.queries:,} queries, {summary.experiment.repeats} repeats, on "
        f"{' and '.join(facts.machines)}."
    )


def finding(summary: Summary, equal: Sequence[AtRecall]) -> str:
    """Return what is fastest at the highest recall that two reach, or that it can't be told."""
    told = [one for one in equal if one.speed_up and not one.rival.reference]
    if not told:
        return "What is faster can't be told: no two stores or indexes were measured around one recall."
    fastest = max(told, key=lambda one: (one.recall, -(one.p50_ms or nan)))
    ratio, p50_ms = fastest.speed_up or UNTOLD, number(fastest.p50_ms or nan)
    times = f"{number(ratio.value)} times [{number(ratio.low)}, {number(ratio.high)}]"
    at = f"At recall@{fastest.rival.k} of {fastest.recall:g}"
    if ratio.low <= 1:
        return f"{at}, {fastest.rival.name} and {fastest.beside} can't be told apart: p50 {p50_ms} ms, {times} as fast."
    quiet = summary.noise is not None and not summary.noise.too_noisy
    doubt = "" if quiet else "; measured too seldom, or on too noisy a machine, to rely on"
    return (
        f"{at}, {fastest.rival.name} is fastest: p50 {p50_ms} ms, {times} as fast as {fastest.beside}{doubt}."
    )


def warnings(summary: Summary) -> list[str]:
    """Return what a reader must know before believing a figure."""
    found = []
    if summary.faulty:
        found.append(f"{len(summary.faulty)} of {len(summary.rows)} settings have faults, and no figures.")
    if summary.missing:
        found.append(f"{summary.missing:,} measurements of the experiment are not there.")
    if len(summary.facts.machines) > 1:
        found.append(f"Measured on {len(summary.facts.machines)} machines: what differs may be theirs.")
    several = [name for name, versions in summary.facts.versions.items() if len(versions) > 1]
    if several:
        found.append(f"Measured with several versions of {', '.join(several)}.")
    if summary.noise is None:
        found.append("One repeat: whether the machine was too noisy can't be told.")
    elif summary.noise.too_noisy:
        found.append(summary.noise.line)
    return found


def notes(summary: Summary) -> list[tuple[str, str]]:
    """Return what was done otherwise than asked, with the first setting that says so."""
    return list({note: (row.name, note) for row in reversed(summary.rows) for note in row.notes}.values())[
        ::-1
    ]


def _manifest(summary: Summary, origin: Origin) -> dict[str, Any]:
    return {
        "name": summary.experiment.name,
        "command": origin.command,
        "experiment": origin.experiment,
        **asdict(summary.facts),
        "settings": len(summary.rows),
        "missing": summary.missing,
        "noise": summary.noise.line if summary.noise else None,
        "faults": {str(row.cell.setting): row.faults for row in summary.faulty},
    }


def _page(report: Report, origin: Origin, growing: pd.DataFrame) -> str:
    summary, stores = report.summary, [one.name for one in report.summary.experiment.stores]
    return render(
        "bench.html",
        summary=summary,
        facts=summary.facts,
        headline=headline(summary),
        finding=finding(summary, report.equal),
        warnings=warnings(summary),
        synthetic=SYNTHETIC,
        note="(synthetic data)" if summary.facts.synthetic else "",
        origin=origin,
        parts=[
            {"k": k, "tables": report.tables(k), "figures": figures_of(report.run, k, stores)}
            for k in summary.experiment.k
        ],
        builds=BUILT.of(report.run),
        build_figures=build_figures(report.run, stores),
        growth=growth_tables(growing),
        growth_figures=growth_figures(growing, stores),
        notes=notes(summary),
        published=PUBLISHED.of(published_table(summary)),
        search=SEARCH,
        resources=RESOURCES,
        charts=charts,
        number=number,
    )


def _markdown(report: Report, origin: Origin, growing: pd.DataFrame) -> str:
    summary = report.summary
    parts = [
        f"# {shown(summary.experiment.name)}",
        shown(finding(summary, report.equal)),
        shown(headline(summary)),
    ]
    if summary.facts.synthetic:
        parts.append(f"**{SYNTHETIC}.**")
    parts += [f"**{shown(warning)}**" for warning in warnings(summary)]
    if summary.noise and not summary.noise.too_noisy:
        parts.append(shown(summary.noise.line))
    tables = [table for k in summary.experiment.k for table in report.tables(k)]
    parts += map(markdown, [*tables, *growth_tables(growing), BUILT.of(report.run)])
    parts += [f"- {shown(name)}: {shown(note)}" for name, note in notes(summary)]
    return "\n\n".join([*parts, fenced(f"$ {printable(origin.command)}")]) + "\n"


def growth_tables(growing: pd.DataFrame) -> list[ReportTable]:
    """Return the table of growth, if anything grew."""
    return [growth(sorted(growing["n"].dropna().astype(int).unique())).of(growing)] if len(growing) else []
