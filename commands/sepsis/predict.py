"""The commands `sepsis predict` and `sepsis recalibrate`: a saved model on the stays of a source."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cohorts.commands.options import (
    DatesAs,
    DatesName,
    Format,
    LogAs,
    MappingFile,
    NotesFolder,
    SourcePath,
    UnitName,
    encoder_option,
    query_option,
    run_option,
    source_option,
)
from cohorts.commands.output import log
from cohorts.commands.sources import opened_source
from cohorts.commands.typer_app import Commands
from cohorts.errors import InputError

if TYPE_CHECKING:
    from cohorts.records.base import Source
    from cohorts.records.shards import Named

app = Commands()

_Model = Annotated[Path, encoder_option(help="Folder of a model, kept by cohorts fit --encoder sepsis.")]
_Source = Annotated[str, source_option("--source", help="Any source but notes-csv, as for ingest.")]


@app.command()
def predict(
    model: _Model,
    source: _Source,
    path: SourcePath,
    patient: Annotated[
        list[str] | None,
        query_option(help="Whose stays to tell of. Repeatable. [default: everybody's, to --out]."),
    ] = None,
    reasons: Annotated[int, query_option(min=0, help="How many reasons to tell of each stay.")] = 8,
    out: Annotated[
        Path | None, run_option(help="CSV file of risks to write; it must not be there yet.")
    ] = None,
    mapping: MappingFile = None,
    notes: NotesFolder = None,
    dates: DatesAs = DatesName.ISO,
    output: Annotated[Format, query_option("--format", help="How to print.")] = Format.TABLE,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Tell the risk of death in hospital of septic stays, with reasons, or why none is told."""
    from cohorts.analysis.sepsis.predicting import predictions, saved_model
    from cohorts.commands.output.analysis.risks import show_risks, tell_left_out, write_risks
    from cohorts.records.shards import Named
    from cohorts.workspace import check_writable

    log.choose(log_format)
    if not patient and out is None:
        raise InputError("Name a --patient, or a file for everybody's risk by --out.")
    if out is not None:
        if out.exists():
            raise InputError(f"{out} is there already: name another --out.")
        check_writable(out.parent)
    saved = saved_model(model)
    only = Named(patient) if patient else None
    with _opened(source, path, mapping=mapping, notes=notes, dates=dates, only=only) as records:
        told = predictions(records, saved, reasons)
        if out is not None:
            counts = write_risks(told, out)
            tell_left_out(counts, saved.sepsis, out, synthetic=records.synthetic)
            return
        found = list(told)
        if not found:
            raise InputError(
                "The source holds no admission of any --patient asked for: give the id of a patient, not of an "
                "admission."
            )
        show_risks(found, saved.sepsis, output.value, synthetic=records.synthetic)


@app.command()
def recalibrate(
    model: _Model,
    source: _Source,
    path: SourcePath,
    outcomes: Annotated[
        Path,
        query_option(help="CSV file with the columns admission_id and died (0 or 1): stays of this site."),
    ],
    out: Annotated[Path, run_option(help="Folder for the model as it is recalibrated.")],
    mapping: MappingFile = None,
    notes: NotesFolder = None,
    dates: DatesAs = DatesName.ISO,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Put a model's risks right for this site by outcomes of its own; vectors stay what they are."""
    from cohorts.analysis.sepsis.predicting import read_outcomes, saved_model
    from cohorts.analysis.sepsis.predicting import recalibrate as put_right
    from cohorts.workspace import check_writable

    log.choose(log_format)
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty: name another --out.")
    check_writable(out)
    saved, known = saved_model(model), read_outcomes(outcomes)
    with _opened(source, path, mapping=mapping, notes=notes, dates=dates) as records:
        made = put_right(records, saved, known)
    saved.encoder.save(out)
    log.say(
        "note",
        f"Recalibrated on {made.stays:,} stays with {made.deaths:,} deaths (intercept {made.intercept:+.3f}, slope "
        f"{made.slope:.3f}); {len(known) - made.stays:,} outcomes are of no stay here of which a risk is told. Kept in "
        f"{out}.",
    )
    if made.slope <= 0:
        log.say(
            "warning",
            f"The slope of {made.slope:.3f} is not above 0: the higher the model's risk, the fewer died here. Check "
            "the column died of the outcomes (1 is a death), or don't use the model here.",
        )


@contextmanager
def _opened(
    source: str,
    path: str,
    *,
    mapping: Path | None,
    notes: Path | None,
    dates: DatesName,
    only: "Named | None" = None,
) -> "Iterator[Source]":
    """Open the admissions of a source, or those of some patients alone; bad rows are counted and left out."""
    from cohorts.private_files import Scratch, work_folder

    with (
        Scratch(work_folder()) as folder,
        opened_source(
            source,
            path,
            folder,
            unit=UnitName.ADMISSION,
            mapping=mapping,
            notes=notes,
            dates=dates,
            max_bad_share=1,
            shard=only,
        ) as records,
    ):
        yield records
