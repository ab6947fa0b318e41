"""The command line: strings in, objects made, tables out."""

import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from cohorts.commands.output import log
from cohorts.commands.output.interrupts import interruptible
from cohorts.commands.typer_app import Commands
from cohorts.errors import CohortsError, InputError

if TYPE_CHECKING:
    from cohorts.connectors.base import Description, Vectors
    from cohorts.encoders.base import Encoder
    from cohorts.harness.live.queries import Sample
    from cohorts.harness.live.reader import Reader
    from cohorts.loaders.run import Run
    from cohorts.loaders.versions import IndexRequest
    from cohorts.records.base import Source
    from cohorts.records.tables.shards import Shard

SHOW_ALL = "COHORTS_TRACEBACK"
MAX_BAD_SHARE = 0.1  # of the rows of a table

app = Commands(
    help="Find patients like this one, on the vector database that you already run.", add_completion=False
)


class UnitName(StrEnum):
    """What one vector stands for."""

    PATIENT = "patient"
    ADMISSION = "admission"


class SplitName(StrEnum):
    """Of what a part is held out."""

    PATIENT = "patient"
    ADMISSION = "admission"


class CohortByName(StrEnum):
    """Which diagnoses make a patient a member of a cohort."""

    ANY = "any"
    PRIMARY = "primary"


class ProjectionName(StrEnum):
    """How documents are drawn in a plane."""

    PCA = "pca"
    UMAP = "umap"


class ContextName(StrEnum):
    """What becomes of words that are negated, of the family, or only spoken of."""

    MASK = "mask"
    TAG = "tag"


class DatesName(StrEnum):
    """Which of day and month comes first in dates that end with the year."""

    ISO = "iso"
    DAY_FIRST = "day-first"
    MONTH_FIRST = "month-first"


class Format(StrEnum):
    """How neighbours are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


Store = Annotated[
    str,
    typer.Option(
        help="Store address: qdrant:PATH, milvus:PATH.db, qdrant+http://HOST:PORT, qdrant+grpc://HOST:PORT, "
        "milvus+http://HOST:PORT.",
    ),
]
Name = Annotated[str, typer.Option("--collection", help="Name of the collection.")]
IndexText = Annotated[
    str | None,
    typer.Option("--index", help="flat, hnsw:m=32,ef_construction=400, ivf:nlist=1024, annoy:n_trees=100."),
]
SearchText = Annotated[
    str | None, typer.Option("--search", help="Search parameters, as in ef_search=128 or exact=true.")
]
SettingsFile = Annotated[
    Path | None, typer.Option("--settings", help="TOML file with tables [index] and [search].")
]
Strict = Annotated[
    bool, typer.Option("--strict-index", help="Refuse an index that the engine lacks; match none by recall.")
]
SourceName = Annotated[str, typer.Option("--source", help="mimic3, mimic4 or notes-csv.")]
SourcePath = Annotated[Path, typer.Option("--path", help="The source's folder (notes-csv: its file).")]
NotesFolder = Annotated[Path | None, typer.Option("--notes", help="mimic4: the folder of MIMIC-IV-Note.")]
Columns = Annotated[
    str, typer.Option("--columns", help="notes-csv: column map, as in id=encounter_id,text=note.")
]
Labels = Annotated[
    str, typer.Option("--labels", help='notes-csv: label columns to keep, as in ward,"Type, of admission".')
]
DatesAs = Annotated[
    DatesName,
    typer.Option("--dates", help="Read dates like 3/5/2094 too: day-first (3 May) or month-first (5 March)."),
]
Deidentify = Annotated[
    bool,
    typer.Option(
        "--deidentify", help="Put placeholders for ids, phones, dates, addresses in notes. Finds no names."
    ),
]
Context = Annotated[
    ContextName | None,
    typer.Option(
        "--context", help="Mask or tag words of notes that are negated, of the family, or hypothetical."
    ),
]
RunDir = Annotated[Path | None, typer.Option("--run-dir", help="Run folder [default: beside the store].")]
Replace = Annotated[
    bool,
    typer.Option("--replace", help="Write a new version beside a collection of this name, then switch."),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on where the last run ended, if it ended too early.")
]
Withhold = Annotated[
    str | None,
    typer.Option(
        help="Keep the codes of these phenotypes from the encoder: names separated by commas, or all."
    ),
]
WithholdText = Annotated[
    bool, typer.Option("--withhold-text", help="With --withhold: mask their mentions in notes too.")
]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch the encoder's checkpoint from the Hugging Face hub first.")
]
Rate = Annotated[float, typer.Option(help="Requests a second at most, exact searches counted.")]
Queries = Annotated[int, typer.Option(min=1, help="How many queries of each kind to ask.")]
QueriesFile = Annotated[
    Path | None,
    typer.Option(help="Ask these: vectors (.npy, .parquet, .hdf5), or texts, one on a line (.txt)."),
]
LogAs = Annotated[
    log.LogFormat, typer.Option("--log-format", help="How a run tells of itself on stderr: text or json.")
]


def main() -> None:
    """Run the command line; errors and warnings of ours are one message on stderr, never a traceback.

    Signals end it as an error does. What the engines write is its user's alone, as what we write is by itself.
    """
    os.umask(0o077)
    warnings.showwarning = lambda message, *_: log.say("warning", str(message))
    try:
        with interruptible(lambda error: log.say("warning", _withheld(error))):
            app()
    except CohortsError as error:
        log.say("error", str(error), exit_code=error.exit_code)
        sys.exit(error.exit_code)
    except Exception as error:
        if os.environ.get(SHOW_ALL):
            raise
        log.say("error", _withheld(error), exit_code=1)
        sys.exit(1)


def _withheld(error: BaseException) -> str:
    """Return what kind of error of our own it is, and where: its message may quote a record."""
    where = [
        f" in {Path(one.filename).name}, line {one.lineno} ({one.name})"
        for one in traceback.extract_tb(error.__traceback__)[-1:]
    ]
    return (
        f"cohorts failed with {type(error).__name__}{''.join(where)}. "
        "That should not happen: please report it. Its message is withheld, for it may quote a record; "
        f"{SHOW_ALL}=1 shows it."
    )


@app.command()
def synth(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; made if need be, must be empty.")],
    patients: Annotated[int, typer.Option(min=1, help="How many patients to invent.")] = 2_000,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same hospital.")] = 0,
) -> None:
    """Write the tables of a synthetic hospital: invented patients in MIMIC-III's shape."""
    from cohorts.records.synthetic.hospital import synthesize
    from cohorts.workspace import check_writable

    check_writable(folder)
    made = synthesize(folder, patients, seed)
    log.say("note", f"Synthetic hospital in {folder}: {made}")


