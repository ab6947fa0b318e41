"""Curves and points between two linear axes: ROC curves, reliability, decision curves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cohorts.reports.figures import svg as draw

_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 14, 44
_NAMES = 220
Place = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Places joined by a line; with `bounds`, as many intervals of y, they are points, each with its interval."""

    name: str
    places: Sequence[Place]
    bounds: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, kw_only=True)
class PlaneFigure:
    """Up to four traces; `x` and `y` are the ends of the axes, `reference` is a quiet line, as that of chance."""

    title: str
    about: str
    x_title: str
    y_title: str
    x: tuple[float, float]
    y: tuple[float, float]
    traces: Sequence[Trace]
    reference: Sequence[Place] = ()
    show: Callable[[float], str] = "{:g}".format

    def svg(self, width: int) -> str:
        """Return the figure; in a narrow one the names stand below it, else beside it."""
        named = width >= 600
        across = width - (_NAMES if named else 0)
        height = round(0.72 * (across - _LEFT - _RIGHT)) + _TOP
        parts = [self._frame(across, height)]
        if self.reference:
            parts.append(
                self._line(self.reference, across, height, stroke=draw.QUIET, stroke_dasharray="4 4")
            )
        parts += [self._trace(one, place, across, height) for place, one in enumerate(self.traces)]
        x, first = (across, _TOP + 12) if named else (_LEFT, height + _BOTTOM + 12)
        for place, one in enumerate(self.traces):
            y = first + 18 * place
            parts.append(draw.line(x, y - 4, x + 26, y - 4, **_look(place)))
            parts.append(draw.words(x + 34, y, one.name, width - x - 40))
        below = 0 if named else 18 * len(self.traces)
        return draw.document(width, height + _BOTTOM + below, self.title, self.about, *parts)

    def _at(self, place: Place, width: float, height: float) -> Place:
        """Return a place in px; what lies beyond an axis stands at its end."""
        shares = [
            min(max((value - low) / (high - low), 0), 1)
            for value, (low, high) in zip(place, (self.x, self.y), strict=True)
        ]
        return _LEFT + shares[0] * (width - _LEFT - _RIGHT), height - shares[1] * (height - _TOP)

    def _frame(self, width: float, height: float) -> str:
        parts = []
        for value in draw.ticks(*self.y, 5):
            x, y = self._at((self.x[0], value), width, height)
            parts.append(draw.line(x, y, width - _RIGHT, y))
            parts.append(draw.words(x - 6, y + 4, self.show(value), text_anchor="end", fill=draw.QUIET))
        for value in draw.ticks(*self.x, 5):
            x, _ = self._at((value, self.y[0]), width, height)
            parts.append(draw.line(x, height, x, height + 5, stroke=draw.QUIET))
            parts.append(draw.words(x, height + 18, self.show(value), text_anchor="middle", fill=draw.QUIET))
        parts.append(draw.line(_LEFT, height, width - _RIGHT, height, stroke=draw.QUIET))
        parts.append(
            draw.words((_LEFT + width - _RIGHT) / 2, height + 36, self.x_title, text_anchor="middle")
        )
        middle = (_TOP + height) / 2
        turned = f"rotate(-90 13 {middle:g})"
        parts.append(draw.words(13, middle, self.y_title, text_anchor="middle", transform=turned))
        return "".join(parts)

    def _line(self, places: Sequence[Place], width: float, height: float, **look: str | float | None) -> str:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self._at(one, width, height) for one in places))
        return draw.element("polyline", points=points, fill="none", **look)

    def _trace(self, one: Trace, place: int, width: float, height: float) -> str:
        title = draw.element("title", draw.escaped(one.name))
        if not one.bounds:
            points = self._line(one.places, width, height, **_look(place))
            return draw.element("g", title, points)
        parts = [title]
        for (x, y), (low, high) in zip(one.places, one.bounds, strict=True):
            (at, up), (_, least), (_, most) = (
                self._at((x, value), width, height) for value in (y, low, high)
            )
            parts.append(draw.line(at, least, at, most, **_look(place)))
            parts.append(draw.element("circle", cx=at, cy=up, r=4, fill=draw.COLOURS[place]))
        return draw.element("g", *parts)


def _look(place: int) -> dict[str, str | float | None]:
    return {"stroke": draw.COLOURS[place], "stroke_width": 2, "stroke_dasharray": draw.DASHES[place]}
