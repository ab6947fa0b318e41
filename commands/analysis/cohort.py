"""The group `cohort`: saved cohorts listed, shown, made, refreshed, compared by their members, exported and removed."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from cohorts.commands.analysis.places import opened
from cohorts.commands.hints import told
from cohorts.commands.options import Format, Name, RunDir, SearchText, Store, query_option, run_option
from cohorts.commands.output import log
from cohorts.commands.typer_app import Commands
from cohorts.errors import InputError

app = Commands(help="Cohorts that were saved: list, show, make, refresh, diff, export and remove them.")
CohortName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the cohort.")]
Printed = Annotated[Format, query_option("--format", help="How to print.")]


class ExportName(StrEnum):
    """What a cohort is exported as."""

    CSV = "csv"
    PARQUET = "parquet"
    OMOP = "omop"
    FHIR = "fhir"


@app.command(name="list")
def list_(
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    output: Printed = Format.TABLE,
) -> None:
    """List the saved cohorts of a collection: how they were made, when, and how many patients they have."""
    from cohorts.analysis.saved.cohort import cohort_names, open_cohort
    from cohorts.commands.output.analysis.cohorts import show_list

    with opened(store, collection) as place:
        there = []
        for name in cohort_names(place):
            try:
                there.append(open_cohort(place, name))
            except InputError as error:  # one that can't be read hides no other
                log.say("warning", told(error))
        show_list([(one, one.state) for one in there], collection, output.value)


@app.command()
def show(
    name: CohortName,
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    output: Printed = Format.TABLE,
) -> None:
    """Show a cohort: what was asked, by which encoder, window and index, and its patients."""
    from cohorts.analysis.saved.cohort import open_cohort
    from cohorts.commands.output.analysis.cohorts import show_cohort

    with opened(store, collection) as place:
        cohort = open_cohort(place, name)
        show_cohort(cohort, cohort.state, output.value)


@app.command()
def make(
    name: CohortName,
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    where: Annotated[
        str | None, query_option(help="All who pass this filter: age >= 60 and sex = 'F'.")
    ] = None,
    ids: Annotated[Path | None, query_option(help="The patients in this file, one id on a line.")] = None,
    phenotype: Annotated[
        str | None,
        query_option(help="All with a diagnosis of this phenotype in the events kept, as in sepsis."),
    ] = None,
    per_unit: Annotated[
        bool, query_option("--per-unit", help="Every admission, not each patient once by the first one.")
    ] = False,
    run_dir: RunDir = None,
) -> None:
    """Save the patients who pass a filter, are named in a file, or have a phenotype, as a cohort."""
    from cohorts.analysis.saved.cohort import make_cohort, question_of
    from cohorts.connectors.filters.reading import parse_filter

    question = question_of(
        where=None if where is None else parse_filter(where),
        ids=None if ids is None else _ids_in(ids),
        phenotype=phenotype,
        per_unit=per_unit,
    )
    with opened(store, collection, run_dir) as place:
        made = make_cohort(place, name, question)
    _tell(made.notes)
    log.say("note", f"Saved: cohort {name}, {len(made):,} patients.")


@app.command()
def refresh(
    name: CohortName,
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    search: SearchText = None,
    anyway: Annotated[
        bool, query_option("--anyway", help="Ask by the vectors of today, though another encoder made them.")
    ] = False,
    run_dir: RunDir = None,
    output: Printed = Format.TABLE,
) -> None:
    """Make a cohort again as it was made, keep it, and show who came and who went."""
    from cohorts.analysis.saved.cohort import open_cohort
    from cohorts.commands.output.analysis.cohorts import show_difference

    with opened(store, collection, run_dir) as place:
        cohort = open_cohort(place, name)
        found = cohort.refresh(search=search, anyway=anyway)
    _tell((*cohort.notes, *found.notes))
    show_difference(found, output.value, refreshed=True)


@app.command()
def diff(
    name: CohortName,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Name of the cohort to compare it with.")],
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    output: Printed = Format.TABLE,
) -> None:
    """Show who is in both of two cohorts, and who in one alone."""
    from cohorts.analysis.saved.cohort import open_cohort
    from cohorts.commands.output.analysis.cohorts import show_difference

    with opened(store, collection) as place:
        show_difference(open_cohort(place, name).diff(other), output.value)


@app.command()
def export(
    name: CohortName,
    out: Annotated[Path, run_option(help="File to write; it must not be there yet.")],
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    output: Annotated[
        ExportName,
        run_option(
            "--format", help="csv, parquet, omop (rows of COHORT, as CSV), or fhir (a Group of R4, as JSON)."
        ),
    ] = ExportName.CSV,
    definition_id: Annotated[int, run_option(min=1, help="omop: the cohort_definition_id.")] = 1,
    run_dir: RunDir = None,
) -> None:
    """Write a cohort to a file: units and patients, rows of OMOP's COHORT table, or a Group of FHIR."""
    from cohorts.analysis.saved.cohort import open_cohort

    with opened(store, collection, run_dir) as place:
        cohort = open_cohort(place, name)
        _tell(cohort.export(out, output.value, definition_id=definition_id))
    log.say("note", f"Cohort {name} written to {out}.")


@app.command()
def rm(
    name: CohortName,
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
) -> None:
    """Remove a saved cohort; nothing is asked, and the collection stays as it is."""
    from cohorts.saved_cohorts import remove_cohort
    from cohorts.workspace import default_run_dir

    remove_cohort(default_run_dir(store, collection), name)
    log.say("note", f"Removed: cohort {name}.")


def _ids_in(file: Path) -> tuple[str, ...]:
    """Return the ids in a file, one on a line; blank lines don't count. Raises InputError."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The ids in {file} can't be read: {type(error).__name__}.") from error
    ids = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not ids:
        raise InputError(f"{file} holds no ids: write one on a line.")
    return ids


def _tell(notes: tuple[str, ...]) -> None:
    for note in notes:
        log.say("note", f"Note: {note.removesuffix('.')}.")
