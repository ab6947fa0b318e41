"""A comparison as tables that people read: nothing but texts, for the terminal and the page."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd
from cohorts.analysis.compare import care, characteristics, outcomes
from cohorts.analysis.compare.comparison import ASSOCIATION, Comparison
from cohorts.analysis.compare.figures import DIFFERENCE, TEST
from cohorts.reports.formats import HELD, NONE, Show, count, decimals, interval, number
from cohorts.reports.long_table import Cell, ColumnSpec, Line, ReportTable

_PERCENT = decimals(1, 100)
_TWO = decimals(2)
_ESTIMATES: dict[str, tuple[str, Show]] = {
    "median": ("median [quartiles], days", decimals(1)),
    "share": ("share, % [95 % interval]", _PERCENT),
    outcomes.MEAN: ("mean days without it [95 % interval]", decimals(1)),
}


class _Figures(NamedTuple):
    """The figures of one sheet, by item, level, day, group and measure."""

    rows: dict[tuple[str, str, float, str, str], dict[str, Any]]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> "_Figures":
        keys = ("item", "level", "at", "group", "measure")
        rows = {}
        for row in frame.to_dict("records"):
            item, level, at, group, measure = (row[name] for name in keys)
            rows[(item, level, -1.0 if at != at else at, group, measure)] = {
                str(k): v for k, v in row.items()
            }
        return cls(rows)

    def at(self, item: str, group: str, measure: str, *, level: str = "", at: float = -1.0) -> dict[str, Any]:
        """Return a figure; an empty one where there is none."""
        return self.rows.get((item, level, at, group, measure), {})

    def keys(self, *measures: str) -> list[tuple[str, str, float, str]]:
        """Return what has one of some measures, as item, level, day and measure, in order."""
        found = ((item, level, at, one) for item, level, at, _, one in self.rows if one in measures)
        return list(dict.fromkeys(found))


def tables(told: Comparison) -> list[ReportTable]:
    """Return all tables of a comparison that hold something."""
    made = (who_they_are(told), balance(told), how_it_ended(told), what_was_done(told))
    return [one for one in made if one.lines]


def found(told: Comparison) -> str:
    """Return in a sentence what the groups' first outcome is that may be told, and that it is no effect."""
    frame = told.sheet(outcomes.OUTCOMES)
    figures = _Figures.of(frame[frame["text"] == ""])
    for item, _, at, _ in figures.keys("share"):
        shares = [figures.at(item, group, "share", at=at) for group in told.groups]
        apart = figures.at(item, DIFFERENCE, "share", at=at)
        if all(shares) and (apart or len(shares) == 1):
            name = item if at < 0 else f"{item} within {at:,.0f} days"
            each = " and ".join(
                f"{_PERCENT(one['value'])}{HELD}% of {group}"
                for group, one in zip(told.groups, shares, strict=True)
            )
            by = f", {_estimate(apart, _PERCENT).text} points apart" if apart else ""
            return f"{name[0].upper()}{name[1:]}: {each}{by}. An {ASSOCIATION}."
    return f"No outcome of these groups can be told: too few had one, or were followed. An {ASSOCIATION}."


def who_they_are(told: Comparison) -> ReportTable:
    """Return Table 1: numbers by mean and by quartiles, the rest by share, and how far the groups lie apart."""
    figures = _Figures.of(told.sheet(characteristics.TABLE))
    lines: list[Line] = []
    before = ""
    for item, level, _, measure in figures.keys("mean", "patients"):
        cell = _mean if measure == "mean" else _patients
        cells = [cell(figures, item, level, group) for group in told.groups]
        smd = [_one(figures.at(item, DIFFERENCE, "smd"), _TWO) if item != before else Cell("")]
        what = "mean (SD)" if measure == "mean" else level
        lines.append(Line((item, what), (*cells, *(smd if len(told.groups) == 2 else []))))
        before = item
    return _table("Who they are", ("", "level"), [*_titles(told), *_two(told, "SMD")], lines)


