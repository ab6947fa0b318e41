"""How the table of sepsis prognosis is read: what was found, beside what was published, and whether it can be told."""

from collections.abc import Sequence

import pandas as pd
from cohorts.harness.evaluate.base import Run, Told, figures
from cohorts.harness.evaluate.fineehr_tables import show_p
from cohorts.harness.evaluate.seeds import printed_column
from cohorts.harness.evaluate.sepsis.models import BCE, BOOSTING, FULL, PREVALENCE, REGRESSION, SAPSII, SOFA
from cohorts.harness.evaluate.sepsis.pooled import AFTER, BEFORE, TREAT_ALL, TREAT_NONE
from cohorts.reports.figures import svg
from cohorts.reports.figures.plane import PlaneFigure, Trace
from cohorts.reports.findings import LEVEL
from cohorts.reports.formats import count, decimals
from cohorts.reports.long_table import (
    ColumnSpec,
    Record,
    ReportTable,
    TableSpec,
    by_half_width,
    chosen,
    long_table,
    nothing,
    records,
)
from cohorts.reports.published import SEPSIS

ENOUGH = (
    100  # deaths, and survivors, below which nothing is concluded: Collins et al., 2016, doi:10.1002/sim.6787
)
TOO_SMALL = "too small to conclude"
BEYOND_ITS_PARTS = (
    "Accuracy lies between specificity and recall, whatever share dies: the published specificity of .7912 and recall "
    "of .5917 cannot give its accuracy of .8736. The paper predicts with the length of the stay and with extremes of "
    "the whole stay, which are known at its end only. Its figures are shown as printed, and are no goal."
)
_MEASURES = {  # and what stands in 80 columns; the page has them all
    "auroc": ("AUROC", "AUROC"),
    "auc_pr": ("AUC-PR", "AUC-PR"),
    "accuracy": ("accuracy", "accu-\nracy"),
    "specificity": ("specificity", "speci-\nficity"),
    "recall": ("recall", "recall"),
    "f1": ("F1", "F1"),
    "flagged": ("share flagged", None),
}
_PUBLISHED = {
    "accuracy": "Accuracy",
    "specificity": "Specificity",
    "f1": "F1 Score",
    "recall": "Recall",
    "auroc": "AUROC",
}
_THREE, _TWO = decimals(3), decimals(2)


def read(run: Run) -> Told:
    """Return how the figures are read."""
    models, compared = run.table("models"), run.table("compared")
    small = too_small(run)
    return Told(
        finding=finding(models, compared, small),
        tables={
            "models": [_models(models, small)],
            "beside": [_beside_published(models)],
            "compared": [_compared(compared)],
            "calibration": [_calibration(run.table("calibration"))],
            "subgroups": [_subgroups(run.table("subgroups"))],
            "grid": [_grid(run.table("grid"))],
            "folds": [_folds(run.table("folds"))],
        },
        drawn={
            "figures": [(one.title, svg.both(one.svg)) for one in plots(run)],
            "style": svg.STYLE,
            "small": small,
            "beyond": BEYOND_ITS_PARTS,
        },
        warnings=[small] if small else [],
        notes=_notes(run),
    )


def too_small(run: Run) -> str:
    """Return that nothing can be concluded, and why; "" where there are enough."""
    died, lived = run.counts["died"], run.counts["stays"] - run.counts["died"]
    if min(died, lived) >= ENOUGH:
        return ""
    return (
        f"{TOO_SMALL[:1].upper()}{TOO_SMALL[1:]}: {died:,} deaths and {lived:,} survivors; "
        f"{ENOUGH} of either are the least that a prognosis is judged by."
    )


def finding(models: pd.DataFrame, compared: pd.DataFrame, small: str) -> str:
    """Return what the full network reaches, and which of the others it is told from."""
    (full,) = records(chosen(models, {"model": FULL, "measure": "auroc"}))
    reached = f"AUROC {_told(full)} for death in hospital by {FULL}"
    if small:
        return f"{small} {reached}."
    tested = {one["against"]: one["value"] for one in records(chosen(compared, {"measure": "p_holm"}))}
    sides: dict[str, list[str]] = {"above": [], "below": [], "not told from": []}
    for against, p in tested.items():
        (apart,) = records(chosen(compared, {"measure": "apart", "against": against}))
        if against in (SOFA, SAPSII, REGRESSION, BOOSTING, BCE) or against.endswith(" alone"):
            side = "not told from" if p >= LEVEL else "above" if apart["value"] > 0 else "below"
            sides[side].append(against)
    said = "; ".join(f"{side} {', '.join(names)}" for side, names in sides.items() if names)
    return f"{reached}: {said or 'nothing can be tested'} (DeLong's test by patient, Holm's correction)."


