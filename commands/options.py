"""The options that commands share: their names, values and help."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from cohorts.commands.configuration import variable
from cohorts.commands.output import log

MAX_BAD_SHARE = 0.1  # of the rows of a table
MEMORY_MIB = 2_048  # to read a source

# Each in its panel of what `--help` shows; the order of panels stands in typer_app.py.
source_option = partial(typer.Option, rich_help_panel="Source")
encoder_option = partial(typer.Option, rich_help_panel="Encoder")
store_option = partial(typer.Option, rich_help_panel="Store")
index_option = partial(typer.Option, rich_help_panel="Index")
query_option = partial(typer.Option, rich_help_panel="Query")
run_option = partial(typer.Option, rich_help_panel="Run")


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


class SepticBy(StrEnum):
    """What makes a stay septic."""

    SEPSIS3 = "sepsis3"
    CODES = "codes"


class ProjectionName(StrEnum):
    """How documents are drawn in a plane."""

    PCA = "pca"
    UMAP = "umap"


class ContextName(StrEnum):
    """What becomes of words that are negated, of the family, or only spoken of."""

    MASK = "mask"
    TAG = "tag"


class Contrast(StrEnum):
    """Whether what everybody has in common is taken out of the mean of several examples."""

    ON = "on"
    OFF = "off"


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
    store_option(
        envvar=variable("store"),
        help="Store address: qdrant:PATH, milvus:PATH.db, qdrant+http://HOST:PORT, qdrant+grpc://HOST:PORT, "
        "milvus+http://HOST:PORT.",
    ),
]
Name = Annotated[
    str, store_option("--collection", envvar=variable("collection"), help="Name of the collection.")
]
IndexText = Annotated[
    str | None,
    index_option("--index", help="flat, hnsw:m=32,ef_construction=400, ivf:nlist=1024, annoy:n_trees=100."),
]
SearchText = Annotated[
    str | None, index_option("--search", help="Search parameters, as in ef_search=128 or exact=true.")
]
SettingsFile = Annotated[
    Path | None, index_option("--settings", help="TOML file with tables [index] and [search].")
]
Strict = Annotated[
    bool, index_option("--strict-index", help="Refuse an index that the engine lacks; match none by recall.")
]
IndexFields = Annotated[
    str | None,
    index_option(
        "--index-fields",
        help="Payload fields that get an index, as in age,sex; or none [default: all fields to filter by].",
    ),
]
SourceName = Annotated[
    str,
    source_option(
        "--source", help="mimic3, mimic4, meds, fhir, omop, tables, notes-csv, or one of a package."
    ),
]
SourcePath = Annotated[
    str,
    source_option(
        "--path",
        help="The source's folder (notes-csv: its file; tables, omop: or a database; omop: or its address).",
    ),
]
MappingFile = Annotated[
    Path | None,
    source_option(
        "--mapping",
        help="tables: TOML file of your tables and SELECTs; or synthea, eicu. meds: what your codes stand for.",
    ),
]
Split = Annotated[str, source_option("--split", help="meds: read these splits alone, as in train,tuning.")]
NotesFolder = Annotated[Path | None, source_option("--notes", help="mimic4: the folder of MIMIC-IV-Note.")]
MapsAsked = Annotated[
    list[str] | None,
    source_option(
        "--map",
        help="Concept map: a file of your own (UMLS, SNOMED, OMOP, a table), or ccs, ccsr, hcpcs, ingredients, "
        "laboratory. Repeatable.",
    ),
]
Columns = Annotated[
    str, source_option("--columns", help="notes-csv: column map, as in id=encounter_id,text=note.")
]
Labels = Annotated[
    str, source_option("--labels", help='notes-csv: label columns to keep, as in ward,"Type, of admission".')
]
DatesAs = Annotated[
    DatesName,
    source_option(
        "--dates",
        metavar="<order>",
        help="Read dates like 3/5/2094 too: day-first (3 May) or month-first (5 March).",
    ),
]
Deidentify = Annotated[
    bool,
    source_option(
        "--deidentify", help="Put placeholders for ids, phones, dates, addresses in notes. Finds no names."
    ),
]
Context = Annotated[
    ContextName | None,
    source_option(
        "--context", help="Mask or tag words of notes that are negated, of the family, or hypothetical."
    ),
]
RunDir = Annotated[Path | None, run_option("--run-dir", help="Run folder [default: beside the store].")]
Replace = Annotated[
    bool,
    store_option("--replace", help="Write a new version beside a collection of this name, then switch."),
]
Resume = Annotated[
    bool, run_option("--resume", help="Go on where the last run ended, if it ended too early.")
]
Withhold = Annotated[
    str | None,
    encoder_option(
        help="Keep the codes of these phenotypes from the encoder: names separated by commas, or all."
    ),
]
WithholdText = Annotated[
    bool, encoder_option("--withhold-text", help="With --withhold: mask their mentions in notes too.")
]
AsOf = Annotated[
    str | None,
    encoder_option(
        "--as-of",
        metavar="<window>",
        help="See only what is known by admission+24h, icu+2d, discharge-0h or a column's time, or from one to "
        "another, as in icu..icu+24h [default: the whole stay].",
    ),
]
Download = Annotated[
    bool, encoder_option("--download", help="Fetch the encoder's checkpoint from the Hugging Face hub first.")
]
Rate = Annotated[float, query_option(help="Requests a second at most, exact searches counted.")]
Queries = Annotated[int, query_option(min=1, help="How many queries of each kind to ask.")]
QueriesFile = Annotated[
    Path | None,
    query_option(help="Ask these: vectors (.npy, .parquet, .hdf5), or texts, one on a line (.txt)."),
]
LogAs = Annotated[
    log.LogFormat, run_option("--log-format", help="How a run tells of itself on stderr: text or json.")
]
