"""Commands that move vectors: `load`, `export`, `copy`, `verify`."""

from pathlib import Path
from typing import Annotated

from cohorts.commands.options import (
    IndexText,
    LogAs,
    Name,
    Replace,
    Resume,
    RunDir,
    SearchText,
    SettingsFile,
    Store,
    Strict,
    run_option,
    source_option,
    store_option,
)
from cohorts.commands.output import log
from cohorts.commands.output.rejected import tell_rejected
from cohorts.commands.parsing import wanted_index
from cohorts.commands.typer_app import Commands

app = Commands("Load")


@app.command()
def load(
    vectors: Annotated[
        Path,
        source_option(
            help="Vectors: a file (.parquet, .npy, .hdf5), a folder of Parquet parts, or in quotes 'out/*.parquet'."
        ),
    ],
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    id_column: Annotated[str, source_option(help="Column (HDF5: dataset) of the ids.")] = "id",
    vector_column: Annotated[str, source_option(help="Column (HDF5: dataset) of the vectors.")] = "vector",
    payload: Annotated[
        Path | None, source_option(help="npy, HDF5: Parquet or CSV file with ids and payload, row by row.")
    ] = None,
    filterable: Annotated[str, source_option(help="Payload columns to filter by, separated by commas.")] = "",
    patient_field: Annotated[
        str | None,
        source_option(
            help="Payload column that holds the patient's id [default: patient_id, else the row's id]."
        ),
    ] = None,
    made_by: Annotated[
        str, source_option(help="What made the vectors; only files of one maker go into one collection.")
    ] = "",
    index: IndexText = None,
    search: SearchText = None,
    settings: SettingsFile = None,
    strict_index: Strict = False,
    run_dir: RunDir = None,
    replace: Replace = False,
    resume: Resume = False,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Load ready vectors, made by any embedding pipeline, with their ids and payload."""
    from cohorts.commands.output.progress import progress
    from cohorts.commands.output.summary import show_summary
    from cohorts.connectors.registry import connect
    from cohorts.given import as_names
    from cohorts.loaders.files.vectors import open_vectors
    from cohorts.loaders.points.ready import FileOrigin
    from cohorts.loaders.run import Run
    from cohorts.loaders.targets import LoadRequest
    from cohorts.workspace import default_run_dir

    log.choose(log_format)
    goal = LoadRequest(
        collection, wanted_index(index, search, settings, strict_index), replace=replace, resume=resume
    )
    run = Run(run_dir or default_run_dir(store, collection), store, goal)
    file = open_vectors(
        vectors,
        id_column=id_column,
        vector_column=vector_column,
        payload=payload,
        filterable=as_names("--filterable", filterable),
    )
    with progress(run.times) as tick, connect(store) as connector:
        run.load(FileOrigin(file, made_by, patient_field), connector, tick)
    show_summary(run.manifest, dry_run=False)
    tell_rejected(run)


@app.command()
def export(
    out: Annotated[Path, run_option(help="Parquet file to write; it must not be there yet.")],
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    as_of: Annotated[
        str | None,
        store_option(metavar="<window>", help="Refuse a collection whose vectors are not of this window."),
    ] = None,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Write a collection to a Parquet file, from which `load` makes it again."""
    from cohorts.commands.output.progress import progress
    from cohorts.loaders.files.export import export as write
    from cohorts.records.window import parse_window
    from cohorts.search.store import check_records_seen, open_store
    from cohorts.workspace import check_writable

    log.choose(log_format)
    check_writable(out.parent)
    window = parse_window(as_of) if as_of else None
    with progress() as tick, open_store(store, collection) as connector:
        if window is not None:
            check_records_seen(collection, connector.describe(collection).collection, window)
        many = write(connector, collection, out, tick)
    log.say("note", f"{many:,} vectors of {collection} written to {out}.")


@app.command()
def copy(
    origin: Annotated[str, store_option("--from", help="Store to copy from.")],
    target: Annotated[str, store_option("--to", help="Store to copy to.")],
    collection: Name = "cohorts",
    as_: Annotated[
        str | None, store_option("--as", help="Name of the copy [default: the same name].")
    ] = None,
    index: IndexText = None,
    search: SearchText = None,
    settings: SettingsFile = None,
    strict_index: Strict = False,
    replace: Replace = False,
    resume: Resume = False,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Copy a collection to another store, whichever engines they are, and verify the copy."""
    from cohorts.commands.output.progress import progress
    from cohorts.commands.output.summary import show_summary
    from cohorts.connectors.registry import connect
    from cohorts.loaders.kept_encoders import copy_encoder
    from cohorts.loaders.points.ready import CollectionSource
    from cohorts.loaders.run import Run
    from cohorts.loaders.targets import LoadRequest
    from cohorts.search.store import open_store
    from cohorts.workspace import default_run_dir

    log.choose(log_format)
    name = collection if as_ is None else as_
    with open_store(origin, collection) as theirs, connect(target) as ours:
        source = CollectionSource(theirs, collection, origin)
        wanted = wanted_index(index, search, settings, strict_index).or_as(source.definition)
        run = Run(
            default_run_dir(target, name), target, LoadRequest(name, wanted, replace=replace, resume=resume)
        )
        with progress(run.times) as tick:
            run.load(source, ours, tick)
    copy_encoder((origin, collection), (target, name), source.definition)
    show_summary(run.manifest, dry_run=False)
    tell_rejected(run)


@app.command()
def verify(
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    full: Annotated[bool, run_option("--full", help="Compare every point, not a sample of 1,000.")] = False,
    run_dir: RunDir = None,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Compare a collection with what was written to it: count, vectors and payloads."""
    from cohorts.commands.output.summary import show_verdict
    from cohorts.loaders.journal.verify import verify_runs
    from cohorts.search.store import open_store
    from cohorts.workspace import default_run_dir

    log.choose(log_format)
    with open_store(store, collection) as connector:
        verdict = verify_runs(connector, collection, run_dir or default_run_dir(store, collection), full=full)
    show_verdict(verdict, collection)
    verdict.check(collection)
