"""The command `recruit`: patients who meet the criteria of a profile."""

from datetime import date
from functools import partial
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
    NotesFolder,
    RunDir,
    Store,
    query_option,
    run_option,
)
from cohorts.commands.output import log
from cohorts.commands.typer_app import Commands
from cohorts.errors import InputError

app = Commands("Cohorts")


@app.command()
def recruit(
    profile: Annotated[
        Path, typer.Argument(metavar="PROFILE", help="TOML file of criteria to include and to exclude by.")
    ],
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    k: Annotated[int, query_option("-k", min=1, help="How many patients to list.")] = 20,
    as_of: Annotated[
        str | None,
        query_option(metavar="<day>", help="Records after this day don't count, as in 2101-10-20."),
    ] = None,
    min_cell: Annotated[
        int, query_option(min=1, help="Hide counts of fewer patients than this, but none of 0.")
    ] = 11,
    out: Annotated[
        Path | None, run_option(help="CSV file for chart review to write; it must not be there yet.")
    ] = None,
    judged: Annotated[
        Path | None,
        run_option(help="Tell the precision by the answers in such a file instead; nothing is searched."),
    ] = None,
    evidence: Annotated[
        str | None,
        query_option(
            metavar="<source:path>",
            help="Show the passage of each one's notes that fits best, read now, as from mimic3:FOLDER.",
        ),
    ] = None,
    mapping: MappingFile = None,
    notes: NotesFolder = None,
    columns: Columns = "",
    dates: DatesAs = DatesName.ISO,
    run_dir: RunDir = None,
    output: Annotated[Format, query_option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """List the patients who meet a profile or may, what their records tell of each criterion, and what each costs."""
    from cohorts.analysis.recruit.profile import read_profile
    from cohorts.analysis.recruit.recruiting import recruit as screen
    from cohorts.analysis.recruit.reviewed import read_review
    from cohorts.commands.output.analysis.recruited import show_precision, show_recruited
    from cohorts.commands.sources import opened_source, source_and_path
    from cohorts.private_files import Scratch, work_folder
    from cohorts.records.shards import Named
    from cohorts.workspace import check_writable

    asked = read_profile(profile)
    if judged is not None:
        show_precision(read_review(judged), asked.title or profile.stem, output.value)
        return
    read = None if evidence is None else source_and_path(evidence)
    if out is not None:
        check_writable(out.parent)
    with opened(store, collection, run_dir) as place:
        found = screen(place, asked, k=k, as_of=_day(as_of), min_cell=min_cell)
    if out is not None:
        found.write(out)
    passages = None
    if read is not None:
        only = Named(set(found.patients))
        opening = partial(
            opened_source, mapping=mapping, notes=notes, columns=columns, dates=dates, shard=only
        )
        with Scratch(work_folder()) as folder, opening(*read, folder, max_bad_share=1) as source:
            passages = found.evidence(source)
    show_recruited(found, output.value, passages)
    if out is not None:
        log.say("note", f"Written for chart review: {out}. Fill in its column reviewer with yes or no.")


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise InputError(f"--as-of takes a day, as in 2101-10-20; got {text!r}.") from None
