"""Charts: specifications over rows of figures, drawn as places that chart.html puts into SVG.

A row is a mark, by its columns: `name` says which, `curve` which marks are joined, `series` how the curve is called,
`store` and `kind` of index give colour and shape; `dashed` and `reference` are optional. How one is declared:

    FRONT = ChartSpec(
        title="Recall and latency",
        caption="Right and down is better.",
        x=Axis("recall@10", "recall", recall_scale, share),   # title, column of the row, scale, format
        y=Axis("p50, ms", "p50_ms"),
    )
    figure = FRONT.draw(rows, stores)         # None where no row has both; the table behind it is figure.data
    {% from "chart.html" import drawn %} … {{ drawn(figure, note, command) }}
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import NamedTuple

from cohorts.harness.reports.formats import Show, number
from cohorts.harness.reports.long_table import Cell, ColumnSpec, Line, Record, ReportTable

WIDTH, HEIGHT = 440, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 22, 12, 44
_NINES = 1.0001  # recall 1 stands at four nines
_RECALLS = (0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 1)
_STEPS = (1, 2, 5)
SHAPES = {"flat": "diamond", "hnsw": "circle", "ivf": "square", "annoy": "triangle"}
COLOURS = 8
Place = tuple[float, float]


class Scale(NamedTuple):
    """An axis: `place` takes a value to 0 (low) to 1 (high), `ticks` are values and what stands beside them."""

    label: str
    place: Callable[[float], float]
    ticks: tuple[tuple[float, str], ...]


class Mark(NamedTuple):
    """A point: its values on both axes, and what it says when pointed at."""

    x: float
    y: float
    says: str


class Curve(NamedTuple):
    """Points of one colour and shape, and a line through some of them."""

    name: str
    colour: int
    shape: str
    marks: tuple[Mark, ...]
    line: tuple[Place, ...] = ()
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """Curves between two axes; `front` is the line of the best of all."""

    x: Scale
    y: Scale
    curves: tuple[Curve, ...]
    front: tuple[Place, ...] = ()

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of a point, px from the upper left corner."""
        across, up = self.x.place(x), self.y.place(y)
        return (
            round(LEFT + across * (WIDTH - LEFT - RIGHT), 1),
            round(HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1),
        )

    def path(self, line: Iterable[tuple[float, float]]) -> str:
        """Return the points of a polyline."""
        return " ".join(f"{x},{y}" for x, y in (self.at(*point) for point in line))


class Bar(NamedTuple):
    """Percentiles of one setting, rising, each with its name."""

    name: str
    colour: int
    shape: str
    values: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Bars:
    """Settings below each other on one axis."""

    x: Scale
    bars: tuple[Bar, ...]

    def across(self, value: float) -> float:
        """Return the place of a value, px from the left."""
        return round(12 + self.x.place(value) * (WIDTH - 32), 1)


@dataclass(frozen=True)
class Figure:
    """A chart, what it shows, and the table behind it."""

    title: str
    caption: str
    chart: Chart | Bars
    data: ReportTable

    @property
    def legend(self) -> list[Curve]:
        """Return a curve for every name in the chart."""
        if isinstance(self.chart, Bars):
            return []
        return list({curve.name: curve for curve in reversed(self.chart.curves)}.values())[::-1]


