"""The page of an experiment, and beside it the same tables as Markdown and CSV."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import nan
from pathlib import Path
from typing import Any

from cohorts.harness.bench.report import tables as views
from cohorts.harness.bench.report.as_published import published_lines
from cohorts.harness.bench.report.equal_recall import AtRecall, at_equal_recall
from cohorts.harness.bench.report.figures import build_figure, figures_of, growth_figures, legend
from cohorts.harness.bench.report.frames import builds_frame, equal_frame, settings_frame
from cohorts.harness.bench.report.growth import BUILDS, SETTINGS, Grown, grown
from cohorts.harness.bench.report.summary import Summary
from cohorts.harness.bench.report.tables import View
from cohorts.harness.reports import charts
from cohorts.harness.reports.page import keep, render
from cohorts.harness.reports.published import RESOURCES, SEARCH
from cohorts.measures.intervals import Estimate
from cohorts.plain_text import printable
from cohorts.private_files import write_private

MARKDOWN = "report.md"
SYNTHETIC = "Synthetic data: vectors drawn by a program"


@dataclass(frozen=True)
class Origin:
    """How to measure the same again: the command, and the text of the experiment's file."""

    command: str
    experiment: str


def write_report(
    folder: Path, summary: Summary, origin: Origin, others: Sequence[Path] = ()
) -> tuple[Path, tuple[AtRecall, ...]]:
    """Write report.html, report.md, manifest.json, settings.csv, builds.csv and equal_recall.csv.

    With `others`, folders of experiments of other sizes, also how cost grows. Return the page, and what is at equal
    recall. Raises InputError for a folder without a report.
    """
    equal = at_equal_recall(summary)
    frames = [
        (SETTINGS, settings_frame(summary)),
        (BUILDS, builds_frame(summary)),
        ("equal_recall", equal_frame(equal)),
    ]
    page = keep(folder, "", _manifest(summary, origin), frames)
    growing = grown([folder, *others]) if others else ()  # the tables of this one are read as theirs are
    write_private(page, _page(summary, equal, origin, growing))
    write_private(folder / MARKDOWN, _markdown(summary, equal, origin, growing))
    return page, equal


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
    ratio, p50_ms = fastest.speed_up or Estimate(nan, nan, nan), views.number(fastest.p50_ms or nan)
    times = f"{views.number(ratio.value)} times [{views.number(ratio.low)}, {views.number(ratio.high)}]"
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


def tables_of(summary: Summary, equal: Sequence[AtRecall], k: int) -> list[View]:
    """Return the tables of one k; those that nothing was measured for are left out."""
    found = [
        views.equal(equal, k),
        views.alone(summary, k),
        views.filtered(summary, k),
        views.closed(summary, k),
        views.opened(summary, k),
        views.written(summary, k),
    ]
    return [view for view in found if view.lines]


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
        **summary.facts._asdict(),
        "settings": len(summary.rows),
        "missing": summary.missing,
        "noise": summary.noise.line if summary.noise else None,
        "faults": {str(row.cell.setting): row.faults for row in summary.faulty},
    }


def _page(summary: Summary, equal: Sequence[AtRecall], origin: Origin, growing: Sequence[Grown]) -> str:
    build = build_figure(summary)
    return render(
        "bench.html",
        summary=summary,
        facts=summary.facts,
        headline=headline(summary),
        finding=finding(summary, equal),
        warnings=warnings(summary),
        synthetic=SYNTHETIC,
        origin=origin,
        parts=[
            {"k": k, "tables": tables_of(summary, equal, k), "figures": figures_of(summary, k)}
            for k in summary.experiment.k
        ],
        builds=views.built(summary),
        build_figures=[build] if build else [],
        growth=views.grown(growing) if growing else None,
        growth_figures=growth_figures(summary, growing),
        notes=notes(summary),
        published=published_lines(summary),
        search=SEARCH,
        resources=RESOURCES,
        legend=legend,
        charts=charts,
        number=views.number,
    )


def _markdown(summary: Summary, equal: Sequence[AtRecall], origin: Origin, growing: Sequence[Grown]) -> str:
    parts = [
        f"# {_shown(summary.experiment.name)}",
        _shown(finding(summary, equal)),
        _shown(headline(summary)),
    ]
    if summary.facts.synthetic:
        parts.append(f"**{SYNTHETIC}.**")
    parts += [f"**{_shown(warning)}**" for warning in warnings(summary)]
    if summary.noise and not summary.noise.too_noisy:
        parts.append(_shown(summary.noise.line))
    tables = [view for k in summary.experiment.k for view in tables_of(summary, equal, k)]
    if growing:
        tables.append(views.grown(growing))
    parts += [markdown(view) for view in (*tables, views.built(summary))]
    parts += [f"- {_shown(name)}: {_shown(note)}" for name, note in notes(summary)]
    return "\n\n".join([*parts, _fenced(f"$ {printable(origin.command)}")]) + "\n"


def _fenced(text: str) -> str:
    """Return a block of code that no line of the text can end."""
    fence = "`" * max(3, *(len(one) + 1 for one in re.findall("`+", text)), 3)
    return f"{fence}console\n{text}\n{fence}"


def _shown(text: str) -> str:
    """Return a text that Markdown shows as it is, on one line: no tag, no link, no image, no cell of a table."""
    flat = escape(printable(text), quote=False).replace("|", "/")
    return re.sub(r"[`*]|\](?=[(\[:])", r"\\\g<0>", flat)


def markdown(view: View) -> str:
    """Return a table in Markdown, the best of a column in bold."""
    lines = [f"## {_shown(view.title)}", "", _row(map(_shown, (*view.names, *view.columns)))]
    lines.append("|" + " --- |" * len(view.names) + " ---: |" * len(view.columns))
    for line in view.lines:
        cells = [_cell(one) for one in line.entries]
        if line.fault:
            cells = [f"**FAULT: {_shown(line.fault)}**", *[""] * (len(view.columns) - 1)]
        lines.append(_row((*map(_shown, line.names), *cells)))
    return "\n".join(lines)


def _cell(entry: views.Entry) -> str:
    text = _shown(entry.text)
    return f"{f'**{text}**' if entry.best else text} {_shown(entry.small)}".strip()


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
