"""Charts as places on a drawing: scales, ticks, marks and lines, which the page's template puts into SVG."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import NamedTuple

WIDTH, HEIGHT = 440, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 22, 12, 44
_NINES = 1.0001  # recall 1 stands at four nines
_RECALLS = (0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 1)
_STEPS = (1, 2, 5)


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
    line: tuple[tuple[float, float], ...] = ()
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """Curves between two axes; `front` is the line of the best of all."""

    x: Scale
    y: Scale
    curves: tuple[Curve, ...]
    front: tuple[tuple[float, float], ...] = ()

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
