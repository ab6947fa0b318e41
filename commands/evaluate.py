"""The commands `evaluate …`: encoders measured on a source."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cohorts.commands.options import (
    AsOf,
    CohortByName,
    Columns,
    DatesAs,
    DatesName,
    Download,
    Labels,
    LogAs,
    MappingFile,
    NotesFolder,
    ProjectionName,
    SepticBy,
    SourcePath,
    SplitName,
    UnitName,
    encoder_option,
    index_option,
    query_option,
    run_option,
    source_option,
    store_option,
)
from cohorts.commands.output import log
from cohorts.commands.sources import opened_source
from cohorts.commands.typer_app import Commands
from cohorts.errors import InputError

if TYPE_CHECKING:
    from cohorts.records.window import Window

app = Commands(help="Measure encoders on a source.")


@app.command("fineehr")
def evaluate_fineehr(
    source: Annotated[str, source_option("--source", help="Any source but notes-csv, as for ingest.")],
    path: SourcePath,
    out: Annotated[Path, run_option(help="Folder for the report and its tables.")] = Path(
        "fineehr-evaluation"
    ),
    encoder: Annotated[
        str, encoder_option(help="fineehr[:key=value,…]: settings that all four settings share.")
    ] = "fineehr",
    as_of: Annotated[
        str | None,
        encoder_option(
            metavar="<window>",
            help="Measure with what is known by admission+24h, icu+2d or the like too, side by side.",
        ),
    ] = None,
    split: Annotated[
        SplitName, run_option(help="Hold out patients, or admissions as the paper does.")
    ] = SplitName.PATIENT,
    seeds: Annotated[int, run_option(min=1, help="How many splits and trainings.")] = 3,
    notes: NotesFolder = None,
    mapping: MappingFile = None,
    dates: DatesAs = DatesName.ISO,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """FineEHR's Table II on a source: settings × classifiers, baselines, and whether neighbours are alike."""
    from cohorts.commands.output.evaluation import tell_evaluation
    from cohorts.encoders.fineehr.encoder import FineEhr
    from cohorts.encoders.registry import make_encoder
    from cohorts.harness.evaluate.base import evaluate
    from cohorts.harness.evaluate.data.splits import SplitBy
    from cohorts.harness.evaluate.fineehr import FineEhrTask
    from cohorts.records.window import parse_window

    _begin(log_format)
    _check_says_who_died(source)
    asked = make_encoder(encoder)
    if not isinstance(asked, FineEhr):
        raise InputError(f"--encoder {encoder}: this table is of fineehr, as in fineehr:dim=64.")
    task = FineEhrTask(
        seeds=seeds,
        split_by=SplitBy(split.value),
        settings=asked.settings,
        window=parse_window(as_of) if as_of else None,
    )
    with opened_source(
        source, path, out, unit=UnitName.ADMISSION, notes=notes, mapping=mapping, dates=dates
    ) as records:
        run = evaluate(task, records, lambda stage: log.say("note", stage))
    tell_evaluation(out, task, run)


