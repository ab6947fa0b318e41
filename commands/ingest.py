"""Commands that read a hospital's tables: `synth`, `ingest`."""

from pathlib import Path
from typing import Annotated

import typer
from cohorts.commands.configuration import variable
from cohorts.commands.options import (
    MAX_BAD_SHARE,
    MEMORY_MIB,
    AsOf,
    Columns,
    Context,
    DatesAs,
    DatesName,
    Deidentify,
    Download,
    IndexFields,
    IndexText,
    Labels,
    LogAs,
    MappingFile,
    MapsAsked,
    Name,
    NotesFolder,
    Replace,
    Resume,
    RunDir,
    SearchText,
    SettingsFile,
    SourceName,
    SourcePath,
    Split,
    Store,
    Strict,
    UnitName,
    Withhold,
    WithholdText,
    encoder_option,
    run_option,
    source_option,
    store_option,
)
from cohorts.commands.output import log
from cohorts.commands.output.rejected import tell_rejected
from cohorts.commands.parsing import asked_encoder, wanted_index
from cohorts.commands.sources import opened_source
from cohorts.commands.typer_app import Commands

app = Commands("Load")


@app.command()
def synth(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; made if need be, must be empty.")],
    patients: Annotated[int, source_option(min=1, help="How many patients to invent.")] = 2_000,
    seed: Annotated[int, source_option(min=0, help="Same seed, same hospital.")] = 0,
    plant: Annotated[
        Path | None,
        source_option(
            metavar="FILE.toml",
            help="Effects to plant: treatments, drug reactions, kinds of a condition, rare patients.",
        ),
    ] = None,
) -> None:
    """Write the tables of a synthetic hospital: invented patients in MIMIC-III's shape."""
    from cohorts.records.synthetic.hospital import synthesize
    from cohorts.workspace import check_writable

    check_writable(folder)
    made = synthesize(folder, patients, seed, plant)
    log.say("note", f"Synthetic hospital in {folder}: {made}")


@app.command()
def ingest(
    source: SourceName,
    path: SourcePath,
    encoder: Annotated[
        str | None,
        encoder_option(
            envvar=variable("encoder"),
            help="lsa, codes, concat:A+B[+C], word2vec, fineehr, fused[:FUSION,…] or sepsis, trained on the source; "
            "bert[:MODEL,…], clinicalnotebert[:SIZE,…]; or the folder of a saved encoder [default: concat:lsa+codes, "
            "without the part of which the source has nothing].",
        ),
    ] = None,
    withhold: Withhold = None,
    withhold_text: WithholdText = False,
    as_of: AsOf = None,
    maps: MapsAsked = None,
    store: Store = "qdrant:./cohorts.qdrant",
    collection: Name = "cohorts",
    unit: Annotated[UnitName, source_option(help="What one vector stands for.")] = UnitName.PATIENT,
    index: IndexText = None,
    search: SearchText = None,
    settings: SettingsFile = None,
    strict_index: Strict = False,
    index_fields: IndexFields = None,
    notes: NotesFolder = None,
    mapping: MappingFile = None,
    split: Split = "",
    columns: Columns = "",
    labels: Labels = "",
    dates: DatesAs = DatesName.ISO,
    deidentify: Deidentify = False,
    context: Context = None,
    max_bad_share: Annotated[
        float, source_option(metavar="<share>", min=0, max=1, help="Stop where more rows of a table are bad.")
    ] = MAX_BAD_SHARE,
    quarantine: Annotated[
        Path | None, source_option(help="File for bad rows [default: in the run folder].")
    ] = None,
    memory_mib: Annotated[
        int, source_option(metavar="<MiB>", min=256, help="Memory to read tables in, beside one batch.")
    ] = MEMORY_MIB,
    run_dir: RunDir = None,
    replace: Replace = False,
    resume: Resume = False,
    update: Annotated[
        bool, store_option("--update", help="Send only patients whose records changed since they were sent.")
    ] = False,
    remove_vanished: Annotated[
        bool, store_option("--remove-vanished", help="With --update: remove patients that the source lost.")
    ] = False,
    shard: Annotated[
        str | None, run_option(help="Load only part i of n, as in 2/4: one job of an array.")
    ] = None,
    no_events: Annotated[
        bool, run_option("--no-events", help="Keep no events and outcomes of the patients in the run folder.")
    ] = False,
    ray_workers: Annotated[int | None, run_option(min=1, help="Encode on Ray, by so many workers.")] = None,
    ray_address: Annotated[
        str | None, run_option(help="HOST:PORT of a Ray cluster [default: one on this machine].")
    ] = None,
    download: Download = False,
    log_format: LogAs = log.LogFormat.TEXT,
    dry_run: Annotated[bool, run_option("--dry-run", help="Read, check and count only.")] = False,
) -> None:
    """Read a hospital's tables, encode every patient, and load the vectors into a store."""
    from cohorts.commands.output.progress import progress
    from cohorts.commands.output.summary import show_summary
    from cohorts.encoders.registry import as_encoder, download_checkpoints
    from cohorts.given import as_fields
    from cohorts.loaders.points.records import Ray
    from cohorts.loaders.run import Run
    from cohorts.loaders.targets import LoadRequest
    from cohorts.records.shards import parse_shard
    from cohorts.search.store import open_store
    from cohorts.workspace import default_run_dir, file_of_shard

    log.choose(log_format)
    asked = asked_encoder(encoder, withhold, withhold_text, as_of, maps)
    part = parse_shard(shard) if shard else None
    goal = LoadRequest(
        collection,
        wanted_index(index, search, settings, strict_index),
        replace=replace,
        resume=resume,
        update=update,
        remove_vanished=remove_vanished,
        shard=part,
        index_fields=as_fields("--index-fields", index_fields),
    )
    folder = run_dir or default_run_dir(store, collection)
    bad_rows = quarantine or folder / file_of_shard("quarantine.csv", part)
    run = Run(folder, store, goal)
    if download:
        download_checkpoints([as_encoder(asked)])
    ray = Ray(ray_workers, ray_address) if ray_workers else None
    making = None if dry_run else run.prepare(asked, ray, by_default=encoder is None, asked=encoder or "")
    with (
        opened_source(
            source,
            path,
            folder,
            unit=unit,
            quarantine=bad_rows,
            max_bad_share=max_bad_share,
            notes=notes,
            mapping=mapping,
            split=split,
            columns=columns,
            labels=labels,
            dates=dates,
            shard=part,
            deidentify=deidentify,
            context=context,
            memory_mib=memory_mib,
        ) as records,
        progress(run.times) as tick,
    ):
        if making is None:
            run.read_only(records, tick)
        else:
            with open_store(store, collection) as connector:
                run.ingest(records, making, connector, tick, events=not no_events)
    show_summary(run.manifest, dry_run=dry_run)
    tell_rejected(run)
