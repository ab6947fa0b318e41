"""A comparison as a folder: one page with tables and plots, and the figures as CSV and JSON beside it."""

from pathlib import Path

from cohorts.analysis.compare.comparison import Comparison
from cohorts.analysis.compare.plots import plots
from cohorts.analysis.compare.tables import found, tables
from cohorts.plain_text import json_text
from cohorts.private_files import write_private
from cohorts.provenance import made_with
from cohorts.reports.figures.svg import STYLE, both
from cohorts.reports.page import keep, render


def write_report(told: Comparison, folder: Path) -> Path:
    """Write report.html, figures.csv, comparison.json and manifest.json; return the page. Raises OSError."""
    page = render(
        "comparison.html",
        told=told,
        tables={made.title: made for made in tables(told)},
        figures=[(one.title, both(one.svg)) for one in plots(told)],
        style=STYLE,
        found=found(told),
    )
    about = {name: value for name, value in told.as_dict().items() if name != "figures"}
    report = keep(folder, page, {**about, **made_with()}, [("figures", told.figures)])
    write_private(folder / "comparison.json", json_text(told.as_dict(), indent=2) + "\n")
    return report
