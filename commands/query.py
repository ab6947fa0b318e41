"""Commands that read a collection: `query`, `describe`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cohorts.commands.analysis.places import place_of
from cohorts.commands.options import (
    Columns,
    Context,
    ContextName,
    Contrast,
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
from cohorts.commands.output import log
from cohorts.commands.parsing import wanted_search
from cohorts.commands.sources import opened_source, source_and_path
from cohorts.commands.typer_app import Commands
from cohorts.errors import InputError

if TYPE_CHECKING:
    from cohorts.analysis.evidence import Passage
    from cohorts.analysis.saved.cohort import Place
    from cohorts.analysis.words import Words
    from cohorts.connectors.base import Connector
    from cohorts.encoders.base import Encoder
    from cohorts.records.base import Source
    from cohorts.records.shards import Named
    from cohorts.search.neighbours import Neighbours
    from cohorts.search.question import Question

app = Commands("Query")


@app.command()
def query(
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    patient: Annotated[
        list[str] | None,
        query_option(metavar="<id>", help="Find patients like this one, by id. Repeatable."),
    ] = None,
    text: Annotated[
        list[str] | None,
        query_option(metavar="<text>", help="Find patients like this description. Repeatable."),
    ] = None,
    note_file: Annotated[Path | None, query_option(help="Find patients like the one in this note.")] = None,
    any_of: Annotated[
        bool, query_option("--any", help="Like any of several examples, not like all of them by their mean.")
    ] = False,
    contrast: Annotated[
        Contrast | None,
        query_option(
            help="Take out of the mean what everybody has in common [default: from 10 examples on]."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        query_option(
            help="What each example counts in the mean, as in 2,1,.5: each --patient, then each --text."
        ),
    ] = None,
    unlike: Annotated[
        list[str] | None,
        query_option(metavar="<id>", help="Subtract this patient, by id: point away. Repeatable."),
    ] = None,
    unlike_text: Annotated[
        list[str] | None,
        query_option(
            metavar="<text>",
            help="Subtract this description, by --unlike-weight: it is no negation. Repeatable.",
        ),
    ] = None,
    unlike_weight: Annotated[
        float | None,
        query_option(
            help="How much is subtracted, where like counts 1 [default: .2 of patients, 0 of texts]."
        ),
    ] = None,
    as_written: Annotated[
        bool,
        query_option("--as-written", help="Take what --text negates for words like any: leave nobody out."),
    ] = False,
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
    evidence: Annotated[
        str | None,
        query_option(
            metavar="<source:path>",
            help="Show the passage of each one's notes that fits best, read now, as from mimic3:FOLDER.",
        ),
    ] = None,
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
    save: Annotated[
        str | None,
        query_option(metavar="<name>", help="Save the answer as a cohort of this name, to ask again."),
    ] = None,
    output: Annotated[Format, query_option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Find the patients most like one patient or several, like a text, or like a patient who is not ingested."""
    from cohorts.commands.output.neighbours import show_neighbours
    from cohorts.search.neighbours import of_question
    from cohorts.search.store import open_store, own_encoder
    from cohorts.workspace import encoder_dir

    if bundle is not None:
        source, path = _of_bundle(bundle, source, path)
    given = _Examples(
        patient or [], text or [], note_file, weights, unlike or [], unlike_text or [], unlike_weight
    )
    notes_at = None if evidence is None else source_and_path(evidence)
    _check_asked(given, source, path, evidence)
    more: dict[str, Any] = {
        "any_of": any_of,
        "contrast": None if contrast is None else contrast is Contrast.ON,
        "as_written": as_written,
    }
    more |= {"params": wanted_search(search, settings), "per_unit": per_unit, "k": k}
    asked = _question(given, where, more)
    if save is not None:
        _check_new(store, collection, save)
    with open_store(store, collection) as connector:
        made_by = None
        if encoder or source or asked.reads_text:
            about = connector.describe(collection).collection
            made_by = own_encoder(about, encoder or encoder_dir(store, collection, about))
        if source is not None and made_by is not None:
            from cohorts.search.new_patient import unit_of  # other questions should not wait for it

            unit = UnitName(unit_of(about))
            new = _SourceAsked(source, str(path), unit, mapping, notes, columns, dates, deidentify, context)
            found = _of_new(connector, collection, made_by, new, next(iter(given.patients), None), asked)
        else:
            encode = made_by.encode_text if made_by else None
            found = of_question(connector, collection, asked, encode, suggest=suggest)
        words = _words(connector, collection, found, made_by)
        passages = None
        if notes_at is not None:
            unit = UnitName(str(found.description.collection.metadata.get("unit", UnitName.PATIENT)))
            read = _SourceAsked(*notes_at, unit, mapping, notes, columns, dates, deidentify, None)
            passages = _passages(found, read)
        kept = (
            None
            if save is None
            else _keep(place_of(connector, store, collection, encoder=made_by), save, found)
        )
    show_neighbours(found, output.value, explain=explain, words=words, evidence=passages)
    if kept is not None:
        log.say("note", kept)


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


def _check_new(store: str, collection: str, name: str) -> None:
    from cohorts.saved_cohorts import check_new
    from cohorts.workspace import default_run_dir

    check_new(default_run_dir(store, collection), name)


def _keep(place: "Place", name: str, found: "Neighbours") -> str:
    """Save an answer, and return what is to be said of it: a note is not kept, and a text that was typed is."""
    from cohorts.analysis.saved.cohort import keep_found
    from cohorts.saved_cohorts import cohort_file
    from cohorts.search.question import Kind

    assert found.question is not None  # noqa: S101 - it was asked here
    notes = [one.value for one in found.question.examples if one.kind is Kind.NOTE]
    made = keep_found(place, name, found.question, found.hits, sealed=notes)
    texts = [one for one in made.about.question.examples if one.kind == "text" and one.value]
    told = " The text asked by is kept in it, as it is." if texts else ""
    return f"Saved: cohort {name}, {len(made):,} patients, in {cohort_file(place.kept_in, name)}, yours alone.{told}"


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