@app.command()
def ingest(
    source: SourceName,
    path: SourcePath,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="lsa, codes, concat:A+B[+C], word2vec, fineehr or fused[:FUSION,…], trained on the source; "
            "bert[:MODEL,…], clinicalnotebert[:SIZE,…]; or the folder of a saved encoder [default: concat:lsa+codes, "
            "without the part of which the source has nothing]."
        ),
    ] = None,
    withhold: Withhold = None,
    withhold_text: WithholdText = False,
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    unit: Annotated[UnitName, typer.Option(help="What one vector stands for.")] = UnitName.PATIENT,
    index: IndexText = None,
    search: SearchText = None,
    settings: SettingsFile = None,
    strict_index: Strict = False,
    notes: NotesFolder = None,
    columns: Columns = "",
    labels: Labels = "",
    dates: DatesAs = DatesName.ISO,
    deidentify: Deidentify = False,
    context: Context = None,
    max_bad_share: Annotated[
        float, typer.Option(min=0, max=1, help="Stop where more rows of a table are bad.")
    ] = MAX_BAD_SHARE,
    quarantine: Annotated[
        Path | None, typer.Option(help="File for bad rows [default: in the run folder].")
    ] = None,
    run_dir: RunDir = None,
    replace: Replace = False,
    resume: Resume = False,
    update: Annotated[
        bool, typer.Option("--update", help="Send only patients whose records changed since they were sent.")
    ] = False,
    remove_vanished: Annotated[
        bool, typer.Option("--remove-vanished", help="With --update: remove patients that the source lost.")
    ] = False,
    shard: Annotated[
        str | None, typer.Option(help="Load only part i of n, as in 2/4: one job of an array.")
    ] = None,
    ray_workers: Annotated[int | None, typer.Option(min=1, help="Encode on Ray, by so many workers.")] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="HOST:PORT of a Ray cluster [default: one on this machine].")
    ] = None,
    download: Download = False,
    log_format: LogAs = log.LogFormat.TEXT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read, check and count only.")] = False,
) -> None:
    """Read a hospital's tables, encode every patient, and load the vectors into a store."""
    from cohorts.commands.output.progress import progress
    from cohorts.commands.output.tables import show_summary
    from cohorts.encoders.registry import download_checkpoints
    from cohorts.loaders.attach import open_store
    from cohorts.loaders.points.records import Ray
    from cohorts.loaders.run import Run
    from cohorts.loaders.targets import LoadRequest
    from cohorts.records.tables.shards import parse_shard
    from cohorts.workspace import default_run_dir, file_of_shard

    log.choose(log_format)
    asked = _asked(encoder, withhold, withhold_text)
    part = parse_shard(shard) if shard else None
    goal = LoadRequest(
        collection,
        _wanted(index, search, settings, strict_index),
        replace=replace,
        resume=resume,
        update=update,
        remove_vanished=remove_vanished,
        shard=part,
    )
    folder = run_dir or default_run_dir(store, collection)
    bad_rows = quarantine or folder / file_of_shard("quarantine.csv", part)
    run = Run(folder, store, goal)
    if download:
        download_checkpoints([asked])
    ray = Ray(ray_workers, ray_address) if ray_workers else None
    making = None if dry_run else run.prepare(asked, ray, by_default=encoder is None)
    with (
        _open_source(
            source,
            path,
            folder,
            unit=unit,
            quarantine=bad_rows,
            max_bad_share=max_bad_share,
            notes=notes,
            columns=columns,
            labels=labels,
            dates=dates,
            shard=part,
            deidentify=deidentify,
            context=context,
        ) as records,
        progress(run.times) as tick,
    ):
        if making is None:
            run.read_only(records, tick)
        else:
            with open_store(store, collection) as connector:
                run.ingest(records, making, connector, tick)
    show_summary(run.manifest, dry_run=dry_run)
    _tell_rejected(run)


