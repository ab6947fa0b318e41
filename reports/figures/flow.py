"""A flow chart of exclusions: who was there, who was left out for which reason, who remained."""

from collections.abc import Sequence
from dataclasses import dataclass

from cohorts.reports.figures import svg as draw

_TALL, _GAP, _PAD = 40, 34, 10  # px: of a box, between boxes, and within one


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """A step, its counts as texts."""

    reason: str
    left_out: str
    remaining: str


@dataclass(frozen=True, kw_only=True)
class FlowFigure:
    """Boxes below each other, from `start` with `everybody` to `end`, and beside them who was left out."""

    title: str
    about: str
    start: str
    end: str
    everybody: str
    exclusions: Sequence[Exclusion]

    def svg(self, width: int) -> str:
        """Return the figure."""
        main = width * 0.36
        beside, room = main + 24, width - main - 26
        parts = [self._box(1, 0, main, self.start, self.everybody)]
        for place, one in enumerate(self.exclusions):
            top = place * (_TALL + _GAP) + _TALL
            below, middle = top + _GAP, 1 + main / 2
            is_last = place + 1 == len(self.exclusions)
            parts += [
                draw.line(middle, top, middle, below, stroke=draw.QUIET),
                draw.element(
                    "path",
                    d=f"M{middle - 4:.1f} {below - 6:.1f}L{middle:.1f} {below:.1f}L{middle + 4:.1f} {below - 6:.1f}Z",
                ),
                draw.line(middle, top + _GAP / 2, beside, top + _GAP / 2, stroke=draw.QUIET),
                self._aside(beside, top + _GAP / 2, room, one),
                self._box(1, below, main, self.end if is_last else "remain", one.remaining, bold=is_last),
            ]
        height = len(self.exclusions) * (_TALL + _GAP) + _TALL + 2
        return draw.document(width, height, self.title, self.about, *parts)

    def _box(self, x: float, y: float, wide: float, label: str, many: str, *, bold: bool = False) -> str:
        return draw.element(
            "g",
            draw.element(
                "rect",
                x=x,
                y=y + 1,
                width=wide,
                height=_TALL,
                rx=4,
                fill="#eef2f7",
                stroke=draw.COLOURS[0] if bold else draw.LINE,
            ),
            draw.words(x + _PAD, y + 17, label, wide - 2 * _PAD, fill=draw.QUIET),
            draw.words(x + _PAD, y + 33, many, wide - 2 * _PAD, font_weight="600"),
        )

    def _aside(self, x: float, y: float, wide: float, one: Exclusion) -> str:
        return draw.element(
            "g",
            draw.element("rect", x=x, y=y - 18, width=wide, height=36, rx=4, fill="#fff", stroke=draw.LINE),
            draw.words(x + _PAD, y - 3, one.reason, wide - 2 * _PAD),
            draw.words(x + _PAD, y + 12, f"left out: {one.left_out}", wide - 2 * _PAD, fill=draw.QUIET),
        )
