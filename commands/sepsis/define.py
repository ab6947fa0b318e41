"""The command `sepsis define`: a cohort of sepsis out of a source."""

from pathlib import Path
from typing import Annotated

from cohorts.commands.options import (
    MEMORY_MIB,
    DatesAs,
    DatesName,
    LogAs,
    MappingFile,
    SepticBy,
    SourcePath,
    Split,
    UnitName,
    query_option,
    run_option,
    source_option,
)
from cohorts.commands.output import log
from cohorts.commands.sources import opened_source
from cohorts.commands.typer_app import Commands

app = Commands()


@app.command()
def define(
    source: Annotated[str, source_option("--source", help="Any source but notes-csv, as for ingest.")],
    path: SourcePath,
    out: Annotated[Path, run_option(help="Folder for the stays, the flow chart and the report.")],
    by: Annotated[
        SepticBy,
        query_option(help="Suspected infection with SOFA of 2 or more about it, or diagnosis codes."),
    ] = SepticBy.SEPSIS3,
    min_cell: Annotated[
        int, query_option(min=1, help="Hide counts of fewer patients than this, but none of 0.")
    ] = 11,
    mapping: MappingFile = None,
    split: Split = "",
    dates: DatesAs = DatesName.ISO,
    memory_mib: Annotated[
        int, source_option(metavar="<MiB>", min=256, help="Memory to read tables in, beside one batch.")
    ] = MEMORY_MIB,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Tell which stays in intensive care are septic, why others are not, and SOFA, SAPS II and Charlson of day one."""
    from cohorts.analysis.sepsis.defining import define as define_cohort
    from cohorts.analysis.sepsis.page import write_folder
    from cohorts.commands.output.analysis.sepsis import show_defined
    from cohorts.commands.output.progress import progress
    from cohorts.reports.page import check_installed

    log.choose(log_format)
    check_installed()
    with (
        opened_source(
            source,
            path,
            out,
            unit=UnitName.ADMISSION,
            mapping=mapping,
            split=split,
            dates=dates,
            memory_mib=memory_mib,
        ) as records,
        progress() as tick,
    ):
        told = define_cohort(records, out, tick, by=by.value, min_cell=min_cell)
        page = write_folder(told, records, out)
    show_defined(told, page)
