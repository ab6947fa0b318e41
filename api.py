"""The public face: open a source, make an encoder, connect to a store, ingest, ask. `import cohorts` has these names.

Nothing heavy is imported before it is needed: what stands in a function is imported at its first call.
"""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cohorts import given
from cohorts.connectors import registry as engines
from cohorts.connectors.index import Index, SearchParams
from cohorts.connectors.ready_clients import connect_client
from cohorts.errors import InputError
from cohorts.given import PathLike
from cohorts.progress import ProgressCallback, silent
from cohorts.search.store import take_mapping
from cohorts.store import CollectionHandle, Store
from cohorts.workspace import file_of_shard

if TYPE_CHECKING:
    import pandas as pd
    from cohorts.encoders.base import Encoder
    from cohorts.encoders.specs import EncoderSpec
    from cohorts.records.base import Source, Unit
    from cohorts.records.codes.concepts.coverage import Coverage
    from cohorts.records.sources.opened import OpenedSource
    from pymilvus import MilvusClient
    from qdrant_client import QdrantClient


_OF_A_SOURCE = (
    "name",
    "unit",
    "synthetic",
    "report",
    "has_notes",
    "has_codes",
    "fingerprint",
    "work_dir",
    "batches",
)


def open_source(
    name: str,
    path: PathLike,
    *,
    unit: "Unit | str" = "patient",
    notes: PathLike | None = None,
    columns: Mapping[str, str] | str = "",
    labels: "Iterable[str] | pd.Series[Any] | str" = (),
    mapping: PathLike | None = None,
    split: str = "",
    dates: str = "iso",
    shard: str | None = None,
    deidentify: bool = False,
    context: str | None = None,
    max_bad_share: float = 0.1,
    quarantine: PathLike | None = None,
    work_dir: PathLike | None = None,
    memory_mib: int = 2_048,
) -> "OpenedSource":
    """Open a hospital's tables; only headers and first rows are read yet.

    It is closed by `close()`, by `with`, or at the end of the process.

    Args:
        name: `mimic3`, `mimic4`, `meds`, `fhir`, `omop`, `tables` or `notes-csv`, or one that another package brings.
        path: The folder of the tables; for `notes-csv` the file, for `fhir` a folder or a file; for `tables` and `omop`
            also a database file of DuckDB or SQLite, for `omop` also the address of a database.
        unit: What one vector stands for: `patient` or `admission`.
        notes: For `mimic4`, the folder of MIMIC-IV-Note.
        columns: For `notes-csv`, which of its columns are which, as in `{"id": "encounter_id", "text": "note"}`.
        labels: For `notes-csv`, columns to keep and to filter by.
        mapping: For `tables`, the TOML file that declares tables and SELECTs, or `synthea` or `eicu`; for `meds`, a
            table of what codes stand for.
        split: For `meds`, the splits to read, as in `"train,tuning"`; by default all.
        dates: How dates like 3/5/2094 are read: not at all (`iso`), `day-first` or `month-first`.
        shard: Read only the patients of part i of n, as in `"2/4"`.
        deidentify: Put placeholders for ids, phone numbers, dates and addresses in notes; it finds no names.
        context: `mask` or `tag` words of notes that are negated, of the family, or hypothetical.
        max_bad_share: Stop where more rows of a table are bad, from 0 to 1.
        quarantine: The file that lists bad rows. By default it stands in the run folder of the collection they are
            ingested to.
        work_dir: The folder of temporary files, which hold patients' text and are the user's alone. By default a
            private folder among the system's temporary files (`TMPDIR`).
        memory_mib: MiB of memory that reading the tables may take, beside the program itself and one batch; at least
            256. With more, more cores read.

    Raises:
        SourceError: A table or a column is missing.
        InputError: There is no such source, or a setting is of the wrong kind.
    """
    from cohorts.private_files import Scratch, work_folder
    from cohorts.records.base import Unit
    from cohorts.records.notes.context import Treatment
    from cohorts.records.shards import parse_shard
    from cohorts.records.sources import registry
    from cohorts.records.sources.opened import OpenedSource
    from cohorts.records.tables.times import Dates
    from cohorts.workspace import check_writable

    placeholders = given.as_flag("deidentify", deidentify)
    treatment = None if context is None else given.as_choice("context", Treatment, context)
    part = None if shard is None else parse_shard(given.as_text("shard", shard))
    folder = work_folder() if work_dir is None else given.as_path("work_dir", work_dir)
    check_writable(folder)
    scratch = Scratch(folder) if quarantine is None else None
    bad_rows = scratch.folder / "quarantine.csv" if scratch else given.as_path("quarantine", quarantine)
    records = registry.open_source(
        given.as_text("name", name),
        given.as_place("path", path),
        unit=given.as_choice("unit", Unit, unit),
        work_dir=folder,
        quarantine_file=bad_rows,
        max_bad_share=given.as_share("max_bad_share", max_bad_share),
        notes=None if notes is None else given.as_path("notes", notes),
        columns=given.as_pairs("columns", columns),
        labels=given.as_names("labels", labels),
        mapping=None if mapping is None else given.as_path("mapping", mapping),
        split=given.as_text("split", split),
        dates=given.as_choice("dates", Dates, dates),
        shard=part,
        memory_mib=given.as_count("memory_mib", memory_mib),
    )
    view = registry.view_notes(records, deidentify=placeholders, context=treatment)
    return OpenedSource(records, view, shard=part, scratch=scratch)