def log_scale(
    label: str, values: Sequence[float], show: Callable[[float], str] = lambda v: f"{v:,g}"
) -> Scale:
    """Return a logarithmic scale around values above 0, from one tick to another one."""
    low, high = _tick_at_most(min(values)), _tick_at_least(max(values))
    if low == high:
        low, high = low / 2, high * 2
    span = log10(high) - log10(low)
    steps = _STEPS if span <= 2 else (1, 3) if span <= 4 else (1,)
    decades = range(floor(log10(low)) - 1, ceil(log10(high)) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    kept = [(tick, show(float(f"{tick:.6g}"))) for tick in ticks if low * 0.999 <= tick <= high * 1.001]
    return Scale(label, lambda value: (log10(value) - log10(low)) / span, tuple(kept))


def recall_scale(label: str, values: Sequence[float]) -> Scale:
    """Return a scale on which every nine takes the same room: .9, .99, .999."""
    low = max(tick for tick in _RECALLS if tick <= min(values) and tick < 1)
    ends = _nines(low), _nines(1)
    ticks = [tick for tick in _RECALLS if tick >= low]
    return Scale(
        label,
        lambda value: (_nines(value) - ends[0]) / (ends[1] - ends[0]),
        tuple((tick, f"{tick:g}") for tick in ticks),
    )


def _nines(recall: float) -> float:
    return -log10(_NINES - recall)


def _tick_at_most(value: float) -> float:
    return max(one for one in _around(value) if one <= value * 1.000001)


def _tick_at_least(value: float) -> float:
    return min(one for one in _around(value) if one >= value * 0.999999)


def _around(value: float) -> list[float]:
    decade = floor(log10(value))
    return [float(f"{step}e{place}") for place in (decade - 1, decade, decade + 1) for step in _STEPS]


class Axis(NamedTuple):
    """What an axis shows: the column of a row, on which scale, and how its values are written."""

    title: str
    column: str
    scale: Callable[[str, Sequence[float]], Scale] = log_scale
    show: Show = number


def through(points: Sequence[Place]) -> Sequence[Place]:
    """Return all points: their marks stand from left to right."""
    return points


@dataclass(frozen=True, kw_only=True)
class ChartSpec:
    """A chart: `join` says which marks of a curve a line goes through; `best` joins all but the references so too."""

    title: str
    caption: str
    x: Axis
    y: Axis
    join: Callable[[Sequence[Place]], Sequence[Place]] = through
    best: bool = False

    def draw(self, rows: Iterable[Record], stores: Sequence[str]) -> Figure | None:
        """Return the rows that have both values as a chart; a colour for each of the stores."""
        curves: dict[str, list[Record]] = {}
        for row in rows:
            if row[self.x.column] == row[self.x.column] and row[self.y.column] == row[self.y.column]:
                curves.setdefault(row["curve"], []).append(row)
        if self.join is through:
            curves = {
                name: sorted(own, key=lambda row: float(row[self.x.column])) for name, own in curves.items()
            }
        every = [row for own in curves.values() for row in own]
        if not every:
            return None
        engines = [self._place(row) for row in every if not row.get("reference")]
        chart = Chart(
            self.x.scale(self.x.title, [row[self.x.column] for row in every]),
            self.y.scale(self.y.title, [row[self.y.column] for row in every]),
            tuple(self._curve(own, stores) for own in curves.values()),
            tuple(self.join(engines)) if self.best else (),
        )
        data = [(row["name"], *self._shown(row)) for row in every]
        return Figure(self.title, self.caption, chart, behind(self.title, (self.x.title, self.y.title), data))

    def _curve(self, rows: Sequence[Record], stores: Sequence[str]) -> Curve:
        x, y = self.x.title, self.y.title
        marks = [
            Mark(*self._place(row), f"{row['name']}: {x} {across}, {y} {up}")
            for row, (across, up) in zip(rows, map(self._shown, rows), strict=True)
        ]
        line = tuple(self.join([self._place(row) for row in rows]))
        return Curve(
            rows[0]["series"], *look(rows[0], stores), tuple(marks), line, bool(rows[0].get("dashed"))
        )

    def _place(self, row: Record) -> Place:
        return row[self.x.column], row[self.y.column]

    def _shown(self, row: Record) -> tuple[str, str]:
        return self.x.show(row[self.x.column]), self.y.show(row[self.y.column])


def percentiles(
    title: str, caption: str, rows: Sequence[Record], columns: Mapping[str, str], stores: Sequence[str]
) -> Figure:
    """Return rows below each other on one axis, ms, by the columns of their percentiles, rising, under their titles."""
    bars = [
        Bar(
            row["name"],
            *look(row, stores),
            tuple((name, row[column]) for name, column in columns.items() if row[column] == row[column]),
        )
        for row in rows
    ]
    scale = log_scale("ms", [value for bar in bars for _, value in bar.values])
    data = [(row["name"], *(number(row[column]) for column in columns.values())) for row in rows]
    return Figure(
        title, caption, Bars(scale, tuple(bars)), behind(title, [f"{name}, ms" for name in columns], data)
    )


def look(row: Record, stores: Sequence[str]) -> tuple[int, str]:
    """Return colour and shape of a row's marks."""
    return stores.index(row["store"]) % COLOURS, SHAPES[row["kind"].partition(" ")[0]]


def behind(title: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> ReportTable:
    """Return the table behind a chart."""
    lines = [Line((name,), tuple(map(Cell, shown))) for name, *shown in rows]
    specs = [ColumnSpec(title=column, measure="") for column in columns]
    return ReportTable(title, ("setting",), tuple(specs), tuple(lines))
