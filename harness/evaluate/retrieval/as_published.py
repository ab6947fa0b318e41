"""The cohort paper's Table 2, Table 3 for MIMIC-IV, and what was found here of the same cohorts, models and indexes."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath

from cohorts.connectors.index import Annoy, Hnsw, Index, Ivf
from cohorts.encoders.bert.checkpoints import PRESETS
from cohorts.encoders.bert.encoder import Bert
from cohorts.encoders.fused.encoder import Fused
from cohorts.harness.evaluate.base import figures
from cohorts.harness.evaluate.data.encoders import CENTRED, NamedEncoder
from cohorts.harness.evaluate.retrieval.figures import ALL
from cohorts.harness.evaluate.retrieval.rankings import Way
from cohorts.harness.evaluate.retrieval.routes import Route
from cohorts.reports.long_table import Record
from cohorts.reports.published import (
    COHORT_SIZES,
    PHENOTYPES,
    RETRIEVAL_K,
    RETRIEVAL_MIMIC3,
    RETRIEVAL_MIMIC4,
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


def beside(
    ours: Iterable[Record],
    asked: Sequence[str],
    contestants: Sequence[NamedEncoder],
    routes: Sequence[Route],
    table: Table,
) -> Iterator[Record]:
    """Yield every published row of the cohorts asked for, beside each way of ours that has its model and index.

    A published row that nothing was measured for stands once, without ours. Ours are of the paper's k alone.
    """
    names = list(dict.fromkeys(asked))
    measured = [
        one
        for one in ours
        if one["sheet"] == "figures" and one["k"] == RETRIEVAL_K and one["measure"] in MEASURES
    ]
    for cohort in (one for one in names if one in PHENOTYPES):
        here = [one for one in measured if one["cohort"] == (cohort if len(names) > 1 else ALL)]
        for row in (row for row in table.rows if row[0] == PHENOTYPES[cohort]):
            _, model, index = row
            encoders = {one.name for one in contestants if _model(one.encoder) == model}
            through = {one.name for one in routes if isinstance(one.wanted.index, _INDEXES[index])}
            ways: dict[tuple[str | None, ...], dict[str, float | str]] = {}
            for one in here:
                if one["encoder"].removesuffix(CENTRED) in encoders and one["route"] in through:
                    way = tuple(one[name] for name in Way._fields)
                    ways.setdefault(way, {})[one["measure"]] = one["value"]
            printed = dict(zip(table.columns, table.rows[row], strict=True))
            published = {f"published_{name}": printed[title] for name, title in MEASURES.items() if title}
            for way, cells in (ways or {(None,) * len(Way._fields): {}}).items():
                told = {"cohort": cohort, "model": model, "index": index}
                of = told | dict(zip(Way._fields, way, strict=True))
                yield from figures("published", of, **cells, **published)


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