class _Examples(NamedTuple):
    """The examples of a question, as they were asked for."""

    patients: list[str]
    texts: list[str]
    note_file: Path | None
    weights: str | None
    unlike: list[str]
    unlike_texts: list[str]
    unlike_weight: float | None


def _question(given: _Examples, where: str | None, more: Mapping[str, Any]) -> "Question":
    from cohorts.connectors.filters.reading import parse_filter
    from cohorts.given import as_numbers
    from cohorts.search.question import Question, examples_of

    examples = examples_of(
        given.patients,
        given.texts,
        notes=_notes(given.note_file),
        weights=as_numbers("--weights", given.weights) if given.weights is not None else (),
        unlike=given.unlike,
        unlike_texts=given.unlike_texts,
        unlike_weight=given.unlike_weight,
    )
    condition = parse_filter(where) if where is not None else None
    return Question(examples=examples, where=condition, **more)


def _words(
    connector: "Connector", collection: str, found: "Neighbours", encoder: "Encoder | None"
) -> "list[Words] | None":
    """Return what each word of the only text that is asked by adds to each score; None where that can't be told."""
    question = found.question
    if question is None or len(question.examples) > 1 or not question.reads_text:
        return None
    from cohorts.analysis.words import word_shares
    from cohorts.encoders.base import ExplainsText
    from cohorts.search.negation import as_meant  # a query by patient should not wait for it

    if not isinstance(encoder, ExplainsText):
        return None
    (example,) = as_meant(question, found.description.collection)[0].examples
    return word_shares(connector, collection, found.hits, partial(encoder.explain_text, example.value))


@contextmanager
def _opened(asked: _SourceAsked, only: "Named | None" = None) -> Iterator["Source"]:
    """Open a source for a moment; of the patients named alone, where some are."""
    from cohorts.private_files import Scratch, work_folder

    given = asked._asdict()
    name, path = given.pop("name"), given.pop("path")
    with (
        Scratch(work_folder()) as folder,
        opened_source(name, path, folder, max_bad_share=1, shard=only, **given) as source,
    ):
        yield source


def _passages(found: "Neighbours", asked: _SourceAsked) -> "list[Passage | None]":
    """Return the passage of each answer's notes that fits the question best, read from the user's own files."""
    from cohorts.analysis.evidence import MOST, asked_patients, read_passages
    from cohorts.records.shards import Named

    assert found.question is not None  # noqa: S101 - it was asked here
    whose = found.patients
    only = Named(asked_patients(found.question).union(*whose[:MOST]))
    with _opened(asked, only) as source:
        read = read_passages(source, found.hits, whose, found.question, found.as_of)
    if lacking := read[:MOST].count(None):
        log.say("note", f"Note: no passage of {lacking:,} of the answers shares a word with the question.")
    if len(read) > MOST:
        log.say("note", f"Note: the notes of the first {MOST} answers were read.")
    return read


def _of_new(
    connector: "Connector",
    collection: str,
    encoder: "Encoder",
    asked: _SourceAsked,
    patient: str | None,
    question: "Question",
) -> "Neighbours":
    """Return the neighbours of a patient who is read now, and encoded as those of the collection were."""
    from cohorts.loaders.points.payload import explained
    from cohorts.search.neighbours import of_question
    from cohorts.search.new_patient import encode_patient
    from cohorts.search.question import Example, Kind

    with _opened(asked) as source:
        new = encode_patient(source, encoder, patient)
    example = Example(kind=Kind.NEW, value=new.id, vector=tuple(new.vector.tolist()))
    own = [explained(one) for one in new.explanations]
    question = replace(question, examples=(example,))
    return of_question(connector, collection, question, own=own, notes=new.notes)


def _of_bundle(bundle: Path, source: str | None, path: str | None) -> tuple[str, str]:
    """Return the source and the path that a FHIR Bundle is. Raises InputError where others are named beside it."""
    if source is not None or path is not None:
        raise InputError("A FHIR Bundle is asked by with --bundle alone, without --source and --path.")
    return "fhir", str(bundle)


def _check_asked(given: _Examples, source: str | None, path: str | None, evidence: str | None) -> None:
    """Raise InputError where nothing is asked by, or a source and examples of the collection both are."""
    if evidence is not None and source is not None:
        raise InputError(
            "--evidence reads the notes of patients in the collection: it goes with --patient, --text and --note-file "
            "alone."
        )
    if (source is None) != (path is None):
        raise InputError("A patient in a source is asked by with --source NAME and --path together.")
    described = given.texts or given.note_file is not None
    beside = described or given.unlike or given.unlike_texts or given.weights or len(given.patients) > 1
    if source is not None and beside:
        raise InputError(
            "A patient in a source is asked by alone: beside --source or --bundle, one --patient may name whom."
        )
    if source is None and not (given.patients or described):
        raise InputError(
            "Ask by --patient ID, --text TEXT or --note-file FILE, one or several, or by a patient who is not "
            "ingested: --bundle FILE, or --source NAME with --path."
        )


def _notes(file: Path | None) -> list[str]:
    """Return the note to query by, where there is one. Raises InputError where it can't be read."""
    if file is None:
        return []
    try:
        return [file.read_text(encoding="utf-8")]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The note file {file} can't be read: {type(error).__name__}.") from error