def balance(told: Comparison) -> ReportTable:
    """Return how far the groups lay apart before they were matched, and after it."""
    figures = _Figures.of(told.sheet(characteristics.BALANCE))
    whens = (characteristics.BEFORE, characteristics.AFTER)
    lines = [
        Line((item,), tuple(_one(figures.at(item, when, "smd"), _TWO) for when in whens))
        for item, _, _, _ in figures.keys("smd")
    ]
    titles = ["SMD before the match", "after"]
    return _table("Balance: standardised mean differences", ("",), titles, lines)


def how_it_ended(told: Comparison) -> ReportTable:
    """Return the outcomes, with 95 % intervals, the differences and the log-rank test."""
    figures = _Figures.of(told.sheet(outcomes.OUTCOMES))
    lines = []
    for item, _, at, measure in figures.keys(*_ESTIMATES):
        what, show = _ESTIMATES[measure]
        name = item if at < 0 else f"{item} within {at:,.0f} days"
        cells = [_estimate(figures.at(item, group, measure, at=at), show) for group in told.groups]
        if len(told.groups) == 2:
            cells.append(_estimate(figures.at(item, DIFFERENCE, measure, at=at), show))
            p = figures.at(item, TEST, "log-rank p", at=at) if measure == outcomes.MEAN else {}
            cells.append(_one(p, _p))
        lines.append(Line((name, what), tuple(cells)))
    return _table(
        "How it ended",
        ("", "measure"),
        [*_titles(told), *_two(told, "difference"), *_two(told, "log-rank p")],
        lines,
    )


def what_was_done(told: Comparison) -> ReportTable:
    """Return who had which drug and procedure, and the day of the first use."""
    figures = _Figures.of(told.sheet(care.CARE))
    lines = []
    for item, level, _, _ in figures.keys("patients"):
        cells = []
        for group in told.groups:
            cell = _patients(figures, item, level, group)
            day = figures.at(item, group, "first day", level=level)
            first = "" if not day or day["text"] else f"first on day {_estimate(day, decimals(1)).text}"
            cells.append(Cell(cell.text, first))
        apart = _estimate(figures.at(item, DIFFERENCE, "share", level=level), _PERCENT)
        lines.append(Line((item, level), (*cells, *([apart] if len(told.groups) == 2 else []))))
    titles = [*_titles(told), *_two(told, "difference, % [95 % interval]")]
    return _table("What was done", ("", "kind"), titles, lines)


def _table(title: str, names: Sequence[str], columns: Iterable[str], lines: Sequence[Line]) -> ReportTable:
    specs = tuple(ColumnSpec(title=one, measure="", short=one) for one in columns)
    return ReportTable(title, tuple(names), specs, tuple(lines))


def _titles(told: Comparison) -> list[str]:
    return [f"{name} (n = {many:,})" for name, many in zip(told.groups, told.patients, strict=True)]


def _two(told: Comparison, title: str) -> list[str]:
    return [title] if len(told.groups) == 2 else []


def _mean(figures: _Figures, item: str, _: str, group: str) -> Cell:
    mean, sd, middle, gone = (figures.at(item, group, one) for one in ("mean", "sd", "median", "missing"))
    missing = "" if not gone or gone["value"] == 0 else f"{_one(gone, _PERCENT).text} % not known"
    if mean["text"]:
        return Cell(mean["text"], missing)
    quartiles = f"median {number(middle['value'])} {interval(middle['low'], middle['high'], number)}"
    return Cell(
        f"{number(mean['value'])} ({number(sd['value'])})", "; ".join(filter(None, (quartiles, missing)))
    )


def _patients(figures: _Figures, item: str, level: str, group: str) -> Cell:
    many, share = (figures.at(item, group, one, level=level) for one in ("patients", "share"))
    if not many or many["text"]:
        return Cell(many.get("text", NONE))
    return Cell(f"{count(many['value'])} ({_PERCENT(share['value'])}{HELD}%)")


def _estimate(one: dict[str, Any], show: Show) -> Cell:
    if not one or one["text"]:
        return Cell(one.get("text", NONE))
    return Cell(f"{show(one['value'])} {interval(one['low'], one['high'], show)}".strip())


def _one(one: dict[str, Any], show: Callable[[float], str]) -> Cell:
    return Cell(NONE if not one else one["text"] or show(one["value"]))


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else decimals(3)(value)