def make_encoder(
    asked: "EncoderSpec | str",
    *,
    withhold: "Iterable[str] | str | None" = None,
    withhold_text: bool = False,
    as_of: str | None = None,
    maps: "Iterable[PathLike]" = (),
    **settings: Any,
) -> "Encoder":
    """Make an encoder that is yet to be trained; `ingest` trains it on the source.

    Args:
        asked: `lsa`, `codes`, `concat`, `word2vec`, `fineehr`, `fused`, `bert` or `clinicalnotebert`, a text with
            settings as in `"codes:dim=64"` or `"concat:lsa+codes"`, or an `EncoderSpec`.
        withhold: Phenotypes whose codes the encoder never sees: a list, a text with commas, or `"all"`.
        withhold_text: Mask their mentions in notes too.
        as_of: See only what is known by a time of the stay, as in `"admission+24h"`, `"icu+2d"`, `"discharge-0h"` or a
            column's, or from one to another, as in `"icu..icu+24h"`. By default the whole stay.
        maps: Concept maps by which it sees codes: `ccs`, `ccsr`, `hcpcs`, `ingredients`, `laboratory`, or files of your
            own (UMLS, SNOMED, OMOP, a table).
        settings: Settings of the encoder by name, as in `dim=64`.

    Raises:
        EncoderError: There is no such encoder, setting or phenotype.
        InputError: `as_of` is no window, or there is no such concept map, or a file is none.
        MissingExtra: An optional package is needed and not installed.
    """
    from dataclasses import replace

    from cohorts.encoders import registry
    from cohorts.encoders.specs import EncoderSpec
    from cohorts.records.codes.concepts.built_in import open_maps
    from cohorts.records.window import parse_window
    from cohorts.records.withheld import parse_withheld

    if not isinstance(asked, EncoderSpec):
        asked = registry.parse_encoder(given.as_text("An encoder", asked))
    if withhold is not None:
        names = ",".join(given.as_names("withhold", withhold))
        asked = replace(asked, withheld=parse_withheld(names, text=withhold_text))
    elif withhold_text:
        raise InputError("withhold_text says how phenotypes are withheld: name them by withhold.")
    if as_of is not None:
        asked = replace(asked, window=parse_window(given.as_text("as_of", as_of)))
    if asked_maps := given.as_paths("maps", maps):
        asked = replace(asked, maps=open_maps(asked_maps))
    return registry.make_encoder(asked, **settings)


def concept_coverage(source: "Source", maps: "Iterable[PathLike]" = ()) -> "Coverage":
    """Read a source, and return which share of its codes, drugs and laboratory items the concept maps know.

    Args:
        source: What `open_source` returns.
        maps: Files of your own (UMLS, SNOMED, OMOP, a table), beside the maps that are built in.

    Raises:
        SourceError: The source can't be read.
        InputError: A file is no concept map that is known.
    """
    from cohorts.records.codes.concepts.built_in import beside_built_in, open_maps
    from cohorts.records.codes.concepts.coverage import coverage

    _check_source(source)
    return coverage(source, beside_built_in(open_maps(given.as_paths("maps", maps))))


