"""Commands that read a collection: `query`, `describe`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cohorts.commands.options import (
    Columns,
    Context,
    ContextName,
    DatesAs,
    DatesName,
    Deidentify,
    Format,
    MappingFile,
    Name,
    NotesFolder,
    SearchText,
    SettingsFile,
    Store,
    UnitName,
    encoder_option,
    query_option,
    source_option,
)
from cohorts.commands.parsing import wanted_search
from cohorts.commands.typer_app import Commands
from cohorts.errors import InputError

if TYPE_CHECKING:
    from cohorts.connectors.base import Connector
    from cohorts.encoders.base import Encoder
    from cohorts.search.neighbours import Neighbours

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
    source: Annotated[
        str | None,
        source_option(
            "--source",
            help="Find patients like the one in this source, who need not be ingested: any source.",
        ),
    ] = None,
    path: Annotated[
        str | None,
        source_option("--path", help="Where its records are; of several patients, --patient names the one."),
    ] = None,
    bundle: Annotated[
        Path | None,
        source_option(
            "--bundle", help="Find patients like the one in this FHIR Bundle: --source fhir --path FILE."
        ),
    ] = None,
    mapping: MappingFile = None,
    notes: NotesFolder = None,
    columns: Columns = "",
    dates: DatesAs = DatesName.ISO,
    deidentify: Deidentify = False,
    context: Context = None,
    output: Annotated[Format, query_option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Find the patients most like one patient, like a text, or like a patient who is not ingested."""
    from cohorts.analysis.words import word_shares
    from cohorts.commands.output.neighbours import show_neighbours
    from cohorts.connectors.filters.reading import parse_filter
    from cohorts.encoders.base import ExplainsText
    from cohorts.search import neighbours
    from cohorts.search.store import open_store, own_encoder
    from cohorts.workspace import encoder_dir

    if bundle is not None:
        source, path = _of_bundle(bundle, source, path)
    note = _query_text(patient, text, note_file, source, path)
    condition = parse_filter(where) if where is not None else None
    params = wanted_search(search, settings)
    more: dict[str, Any] = {"where": condition, "params": params, "per_unit": per_unit}
    words = None
    with open_store(store, collection) as connector:
        if encoder or note is not None or source:
            about = connector.describe(collection).collection
            made_by = own_encoder(about, encoder or encoder_dir(store, collection, about))
        if source is not None:
            from cohorts.search.new_patient import unit_of  # other questions should not wait for it

            unit = UnitName(unit_of(about))
            asked = _SourceAsked(source, str(path), unit, mapping, notes, columns, dates, deidentify, context)
            found = _of_new(connector, collection, made_by, asked, patient, k, more)
        elif note is None:
            found = neighbours.of_patient(connector, collection, str(patient), k, suggest=suggest, **more)
        else:
            vector = made_by.encode_text([note])[0]
            found = neighbours.of_vector(connector, collection, vector, k, **more)
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


class _SourceAsked(NamedTuple):
    """The source of a new patient, as it was asked for."""

    name: str
    path: str
    unit: UnitName
    mapping: Path | None
    notes: Path | None
    columns: str
    dates: DatesName
    deidentify: bool
    context: ContextName | None


def _of_new(
    connector: "Connector",
    collection: str,
    encoder: "Encoder",
    asked: _SourceAsked,
    patient: str | None,
    k: int,
    more: dict[str, Any],
) -> "Neighbours":
    """Return the neighbours of a patient who is read now, and encoded as those of the collection were."""
    from cohorts.commands.sources import opened_source
    from cohorts.loaders.points.payload import explained
    from cohorts.private_files import Scratch, work_folder
    from cohorts.search import neighbours
    from cohorts.search.new_patient import encode_patient

    given = asked._asdict()
    name, path = given.pop("name"), given.pop("path")
    with (
        Scratch(work_folder()) as folder,
        opened_source(name, path, folder, max_bad_share=1, **given) as source,
    ):
        new = encode_patient(source, encoder, patient)
    own = [explained(one) for one in new.explanations]
    return neighbours.of_vector(
        connector, collection, new.vector, k, patient_id=new.id, own=own, notes=new.notes, **more
    )


def _of_bundle(bundle: Path, source: str | None, path: str | None) -> tuple[str, str]:
    """Return the source and the path that a FHIR Bundle is. Raises InputError where others are named beside it."""
    if source is not None or path is not None:
        raise InputError("A FHIR Bundle is asked by with --bundle alone, without --source and --path.")
    return "fhir", str(bundle)


def _query_text(
    patient: str | None, text: str | None, note_file: Path | None, source: str | None, path: str | None
) -> str | None:
    """Return the text to query by, or None for a query by patient or by a source."""
    if (source is None) != (path is None):
        raise InputError("A patient in a source is asked by with --source NAME and --path together.")
    asked = (text, note_file, source or patient)
    if sum(given is not None for given in asked) != 1:
        raise InputError(
            "Ask by exactly one of --patient ID, --text TEXT, --note-file FILE, --bundle FILE, and --source NAME with "
            "--path."
        )
    if note_file is None:
        return text
    try:
        return note_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The note file {note_file} can't be read: {type(error).__name__}.") from error
