"""Commands that read a collection: `query`, `describe`."""

from functools import partial
from pathlib import Path
from typing import Annotated

from cohorts.commands.options import (
    Format,
    Name,
    SearchText,
    SettingsFile,
    Store,
    encoder_option,
    query_option,
)
from cohorts.commands.parsing import wanted_search
from cohorts.commands.typer_app import Commands
from cohorts.errors import InputError

app = Commands("Query")


@app.command()
def query(
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    patient: Annotated[str | None, query_option(help="Find patients like this one, by id.")] = None,
    text: Annotated[str | None, query_option(help="Find patients like this description.")] = None,
    note_file: Annotated[Path | None, query_option(help="Find patients like the one in this note.")] = None,
    k: Annotated[int, query_option("-k", min=1, help="How many neighbours.")] = 10,
    where: Annotated[str | None, query_option(help="Only among these: age >= 60 and sex = 'F'.")] = None,
    search: SearchText = None,
    settings: SettingsFile = None,
    encoder: Annotated[
        Path | None, encoder_option(help="Folder of the encoder [default: the one the ingest kept].")
    ] = None,
    per_unit: Annotated[
        bool,
        query_option("--per-unit", help="Every admission or chunk, not each patient once by the best one."),
    ] = False,
    explain: Annotated[
        bool, query_option("--explain", help="Tell what the vectors were made of: notes, codes, values.")
    ] = False,
    suggest: Annotated[
        bool,
        query_option(
            "--suggest", help="Where --patient is not there, show the nearest ids: other patients'."
        ),
    ] = False,
    output: Annotated[Format, query_option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Find the patients most like one patient, or like a text."""
    from cohorts.analysis.words import word_shares
    from cohorts.commands.output.neighbours import show_neighbours
    from cohorts.connectors.filters.reading import parse_filter
    from cohorts.encoders.base import ExplainsText
    from cohorts.search import neighbours
    from cohorts.search.store import open_store, own_encoder
    from cohorts.workspace import encoder_dir

    note = _query_text(patient, text, note_file)
    condition = parse_filter(where) if where is not None else None
    params = wanted_search(search, settings)
    with open_store(store, collection) as connector:
        made_by = None
        if encoder or note is not None:
            about = connector.describe(collection).collection
            made_by = own_encoder(about, encoder or encoder_dir(store, collection, about))
        words = None
        if note is None or made_by is None:
            found = neighbours.of_patient(
                connector,
                collection,
                str(patient),
                k,
                where=condition,
                params=params,
                per_unit=per_unit,
                suggest=suggest,
            )
        else:
            vector = made_by.encode_text([note])[0]
            found = neighbours.of_vector(
                connector, collection, vector, k, where=condition, params=params, per_unit=per_unit
            )
            if explain and isinstance(made_by, ExplainsText):
                words = word_shares(connector, collection, found.hits, partial(made_by.explain_text, note))
    show_neighbours(found, output.value, explain=explain, words=words)


@app.command()
def describe(
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    encoder: Annotated[
        Path | None, encoder_option(help="Show the encoder in this folder instead, and what it learnt.")
    ] = None,
) -> None:
    """Show what a collection holds: encoder, dimension, metric, index, counts, source."""
    from cohorts.commands.output.collections import show_description
    from cohorts.search.store import open_store

    if encoder is not None:
        from cohorts.commands.output.evaluation import show_encoder
        from cohorts.encoders.registry import load_encoder

        show_encoder(load_encoder(encoder).describe())
        return
    with open_store(store, collection) as connector:
        show_description(connector.describe(collection), collection)


def _query_text(patient: str | None, text: str | None, note_file: Path | None) -> str | None:
    """Return the text to query by, or None for a query by patient."""
    if sum(given is not None for given in (patient, text, note_file)) != 1:
        raise InputError("Ask by exactly one of --patient ID, --text TEXT and --note-file FILE.")
    if note_file is None:
        return text
    try:
        return note_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The note file {note_file} can't be read: {type(error).__name__}.") from error
