"""How FineEHR's table is read: what was found, ours beside what the paper printed, and how the networks learnt."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from cohorts.harness.evaluate import seeds
from cohorts.harness.evaluate.base import Run, Told, figures
from cohorts.reports.formats import decimals
from cohorts.reports.long_table import (
    ColumnSpec,
    ReportTable,
    TableSpec,
    chosen,
    long_table,
    nothing,
)
from cohorts.reports.published import FINEEHR_AVERAGES, FINEEHR_SETTINGS, Names

AVERAGE = "average"
BASELINE = "baseline"
_APPROACHES = {"baseline": "Baseline", "metric": "Only Metric", "weight": "Only Weight", "full": "FineEHR"}
_CLASSIFIERS = {"random forest": "RF", "logistic regression": "LR", "MLP": "MLP", "gradient boosting": "GBDT"}
_BESIDE_OTHERS: dict[Names, str] = {("Baseline", "Only Text"): "baseline", ("FINEEHR", "Only Text"): "full"}
_MEASURES = {"auc": "AUC", "auc_pr": "AUC-PR"}
_SIDE_BY_SIDE = 8  # encoders in one table of neighbours; as many again follow below
_PERCENT = decimals(1, 100)


def finding(means: pd.DataFrame) -> str:
    """Return whether any vectors tell better than the baseline's who dies, from the first kind of notes.

    Those that all classifiers were given are compared, by the mean of these.
    """
    notes = means["notes"].iloc[0]
    auc = chosen(means, {"notes": notes, "measure": "auc"})
    average = chosen(auc, {"classifier": AVERAGE})
    return seeds.finding(
        f"AUC for death in hospital ({notes}, average of the classifiers)",
        average if len(average) else auc,
        BASELINE,
        percent=True,
    )


def read(run: Run) -> Told:
    """Return how the figures are read; neighbours and others are of the first kind of notes."""
    predictions, retrieval = run.table("predictions"), run.table("retrieval")
    means, first, without = summary(predictions), predictions["notes"].iloc[0], unimproved(predictions)
    near = chosen(retrieval, {"notes": first})
    forests = chosen(means, {"notes": first, "classifier": "random forest", "measure": "auc"})
    auc = forests.set_index("encoder")["value"].map(_PERCENT).to_dict()
    encoders = list(dict.fromkeys(near["encoder"]))
    return Told(
        finding=finding(means),
        tables={
            "predictions": [prediction_table(means, without)],
            "neighbours": [
                _neighbours(near, encoders[start : start + _SIDE_BY_SIDE])
                for start in range(0, len(encoders), _SIDE_BY_SIDE)
            ],
        },
        drawn={
            "kinds": list(dict.fromkeys(means["notes"])),
            "unimproved": [f"{encoder}, {notes}: {text}." for (encoder, notes), text in without.items()],
            "ours": {names: auc.get(encoder, "") for names, encoder in _BESIDE_OTHERS.items()},
        },
        warnings=[
            *(f"† {encoder}, {notes}: {text}." for (encoder, notes), text in without.items()),
            *(f"{notes} could not be measured: {why}" for notes, why in run.facts["not_measured"].items()),
        ],
    )


def summary(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the means over the seeds, encoder by encoder, and those of all classifiers where there are several.

    `p` is against the baseline setting with the same classifier, and a measure of its own too, `auc_p`.
    """
    told = chosen(predictions, {"measure": tuple(_MEASURES)})
    several = told.groupby(["notes", "encoder"])["classifier"].transform("nunique") > 1
    means = seeds.over_seeds(
        pd.concat([told, _averaged(told[several])]), ["notes", "encoder", "classifier"], {"encoder": BASELINE}
    )
    tests = chosen(means, {"measure": "auc"}).assign(measure="auc_p", value=lambda frame: frame["p"])
    place = {name: at for at, name in enumerate(dict.fromkeys(means["encoder"]))}
    return pd.concat([means, tests]).sort_values("encoder", key=lambda one: one.map(place), kind="stable")


