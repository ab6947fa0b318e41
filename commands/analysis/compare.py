"""The command `compare`: who a cohort's patients are, and what happened to them."""

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from cohorts.commands.analysis.places import opened
from cohorts.commands.options import (
    Columns,
    DatesAs,
    DatesName,
    Format,
    MappingFile,
    Name,
    RunDir,
    Store,
    query_option,
    run_option,
    source_option,
)
from cohorts.commands.typer_app import Commands
from cohorts.errors import InputError

app = Commands("Cohorts")


class MatchName(StrEnum):
    """How partners are found."""

    NEAREST = "nearest"
    PROPENSITY = "propensity"


@app.command()
def compare(
    cohort: Annotated[str, typer.Argument(metavar="COHORT", help="A saved cohort.")],
    against: Annotated[
        str | None,
        typer.Argument(
            metavar="[COHORT|rest|matched]",
            help="Another one, everybody else, or a partner for each patient among these.",
        ),
    ] = None,
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    outcome: Annotated[
        list[str] | None,
        query_option(help="length-of-stay, death-in-hospital, death or readmission. Repeatable."),
    ] = None,
    match: Annotated[MatchName, query_option(help="How partners are found.")] = MatchName.NEAREST,
    follow_up: Annotated[
        str | None,
        query_option(help="Days after discharge for which you know that all deaths are known, as in 365d."),
    ] = None,
    anyway: Annotated[
        bool,
        query_option("--anyway", help="Tell of outcomes that the vectors may have seen; they are marked."),
    ] = False,
    min_cell: Annotated[
        int, query_option(min=1, help="Hide counts of fewer patients; 1 hides none: for your own eyes.")
    ] = 11,
    run_dir: RunDir = None,
    source: Annotated[
        str | None, source_option("--source", help="Take the records from this source: any source.")
    ] = None,
    path: Annotated[str | None, source_option("--path", help="Where its records are.")] = None,
    mapping: MappingFile = None,
    columns: Columns = "",
    dates: DatesAs = DatesName.ISO,
    out: Annotated[
        Path | None, run_option(help="Write report.html, comparison.json and CSV files to this folder.")
    ] = None,
    output: Annotated[Format, query_option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Tell who a cohort's patients are and what happened to them, beside another group: an association, no effect."""
    from cohorts.analysis.saved.cohort import open_cohort
    from cohorts.commands.output.analysis.comparison import keep_report, show_comparison
    from cohorts.commands.output.progress import progress
    from cohorts.commands.sources import opened_source
    from cohorts.private_files import Scratch, work_folder

    if (source is None) != (path is None):
        raise InputError("Records of a source are named with --source NAME and --path together.")
    if out is not None:
        from cohorts.reports.page import check_installed

        check_installed()
    with ExitStack() as stack:
        place = stack.enter_context(opened(store, collection, run_dir))
        records = None
        if source is not None:
            folder = stack.enter_context(Scratch(work_folder()))
            given = opened_source(source, str(path), folder, mapping=mapping, columns=columns, dates=dates)
            records = stack.enter_context(given)
        with progress() as tick:
            told = open_cohort(place, cohort).compare(
                against,
                outcomes=outcome or (),
                match=match.value,
                follow_up=follow_up,
                source=records,
                anyway=anyway,
                min_cell=min_cell,
                progress=tick,
            )
    show_comparison(told, output.value)
    if out is not None:
        keep_report(told, out)