def _told(cell: Record) -> str:
    if cell["low"] != cell["low"]:
        return _THREE(cell["value"])
    return f"{_THREE(cell['value'])} [{_THREE(cell['low'])}, {_THREE(cell['high'])}]"


def _models(models: pd.DataFrame, small: str) -> ReportTable:
    title = "Death in hospital [95 % interval by patient]"
    return TableSpec(
        title=f"{title}; {TOO_SMALL}" if small else title,
        rows={"model": "model"},
        quiet="quiet",
        columns=[
            ColumnSpec(
                title=title,
                measure=name,
                show=_THREE,
                short=short,
                best=max if name == "auroc" else None,
                beside=by_half_width if name not in ("auroc", "auc_pr") else _by_bounds,
                missing="",
            )
            for name, (title, short) in _MEASURES.items()
        ],
    ).of(models.assign(quiet=models["model"] == PREVALENCE))


def _by_bounds(cell: Record, _: object) -> str:
    """Return an interval in few letters: `.812–.845`."""
    if cell["low"] != cell["low"]:
        return ""
    return "–".join(_THREE(cell[side]).removeprefix("0") for side in ("low", "high"))


def _beside_published(models: pd.DataFrame) -> ReportTable:
    """Return the measures of the paper's Table 1, ours by either loss beside what it prints."""
    rows: list[Record] = []
    for measure, printed in _PUBLISHED.items():
        of = {"row": printed}
        for name, one in (("ours_bce", BCE), ("ours_focal", FULL)):
            for cell in records(chosen(models, {"model": one, "measure": measure})):
                rows.append({"sheet": "published", **of, "measure": name, **_figures_of(cell)})
        for place, column in enumerate(SEPSIS.columns):
            figure = SEPSIS.figure((printed,), column)
            if figure:
                rows += figures("published", of, **{f"published_{place}": figure.printed})
    shorts = ("published,\nbefore", "published,\nafter")
    return TableSpec(
        title="Beside the paper's Table 1",
        rows={"measure": "row"},
        columns=[
            ColumnSpec(
                title="by BCE", measure="ours_bce", show=_THREE, short="by BCE", group="ours", missing=""
            ),
            ColumnSpec(
                title="by focal loss",
                measure="ours_focal",
                show=_THREE,
                short="by focal\nloss",
                group="ours",
                missing="",
            ),
            *(
                printed_column(title, f"published_{place}", SEPSIS, short=shorts[place])
                for place, title in enumerate(SEPSIS.columns)
            ),
        ],
    ).of(long_table(rows))


def _figures_of(cell: Record) -> Record:
    return {name: cell[name] for name in ("value", "low", "high")}


def _compared(compared: pd.DataFrame) -> ReportTable:
    return TableSpec(
        title=f"AUROC of {FULL}, less that of each other [95 % interval]",
        rows={"against": "against"},
        columns=[
            ColumnSpec(title="difference", measure="apart", show=decimals(3), short="difference", missing=""),
            ColumnSpec(title="p", measure="p", show=show_p, short="p", beside=nothing),
            ColumnSpec(title="p, Holm", measure="p_holm", show=show_p, short="p, Holm", beside=nothing),
        ],
    ).of(compared)


def _calibration(calibration: pd.DataFrame) -> ReportTable:
    titles = {"intercept": "intercept", "slope": "slope", "brier": "Brier"}
    return TableSpec(
        title="Calibration, before and after recalibration on patients held back",
        rows={"model": "model"},
        columns=[
            ColumnSpec(
                title=title,
                measure=name,
                where={"when": when},
                show=_TWO if name != "brier" else _THREE,
                short=f"{title}\n{when.partition(' ')[0]}",
                beside=by_half_width,
                group=when,
                missing="",
            )
            for when in (BEFORE, AFTER)
            for name, title in titles.items()
        ],
    ).of(calibration)


def _subgroups(subgroups: pd.DataFrame) -> ReportTable:
    show = {
        "stays": ("stays", count),
        "died": ("died", count),
        "auroc": ("AUROC", _THREE),
        "specificity": ("specificity", _THREE),
        "recall": ("recall", _THREE),
        "intercept": ("intercept, recalibrated", _TWO),
        "slope": ("slope, recalibrated", _TWO),
    }
    return TableSpec(
        title=f"Sub-groups, {FULL}",
        rows={"by": "by", "group": "group"},
        columns=[
            ColumnSpec(
                title=title,
                measure=name,
                show=how,
                short=title if name in ("stays", "died", "auroc", "specificity", "recall") else None,
                beside=by_half_width,
                missing="",
            )
            for name, (title, how) in show.items()
        ],
    ).of(subgroups)


