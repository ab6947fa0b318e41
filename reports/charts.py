"""Charts: specifications over rows of figures, drawn as places that chart.html puts into SVG.

A row is a mark, by its columns: `name` says which, `store` and `kind` of index give colour, shape and the name in the
legend, `curve` which marks are joined: those of one store and kind where it is not there. `dashed` and `reference` are
optional too. How one is declared:

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

from cohorts.reports.formats import Show, number
from cohorts.reports.long_table import Cell, ColumnSpec, Line, Record, ReportTable

WIDTH, HEIGHT = 440, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 22, 12, 44
_NINES = 1.0001  # recall 1 stands at four nines
_RECALLS = (0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 1)
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


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Curves between two axes, what they show, and the table behind them; `front` is the line of the best of all.

    Without `y` the curves stand below each other, each with its own marks, rising, on one axis.
    """

    title: str
    caption: str
    x: Scale
    y: Scale | None = None
    curves: tuple[Curve, ...]
    front: tuple[Place, ...] = ()
    data: ReportTable

    def across(self, x: float) -> float:
        """Return the place of a value, px from the left."""
        left, right = (LEFT, RIGHT) if self.y else (12, 20)
        return round(left + self.x.place(x) * (WIDTH - left - right), 1)

    def down(self, y: float) -> float:
        """Return the place of a value, px from the top, where there are two axes."""
        up = self.y.place(y) if self.y else 0.0
        return round(HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1)

    def path(self, line: Iterable[Place]) -> str:
        """Return the points of a polyline."""
        return " ".join(f"{self.across(x)},{self.down(y)}" for x, y in line)

    @property
    def legend(self) -> list[Curve]:
        """Return a curve for every name in the chart; bars have theirs beside them."""
        return list({curve.name: curve for curve in reversed(self.curves)}.values())[::-1] if self.y else []


def log_scale(
    label: str, values: Sequence[float], show: Callable[[float], str] = lambda v: f"{v:,g}"
) -> Scale:
    """Return a logarithmic scale around values above 0, from one tick to another one."""
    decades = range(floor(log10(min(values))) - 1, ceil(log10(max(values))) + 2)

    def ticks(*steps: int) -> list[float]:
        return [float(f"{step}e{decade}") for decade in decades for step in steps]

    low = max(one for one in ticks(1, 2, 5) if one <= min(values) * 1.000001)
    high = min(one for one in ticks(1, 2, 5) if one >= max(values) * 0.999999)
    if low == high:
        low, high = low / 2, high * 2
    span = log10(high) - log10(low)
    shown = ticks(1, 2, 5) if span <= 2 else ticks(1, 3) if span <= 4 else ticks(1)
    kept = tuple((tick, show(tick)) for tick in shown if low * 0.999 <= tick <= high * 1.001)
    return Scale(label, lambda value: (log10(value) - log10(low)) / span, kept)


def recall_scale(label: str, values: Sequence[float]) -> Scale:
    """Return a scale on which every nine takes the same room: .9, .99, .999."""
    low = max(tick for tick in _RECALLS if tick <= min(values) and tick < 1)
    bottom, top = _nines(low), _nines(1)
    ticks = tuple((tick, f"{tick:g}") for tick in _RECALLS if tick >= low)
    return Scale(label, lambda value: (_nines(value) - bottom) / (top - bottom), ticks)


def _nines(recall: float) -> float:
    return -log10(_NINES - recall)


class Axis(NamedTuple):
    """What an axis shows: the column of a row, on which scale, and how its values are written."""

    title: str
    column: str
    scale: Callable[[str, Sequence[float]], Scale] = log_scale
    show: Show = number


@dataclass(frozen=True, kw_only=True)
class ChartSpec:
    """A chart: `join` says which marks of a curve a line goes through; `best` joins all but the references so too.

    Without `join` a line goes through all of them, from left to right.
    """

    title: str
    caption: str
    x: Axis
    y: Axis
    join: Callable[[Sequence[Place]], Sequence[Place]] | None = None
    best: bool = False

    def draw(self, rows: Iterable[Record], stores: Sequence[str]) -> Figure | None:
        """Return the rows that have both values as a chart; a colour for each of the stores."""
        curves: dict[str, list[Record]] = {}
        for row in rows:
            if row[self.x.column] == row[self.x.column] and row[self.y.column] == row[self.y.column]:
                curves.setdefault(row.get("curve", _series(row)), []).append(row)
        if not curves:
            return None
        if self.join is None:
            for own in curves.values():
                own.sort(key=lambda row: float(row[self.x.column]))
        every = [row for own in curves.values() for row in own]
        xs, ys = ([row[axis.column] for row in every] for axis in (self.x, self.y))
        return Figure(
            title=self.title,
            caption=self.caption,
            x=self.x.scale(self.x.title, xs),
            y=self.y.scale(self.y.title, ys),
            curves=tuple(self._curve(own, stores) for own in curves.values()),
            front=self._line([row for row in every if not row.get("reference")]) if self.best else (),
            data=_behind(self.title, (self.x, self.y), every),
        )

    def _curve(self, rows: Sequence[Record], stores: Sequence[str]) -> Curve:
        marks = []
        for row in rows:
            x, y = row[self.x.column], row[self.y.column]
            says = f"{row['name']}: {self.x.title} {self.x.show(x)}, {self.y.title} {self.y.show(y)}"
            marks.append(Mark(x, y, says))
        dashed = bool(rows[0].get("dashed"))
        return Curve(_series(rows[0]), *_look(rows[0], stores), tuple(marks), self._line(rows), dashed)

    def _line(self, rows: Sequence[Record]) -> tuple[Place, ...]:
        places = [(row[self.x.column], row[self.y.column]) for row in rows]
        return tuple(self.join(places) if self.join else places)


def percentiles(
    title: str, caption: str, rows: Sequence[Record], columns: Mapping[str, str], stores: Sequence[str]
) -> Figure:
    """Return rows below each other on one axis, ms, by the columns of their percentiles, rising, under their titles."""
    bars = []
    for row in rows:
        told = {name: row[column] for name, column in columns.items() if row[column] == row[column]}
        marks = (Mark(ms, 0, f"{row['name']}: {name} {number(ms)} ms") for name, ms in told.items())
        bars.append(Curve(row["name"], *_look(row, stores), tuple(marks)))
    return Figure(
        title=title,
        caption=caption,
        x=log_scale("ms", [mark.x for bar in bars for mark in bar.marks]),
        curves=tuple(bars),
        data=_behind(title, [Axis(f"{name}, ms", column) for name, column in columns.items()], rows),
    )


def _series(row: Record) -> str:
    return f"{row['store']}, {row['kind']}"


def _look(row: Record, stores: Sequence[str]) -> tuple[int, str]:
    """Return colour and shape of a row's marks."""
    return stores.index(row["store"]) % COLOURS, SHAPES[row["kind"].partition(" ")[0]]


def _behind(title: str, columns: Sequence[Axis], rows: Sequence[Record]) -> ReportTable:
    """Return the table behind a chart."""
    specs = tuple(ColumnSpec(title=one.title, measure="") for one in columns)
    lines = (Line((row["name"],), tuple(Cell(one.show(row[one.column])) for one in columns)) for row in rows)
    return ReportTable(title, ("setting",), specs, tuple(lines))