@app.command("fused")
def evaluate_fused(
    source: Annotated[str, source_option("--source", help="Any source but notes-csv, as for ingest.")],
    path: SourcePath,
    out: Annotated[Path, run_option(help="Folder for the report and its tables.")] = Path("fused-evaluation"),
    encoder: Annotated[
        str, encoder_option(help="fused[:key=value,…]: settings that all fusions and objectives share.")
    ] = "fused",
    withhold: Annotated[
        str, encoder_option(help="Phenotypes whose codes no encoder sees: names separated by commas, or all.")
    ] = "all",
    withhold_text: Annotated[
        bool, encoder_option("--withhold-text", help="Measure with their mentions in notes masked too.")
    ] = False,
    as_of: AsOf = None,
    cohort_by: Annotated[
        CohortByName,
        run_option(help="Whose F1@100 is told: of a cohort by its principal or any diagnosis."),
    ] = CohortByName.PRIMARY,
    seeds: Annotated[int, run_option(min=1, help="How many splits and trainings.")] = 3,
    notes: NotesFolder = None,
    mapping: MappingFile = None,
    dates: DatesAs = DatesName.ISO,
    download: Download = False,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """The ablation of the fusion on a source: five fusions, three objectives, and what they have to beat."""
    from cohorts.commands.output.evaluation import tell_evaluation
    from cohorts.encoders.bert.encoder import Bert
    from cohorts.encoders.fused.encoder import Fused
    from cohorts.encoders.registry import download_checkpoints, make_encoder
    from cohorts.harness.evaluate.base import evaluate
    from cohorts.harness.evaluate.fused import FusedTask
    from cohorts.harness.evaluate.retrieval.population import CohortBy
    from cohorts.records.window import parse_window
    from cohorts.records.withheld import parse_withheld

    _begin(log_format)
    _check_says_who_died(source)
    asked = make_encoder(encoder)
    if not isinstance(asked, Fused):
        raise InputError(f"--encoder {encoder}: this table is of fused, as in fused:model=clinicalbert.")
    if download:
        download_checkpoints([asked])
    withheld = parse_withheld(withhold, text=False)
    task = FusedTask(
        settings=asked.settings,
        withheld=withheld,
        window=parse_window(as_of) if as_of else None,
        seeds=seeds,
        mask_notes=withhold_text,
        cohort_by=CohortBy(cohort_by.value),
    )
    Bert(asked.settings.bert).check_ready()
    with opened_source(source, path, out, notes=notes, mapping=mapping, dates=dates) as records:
        run = evaluate(task, records, lambda stage: log.say("note", stage))
    tell_evaluation(out, task, run)


@app.command("sepsis")
def evaluate_sepsis(
    source: Annotated[str, source_option("--source", help="Any source but notes-csv, as for ingest.")],
    path: SourcePath,
    out: Annotated[
        Path, run_option(help="Folder for the report, its tables, and what was trained: a run goes on there.")
    ] = Path("sepsis-evaluation"),
    text: Annotated[
        str, encoder_option(help="The encoder of the notes, as in fit: lsa, bert:clinicalbert, …")
    ] = "lsa",
    by: Annotated[
        SepticBy, encoder_option(help="Who is septic: by Sepsis-3, or by the codes of the stay.")
    ] = SepticBy.SEPSIS3,
    window: Annotated[
        str, encoder_option(help="The moment at which is predicted: icu+24h, onset+12h, …")
    ] = "icu+24h",
    folds: Annotated[int, run_option(min=2, help="Of patients, each judged once.")] = 5,
    seed: Annotated[int, run_option(min=0, help="Of folds, networks and intervals.")] = 0,
    notes: NotesFolder = None,
    mapping: MappingFile = None,
    dates: DatesAs = DatesName.ISO,
    download: Download = False,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Who dies of sepsis: the network, its branches and losses, SOFA, SAPS-II and models of the same columns."""
    from cohorts.commands.output.evaluation import tell_evaluation
    from cohorts.encoders.base import check_ready
    from cohorts.encoders.registry import download_checkpoints, make_encoder
    from cohorts.encoders.sepsis.settings import Settings
    from cohorts.harness.evaluate.base import evaluate
    from cohorts.harness.evaluate.sepsis.evaluation import SepsisTask

    _begin(log_format)
    _check_says_who_died(source)
    task = SepsisTask(
        settings=Settings(text=text, window=window, by=by.value), out=out, folds=folds, seed=seed
    )
    of_notes = make_encoder(text)
    if download:
        download_checkpoints([of_notes])
    check_ready(of_notes)
    with opened_source(
        source, path, out, unit=UnitName.ADMISSION, notes=notes, mapping=mapping, dates=dates
    ) as records:
        run = evaluate(task, records, lambda stage: log.say("note", stage))
    tell_evaluation(out, task, run)


@app.command("space")
def evaluate_space(
    source: Annotated[str, source_option("--source", help="notes-csv: its rows of one id are one document.")],
    path: SourcePath,
    columns: Columns,
    labels: Annotated[str, source_option("--labels", help="The column whose values are the classes.")],
    encoder: Annotated[
        list[str], encoder_option(help="[NAME=]encoder or [NAME=]folder, as in fit and ingest. Repeatable.")
    ],
    out: Annotated[Path, run_option(help="Folder for the report and its tables.")] = Path("space-evaluation"),
    as_of: AsOf = None,
    seeds: Annotated[int, run_option(min=1, help="How many splits.")] = 3,
    unfreeze: Annotated[
        list[int] | None,
        encoder_option(min=0, help="Train a head and so many last layers of text models too. Repeatable."),
    ] = None,
    projection: Annotated[
        ProjectionName, run_option(help="How documents are drawn in a plane; umap is an extra.")
    ] = ProjectionName.PCA,
    dates: DatesAs = DatesName.ISO,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Embedding spaces beside each other: how they lie, and what a classifier learns in them from few labels."""
    from cohorts.commands.output.evaluation import tell_evaluation
    from cohorts.encoders.base import check_ready
    from cohorts.harness.evaluate.base import evaluate
    from cohorts.harness.evaluate.data.encoders import parse_contestant, tfidf_baseline
    from cohorts.harness.evaluate.space.evaluation import SpaceTask
    from cohorts.records.window import parse_window

    _begin(log_format)
    contestants = [tfidf_baseline(), *(parse_contestant(one) for one in encoder)]
    for one in contestants:
        check_ready(one.encoder)
    window = parse_window(as_of) if as_of else None
    task = SpaceTask(
        label=labels,
        contestants=contestants,
        window=window,
        seeds=seeds,
        unfreeze=sorted(set(unfreeze or [])),
        projection=projection.value,
    )
    kept = _with_columns(labels, window)
    with opened_source(source, path, out, columns=columns, labels=kept, dates=dates) as records:
        run = evaluate(task, records, lambda stage: log.say("note", stage))
    tell_evaluation(out, task, run)


@app.command("similarity")
def evaluate_similarity(
    pairs: Annotated[Path, source_option(help="Table of two texts and a score, larger for more alike.")],
    columns: Annotated[
        str, source_option(help="Its columns, as in text_a=first,text_b=second,score=grade.")
    ] = "",
    encoder: Annotated[
        list[str] | None,
        encoder_option(
            help="[NAME=]encoder or [NAME=]folder [default: ClinicalNoteBERT after SimCSE]. Repeatable."
        ),
    ] = None,
    out: Annotated[Path, run_option(help="Folder for the report and its table.")] = Path(
        "similarity-evaluation"
    ),
    download: Download = False,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Pairs of texts that people scored: how do the cosines of encoders correlate with the scores?"""
    from cohorts.commands.output.evaluation import tell_evaluation
    from cohorts.encoders.registry import download_checkpoints
    from cohorts.given import as_pairs
    from cohorts.harness.evaluate.base import evaluate
    from cohorts.harness.evaluate.data.encoders import parse_contestant
    from cohorts.harness.evaluate.similarity import SimilarityTask, simcse_variants
    from cohorts.harness.evaluate.space.sentence_pairs import read_pairs
    from cohorts.workspace import check_writable

    _begin(log_format)
    scored = read_pairs(pairs, as_pairs("--columns", columns))
    asked = [parse_contestant(one) for one in encoder] if encoder else simcse_variants()
    if download:
        download_checkpoints([one.encoder for one in asked if not one.trained])
    task = SimilarityTask(contestants=asked, may_lack=not encoder)
    check_writable(out)
    tell_evaluation(out, task, evaluate(task, scored, lambda stage: log.say("note", stage)))


@app.command("retrieval")
def evaluate_retrieval(
    source: Annotated[str, source_option("--source", help="Any source, as for ingest.")],
    path: SourcePath,
    out: Annotated[Path, run_option(help="Folder for raw rankings, tables and the report.")] = Path(
        "retrieval-evaluation"
    ),
    encoder: Annotated[
        list[str] | None,
        encoder_option(help="[NAME=]encoder or [NAME=]folder, as in fit and ingest. Repeatable."),
    ] = None,
    cohort: Annotated[
        list[str] | None, query_option(help="A phenotype to ask for [default: all]. Repeatable.")
    ] = None,
    cohort_by: Annotated[
        CohortByName | None,
        query_option(help="Its members: by any diagnosis, or by the principal one. [default: any]"),
    ] = None,
    labels: Labels = "",
    columns: Columns = "",
    store: Annotated[
        list[str] | None, store_option(help="Ask through this store too, with every --index. Repeatable.")
    ] = None,
    index: Annotated[
        list[str] | None, index_option(help="As in ingest; a search follows a blank. Repeatable.")
    ] = None,
    k: Annotated[
        list[int] | None, query_option(min=1, help="Neighbours [default: 10 50 100 200]. Repeatable.")
    ] = None,
    queries: Annotated[int, query_option(min=1, help="Questions of each cohort, at most.")] = 100,
    folds: Annotated[
        int,
        run_option(min=1, max=5, help="Of five: whose patients are asked about, each with its training."),
    ] = 1,
    seed: Annotated[int, run_option(min=0, help="Of folds and questions.")] = 0,
    withhold_text: Annotated[
        bool, encoder_option("--withhold-text", help="Rank with the cohorts' mentions in notes masked too.")
    ] = False,
    as_of: AsOf = None,
    leave_codes: Annotated[
        bool,
        encoder_option("--leave-codes", help="Rank with nothing withheld too, to see what that flatters."),
    ] = False,
    judgements: Annotated[
        Path | None, query_option(help="CSV file with patient, other and grade: who is how alike.")
    ] = None,
    notes: NotesFolder = None,
    mapping: MappingFile = None,
    dates: DatesAs = DatesName.ISO,
    download: Download = False,
    log_format: LogAs = log.LogFormat.TEXT,
) -> None:
    """Are the neighbours right? Encoders, baselines and indexes on known cohorts, or on labelled notes."""
    from cohorts.commands.output.evaluation import tell_quality
    from cohorts.encoders.base import check_ready
    from cohorts.encoders.registry import download_checkpoints
    from cohorts.given import as_names
    from cohorts.harness.evaluate.base import evaluate
    from cohorts.harness.evaluate.data.encoders import parse_contestant
    from cohorts.harness.evaluate.retrieval.evaluation import KS, RetrievalTask
    from cohorts.harness.evaluate.retrieval.population import CohortBy
    from cohorts.harness.evaluate.retrieval.routes import check_routes, routes_through
    from cohorts.records.window import parse_window

    _begin(log_format)
    contestants = [parse_contestant(one) for one in encoder or []]
    if download:
        download_checkpoints([one.encoder for one in contestants if not one.trained])
    for one in contestants:
        check_ready(one.encoder)
    if labels and cohort_by:
        raise InputError("--labels judges notes by their labels: leave out --cohort-by.")
    window = parse_window(as_of) if as_of else None
    task = RetrievalTask(
        contestants=contestants,
        out=out,
        cohorts=cohort or [],
        cohort_by=CohortBy(cohort_by or CohortBy.ANY),
        labels=as_names("--labels", labels) if labels else [],
        window=window,
        mask_notes=withhold_text,
        leave_codes=leave_codes,
        routes=routes_through(store or [], index or []),
        ks=sorted(set(k or KS)),
        queries=queries,
        folds=folds,
        seed=seed,
        judgements=judgements,
    )
    check_routes(task.routes)
    kept = _with_columns(labels, window)
    with opened_source(
        source, path, out, columns=columns, labels=kept, notes=notes, mapping=mapping, dates=dates
    ) as records:
        run = evaluate(task, records, lambda stage: log.say("note", stage))
    tell_quality(out, task, run)


def _begin(log_format: log.LogFormat) -> None:
    """Choose how to log, after a look at what writes the report. Raises MissingExtra."""
    from cohorts.reports.page import check_installed

    log.choose(log_format)
    check_installed()


def _with_columns(labels: str, window: "Window | None") -> str:
    """Return the label columns to read: those asked for, and those that hold the times of a window."""
    return ",".join([labels, *window.columns]) if labels and window else labels


def _check_says_who_died(source: str) -> None:
    """Raise InputError for a source that holds no ending of a stay."""
    if source == "notes-csv":
        raise InputError("notes-csv does not say who died, which this table is about: use another source.")