def load_encoder(folder: PathLike) -> "Encoder":
    """Load an encoder that was saved by its `save`, by `cohorts fit`, or by an ingest.

    Raises:
        EncoderError: The folder holds none, or it was changed since it was saved.
    """
    from cohorts.encoders.registry import load_encoder

    return load_encoder(given.as_path("folder", folder))


def synthesize(
    folder: PathLike, patients: int = 2_000, seed: int = 0, *, plant: PathLike | None = None
) -> Path:
    """Write the tables of a synthetic hospital, in MIMIC-III's shape, to a new or empty folder, and return it.

    The patients are invented: the tables show that the machinery works, and nothing about medicine.

    Args:
        folder: Where to write.
        patients: How many patients to invent.
        seed: Same seed, same bytes.
        plant: A TOML file of effects to plant: treatments that help a sub-group, drug reactions, kinds of a
            condition, rare patients. What was planted, and in whom, is written to PLANTED.json beside the tables.

    Raises:
        InputError: The folder is not empty, or can't be written to; or the file to plant can't be used.
    """
    from cohorts.records.synthetic.hospital import synthesize
    from cohorts.workspace import check_writable

    place = given.as_path("folder", folder)
    check_writable(place)
    planted = given.as_path("plant", plant) if plant is not None else None
    synthesize(place, given.as_count("patients", patients), seed, planted)
    return place


def connect(store: "str | QdrantClient | MilvusClient", *, runs: PathLike | None = None) -> "Store":
    """Connect to a store: embedded, a server, or a client that is ready. Nothing is opened yet.

    Args:
        store: An address (`qdrant:PATH`, `milvus:PATH.db`, `qdrant+http://HOST:PORT`, `qdrant+grpc://HOST:PORT`,
            `milvus+http://HOST:PORT`, `memory:`), or a ready `QdrantClient` or `MilvusClient`, which is left open.
        runs: The folder that keeps, for every collection, its encoder, journal and manifest. By default it stands
            beside an embedded store, and for a server in `./cohorts.runs`, as for the command line.

    Raises:
        StoreAddressError: It is no address.
        MissingExtra: The engine is not installed.
        InputError: It is no client that is known.
    """
    folder = None if runs is None else given.as_path("runs", runs)
    if isinstance(store, str):
        return Store(engines.connect(store), store, folder)
    return Store(*connect_client(store), folder)