def _averaged(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of the classifiers of every encoder, seed by seed."""
    by = ["notes", "encoder", "seed", "measure"]
    return frame.groupby(by, sort=False)["value"].mean().reset_index().assign(classifier=AVERAGE, text="")


def unimproved(predictions: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return, by encoder and kind of notes, whose training brought nothing, and in how many seeds."""
    told = chosen(predictions, {"measure": "unimproved"}).drop_duplicates(["notes", "encoder", "seed"])
    many = predictions["seed"].nunique()
    return {
        (str(encoder), str(notes)): "; ".join(
            f"{text} ({count} of {many} seeds)" for text, count in group["text"].value_counts().items()
        )
        for (encoder, notes), group in told.groupby(["encoder", "notes"], sort=False)
    }


def prediction_table(means: pd.DataFrame, unimproved: Mapping[tuple[str, str], str]) -> ReportTable:
    """Return settings × classifiers, the kinds of notes side by side, and what was published; † is `unimproved`."""
    marked = {encoder for encoder, _ in unimproved}
    printed = [
        one
        for encoder, classifier in dict.fromkeys(zip(means["encoder"], means["classifier"], strict=True))
        for one in figures(
            "published", {"encoder": encoder, "classifier": classifier}, **_published(encoder, classifier)
        )
    ]
    return TableSpec(
        title="Who dies in hospital: mean ± sd over the seeds, %; p against baseline",
        rows={
            "vectors": lambda one: one["encoder"] + " †" * (one["encoder"] in marked),
            "classifier": "classifier",
        },
        columns=[
            *(column for notes in dict.fromkeys(means["notes"]) for column in _measured(notes)),
            *(
                seeds.printed_column(title, f"published_{name}", FINEEHR_SETTINGS)
                for name, title in _MEASURES.items()
            ),
        ],
    ).of(pd.concat([means, long_table(printed)]))


def _measured(notes: str) -> Iterator[ColumnSpec]:
    above = notes.replace(" ", "\n").replace("+", "\n+")
    here: dict[str, Any] = {"group": notes, "where": {"notes": notes}}
    for name, title in _MEASURES.items():
        short = f"{above}\n{title}" if name == "auc" else f"\n\n{title}"
        yield seeds.mean_column(title, name, _PERCENT, short=short, beside=seeds.by_deviation, **here)
    yield ColumnSpec(title="p", measure="auc_p", short="\n\np", show=show_p, beside=nothing, **here)


def show_p(p: float) -> str:
    """Return a p-value as it is printed."""
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def _published(encoder: str, classifier: str) -> dict[str, str]:
    """Return what the paper prints of a setting and a classifier, or of the average of all four, by measure."""
    row, table, of = (_APPROACHES.get(encoder, encoder),), FINEEHR_SETTINGS, _CLASSIFIERS.get(classifier)
    if classifier == AVERAGE:
        table, of = FINEEHR_AVERAGES, AVERAGE
    found = {name: table.figure(row, f"{of} {title}") for name, title in _MEASURES.items()}
    return {f"published_{name}": figure.printed for name, figure in found.items() if figure}


def _neighbours(retrieval: pd.DataFrame, encoders: Sequence[str]) -> ReportTable:
    """Return precision@10 by phenotype, encoders side by side, and the base rate."""
    means = seeds.over_seeds(chosen(retrieval, {"encoder": tuple(encoders)}), ["encoder", "phenotype"])
    columns = [(name, "precision", name) for name in encoders] + [("base rate", "base", encoders[0])]
    return TableSpec(
        title=f"Precision@10, one phenotype in common, exact search, {retrieval['notes'].iloc[0]}, %",
        rows={"phenotype": lambda one: one["phenotype"].replace("_", " ")},
        columns=[
            seeds.mean_column(title, measure, _PERCENT, short=title, where={"encoder": name}, beside=nothing)
            for title, measure, name in columns
        ],
    ).of(means)
