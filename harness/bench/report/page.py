"""The page of an experiment, and beside it the same tables as Markdown and CSV."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from cohorts.harness.bench.report.as_published import PUBLISHED, published_table
from cohorts.harness.bench.report.figures import build_figures, figures_of, growth_figures
from cohorts.harness.bench.report.growth import grown
from cohorts.harness.bench.report.run_table import EQUAL, csv_tables
from cohorts.harness.bench.report.summary import Summary
from cohorts.harness.bench.report.tables import BUILT, growth, of_k
from cohorts.measures.noise import Noise
from cohorts.plain_text import printable
from cohorts.private_files import write_private
from cohorts.reports import charts
from cohorts.reports.formats import number
from cohorts.reports.long_table import ReportTable
from cohorts.reports.markdown import fenced, markdown, shown
from cohorts.reports.page import keep, render
from cohorts.reports.published import RESOURCES, SEARCH

MARKDOWN = "report.md"
SYNTHETIC = "Synthetic data: vectors drawn by a program"


@dataclass(frozen=True)
class Origin:
    """How to measure the same again: the command, and the text of the experiment's file."""

    command: str
    experiment: str


def tables_of(summary: Summary, k: int) -> list[ReportTable]:
    """Return the tables of one k; those that nothing was measured for are left out."""
    return [made for spec in of_k(k) if (made := spec.of(summary.run)).lines]


def write_report(folder: Path, summary: Summary, origin: Origin, others: Sequence[Path] = ()) -> Path:
    """Write report.html, report.md, manifest.json, settings.csv, builds.csv and equal_recall.csv; return the page.

    With `others`, folders of experiments of other sizes, also how cost grows. Raises InputError for a folder without a
    report.
    """
    manifest = {
        "name": summary.experiment.name,
        "command": origin.command,
        "experiment": origin.experiment,
        **summary.facts,
        "settings": summary.settings,
        "missing": summary.missing,
        "noise": summary.noise.line if summary.noise else None,
        "faults": summary.faults,
    }
    page = keep(folder, "", manifest, csv_tables(summary.run).items())
    # The tables of this one are read as those of the others are.
    frame = grown([folder, *others]) if others else pd.DataFrame()
    growing = [growth(frame).of(frame)] if len(frame) else []
    stores = [one.name for one in summary.experiment.stores]
    html = render(
        "bench.html",
        summary=summary,
        facts=summary.facts,
        headline=headline(summary),
        finding=finding(summary.run, summary.noise),
        warnings=warnings(summary),
        synthetic=SYNTHETIC,
        note="(synthetic data)" if summary.facts["synthetic"] else "",
        origin=origin,
        parts=[
            {"k": k, "tables": tables_of(summary, k), "figures": figures_of(summary.run, k, stores)}
            for k in summary.experiment.k
        ],
        builds=BUILT.of(summary.run),
        build_figures=build_figures(summary.run, stores),
        growth=growing,
        growth_figures=growth_figures(frame, stores),
        published=PUBLISHED.of(published_table(summary)),
        search=SEARCH,
        resources=RESOURCES,
        charts=charts,
    )
    write_private(page, html)
    write_private(folder / MARKDOWN, _markdown(summary, origin, growing))
    return page


def headline(summary: Summary) -> str:
    """Return the data and the machine in a line."""
    facts = summary.facts
    beside = f"payload of {facts['payload']}" if facts["payload"] else "no payload"
    return (
        f"{facts['rows']:,} × {facts['dim']} vectors, {beside}; {facts['queries']:,} queries, "
        f"{summary.experiment.repeats} repeats, on {' and '.join(facts['machines'])}."
    )


def finding(run: pd.DataFrame, noise: Noise | None) -> str:
    """Return what is fastest at the highest recall that two reach, or that it can't be told."""
    equal = csv_tables(run)[EQUAL]
    told = equal[equal["speed_up"].notna() & ~equal["reference"].astype(bool)]
    if told.empty:
        return "What is faster can't be told: no two stores or indexes were measured around one recall."
    fastest = told.sort_values(["recall", "p50_ms"], ascending=[False, True]).iloc[0]
    name, beside, p50_ms = (
        f"{fastest['store']}, {fastest['index']}",
        fastest["beside"],
        number(fastest["p50_ms"]),
    )
    low, high = fastest["speed_up_low"], fastest["speed_up_high"]
    times = f"{number(fastest['speed_up'])} times [{number(low)}, {number(high)}]"
    at = f"At recall@{fastest['k']} of {fastest['recall']:g}"
    if low <= 1:
        return f"{at}, {name} and {beside} can't be told apart: p50 {p50_ms} ms, {times} as fast."
    quiet = noise is not None and not noise.too_noisy
    doubt = "" if quiet else "; measured too seldom, or on too noisy a machine, to rely on"
    return f"{at}, {name} is fastest: p50 {p50_ms} ms, {times} as fast as {beside}{doubt}."


def warnings(summary: Summary) -> list[str]:
    """Return what a reader must know before believing a figure."""
    found = []
    if summary.faults:
        found.append(f"{len(summary.faults)} of {summary.settings} settings have faults, and no figures.")
    if summary.missing:
        found.append(f"{summary.missing:,} measurements of the experiment are not there.")
    if len(summary.facts["machines"]) > 1:
        found.append(f"Measured on {len(summary.facts['machines'])} machines: what differs may be theirs.")
    several = [name for name, versions in summary.facts["versions"].items() if len(versions) > 1]
    if several:
        found.append(f"Measured with several versions of {', '.join(several)}.")
    if summary.noise is None:
        found.append("One repeat: whether the machine was too noisy can't be told.")
    elif summary.noise.too_noisy:
        found.append(summary.noise.line)
    return found


def _markdown(summary: Summary, origin: Origin, growing: Sequence[ReportTable]) -> str:
    parts = [
        f"# {shown(summary.experiment.name)}",
        shown(finding(summary.run, summary.noise)),
        shown(headline(summary)),
    ]
    if summary.facts["synthetic"]:
        parts.append(f"**{SYNTHETIC}.**")
    parts += [f"**{shown(warning)}**" for warning in warnings(summary)]
    if summary.noise and not summary.noise.too_noisy:
        parts.append(shown(summary.noise.line))
    tables = [table for k in summary.experiment.k for table in tables_of(summary, k)]
    parts += map(markdown, [*tables, *growing, BUILT.of(summary.run)])
    parts += [f"- {shown(name)}: {shown(note)}" for name, note in summary.notes]
    return "\n\n".join([*parts, fenced(f"$ {printable(origin.command)}")]) + "\n"