def ingest(
    source: "Source",
    encoder: "Encoder | EncoderSpec | PathLike | object | None",
    store: Store,
    collection: str = "cohorts",
    *,
    index: Index | Mapping[str, Any] | str | None = None,
    search: SearchParams | Mapping[str, Any] | str | None = None,
    strict_index: bool = False,
    index_fields: "Iterable[str] | str | None" = None,
    replace: bool = False,
    resume: bool = False,
    update: bool = False,
    remove_vanished: bool = False,
    events: bool = True,
    ray_workers: int | None = None,
    ray_address: str | None = None,
    progress: ProgressCallback | None = None,
) -> CollectionHandle:
    """Read a source, encode every patient, load the vectors into a collection, verify it, and return it.

    What the run read and wrote stands in the manifest of the collection returned, and in its run folder.

    Args:
        source: What `open_source` returns.
        encoder: What `make_encoder` or `load_encoder` returns; a text as in `"codes:dim=64"`; the folder of a saved
            encoder; an object with `fit(source)`, `encode(batch) -> (n, dim)` and `save(folder)`; or None for the
            default, `concat:lsa+codes`. One that is not trained yet is trained on the source.
        store: What `connect` returns.
        collection: The name of the collection.
        index: `"hnsw:m=32"`, `Hnsw(m=32)`, or a dict; one that the engine lacks is matched by measured recall.
        search: The collection's own search parameters, as in `"ef_search=128"`.
        strict_index: Refuse an index that the engine lacks.
        index_fields: The payload fields that get an index, a list or a text as in `"age,sex"`, or `"none"`; by default
            all fields to filter by. The others are filtered by without, more slowly.
        replace: Write a new version beside a collection of this name, then switch.
        resume: Go on where the last run ended, if it ended too early.
        update: Send only patients whose records changed since they were sent.
        remove_vanished: With `update`, remove patients that the source lost.
        events: Keep the events and outcomes of all units in the run folder, in two Parquet files.
        ray_workers: Encode on Ray, by so many workers.
        ray_address: HOST:PORT of a Ray cluster; by default one on this machine.
        progress: Called with a stage, the units just done, and how many are expected, where that is known.

    Raises:
        SourceError: The source can't be read.
        EncoderError: The encoder can't be trained on it, or is another than the collection's.
        UnsupportedIndex: The engine has no such index, and none may take its place.
        EngineError: The engine failed.
        Unverified: The collection does not hold what was written.

    Warns:
        UserWarning: Some points could not be written; a file names them, with the reasons.
    """
    from cohorts.loaders.points.records import Ray
    from cohorts.loaders.run import Run
    from cohorts.loaders.targets import LoadRequest
    from cohorts.loaders.versions import IndexRequest
    from cohorts.records.sources.opened import OpenedSource

    if not isinstance(store, Store):
        raise given.refused("store", "what connect returns", store)
    _check_source(source)
    shard = source.shard if isinstance(source, OpenedSource) else None
    request = LoadRequest(
        given.as_text("collection", collection),
        IndexRequest(
            given.as_index(index),
            given.as_search(search) or SearchParams(),
            given.as_flag("strict_index", strict_index),
        ),
        replace=given.as_flag("replace", replace),
        resume=given.as_flag("resume", resume),
        update=given.as_flag("update", update),
        remove_vanished=given.as_flag("remove_vanished", remove_vanished),
        shard=shard,
        index_fields=given.as_fields("index_fields", index_fields),
    )
    folder = store.run_dir(request.name)
    run = Run(folder, store.address, request, queried_from=folder)
    ray = None if ray_workers is None else Ray(given.as_count("ray_workers", ray_workers), ray_address)
    asked = _asked(encoder)
    making = run.prepare(asked, ray, by_default=encoder is None)
    if isinstance(source, OpenedSource):
        source.keep_quarantine(folder / file_of_shard("quarantine.csv", shard))
    take_mapping(store.connector, store.address, request.name)
    keeps = given.as_flag("events", events)
    run.ingest(source, making, store.connector, progress or silent, events=keeps)
    if rejected := run.manifest.get("rejected"):
        told = (
            f"{rejected:,} points could not be written; the ids and the reasons are in {run.rejected_file}."
        )
        warnings.warn(told, stacklevel=2)
    return CollectionHandle(store, request.name, making.encoder if _is_foreign(asked) else None)


def _check_source(source: object) -> None:
    """Raise InputError for what is no Source."""
    lacks = [name for name in _OF_A_SOURCE if not hasattr(source, name)]
    if "batches" in lacks:
        raise given.refused("source", "what open_source returns", source)
    if lacks:
        raise InputError(
            f"source takes a Source; got {type(source).__name__}, which lacks {', '.join(lacks)}."
        )


def _asked(encoder: object) -> "Encoder | EncoderSpec":
    """Return what an ingest is to encode by. Raises EncoderError."""
    from cohorts.encoders import registry
    from cohorts.encoders.adapted import adapt
    from cohorts.encoders.saving import is_folder
    from cohorts.encoders.specs import EncoderSpec

    if encoder is None:
        return registry.parse_encoder(registry.DEFAULT)
    if isinstance(encoder, EncoderSpec):
        return encoder
    if isinstance(encoder, Path) or (isinstance(encoder, str) and is_folder(encoder)):
        return registry.load_encoder(Path(encoder))
    return registry.parse_encoder(encoder) if isinstance(encoder, str) else adapt(encoder)


def _is_foreign(encoder: object) -> bool:
    from cohorts.encoders.adapted import Adapted

    return isinstance(encoder, Adapted)
