"""Commands that change a collection: `attach`, `reindex`, `delete`."""

from typing import Annotated

from cohorts.commands.configuration import variable
from cohorts.commands.hints import told
from cohorts.commands.options import (
    IndexText,
    LogAs,
    Name,
    RunDir,
    SearchText,
    SettingsFile,
    Store,
    Strict,
    run_option,
    store_option,
)
from cohorts.commands.output import log
from cohorts.commands.parsing import wanted_index
from cohorts.commands.typer_app import Commands

app = Commands("Collections")


@app.command()
def attach(
    store: Annotated[
        str,
        store_option(
            envvar=variable("store"), help="Store address of a server, or of an embedded Milvus file."
        ),
    ],
    collection: Annotated[
        str,
        store_option(envvar=variable("collection"), help="A collection that someone else made."),
    ],
    vector: Annotated[str | None, store_option(help="Which of its vectors to read.")] = None,
    patient_field: Annotated[
        str | None,
        store_option(
            help="Field that holds the patient's id [default: patient_id, else the point's own id]."
        ),
    ] = None,
    field: Annotated[
        list[str] | None, store_option(help="Further field to filter by: [NAME=]PATH[:TYPE]. Repeatable.")
    ] = None,
    write: Annotated[
        bool, store_option("--write", help="Allow ingest to write our vector and our payload keys there.")
    ] = False,
    dry_run: Annotated[
        bool, run_option("--dry-run", help="Show what would be written; keep nothing.")
    ] = False,
) -> None:
    """Look at a collection of others and map it, so that query works on it; nothing of theirs is changed."""
    from cohorts.commands.output.collections import show_inspection
    from cohorts.connectors.registry import connect
    from cohorts.loaders.attach import confirm, doubts, look
    from cohorts.workspace import attachment_file

    file = attachment_file(store, collection)
    with connect(store) as connector:
        found, proposed = look(
            connector, collection, vector=vector, patient_field=patient_field, fields=field or []
        )
        show_inspection(found, proposed)
        for doubt in doubts(connector, found, proposed):
            log.say("warning", told(doubt))
        if dry_run:
            for line in ("An ingest would write:", *(f"  {one}" for one in proposed.plan())):
                log.say("note", line)
            return
        confirm(connector, proposed, file, write=write)
    allowed = "ingest may write our part" if write else "read-only"
    log.say("note", f"Mapping kept in {file} ({allowed}). Query it with --collection {collection}.")


@app.command()
def reindex(
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    index: IndexText = None,
    search: SearchText = None,
    settings: SettingsFile = None,
    strict_index: Strict = False,
    run_dir: RunDir = None,
) -> None:
    """Change a collection's index with no pause in answering: a new version beside it, then a switch."""
    from cohorts.commands.output.progress import progress
    from cohorts.connectors.index import show_index
    from cohorts.connectors.registry import connect
    from cohorts.loaders.holding import holding
    from cohorts.loaders.reindex import reindex as copy_anew
    from cohorts.workspace import default_run_dir

    wanted, folder = (
        wanted_index(index, search, settings, strict_index),
        run_dir or default_run_dir(store, collection),
    )
    with (
        connect(store) as connector,
        holding(connector, store, collection, folder) as held,
        progress() as tick,
    ):
        made = copy_anew(connector, collection, wanted, tick, held)
    log.say("note", f"{collection} is now {made.translation or show_index(made.index)}.")


@app.command()
def delete(
    patient: Annotated[str, store_option(help="Id of the patient to erase.")],
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    run_dir: RunDir = None,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Erase a patient: every point of theirs, and what the runs noted of them; nothing is asked."""
    from dataclasses import asdict

    from cohorts.loaders.erase import erase
    from cohorts.loaders.holding import holding
    from cohorts.search.store import open_store
    from cohorts.workspace import default_run_dir

    log.choose(log_format)
    asked_from = default_run_dir(store, collection)
    folder = run_dir or asked_from
    with open_store(store, collection) as connector:
        connector.describe(collection)  # before anything is made for a collection that is not there
        with holding(connector, store, collection, folder) as held:
            erased = erase(connector, collection, patient, held, folder, asked_from)
    log.say(
        "note",
        f"Erased from {collection}, and looked for again: {erased.points:,} points, {erased.traces:,} notes of runs, "
        f"{erased.events:,} rows of events and {erased.rejected:,} of what could not be written; "
        f"{erased.cohorts:,} saved cohorts held or named the patient. The runs know nothing of the patient "
        "any more: a source that still holds the patient would be sent again by any ingest, so take the patient out of "
        "it first.",
        **asdict(erased),
    )
