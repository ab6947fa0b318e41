"""Courses of laboratory values by day, of some groups: medians in cells, shaded by how each lies in its own row."""

from collections.abc import Sequence
from dataclasses import dataclass

from cohorts.reports.figures import svg as draw

_TOP, _CELL, _BETWEEN = 40, 24, 22
_KEY = "orange, bold: above the row's mean; blue, italic: below"
_LOW, _HIGH = (31, 111, 178), (199, 91, 0)


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A laboratory item: its median by group and day, None where it is hidden or nothing was measured."""

    name: str
    unit: str
    medians: Sequence[Sequence[float | None]]


@dataclass(frozen=True, kw_only=True)
class CourseFigure:
    """Medians of items by day, a panel for each group; `days` are the names of the columns.

    Colour says how far a value lies from the mean of all in its row, in standard deviations of these: blue is low,
    orange high, and beyond one deviation italic and bold. It says nothing of what is normal.
    """

    title: str
    about: str
    groups: Sequence[str]
    days: Sequence[str]
    labs: Sequence[Lab]
    hidden: str = "–"

    def svg(self, width: int) -> str:
        """Return the figure: panels beside each other, or below in a narrow one."""
        beside = width >= 600
        many = len(self.groups) if beside else 1
        labels = 164 if beside else 118
        room = (width - labels - _BETWEEN * (many - 1)) / many
        tall = _TOP + _CELL * len(self.labs)
        parts = []
        for place, group in enumerate(self.groups):
            left = labels + (room + _BETWEEN) * place * beside
            top = 0.0 if beside else (tall + 12) * place
            if place == 0 or not beside:
                parts += self._labels(top, labels)
            parts.append(self._panel(place, group, left, top, room))
        whole = (tall + 12) * (1 if beside else len(self.groups))
        key = draw.words(2, whole + 8, _KEY, width - 4, font_size=11, fill=draw.QUIET)
        return draw.document(width, whole + 14, self.title, self.about, *parts, key)

    def _labels(self, top: float, room: float) -> list[str]:
        names = [f"{lab.name}, {lab.unit}" if lab.unit else lab.name for lab in self.labs]
        return [
            draw.words(2, top + _TOP + _CELL * row + 16, name, room - 8, font_size=11)
            for row, name in enumerate(names)
        ]

    def _panel(self, place: int, group: str, left: float, top: float, room: float) -> str:
        cell = room / max(len(self.days), 1)
        parts = [draw.words(left, top + 13, group, room, font_weight="600")]
        for column, day in enumerate(self.days):
            x = left + cell * (column + 0.5)
            parts.append(
                draw.words(x, top + 32, day, cell, text_anchor="middle", font_size=11, fill=draw.QUIET)
            )
        for row, lab in enumerate(self.labs):
            apart = _standardised(lab)[place]
            for column, (value, z) in enumerate(zip(lab.medians[place], apart, strict=True)):
                x, y = left + cell * column, top + _TOP + _CELL * row
                parts.append(self._cell(f"{lab.name}, {group}, {self.days[column]}", value, z, (x, y), cell))
        return "".join(parts)

    def _cell(self, of: str, value: float | None, z: float, at: tuple[float, float], wide: float) -> str:
        told = self.hidden if value is None else _short(value)
        box = draw.element(
            "rect",
            x=at[0] + 0.5,
            y=at[1] + 0.5,
            width=wide - 1,
            height=_CELL - 1,
            fill="none" if value is None else _shade(z),
            stroke=draw.LINE if value is None else None,
            stroke_dasharray="2 2" if value is None else None,
        )
        size = 11 if len(told) * 6.4 <= wide else 9
        text = draw.words(
            at[0] + wide / 2,
            at[1] + 16,
            told,
            text_anchor="middle",
            font_size=size,
            font_weight="700" if z > 1 else None,
            font_style="italic" if z < -1 else None,
        )
        shown = text if len(told) * 0.56 * size <= wide + 2 else ""
        return draw.element("g", draw.element("title", draw.escaped(f"{of}: {told}")), box, shown)


def _standardised(lab: Lab) -> list[list[float]]:
    """Return how far each value lies from the mean of its row, all groups together; 0 where all are one, or hidden."""
    known = [value for own in lab.medians for value in own if value is not None]
    mean = sum(known) / len(known) if known else 0.0
    deviation = (sum((value - mean) ** 2 for value in known) / len(known)) ** 0.5 if known else 0.0
    return [
        [0.0 if value is None or not deviation else (value - mean) / deviation for value in own]
        for own in lab.medians
    ]


def _shade(z: float) -> str:
    """Return a colour from white to blue (low) or orange (high), never so dark that black is not read on it."""
    strength = 0.62 * min(abs(z) / 2.5, 1)
    end = _HIGH if z > 0 else _LOW
    return "#" + "".join(f"{round(255 + (one - 255) * strength):02x}" for one in end)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