def _grid(grid: pd.DataFrame) -> ReportTable:
    """Return the AUROC of every setting on those who stop, folds side by side; the chosen one is marked."""
    taken = chosen(grid, {"measure": "chosen"})
    keys = {(one["fold"], one["setting"]) for one in records(taken) if one["value"]}
    areas = chosen(grid, {"measure": "auroc"})
    notes = ["chosen" if key in keys else "" for key in zip(areas["fold"], areas["setting"], strict=True)]
    return TableSpec(
        title=f"{FULL}: AUROC on patients who stop the training, by setting and fold",
        rows={"setting": "setting"},
        columns=[
            ColumnSpec(title=f"fold {fold}", measure="auroc", where={"fold": fold}, show=_THREE)
            for fold in dict.fromkeys(areas["fold"])
        ],
    ).of(areas.assign(note=notes))


def _folds(folds: pd.DataFrame) -> ReportTable:
    titles = {
        "learn": "learnt from",
        "stop": "stop",
        "held": "held back",
        "test": "judged",
        "died": "of them died",
    }
    return TableSpec(
        title="Stays by fold",
        rows={"fold": "fold"},
        columns=[ColumnSpec(title=title, measure=name, show=count) for name, title in titles.items()],
    ).of(folds)


def _notes(run: Run) -> list[str]:
    """Return what else there is to know."""
    told = []
    for name in (SOFA, SAPSII):
        if many := run.counts[f"without {name}"]:
            told.append(
                f"{many:,} of {run.counts['stays']:,} stays have no part of {name}: they take the median of those "
                "learnt from."
            )
    if "notes" not in run.facts["branches"]:
        told.append("There are no notes by then: the network has no branch of notes.")
    for name, folds in run.facts["not_put_right"].items():
        told.append(
            f"{name} says the same of all patients held back in {folds} folds: nothing was put right there."
        )
    return [*told, BEYOND_ITS_PARTS]


def plots(run: Run) -> list[PlaneFigure]:
    """Return ROC curves, reliability before and after, and the decision curve."""
    return [
        _roc(run.table("roc"), (FULL, BOOSTING, SAPSII, SOFA)),
        _reliability(run.table("reliability")),
        _decision(run.table("decision"), (FULL, BOOSTING, SAPSII, TREAT_ALL)),
    ]


def _columns(frame: pd.DataFrame, model: str, *measures: str) -> list[tuple[float, ...]]:
    own = chosen(frame, {"model": model})
    parts = [own.loc[own["measure"] == name, "value"].tolist() for name in measures]
    return list(zip(*parts, strict=True))


def _roc(roc: pd.DataFrame, models: Sequence[str]) -> PlaneFigure:
    return PlaneFigure(
        title="ROC curves",
        about="Recall by 1 - specificity; the dashed line is chance.",
        x_title="1 - specificity",
        y_title="recall",
        x=(0, 1),
        y=(0, 1),
        traces=[
            Trace(
                name=name, places=[(x, y) for x, y in _columns(roc, name, "one_less_specificity", "recall")]
            )
            for name in models
        ],
        reference=((0, 0), (1, 1)),
    )


def _reliability(reliability: pd.DataFrame) -> PlaneFigure:
    traces = []
    for when in (BEFORE, AFTER):
        own = chosen(reliability, {"model": FULL, "when": when})
        observed = records(chosen(own, {"measure": "observed"}))
        predicted = chosen(own, {"measure": "predicted"})["value"].tolist()
        traces.append(
            Trace(
                name=when,
                places=[(x, one["value"]) for x, one in zip(predicted, observed, strict=True)],
                bounds=[(one["low"], one["high"]) for one in observed],
            )
        )
    return PlaneFigure(
        title=f"Reliability of {FULL}",
        about="The share that died by the predicted probability, in tenths of the stays, with 95 % intervals (Wilson).",
        x_title="predicted probability",
        y_title="share that died",
        x=(0, 1),
        y=(0, 1),
        traces=traces,
        reference=((0, 0), (1, 1)),
    )


def _decision(decision: pd.DataFrame, models: Sequence[str]) -> PlaneFigure:
    places = {
        name: [(one["threshold"], one["value"]) for one in records(chosen(decision, {"model": name}))]
        for name in models
    }
    most = max((y for some in places.values() for _, y in some), default=0.0)
    ends = (0.0, max(x for some in places.values() for x, _ in some))
    top = max(most, 0.01) * 1.1
    return PlaneFigure(
        title="Decision curve",
        about=f"Net benefit by the probability from which on one acts; the dashed line is {TREAT_NONE}.",
        x_title="threshold of the probability",
        y_title="net benefit",
        x=ends,
        y=(-0.25 * top, top),
        traces=[Trace(name=name, places=some) for name, some in places.items()],
        reference=((ends[0], 0), (ends[1], 0)),
    )
