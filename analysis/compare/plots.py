"""A comparison as figures: curves, differences, pathways and laboratory courses, from its long table alone."""

from collections.abc import Iterator

import pandas as pd
from cohorts.analysis.compare import care, outcomes
from cohorts.analysis.compare.comparison import Comparison
from cohorts.analysis.compare.figures import DIFFERENCE
from cohorts.reports.figures.courses import CourseFigure, Lab
from cohorts.reports.figures.forest import ForestFigure, Row
from cohorts.reports.figures.pathways import Flow, PathwayFigure
from cohorts.reports.figures.survival import Line, SurvivalFigure
from cohorts.reports.formats import decimals
from cohorts.reports.long_table import Record, records

Plot = SurvivalFigure | ForestFigure | PathwayFigure | CourseFigure
_UNTOLD = "–"
_ROWS = 16  # of treatments whose shares differ most
_POINTS = decimals(1)


def plots(told: Comparison) -> list[Plot]:
    """Return the figures that something is told in."""
    return [*_curves(told), *_differences(told), *_pathways(told), *_courses(told)]


def _curves(told: Comparison) -> Iterator[SurvivalFigure]:
    figures = told.sheet(outcomes.CURVES)
    for item in figures["item"].unique():
        rows = figures[figures["item"] == item]
        ticks = sorted(rows[rows["measure"] == outcomes.AT_RISK]["at"].unique())
        rising = item != outcomes.DEATH
        since = told.time_zero if item == outcomes.DEATH else "discharge"
        if len(ticks) > 1:
            yield SurvivalFigure(
                title="Readmission, death competing" if rising else "Survival (Kaplan–Meier)",
                about=f"Share {'readmitted' if rising else 'alive'} by days since {since}, with 95 % bands, of "
                f"{' and '.join(told.groups)}.",
                measure="readmitted" if rising else "alive",
                unit=f"days since {since}",
                ticks=ticks,
                lines=[_line(rows[rows["group"] == name], name, ticks) for name in told.groups],
                rising=rising,
                hidden=_UNTOLD,
            )


def _line(rows: pd.DataFrame, name: str, ticks: list[float]) -> Line:
    curve = rows[rows["measure"] != outcomes.AT_RISK].sort_values("at")
    at_risk = rows[rows["measure"] == outcomes.AT_RISK].set_index("at")["value"]
    return Line(
        name=name,
        days=curve["at"].tolist(),
        share=curve["value"].tolist(),
        low=curve["low"].tolist(),
        high=curve["high"].tolist(),
        end=float(curve["at"].max()) if len(curve) else 0.0,
        at_risk=[None if pd.isna(at_risk[tick]) else int(at_risk[tick]) for tick in ticks],
    )


def _differences(told: Comparison) -> Iterator[ForestFigure]:
    if len(told.groups) < 2:
        return
    for title, frame in (
        ("Outcomes: differences", told.sheet(outcomes.OUTCOMES)),
        ("Treatments whose shares differ most", told.sheet(care.CARE)),
    ):
        rows = frame[(frame["group"] == DIFFERENCE) & (frame["measure"] == "share")]
        rows = rows[rows["text"] != outcomes.NOT_FOLLOWED]
        if title.startswith("Treatments"):
            rows = rows.dropna(subset=["value"])
            rows = rows.loc[rows["value"].abs().sort_values(ascending=False).index[:_ROWS]]
        if rows["value"].notna().any():
            first, second = told.groups
            yield ForestFigure(
                title=title,
                about=f"Shares of {first} less those of {second}, in percentage points, with 95 % intervals.",
                rows=[_row(row) for row in records(rows)],
                unit="percentage points",
                less=f"more of {second}",
                more=f"more of {first}",
                show=_POINTS,
            )


def _row(row: Record) -> Row:
    label: str = row["item"] if pd.isna(row["at"]) else f"{row['item']} within {row['at']:g} days"
    told: list[float | None] = [
        None if pd.isna(row[one]) else 100 * float(row[one]) for one in ("value", "low", "high")
    ]
    return Row(label=label, estimate=told[0], low=told[1], high=told[2])


def _pathways(told: Comparison) -> Iterator[PathwayFigure]:
    figures = told.sheet(care.PATHWAYS)
    for name in told.groups:
        rows = figures[figures["group"] == name]
        if len(rows):
            yield PathwayFigure(
                title=f"First {care.PATHWAY_H:g} hours: {name}",
                about=f"How many of {name} went from which first class of drug or procedure to which.",
                steps=["admission", "first", "second", "third"],
                flows=[
                    Flow(
                        step=int(row["at"]) - 1,
                        source=row["item"],
                        target=row["level"],
                        count=None if pd.isna(row["value"]) else int(row["value"]),
                    )
                    for row in records(rows)
                ],
            )


def _courses(told: Comparison) -> Iterator[CourseFigure]:
    figures = told.sheet(care.COURSES)
    if figures.empty:
        return
    days = sorted(figures["at"].unique())
    labs = []
    for item in figures["item"].unique():
        rows = figures[figures["item"] == item]
        medians = rows.pivot(index="group", columns="at", values="value").reindex(
            index=list(told.groups), columns=days
        )
        labs.append(
            Lab(
                name=item,
                unit="" if rows["level"].iloc[0] == "1" else str(rows["level"].iloc[0]),
                medians=[
                    [None if pd.isna(one) else float(one) for one in line] for line in medians.to_numpy()
                ],
            )
        )
    yield CourseFigure(
        title="Laboratory courses: medians by day of the admission",
        about=f"Medians of each day's values of {' and '.join(told.groups)}.",
        groups=told.groups,
        days=[f"{day:g}" for day in days],
        labs=labs,
    )
