"""A comparison in the terminal, as JSON or as CSV."""

from pathlib import Path

from cohorts.analysis.compare.comparison import ASSOCIATION, Comparison
from cohorts.analysis.compare.tables import tables
from cohorts.commands.output import log
from cohorts.commands.output.analysis.cohorts import print_csv, print_json
from cohorts.commands.output.plain_table import SYNTHETIC, show
from cohorts.commands.output.report_table import report_table

_SEEN = "the vectors may have seen the outcomes: likeness and outcome are not apart"
_ROWS = 24  # of a table in the terminal; the report has all


def show_comparison(told: Comparison, output: str) -> None:
    """Print a comparison to stdout, and what is to be said of it."""
    if output == "json":
        print_json(told.as_dict())
        return
    if output == "csv":
        rows = told.figures.astype("object").where(told.figures.notna(), None)
        print_csv(rows.columns.tolist(), rows.itertuples(index=False))
    else:
        for made in tables(told):
            left = len(made.lines) - _ROWS
            some = made._replace(lines=made.lines[:_ROWS])
            show(report_table(some, synthetic=SYNTHETIC if told.synthetic else False))
            if left > 0:
                log.say("note", f"{left:,} more rows: --out writes all of them to a report.")
    log.say("note", f"{ASSOCIATION[0].upper()}{ASSOCIATION[1:]}.")
    log.say("note", f"Time begins at: {told.time_zero}. {told.censoring}")
    if told.min_cell > 1:
        log.say("note", f"Counts below {told.min_cell} are hidden, and what would give them away.")
    for note in (*((_SEEN,) if told.seen else ()), *told.notes):
        log.say("note", f"Note: {note}.")


def keep_report(told: Comparison, folder: Path) -> None:
    """Write a comparison's report, and say where it is."""
    from cohorts.analysis.compare.page import write_report

    log.say("note", f"The report is {write_report(told, folder)}.")
