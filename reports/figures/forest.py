"""Differences below each other with their intervals, on one axis."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cohorts.reports.figures import svg as draw

_TOP, _BOTTOM = 24, 40


@dataclass(frozen=True, kw_only=True)
class Row:
    """A difference; `estimate` is None where it is hidden, `low` and `high` where there is no interval."""

    label: str
    estimate: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class ForestFigure:
    """Differences of one unit; `show` writes a value, `less` and `more` say what lies on either side of `none`."""

    title: str
    about: str
    rows: Sequence[Row]
    unit: str
    less: str = ""
    more: str = ""
    none: float = 0.0
    show: Callable[[float], str] = "{:g}".format
    hidden: str = "hidden"

    def svg(self, width: int) -> str:
        """Return the figure; in a narrow one a row has its label above it."""
        wide = width >= 600
        left, right = (260, 180) if wide else (10, 10)
        step = 28 if wide else 44
        low, high = self._range()

        def across(value: float) -> float:
            return left + (width - left - right) * (value - low) / (high - low)

        bottom = _TOP + step * len(self.rows)
        parts = [self._axis(across, low, high, bottom, width)]
        for place, row in enumerate(self.rows):
            y = _TOP + step * (place + (0.5 if wide else 0.75))
            parts.append(_mark(row, across, y))
            above = y + 4 if wide else y - 14
            room = left - 12 if wide else width - 170
            parts.append(draw.words(4, above, row.label, room))
            parts.append(draw.words(width - 4, above, self._told(row), text_anchor="end", fill=draw.QUIET))
        return draw.document(width, bottom + _BOTTOM, self.title, self.about, *parts)

    def _range(self) -> tuple[float, float]:
        told = [self.none]
        for row in self.rows:
            if row.estimate is not None:
                told += [value for value in (row.low, row.estimate, row.high) if value is not None]
        low, high = min(told), max(told)
        margin = 0.06 * (high - low) or 1.0
        return low - margin, high + margin

    def _axis(
        self, across: Callable[[float], float], low: float, high: float, bottom: float, width: float
    ) -> str:
        parts = []
        for value in draw.ticks(low, high, 5):
            x = across(value)
            parts.append(draw.line(x, _TOP, x, bottom))
            parts.append(draw.words(x, bottom + 15, self.show(value), text_anchor="middle", fill=draw.QUIET))
        x = across(self.none)
        parts.append(draw.line(x, _TOP - 4, x, bottom, stroke=draw.INK, stroke_width=1.2))
        parts.append(
            draw.words((across(low) + across(high)) / 2, bottom + 33, self.unit, text_anchor="middle")
        )
        room = min(x, width - x) - 16
        if self.less:
            parts.append(draw.words(x - 8, 13, f"← {self.less}", room, text_anchor="end", fill=draw.QUIET))
        if self.more:
            parts.append(draw.words(x + 8, 13, f"{self.more} →", room, fill=draw.QUIET))
        return "".join(parts)

    def _told(self, row: Row) -> str:
        if row.estimate is None:
            return self.hidden
        if row.low is None or row.high is None:
            return self.show(row.estimate)
        return f"{self.show(row.estimate)} ({self.show(row.low)} to {self.show(row.high)})"


def _mark(row: Row, across: Callable[[float], float], y: float) -> str:
    if row.estimate is None:
        return ""
    parts = []
    if row.low is not None and row.high is not None:
        low, high = across(row.low), across(row.high)
        parts.append(draw.line(low, y, high, y, stroke=draw.INK, stroke_width=1.8))
        parts += [draw.line(x, y - 4, x, y + 4, stroke=draw.INK, stroke_width=1.8) for x in (low, high)]
    x = across(row.estimate)
    parts.append(draw.element("rect", x=x - 4.5, y=y - 4.5, width=9, height=9, fill=draw.COLOURS[0]))
    return "".join(parts)
