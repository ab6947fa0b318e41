"""Commands that train encoders and text models: `fit`, `train`, `models`."""

from pathlib import Path
from typing import Annotated

import typer
from cohorts.commands.configuration import variable
from cohorts.commands.options import (
    AsOf,
    Columns,
    Context,
    DatesAs,
    DatesName,
    Deidentify,
    Download,
    Labels,
    LogAs,
    MappingFile,
    MapsAsked,
    NotesFolder,
    SourceName,
    SourcePath,
    Split,
    UnitName,
    Withhold,
    WithholdText,
    encoder_option,
    run_option,
    source_option,
)
from cohorts.commands.output import log
from cohorts.commands.parsing import asked_encoder
from cohorts.commands.sources import opened_source
from cohorts.commands.typer_app import Commands
from cohorts.errors import InputError

app = Commands("Encoders")


@app.command()
def fit(
    source: SourceName,
    path: SourcePath,
    out: Annotated[Path, run_option(help="Folder to keep the encoder in.")],
    encoder: Annotated[
        str | None,
        encoder_option(
            envvar=variable("encoder"),
            help="lsa, codes, concat:A+B[+C], word2vec, fineehr, fused[:FUSION,…], sepsis, bert[:MODEL,…], "
            "clinicalnotebert[:SIZE,…] [default: concat:lsa+codes, without the part of which the source has nothing].",
        ),
    ] = None,
    withhold: Withhold = None,
    withhold_text: WithholdText = False,
    as_of: AsOf = None,
    maps: MapsAsked = None,
    unit: Annotated[UnitName, source_option(help="What one vector stands for.")] = UnitName.PATIENT,
    notes: NotesFolder = None,
    mapping: MappingFile = None,
    split: Split = "",
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
    from cohorts.encoders.base import check_ready
    from cohorts.encoders.registry import as_encoder, download_checkpoints, suited_to, told_lacking
    from cohorts.encoders.specs import EncoderSpec
    from cohorts.loaders.run import train_only

    log.choose(log_format)
    asked = asked_encoder(encoder, withhold, withhold_text, as_of, maps)
    if not isinstance(asked, EncoderSpec):
        raise InputError(f"The encoder in {encoder} is trained already: use it as --encoder {encoder}.")
    made, lacks = as_encoder(asked), ""
    if download:
        download_checkpoints([made])
    check_ready(made)
    with (
        opened_source(
            source,
            path,
            out,
            unit=unit,
            notes=notes,
            mapping=mapping,
            split=split,
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
            made = as_encoder(asked)
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
        str, encoder_option(help="Checkpoint to begin with: a folder, a preset, a Hugging Face id.")
    ],
    source: SourceName,
    path: SourcePath,
    out: Annotated[Path, run_option(help="Folder for the trained model.")],
    notes: NotesFolder = None,
    mapping: MappingFile = None,
    split: Split = "",
    columns: Columns = "",
    dates: DatesAs = DatesName.ISO,
    deidentify: Deidentify = False,
    context: Context = None,
    resume: Annotated[
        bool, run_option("--resume", help="Go on from the last checkpoint of a training that ended early.")
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
        opened_source(
            source,
            path,
            out,
            notes=notes,
            mapping=mapping,
            split=split,
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
def models() -> None:
    """Show the text models that have a name here: size, what each suits, published scores, cached or not."""
    from cohorts.commands.output.models import show_models
    from cohorts.encoders.bert.clinicalnotebert import known_models

    show_models(known_models())
    log.say("note", "Published scores are the authors' own, the larger the better; none was measured here.")
