"""The cohort paper's Table 2, Table 3 for MIMIC-IV, and what was found here of the same cohorts, models and indexes."""

from collections.abc import Iterator, Sequence
from pathlib import PurePath

import pandas as pd
from cohorts.connectors.index import Annoy, Hnsw, Index, Ivf
from cohorts.encoders.bert.checkpoints import PRESETS
from cohorts.encoders.bert.encoder import Bert
from cohorts.encoders.fused.encoder import Fused
from cohorts.harness.evaluate.data.encoders import CENTRED
from cohorts.harness.evaluate.retrieval.figures import ALL
from cohorts.harness.evaluate.retrieval.plan import Plan
from cohorts.harness.reports.published import (
    COHORT_SIZES,
    PHENOTYPES,
    RETRIEVAL_K,
    RETRIEVAL_MIMIC3,
    RETRIEVAL_MIMIC4,
    Names,
    Table,
)

_MODELS = {"clinicalbert": "ClinicalBERT", "biobert": "BioBERT"}  # by preset
_INDEXES: dict[str, type[Index]] = {"HNSW": Hnsw, "IVF": Ivf, "ANNOY": Annoy}
MEASURES = {  # ours, beside the paper's column; it tells no ceiling
    "precision": "Precision",
    "recall": "Recall",
    "recall_ceiling": "",
    "f1": "F1-Score",
    "f1_ceiling": "",
}
_OURS = ["view", "encoder", "route", *MEASURES]


def table_of(source: str) -> Table:
    """Return the published table for a kind of source."""
    return RETRIEVAL_MIMIC4 if source == "mimic4" else RETRIEVAL_MIMIC3


def ranges(table: Table) -> dict[str, tuple[str, str, float]]:
    """Return, by phenotype, the least and the largest published recall, and the most that the cohort's size allows."""
    found = {}
    for phenotype, name in PHENOTYPES.items():
        recalls = sorted(cells[1] for row, cells in table.rows.items() if row[0] == name)
        size = int(COHORT_SIZES.rows[table.data, name][0].replace(",", ""))
        found[phenotype] = recalls[0], recalls[-1], RETRIEVAL_K / (size - 1)
    return found


def beside(figures: pd.DataFrame, asked: Sequence[str], plan: Plan, table: Table) -> pd.DataFrame:
    """Return a row for every published one of the cohorts asked for, and each way of ours that has its model and index.

    A published row that nothing was measured for stands once, without ours. Ours are of the paper's k alone.
    """
    names = list(dict.fromkeys(asked))
    wide = figures[figures["k"] == RETRIEVAL_K].pivot_table(
        index=["cohort", "view", "encoder", "route"], columns="measure", values="mean", sort=False
    )
    ours = wide.reset_index().reindex(columns=["cohort", *_OURS])
    rows = []
    for cohort in (one for one in names if one in PHENOTYPES):
        here = ours[ours["cohort"] == (cohort if len(names) > 1 else ALL)]
        for name, model, index in table.rows:
            if name == PHENOTYPES[cohort]:
                told = {"cohort": cohort, "model": model, "index": index}
                published = _published(table, (name, model, index))
                rows += [told | way | published for way in [*_ways(here, plan, model, index)] or [{}]]
    columns = ["cohort", "model", "index", *_OURS, *_published(table, ())]
    return pd.DataFrame(rows, columns=columns)


def _ways(ours: pd.DataFrame, plan: Plan, model: str, index: str) -> Iterator[dict[str, object]]:
    encoders = {one.name for one in plan.contestants if _model(one.encoder) == model}
    routes = {one.name for one in plan.routes if isinstance(one.wanted.index, _INDEXES[index])}
    same = ours["encoder"].str.removesuffix(CENTRED).isin(encoders) & ours["route"].isin(routes)
    for row in ours.loc[same, _OURS].to_dict("records"):
        yield {str(name): value for name, value in row.items()}


def _model(encoder: object) -> str:
    """Return the paper's name of the checkpoint that an encoder reads notes by, "" for another one."""
    if not isinstance(encoder, (Bert, Fused)) or (
        isinstance(encoder, Fused) and not encoder.settings.reads_text
    ):
        return ""
    asked = encoder.settings.model
    for preset, name in _MODELS.items():
        # By its preset, its id on the hub, or a copy of its folder.
        if asked == preset or PurePath(asked).name == PurePath(PRESETS[preset]).name:
            return name
    return ""


def _published(table: Table, row: Names) -> dict[str, str]:
    figures = {f"published_{name}": table.figure(row, column) for name, column in MEASURES.items() if column}
    return {name: one.printed if one else "" for name, one in figures.items()}
