"""A cohort of sepsis in the terminal."""

from pathlib import Path

from cohorts.analysis.sepsis.defining import Defined
from cohorts.analysis.sepsis.page import flow_table, unseen_table
from cohorts.commands.output import log
from cohorts.commands.output.plain_table import show
from cohorts.commands.output.report_table import report_table


def show_defined(told: Defined, page: Path) -> None:
    """Print the flow chart and what could not be seen, and what is to be said of it."""
    show(
        report_table(flow_table(told), synthetic=told.synthetic),
        report_table(unseen_table(told), synthetic=told.synthetic),
    )
    for note in told.notes:
        log.say("note", f"Note: {note}.")
    log.say("note", f"Written to {page.parent}: stays.csv (patient data), flow.csv, unseen.csv, {page.name}.")