@app.command()
def fit(
    source: SourceName,
    path: SourcePath,
    out: Annotated[Path, typer.Option(help="Folder to keep the encoder in.")],
    encoder: Annotated[
        str | None,
        typer.Option(
            help="lsa, codes, concat:A+B[+C], word2vec, fineehr, fused[:FUSION,…], bert[:MODEL,…], "
            "clinicalnotebert[:SIZE,…] [default: concat:lsa+codes, without the part of which the source has nothing]."
        ),
    ] = None,
    withhold: Withhold = None,
    withhold_text: WithholdText = False,
    unit: Annotated[UnitName, typer.Option(help="What one vector stands for.")] = UnitName.PATIENT,
    notes: NotesFolder = None,
    columns: Columns = "",
    labels: Labels = "",
    dates: DatesAs = DatesName.ISO,
    deidentify: Deidentify = False,
    context: Context = None,
    download: Download = False,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Train an encoder on a source and keep it, for shards and other sources to share."""
    from cohorts.commands.output.progress import progress
    from cohorts.encoders.registry import (
        check_ready,
        download_checkpoints,
        make_encoder,
        suited_to,
        told_lacking,
    )
    from cohorts.loaders.run import train_only

    log.choose(log_format)
    asked = _asked(encoder, withhold, withhold_text)
    if download:
        download_checkpoints([asked])
    made, lacks = make_encoder(asked), ""
    check_ready(made)
    with (
        _open_source(
            source,
            path,
            out,
            unit=unit,
            notes=notes,
            columns=columns,
            labels=labels,
            dates=dates,
            deidentify=deidentify,
            context=context,
        ) as records,
        progress() as tick,
    ):
        if encoder is None:
            asked = suited_to(asked, records)
            made = make_encoder(asked)
            lacks = told_lacking(asked, records)
        train_only(records, made, out, tick)
    if lacks:
        log.say("note", lacks)
    log.say(
        "note",
        f"Encoder {made.name}, fingerprint {made.fingerprint}, kept in {out}: use it as --encoder {out}.",
    )


@app.command()
def train(
    objective: Annotated[
        str,
        typer.Argument(
            help="mlm, simcse, declutr or note-category, and settings, as in simcse:sentence,steps=500"
        ),
    ],
    base: Annotated[
        str, typer.Option(help="Checkpoint to begin with: a folder, a preset, a Hugging Face id.")
    ],
    source: SourceName,
    path: SourcePath,
    out: Annotated[Path, typer.Option(help="Folder for the trained model.")],
    notes: NotesFolder = None,
    columns: Columns = "",
    dates: DatesAs = DatesName.ISO,
    deidentify: Deidentify = False,
    context: Context = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint of a training that ended early.")
    ] = False,
    download: Download = False,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Train a text model further on a source's notes; the result is a sentence-transformers folder."""
    from cohorts.commands.output.progress import progress
    from cohorts.encoders.pretrain.run import pretrain_and_tell, ready_training

    log.choose(log_format)
    training = ready_training(objective, base, out, resume=resume, download=download)
    with (
        _open_source(
            source,
            path,
            out,
            notes=notes,
            columns=columns,
            dates=dates,
            deidentify=deidentify,
            context=context,
        ) as records,
        progress() as tick,
    ):
        made = pretrain_and_tell(training, records, out, tick, resume=resume)
    losses = list(made["losses"].values())
    log.say(
        "note",
        f"Model in {out}, from {made['texts']:,} texts ({made['notes_left_out']:,} notes were of no use), "
        f"{made['texts_per_s']:,} of them a second, {made['peak_rss_mib']:,.0f} MiB at most; loss {losses[0]:.4f} at "
        f"first, {losses[-1]:.4f} at last. Use it as --encoder {made['encoder']}.",
    )


@app.command()
def load(
    vectors: Annotated[
        Path,
        typer.Option(
            help="Vectors: a file (.parquet, .npy, .hdf5), a folder of Parquet parts, or in quotes 'out/*.parquet'."
        ),
    ],
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    id_column: Annotated[str, typer.Option(help="Column (HDF5: dataset) of the ids.")] = "id",
    vector_column: Annotated[str, typer.Option(help="Column (HDF5: dataset) of the vectors.")] = "vector",
    payload: Annotated[
        Path | None, typer.Option(help="npy, HDF5: Parquet or CSV file with ids and payload, row by row.")
    ] = None,
    filterable: Annotated[str, typer.Option(help="Payload columns to filter by, separated by commas.")] = "",
    patient_field: Annotated[
        str | None,
        typer.Option(
            help="Payload column that holds the patient's id [default: patient_id, else the row's id]."
        ),
    ] = None,
    made_by: Annotated[
        str, typer.Option(help="What made the vectors; only files of one maker go into one collection.")
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
    from cohorts.commands.output.tables import show_summary
    from cohorts.connectors.registry import connect
    from cohorts.loaders.files.vectors import open_vectors
    from cohorts.loaders.points.ready import FileOrigin
    from cohorts.loaders.run import Run
    from cohorts.loaders.targets import LoadRequest
    from cohorts.workspace import default_run_dir

    log.choose(log_format)
    goal = LoadRequest(
        collection, _wanted(index, search, settings, strict_index), replace=replace, resume=resume
    )
    run = Run(run_dir or default_run_dir(store, collection), store, goal)
    file = open_vectors(
        vectors,
        id_column=id_column,
        vector_column=vector_column,
        payload=payload,
        filterable=_names("--filterable", filterable),
    )
    with progress(run.times) as tick, connect(store) as connector:
        run.load(FileOrigin(file, made_by, patient_field), connector, tick)
    show_summary(run.manifest, dry_run=False)
    _tell_rejected(run)


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="Parquet file to write; it must not be there yet.")],
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Write a collection to a Parquet file, from which `load` makes it again."""
    from cohorts.commands.output.progress import progress
    from cohorts.loaders.attach import open_store
    from cohorts.loaders.files.export import export as write
    from cohorts.workspace import check_writable

    log.choose(log_format)
    check_writable(out.parent)
    with progress() as tick, open_store(store, collection) as connector:
        many = write(connector, collection, out, tick)
    log.say("note", f"{many:,} vectors of {collection} written to {out}.")


@app.command()
def copy(
    origin: Annotated[str, typer.Option("--from", help="Store to copy from.")],
    target: Annotated[str, typer.Option("--to", help="Store to copy to.")],
    collection: Name = "cohorts",
    as_: Annotated[
        str | None, typer.Option("--as", help="Name of the copy [default: the same name].")
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
    from cohorts.commands.output.tables import show_summary
    from cohorts.connectors.registry import connect
    from cohorts.loaders.attach import open_store
    from cohorts.loaders.kept_encoders import copy_encoder
    from cohorts.loaders.points.ready import CollectionSource
    from cohorts.loaders.run import Run
    from cohorts.loaders.targets import LoadRequest
    from cohorts.workspace import default_run_dir

    log.choose(log_format)
    name = collection if as_ is None else as_
    with open_store(origin, collection) as theirs, connect(target) as ours:
        source = CollectionSource(theirs, collection, origin)
        wanted = _wanted(index, search, settings, strict_index).or_as(source.definition)
        run = Run(
            default_run_dir(target, name), target, LoadRequest(name, wanted, replace=replace, resume=resume)
        )
        with progress(run.times) as tick:
            run.load(source, ours, tick)
    copy_encoder((origin, collection), (target, name), source.definition)
    show_summary(run.manifest, dry_run=False)
    _tell_rejected(run)


@app.command()
def verify(
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    full: Annotated[bool, typer.Option("--full", help="Compare every point, not a sample of 1,000.")] = False,
    run_dir: RunDir = None,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Compare a collection with what was written to it: count, vectors and payloads."""
    from cohorts.commands.output.tables import show_verdict
    from cohorts.loaders.attach import open_store
    from cohorts.loaders.journal.verify import verify_runs
    from cohorts.workspace import default_run_dir

    log.choose(log_format)
    with open_store(store, collection) as connector:
        verdict = verify_runs(connector, collection, run_dir or default_run_dir(store, collection), full=full)
    show_verdict(verdict, collection)
    verdict.check(collection)


@app.command()
def query(
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    patient: Annotated[str | None, typer.Option(help="Find patients like this one, by id.")] = None,
    text: Annotated[str | None, typer.Option(help="Find patients like this description.")] = None,
    note_file: Annotated[Path | None, typer.Option(help="Find patients like the one in this note.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many neighbours.")] = 10,
    where: Annotated[str | None, typer.Option(help="Only among these: age >= 60 and sex = 'F'.")] = None,
    search: SearchText = None,
    settings: SettingsFile = None,
    encoder: Annotated[
        Path | None, typer.Option(help="Folder of the encoder [default: the one the ingest kept].")
    ] = None,
    per_unit: Annotated[
        bool,
        typer.Option("--per-unit", help="Every admission or chunk, not each patient once by the best one."),
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Tell what the vectors were made of: notes, codes, values.")
    ] = False,
    suggest: Annotated[
        bool,
        typer.Option(
            "--suggest", help="Where --patient is not there, show the nearest ids: other patients'."
        ),
    ] = False,
    output: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Find the patients most like one patient, or like a text."""
    from cohorts.analysis.word_shares import word_shares
    from cohorts.commands.output.tables import show_neighbours
    from cohorts.connectors.filters.conditions import parse_filter
    from cohorts.connectors.index import SearchParams
    from cohorts.encoders.base import ExplainsText
    from cohorts.loaders.attach import open_store
    from cohorts.search import neighbours

    note = _query_text(patient, text, note_file)
    condition = parse_filter(where) if where is not None else None
    asked = _wanted(None, search, settings, strict=False).search
    params = asked if asked != SearchParams() else None
    with open_store(store, collection) as connector:
        description = connector.describe(collection)
        made_by = (
            _encoder_of(description, store, collection, encoder) if encoder or note is not None else None
        )
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
    show_neighbours(found, output.value, description, explain=explain, words=words)


evaluations = Commands(help="Measure encoders on a source.")
app.add_typer(evaluations, name="evaluate")


@evaluations.command("fineehr")
def evaluate_fineehr(
    source: Annotated[str, typer.Option("--source", help="mimic3 or mimic4.")],
    path: SourcePath,
    out: Annotated[Path, typer.Option(help="Folder for the report and its tables.")] = Path(
        "fineehr-evaluation"
    ),
    encoder: Annotated[
        str, typer.Option(help="fineehr[:key=value,…]: settings that all four settings share.")
    ] = "fineehr",
    as_of: Annotated[
        str | None, typer.Option(help="Measure with what was written by admission+24h too, side by side.")
    ] = None,
    split: Annotated[
        SplitName, typer.Option(help="Hold out patients, or admissions as the paper does.")
    ] = SplitName.PATIENT,
    seeds: Annotated[int, typer.Option(min=1, help="How many splits and trainings.")] = 3,
    notes: NotesFolder = None,
    dates: DatesAs = DatesName.ISO,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """FineEHR's Table II on a source: settings × classifiers, baselines, and whether neighbours are alike."""
    from cohorts.commands.output.evaluation import show_predictions, show_retrieval
    from cohorts.encoders.fineehr.encoder import FineEhr
    from cohorts.encoders.registry import make_encoder
    from cohorts.harness.evaluate.data.splits import SplitBy
    from cohorts.harness.evaluate.fineehr import Plan, evaluate
    from cohorts.harness.evaluate.fineehr_report import manifest_of, write_report
    from cohorts.harness.evaluate.statistics import summarize_predictions, summarize_retrieval
    from cohorts.records.transforms import parse_as_of

    log.choose(log_format)
    _check_says_who_died(source)
    asked = make_encoder(encoder)
    if not isinstance(asked, FineEhr):
        raise InputError(f"--encoder {encoder}: this table is of fineehr, as in fineehr:dim=64.")
    plan = Plan(seeds, SplitBy(split.value), asked.settings, parse_as_of(as_of) if as_of else None)
    with _open_source(source, path, out, unit=UnitName.ADMISSION, notes=notes, dates=dates) as records:
        result = evaluate(records, plan, lambda stage: log.say("note", stage))
        manifest = manifest_of(records, plan, result)
    page = write_report(out, manifest, result)
    show_predictions(summarize_predictions(result.predictions), synthetic=manifest["synthetic"])
    show_retrieval(summarize_retrieval(result.retrieval), synthetic=manifest["synthetic"])
    for kind, reason in result.not_measured.items():
        log.say("warning", f"{kind} could not be measured: {reason}")
    log.say("note", f"Report: {page}; every measurement: {out}/predictions.csv, {out}/retrieval.csv.")


@evaluations.command("fused")
def evaluate_fused(
    source: Annotated[str, typer.Option("--source", help="mimic3 or mimic4.")],
    path: SourcePath,
    out: Annotated[Path, typer.Option(help="Folder for the report and its tables.")] = Path(
        "fused-evaluation"
    ),
    encoder: Annotated[
        str, typer.Option(help="fused[:key=value,…]: settings that all fusions and objectives share.")
    ] = "fused",
    withhold: Annotated[
        str, typer.Option(help="Phenotypes whose codes no encoder sees: names separated by commas, or all.")
    ] = "all",
    withhold_text: Annotated[
        bool, typer.Option("--withhold-text", help="Measure with their mentions in notes masked too.")
    ] = False,
    cohort_by: Annotated[
        CohortByName,
        typer.Option(help="Whose F1@100 is told: of a cohort by its principal or any diagnosis."),
    ] = CohortByName.PRIMARY,
    seeds: Annotated[int, typer.Option(min=1, help="How many splits and trainings.")] = 3,
    notes: NotesFolder = None,
    dates: DatesAs = DatesName.ISO,
    download: Download = False,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """The ablation of the fusion on a source: five fusions, three objectives, and what they have to beat."""
    from cohorts.commands.output.evaluation import show_fused, show_fused_search
    from cohorts.encoders.bert.encoder import Bert
    from cohorts.encoders.fused.encoder import Fused
    from cohorts.encoders.registry import download_checkpoints, make_encoder
    from cohorts.encoders.withholding import parse_withheld
    from cohorts.harness.evaluate.fused import Plan, evaluate
    from cohorts.harness.evaluate.fused_report import (
        manifest_of,
        search_ceilings,
        summarize,
        summarize_search,
        write_report,
    )
    from cohorts.harness.evaluate.retrieval.population import CohortBy

    log.choose(log_format)
    _check_says_who_died(source)
    asked = make_encoder(encoder)
    if not isinstance(asked, Fused):
        raise InputError(f"--encoder {encoder}: this table is of fused, as in fused:model=clinicalbert.")
    if download:
        download_checkpoints([encoder])
    withheld = parse_withheld(withhold, text=False)
    plan = Plan(asked.settings, withheld, seeds, withhold_text, CohortBy(cohort_by.value))
    Bert(asked.settings.bert).check_ready()
    with _open_source(source, path, out, notes=notes, dates=dates) as records:
        result = evaluate(records, plan, lambda stage: log.say("note", stage))
        manifest = manifest_of(records, plan, result)
    page = write_report(out, manifest, result)
    show_fused(summarize(result.rows), synthetic=manifest["synthetic"])
    show_fused_search(
        summarize_search(result.searched), search_ceilings(result.searched), synthetic=manifest["synthetic"]
    )
    log.say("note", f"Report: {page}; every measurement: {out}/fused.csv.")


@evaluations.command("space")
def evaluate_space(
    source: Annotated[str, typer.Option("--source", help="notes-csv: its rows of one id are one document.")],
    path: SourcePath,
    columns: Columns,
    labels: Annotated[str, typer.Option("--labels", help="The column whose values are the classes.")],
    encoder: Annotated[
        list[str], typer.Option(help="[NAME=]encoder or [NAME=]folder, as in fit and ingest. Repeatable.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the report and its tables.")] = Path(
        "space-evaluation"
    ),
    seeds: Annotated[int, typer.Option(min=1, help="How many splits.")] = 3,
    unfreeze: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Train a head and so many last layers of text models too. Repeatable."),
    ] = None,
    projection: Annotated[
        ProjectionName, typer.Option(help="How documents are drawn in a plane; umap is an extra.")
    ] = ProjectionName.PCA,
    dates: DatesAs = DatesName.ISO,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Embedding spaces beside each other: how they lie, and what a classifier learns in them from few labels."""
    from cohorts.commands.output.evaluation import show_space
    from cohorts.encoders.registry import check_ready
    from cohorts.harness.evaluate.data.encoders import parse_contestant, tfidf_baseline
    from cohorts.harness.evaluate.space.evaluation import Plan, evaluate
    from cohorts.harness.evaluate.space.report import manifest_of, summarize, summarize_few, write_report

    log.choose(log_format)
    contestants = [tfidf_baseline(), *(parse_contestant(one) for one in encoder)]
    for one in contestants:
        check_ready(one.encoder)
    plan = Plan(labels, contestants, seeds, sorted(set(unfreeze or [])), projection.value)
    with _open_source(source, path, out, columns=columns, labels=labels, dates=dates) as records:
        result = evaluate(records, plan, lambda stage: log.say("note", stage))
        manifest = manifest_of(records, plan, result)
    page = write_report(out, manifest, result)
    show_space(summarize(result.rows), summarize_few(result.few), synthetic=manifest["synthetic"])
    log.say("note", f"Report: {page}; every measurement: {out}/space.csv, {out}/few_labels.csv.")


@evaluations.command("similarity")
def evaluate_similarity(
    pairs: Annotated[Path, typer.Option(help="Table of two texts and a score, larger for more alike.")],
    columns: Annotated[
        str, typer.Option(help="Its columns, as in text_a=sentence1,text_b=sentence2,score=similarity.")
    ] = "",
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            help="[NAME=]encoder or [NAME=]folder [default: ClinicalNoteBERT after SimCSE]. Repeatable."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report and its table.")] = Path(
        "similarity-evaluation"
    ),
    download: Download = False,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Pairs of texts that people scored: how do the cosines of encoders correlate with the scores?"""
    from cohorts.commands.output.evaluation import show_similarity
    from cohorts.encoders.registry import download_checkpoints
    from cohorts.harness.evaluate.data.encoders import parse_contestant
    from cohorts.harness.evaluate.similarity import Plan, evaluate, simcse_variants
    from cohorts.harness.evaluate.similarity_report import manifest_of, write_report
    from cohorts.harness.evaluate.space.sentence_pairs import read_pairs
    from cohorts.workspace import check_writable

    log.choose(log_format)
    scored = read_pairs(pairs, _pairs("--columns", columns))
    asked = [parse_contestant(one) for one in encoder] if encoder else simcse_variants()
    if download:
        download_checkpoints([one.spec for one in asked if not one.trained])
    plan = Plan(scored, asked, may_lack=not encoder)
    check_writable(out)
    result = evaluate(plan, lambda stage: log.say("note", stage))
    page = write_report(out, manifest_of(pairs, plan, result), result)
    show_similarity(result.rows)
    log.say("note", f"Report: {page}; every figure: {out}/similarity.csv.")


@evaluations.command("retrieval")
def evaluate_retrieval(
    source: Annotated[str, typer.Option("--source", help="mimic3, mimic4 or notes-csv.")],
    path: SourcePath,
    out: Annotated[Path, typer.Option(help="Folder for raw rankings, tables and the report.")] = Path(
        "retrieval-evaluation"
    ),
    encoder: Annotated[
        list[str] | None,
        typer.Option(help="[NAME=]encoder or [NAME=]folder, as in fit and ingest. Repeatable."),
    ] = None,
    cohort: Annotated[
        list[str] | None, typer.Option(help="A phenotype to ask for [default: all]. Repeatable.")
    ] = None,
    cohort_by: Annotated[
        CohortByName | None,
        typer.Option(help="Its members: by any diagnosis, or by the principal one. [default: any]"),
    ] = None,
    labels: Labels = "",
    columns: Columns = "",
    store: Annotated[
        list[str] | None, typer.Option(help="Ask through this store too, with every --index. Repeatable.")
    ] = None,
    index: Annotated[
        list[str] | None, typer.Option(help="As in ingest; a search follows a blank. Repeatable.")
    ] = None,
    k: Annotated[
        list[int] | None, typer.Option(min=1, help="Neighbours [default: 10 50 100 200]. Repeatable.")
    ] = None,
    queries: Annotated[int, typer.Option(min=1, help="Questions of each cohort, at most.")] = 100,
    folds: Annotated[
        int,
        typer.Option(min=1, max=5, help="Of five: whose patients are asked about, each with its training."),
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of folds and questions.")] = 0,
    withhold_text: Annotated[
        bool, typer.Option("--withhold-text", help="Rank with the cohorts' mentions in notes masked too.")
    ] = False,
    leave_codes: Annotated[
        bool, typer.Option("--leave-codes", help="Rank with nothing withheld too, to see what that flatters.")
    ] = False,
    judgements: Annotated[
        Path | None, typer.Option(help="CSV file with patient, other and grade: who is how alike.")
    ] = None,
    notes: NotesFolder = None,
    dates: DatesAs = DatesName.ISO,
    download: Download = False,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Are the neighbours right? Encoders, baselines and indexes on known cohorts, or on labelled notes."""
    from cohorts.commands.output.evaluation import show_quality
    from cohorts.encoders.registry import check_ready, download_checkpoints
    from cohorts.harness.evaluate.data.encoders import parse_contestant, tfidf_baseline
    from cohorts.harness.evaluate.retrieval.evaluation import evaluate
    from cohorts.harness.evaluate.retrieval.grades import Judged, check_judgements, grades_of
    from cohorts.harness.evaluate.retrieval.plan import KS, Plan, check_routes, routes_through, views_of
    from cohorts.harness.evaluate.retrieval.population import CohortBy, read_labelled, read_patients
    from cohorts.harness.evaluate.retrieval.report import manifest_of, tables, write_report

    log.choose(log_format)
    contestants = [tfidf_baseline(), *(parse_contestant(one) for one in encoder or [])]
    if download:
        download_checkpoints([one.spec for one in contestants if one.spec and not one.trained])
    for one in contestants:
        check_ready(one.encoder)
    if labels and cohort_by:
        raise InputError("--labels judges notes by their labels: leave out --cohort-by.")
    views = views_of(cohort or [], labelled=bool(labels), in_text=withhold_text, leave_codes=leave_codes)
    routes = routes_through(store or [], index or [])
    plan = Plan(contestants, views, routes, sorted(set(k or KS)), queries, folds, seed)
    if judgements is not None:
        check_judgements(judgements)
    check_routes(routes)
    with _open_source(source, path, out, columns=columns, labels=labels, notes=notes, dates=dates) as records:
        population = (
            read_labelled(records, _names("--labels", labels))
            if labels
            else read_patients(records, cohort or [], CohortBy(cohort_by or CohortBy.ANY))
        )
        judged = Judged(judgements, population) if judgements else None
        result = evaluate(records, population, plan, out, lambda stage: log.say("note", stage))
        made = tables(records, plan, result, grades_of(records, population, judged))
        manifest = manifest_of(records, plan, result, made)
    page = write_report(out, manifest, made)
    show_quality(made, synthetic=manifest["synthetic"])
    for fault in made.faults:
        log.say("warning", f"LEAK: {fault}")
    for told in made.notes:
        log.say("note", told)
    log.say(
        "note",
        f"Report: {page}; all ways, views, indexes and k: {out}/figures.csv; who was found: {out}/rankings.",
    )


@app.command()
def bench(
    experiment: Annotated[Path, typer.Argument(help="TOML file: data, stores, indexes; see docs/bench.md.")],
    out: Annotated[Path, typer.Option(help="Folder for results and report; a folder in it per experiment.")],
    only: Annotated[
        list[str] | None, typer.Option(help="Measure this store alone, by its name. Repeatable.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Measure again what is there already, of the stores measured.")
    ] = False,
    growth: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of an experiment of another size that has a report. Repeatable."),
    ] = None,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Measure stores and indexes on your vectors: recall, latency, throughput, build, memory. Goes on if it died."""
    from cohorts.commands.output.bench import show_bench
    from cohorts.harness.bench.plan.experiment import read_experiment
    from cohorts.harness.bench.report.growth import grown
    from cohorts.harness.bench.report.page import Origin, warnings, write_report
    from cohorts.harness.bench.report.summary import summarize
    from cohorts.harness.bench.run.runner import run
    from cohorts.workspace import check_writable

    log.choose(log_format)
    asked = read_experiment(experiment)
    check_writable(out)
    if growth:
        grown(growth)
    folder = run(asked, out, lambda stage: log.say("note", stage), only=only or (), force=force)
    summary = summarize(asked, folder)
    beside = [word for other in growth or () for word in ("--growth", str(other))]
    command = shlex.join(["cohorts", "bench", str(experiment), "--out", str(out), *beside])
    origin = Origin(command, experiment.read_text(encoding="utf-8"))
    page, equal = write_report(folder, summary, origin, growth or ())
    show_bench(summary, equal)
    for warning in warnings(summary):
        log.say("warning", warning)
    log.say("note", f"Report: {page}; every figure: settings.csv, builds.csv and equal_recall.csv beside it.")


@app.command()
def describe(
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    encoder: Annotated[
        Path | None, typer.Option(help="Show the encoder in this folder instead, and what it learnt.")
    ] = None,
) -> None:
    """Show what a collection holds: encoder, dimension, metric, index, counts, source."""
    from cohorts.commands.output.tables import show_description
    from cohorts.loaders.attach import open_store

    if encoder is not None:
        from cohorts.commands.output.evaluation import show_encoder
        from cohorts.encoders.registry import load_encoder

        show_encoder(load_encoder(encoder).describe())
        return
    with open_store(store, collection) as connector:
        show_description(connector.describe(collection), collection)


@app.command()
def models() -> None:
    """Show the text models that have a name here: size, what each suits, published scores, cached or not."""
    from cohorts.commands.output.tables import show_models
    from cohorts.encoders.bert.clinicalnotebert import known_models

    show_models(known_models())
    log.say("note", "Published scores are the authors' own, the larger the better; none was measured here.")


@app.command()
def attach(
    store: Annotated[str, typer.Option(help="Store address of a server, or of an embedded Milvus file.")],
    collection: Annotated[str, typer.Option(help="A collection that someone else made.")],
    vector: Annotated[str | None, typer.Option(help="Which of its vectors to read.")] = None,
    patient_field: Annotated[
        str | None,
        typer.Option(
            help="Field that holds the patient's id [default: patient_id, else the point's own id]."
        ),
    ] = None,
    field: Annotated[
        list[str] | None, typer.Option(help="Further field to filter by: [NAME=]PATH[:TYPE]. Repeatable.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Allow ingest to write our vector and our payload keys there.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be written; keep nothing.")
    ] = False,
) -> None:
    """Look at a collection of others and map it, so that query works on it; nothing of theirs is changed."""
    from cohorts.commands.output.tables import show_inspection
    from cohorts.connectors.registry import connect
    from cohorts.loaders.attach import attachment_file, confirm, doubts, look

    file = attachment_file(store, collection)
    with connect(store) as connector:
        found, proposed = look(
            connector, collection, vector=vector, patient_field=patient_field, fields=field or []
        )
        show_inspection(found, proposed)
        for doubt in doubts(connector, found, proposed):
            log.say("warning", doubt)
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
        _wanted(index, search, settings, strict_index),
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
    patient: Annotated[str, typer.Option(help="Id of the patient to erase.")],
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    run_dir: RunDir = None,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Erase a patient: every point of theirs, and what the runs noted of them; nothing is asked."""
    from dataclasses import asdict

    from cohorts.loaders.attach import open_store
    from cohorts.loaders.erase import erase
    from cohorts.loaders.holding import holding
    from cohorts.workspace import default_run_dir

    log.choose(log_format)
    folder = run_dir or default_run_dir(store, collection)
    with open_store(store, collection) as connector:
        connector.describe(collection)  # before anything is made for a collection that is not there
        with holding(connector, store, collection, folder) as held:
            erased = erase(connector, collection, patient, held, folder)
    log.say(
        "note",
        f"Erased from {collection}, and looked for again: {erased.points:,} points, {erased.traces:,} notes of runs "
        f"and {erased.rejected:,} rows of what could not be written. The runs know nothing of the patient any more: a "
        "source that still holds the patient would be sent again by any ingest, so take the patient out of it first.",
        **asdict(erased),
    )


@app.command()
def audit(
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    where: Annotated[
        list[str] | None, typer.Option(help="Measure among these too: age >= 60. Repeatable.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many neighbours.")] = 10,
    queries: Queries = 200,
    rate: Rate = 20.0,
    search: SearchText = None,
    out: Annotated[Path | None, typer.Option(help="Folder for audit.csv and manifest.json.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same queries.")] = 0,
    queries_file: QueriesFile = None,
) -> None:
    """Measure the recall of a collection in service against exact search, by filter; nothing is written to it.

    It is asked with points of its own, and with new ones near them: less like what it knows, as patients to come are.
    """
    from cohorts.commands.output.recall import show_audit
    from cohorts.connectors.addresses import without_settings
    from cohorts.connectors.index import parse_search
    from cohorts.harness.live import audit as audits
    from cohorts.harness.live.reader import Pace, Reader
    from cohorts.loaders.attach import open_store
    from cohorts.workspace import check_writable

    params = parse_search(search) if search else None
    if out is not None:
        check_writable(out)
    with open_store(store, collection) as connector:
        reader = Reader(connector, collection, Pace(rate))
        found = audits.audit(
            reader,
            collection,
            k=k,
            queries=queries,
            wheres=where or [],
            search=params,
            seed=seed,
            asked=_queries_of(queries_file, reader, store, collection, queries, seed),
        )
    show_audit(found, collection)
    if out is not None:
        audits.write_audit(
            out, found, {"store": without_settings(store), "collection": collection, "rate": rate}
        )
        log.say("note", f"Written: {out}/audit.csv, {out}/manifest.json.")


@app.command()
def tune(
    target_recall: Annotated[float, typer.Option(help="Recall to reach with confidence, as in .95.")],
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    where: Annotated[str | None, typer.Option(help="Tune for searches among these: age >= 60.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many neighbours.")] = 10,
    queries: Queries = 200,
    rate: Rate = 20.0,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Try indexes too, on a sample in a collection that is dropped again."),
    ] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Make the choice the collection's default search parameters.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same queries.")] = 0,
    queries_file: QueriesFile = None,
) -> None:
    """Find the cheapest search parameters (with --rebuild, index) whose recall reaches a target with confidence.

    For new vectors near the collection's points, or for those of --queries-file: the result holds for such queries.
    """
    from cohorts.commands.output.recall import show_built, show_steps
    from cohorts.harness.live import tune as tuning
    from cohorts.harness.live.reader import Pace, Reader
    from cohorts.loaders.attach import open_store

    if write and where is not None:
        raise InputError(
            "--write sets the default of every search, --where tunes for some: leave one of them out."
        )
    if rebuild and where is not None:
        raise InputError("--rebuild tries indexes without a filter: leave --where out.")
    with open_store(store, collection) as connector:
        reader = Reader(connector, collection, Pace(rate))
        asked = _queries_of(queries_file, reader, store, collection, queries, seed)
        if write or not rebuild or not reader.describe().exact:
            tuned = tuning.tune(
                reader, collection, target_recall, k=k, queries=queries, where=where, seed=seed, asked=asked
            )
            show_steps(tuned)
            log.say("note", tuned.line)
            if write:
                tuning.write_default(connector, collection, tuned)
                log.say("note", f"Kept as the default of {collection}.")
        if rebuild:
            built = tuning.rebuild(connector, reader, collection, target_recall, k=k, seed=seed, asked=asked)
            show_built(built)
            for line in tuning.advice(store, collection, built).splitlines():
                log.say("note", line)


@app.command()
def doctor(
    store: Annotated[str | None, typer.Option(help="Show what the engine of this store can do.")] = None,
) -> None:
    """Show versions, engines and processor abilities, and what is missing with the command that installs it."""
    from cohorts.commands.output.doctor import examine
    from cohorts.commands.output.tables import show_abilities, show_findings
    from cohorts.connectors.registry import connect

    if store is None:
        show_findings(examine())
        return
    with connect(store) as connector:
        names = connector.collections()
        show_abilities(connector.abilities)
    log.say("note", f"The store answers. Collections: {', '.join(names) or 'none'}.")


def _check_says_who_died(source: str) -> None:
    """Raise InputError for a source that holds no ending of a stay."""
    if source == "notes-csv":
        raise InputError("notes-csv does not say who died, which this table is about: use mimic3 or mimic4.")


def _asked(encoder: str | None, withhold: str | None, withhold_text: bool) -> str:
    """Return the encoder that is asked for, or the default, with what is to be withheld from it."""
    from cohorts.encoders.registry import DEFAULT
    from cohorts.encoders.withholding import parse_withheld

    encoder = encoder or DEFAULT
    if withhold is None:
        if withhold_text:
            raise InputError("--withhold-text needs --withhold: it says whose mentions are masked.")
        return encoder
    return parse_withheld(withhold, text=withhold_text).asked_of(encoder)


def _wanted(index: str | None, search: str | None, settings: Path | None, strict: bool) -> "IndexRequest":
    """Return what is asked for: the command line goes before the file, the file before the defaults."""
    from cohorts.connectors.index import SearchParams, load_settings, parse_index, parse_search
    from cohorts.loaders.versions import IndexRequest

    kept = load_settings(settings) if settings else (None, None)
    chosen = parse_index(index) if index else kept[0]
    params = parse_search(search) if search else kept[1]
    return IndexRequest(chosen, params or SearchParams(), strict)


@contextmanager
def _open_source(
    source: str,
    path: Path,
    folder: Path,
    *,
    unit: UnitName = UnitName.PATIENT,
    quarantine: Path | None = None,
    max_bad_share: float = MAX_BAD_SHARE,
    notes: Path | None = None,
    columns: str = "",
    labels: str = "",
    dates: DatesName = DatesName.ISO,
    shard: "Shard | None" = None,
    deidentify: bool = False,
    context: ContextName | None = None,
) -> Iterator["Source"]:
    """Open a source, and see its notes as asked; what de-identification does not do is said at once.

    `folder` takes temporary files, and bad rows unless another file is named.
    """
    from cohorts.records.base import Unit
    from cohorts.records.notes.context import Treatment
    from cohorts.records.notes.deidentify import LIMITS
    from cohorts.records.sources.registry import open_source, view_notes
    from cohorts.records.tables.times import Dates
    from cohorts.workspace import check_writable

    check_writable(folder)
    with open_source(
        source,
        path,
        unit=Unit(unit.value),
        work_dir=folder,
        quarantine_file=quarantine or folder / "quarantine.csv",
        max_bad_share=max_bad_share,
        notes=notes,
        columns=_pairs("--columns", columns),
        labels=_names("--labels", labels),
        dates=Dates(dates.value),
        shard=shard,
    ) as opened:
        treatment = Treatment(context.value) if context else None
        records = view_notes(opened, deidentify=deidentify, context=treatment)
        if deidentify:
            log.say("note", f"{LIMITS}.")
        yield records


def _pairs(option: str, text: str) -> dict[str, str]:
    """Read `key=value,…`. Raises InputError for a key that is given twice."""
    pairs = [pair.partition("=") for pair in _names(option, text)]
    found = {key.strip(): value.strip() for key, _, value in pairs}
    if len(found) < len(pairs):
        raise InputError(f"{option} gives a key twice: {text!r}. Leave one out.")
    return found


def _names(option: str, text: str) -> list[str]:
    """Read `a,"b, c",…`: names between commas; one that holds a comma stands in double quotes. Raises InputError."""
    words = shlex.shlex(text, posix=True)
    words.whitespace, words.whitespace_split = ",", True
    words.quotes, words.escape, words.commenters = '"', "", ""
    try:
        return [name.strip() for name in words if name.strip()]
    except ValueError as error:
        raise InputError(f"{option} has a double quote that is not closed: {text!r}.") from error


def _tell_rejected(run: "Run") -> None:
    """End with exit code 3 where points were left out."""
    if rejected := run.manifest.get("rejected"):
        log.say(
            "warning",
            f"{rejected:,} points could not be written; the ids and the reasons are in {run.rejected_file}.",
        )
        raise typer.Exit(3)


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


def _queries_of(
    file: Path | None, reader: "Reader", store: str, name: str, queries: int, seed: int
) -> "Sample | None":
    """Read the queries of a file; texts are encoded by the collection's own encoder."""
    from cohorts.harness.live.queries import read_queries

    if file is None:
        return None
    description = reader.describe()

    def encode(texts: Sequence[str]) -> "Vectors":
        return _encoder_of(description, store, name, None).encode_text(list(texts))

    return read_queries(file, description.collection.dim, queries, seed, encode)


def _encoder_of(description: "Description", store: str, name: str, folder: Path | None) -> "Encoder":
    """Load the collection's own encoder, or the one in `folder`, which is refused where it is another."""
    from cohorts.encoders.registry import load_encoder
    from cohorts.loaders.points.records import check_fingerprint
    from cohorts.workspace import encoder_dir

    encoder = load_encoder(folder or encoder_dir(store, name, description.collection))
    check_fingerprint(description.collection, encoder)
    return encoder
