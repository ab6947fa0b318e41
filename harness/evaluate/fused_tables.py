"""How the ablation of the fusion is read: encoder by encoder, F1@100 beside the paper's Table 5, and the gates."""

from typing import Any

import pandas as pd
from cohorts.harness.evaluate import seeds
from cohorts.harness.evaluate.base import Run, Told, figures
from cohorts.reports.formats import Show, decimals
from cohorts.reports.long_table import (
    Record,
    ReportTable,
    TableSpec,
    by_half_width,
    chosen,
    long_table,
    nothing,
)
from cohorts.reports.published import FUSIONS, PHENOTYPES, RETRIEVAL_K

RAW, CENTRED = "notes, raw", "notes, centred"
_MEASURES = {  # and what stands in 80 columns; the page has them all
    "precision": ("precision@10", "P@10"),
    "precision_text": ("precision@10, asked by a note", "by a\nnote"),
    "pair_auc": ("pair AUC", "pair\nAUC"),
    "pair_auc_hard": ("pair AUC, hard", None),
    "auc": ("AUC, death", "death\nAUC"),
}
_FUSIONS = {  # ours, as the paper's Table 5 calls them: all but the text were trained for mortality
    RAW: "Text-Only",
    "structured, mortality": "Structured-Only",
    "concat, mortality": "Simple Concatenation",
    "gated, mortality": "Gated Fusion (Ours)",
}


def read(run: Run) -> Told:
    """Return how the figures are read, a table for each way of withholding."""
    fused, searched, gates = (run.table(name) for name in ("fused", "f1_through_hnsw", "gates"))
    means, ways = summary(fused), list(dict.fromkeys(fused["withheld"]))
    return Told(
        finding=finding(fused),
        tables={
            "ablation": [_ablation(chosen(means, {"withheld": way}), way) for way in ways],
            "searched": [_searched(searched, way) for way in ways if len(searched)],
        },
        drawn={
            "gates": [
                {"name": f"{name} ({way})", "bins": [int(many) for many in group["value"]]}
                for (way, name), group in (
                    gates.groupby(["withheld", "encoder"], sort=False) if len(gates) else ()
                )
            ],
        },
    )


def finding(fused: pd.DataFrame) -> str:
    """Return whether anything trained finds more than the best of what was not, in the first way of withholding."""
    first = chosen(fused, {"withheld": fused["withheld"].iloc[0]})
    precision = chosen(first, {"measure": "precision"})
    trained = list(dict.fromkeys(chosen(first, {"measure": "train_s"})["encoder"]))
    others = precision[~precision["encoder"].isin(trained)]
    best = str(others.groupby("encoder", sort=False)["value"].mean().idxmax())
    base = chosen(first, {"measure": "base"})["value"].mean()
    return seeds.finding(
        f"precision@10 ({first['withheld'].iloc[0]}; by chance {100 * base:.1f} %)",
        seeds.over_seeds(precision, ["encoder"], {"encoder": best}),
        best,
        among=trained,
        percent=True,
    )


def summary(fused: pd.DataFrame) -> pd.DataFrame:
    """Return the means over the seeds; `p` is against the centred vectors of the notes alone."""
    return seeds.over_seeds(fused, ["withheld", "encoder"], {"encoder": CENTRED})


def _ablation(means: pd.DataFrame, way: str) -> ReportTable:
    """Return a row for every encoder, and what chance gives."""
    base = float(chosen(means, {"measure": "base"})["value"].iloc[0])
    reached = {name: base if name.startswith("precision") else 0.5 for name in _MEASURES}
    chance = figures("fused", {"encoder": "chance", "quiet": True}, **reached)
    plain: dict[str, Any] = {"beside": nothing}
    return TableSpec(
        title=f"{_titled(way)}: mean ± half of the 95 % interval over the seeds, %",
        rows={"vectors": "encoder"},
        quiet="quiet",
        columns=[
            *(
                seeds.mean_column(title, name, decimals(1, 100), short=short, beside=_starred)
                for name, (title, short) in _MEASURES.items()
            ),
            seeds.mean_column("training, s", "train_s", decimals(1), short="training\ns", **plain),
            seeds.mean_column("epoch kept", "kept_epoch", decimals(0), **plain),
        ],
    ).of(pd.concat([means, long_table(chance)]))


def _starred(cell: Record, show: Show) -> str:
    """Return half of the interval, and * where the centred notes are told from it."""
    return f"{by_half_width(cell, show)}{' *' if cell['p'] < 0.05 else ''}".strip()


def _searched(searched: pd.DataFrame, way: str) -> ReportTable:
    """Return F1@100 by cohort through HNSW, what was published of it, and the most that it could be."""
    means = chosen(seeds.over_seeds(searched, ["withheld", "encoder", "cohort"]), {"withheld": way})
    ceilings = chosen(searched, {"measure": "ceiling"}).groupby("cohort", sort=False)["value"].mean()
    beside = [
        one
        for name in dict.fromkeys(means["encoder"])
        for cohort, title in PHENOTYPES.items()
        if (figure := FUSIONS.figure((_FUSIONS.get(name, ""),), f"{title} F1"))
        for one in figures("published", {"encoder": name, "cohort": cohort}, published=figure.printed)
    ]
    for cohort, most in ceilings.items():
        beside += figures("at most", {"encoder": "at most", "cohort": cohort, "quiet": True}, f1=most)
    ours: dict[str, Any] = {"measure": "f1", "show": decimals(3), "group": "ours"}
    return TableSpec(
        title=f"{_titled(way)}: F1@{RETRIEVAL_K} through HNSW, mean over the seeds",
        rows={"vectors": "encoder"},
        quiet="quiet",
        columns=[
            *(
                seeds.mean_column(title, short=title, where={"cohort": cohort}, **ours)
                for cohort in ceilings.index
                for title in [str(cohort).replace("_", " ")]
            ),
            *(
                seeds.printed_column(f"{title} F1", "published", FUSIONS, where={"cohort": cohort})
                for cohort, title in PHENOTYPES.items()
            ),
        ],
    ).of(pd.concat([means, long_table(beside)]))


def _titled(way: str) -> str:
    return way[:1].upper() + way[1:]
