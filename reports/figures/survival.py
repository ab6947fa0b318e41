"""Curves by time with their bands, and under them how many are at risk."""

from collections.abc import Sequence
from dataclasses import dataclass

from cohorts.reports.figures import svg as draw

_LEFT, _TOP, _BOTTOM = 46, 14, 40
_ROW = 34
_TOPS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A group's curve: `share` steps at `days`, rising, 0 first, and holds up to day `end`; shares are 0 to 1.

    `low` and `high` are its band, as long as `days`; `at_risk` is of the figure's ticks, None is hidden. Of a curve
    that is hidden `days` is empty.
    """

    name: str
    days: Sequence[float]
    share: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    end: float
    at_risk: Sequence[int | None]


@dataclass(frozen=True, kw_only=True)
class SurvivalFigure:
    """Curves of up to four groups; `ticks` are days, 0 first, the last one ends the axis, `unit` is written under it.

    `measure` says what the shares are of. Shares without an event go from 0 to 1; of those with one (`rising`) as far
    up as is needed.
    """

    title: str
    about: str
    measure: str
    unit: str
    ticks: Sequence[float]
    lines: Sequence[Line]
    rising: bool = False
    hidden: str = draw.HIDDEN

    def svg(self, width: int) -> str:
        """Return the figure; in a narrow one the names stand with the numbers at risk alone."""
        named = width >= 600
        right = 190 if named else 26
        height = 300 if named else 230
        across = _Axis(self.ticks[-1], _LEFT, width - right)
        up = _Axis(self._top(), height, _TOP)
        key = height + _BOTTOM + 14
        parts = [self._frame(across, up, height)]
        parts += [_band(one, across, up, place) for place, one in enumerate(self.lines) if one.days]
        parts += [_curve(one, across, up, place) for place, one in enumerate(self.lines) if one.days]
        if named:
            parts.append(self._names(across, up, height, right))
        parts.append(draw.words(4, key, "At risk", fill=draw.QUIET))
        for place, one in enumerate(self.lines):
            parts.append(self._at_risk(one, place, across, key + 18 + _ROW * place, width))
        whole = key + 18 + _ROW * len(self.lines)
        return draw.document(width, whole, self.title, self.about, *parts)

    def _top(self) -> float:
        if not self.rising:
            return 1.0
        shown = [
            high
            for one in self.lines
            for day, high in zip(one.days, one.high, strict=True)
            if day <= self.ticks[-1]
        ]
        return next(top for top in _TOPS if top >= max(shown, default=1.0) - 1e-9)

    def _frame(self, across: "_Axis", up: "_Axis", height: float) -> str:
        parts = []
        for share in draw.ticks(0, up.most, 5):
            y = up(share)
            parts.append(draw.line(across.first, y, across.last, y))
            parts.append(
                draw.words(_LEFT - 6, y + 4, f"{100 * share:g} %", text_anchor="end", fill=draw.QUIET)
            )
        for day in self.ticks:
            parts.append(draw.line(across(day), height, across(day), height + 5, stroke=draw.QUIET))
            parts.append(
                draw.words(across(day), height + 18, f"{day:g}", text_anchor="middle", fill=draw.QUIET)
            )
        parts.append(draw.line(across.first, height, across.last, height, stroke=draw.QUIET))
        middle = (across.first + across.last) / 2
        parts.append(draw.words(middle, height + 36, self.unit, text_anchor="middle"))
        y = _TOP + 12 if self.rising else height - 8  # where the curves are not
        parts.append(draw.words(across.first + 6, y, self.measure, across.last - across.first - 12))
        return "".join(parts)

    def _names(self, across: "_Axis", up: "_Axis", height: float, right: float) -> str:
        shown = [(place, one) for place, one in enumerate(self.lines) if one.days]
        ends = [up(_at(one, across.most)) for _, one in shown]
        parts = []
        for (place, one), end, y in zip(shown, ends, draw.spread(ends, 15, _TOP, height), strict=True):
            x = across(min(one.end, across.most))
            colour = draw.COLOURS[place]
            parts.append(draw.line(x + 2, end, across.last + 8, y, stroke=colour, stroke_width=0.7))
            parts.append(
                draw.words(across.last + 11, y + 4, one.name, right - 14, fill=colour, font_weight="600")
            )
        return "".join(parts)

    def _at_risk(self, one: Line, place: int, across: "_Axis", y: float, width: float) -> str:
        parts = [_sample(_LEFT - 14, y - 4, place)]
        parts.append(
            draw.words(
                _LEFT + 16, y, one.name, width - _LEFT - 20, fill=draw.COLOURS[place], font_weight="600"
            )
        )
        for day, many in zip(self.ticks, one.at_risk, strict=True):
            told = self.hidden if many is None else f"{many:,}"
            parts.append(draw.words(across(day), y + 15, told, text_anchor="middle"))
        return "".join(parts)


class _Axis:
    """Values from 0 to `most` on px from `first` to `last`."""

    def __init__(self, most: float, first: float, last: float) -> None:
        self.most, self.first, self.last = most, first, last

    def __call__(self, value: float) -> float:
        return self.first + (self.last - self.first) * min(max(value / self.most, 0), 1)


def _at(one: Line, most: float) -> float:
    return next(share for day, share in zip(one.days[::-1], one.share[::-1], strict=True) if day <= most)


def _steps(one: Line, shares: Sequence[float], across: _Axis, up: _Axis) -> list[tuple[float, float]]:
    """Return the corners of a step function, px, up to the end of the curve or the axis."""
    last = min(one.end, across.most)
    corners: list[tuple[float, float]] = []
    for day, share in zip(one.days, shares, strict=True):
        if day <= last:
            corners += [(across(day), corners[-1][1])] if corners else []
            corners.append((across(day), up(share)))
    return [*corners, (across(last), corners[-1][1])]


def _points(corners: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)


def _band(one: Line, across: _Axis, up: _Axis, place: int) -> str:
    around = _steps(one, one.high, across, up) + _steps(one, one.low, across, up)[::-1]
    return draw.element("polygon", points=_points(around), fill=draw.COLOURS[place], fill_opacity="0.14")


def _curve(one: Line, across: _Axis, up: _Axis, place: int) -> str:
    corners = _steps(one, one.share, across, up)
    title = draw.element("title", draw.escaped(one.name))
    return draw.element("polyline", title, points=_points(corners), fill="none", **_look(place))


def _sample(x: float, y: float, place: int) -> str:
    return draw.line(x, y, x + 26, y, **_look(place))


def _look(place: int) -> dict[str, str | float | None]:
    return {"stroke": draw.COLOURS[place], "stroke_width": 2, "stroke_dasharray": draw.DASHES[place]}
