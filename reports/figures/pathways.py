"""Pathways as a Sankey: what came after what, step by step, and with how many."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cohorts.reports.figures import svg as draw

_TOP, _GAP, _BAR, _LEAST = 30, 18, 9, 1.5
_TALL = 300  # px that all of a step take
_SHADES = ("#1f6fb2", "#c75b00", "#1d8348", "#7a4fb0", "#b03a48", "#80602b", "#0f8290", "#b8378c")
Place = tuple[int, str]  # the step, and what was there


@dataclass(frozen=True, kw_only=True)
class Flow:
    """How many went from `source` of a step to `target` of the next one; None is hidden."""

    step: int
    source: str
    target: str
    count: int | None


@dataclass(frozen=True, kw_only=True)
class PathwayFigure:
    """Flows between steps, whose names are `steps`, one more than flows have steps.

    A place tells how many were there where none of its flows is hidden: a sum beside all flows but one gives that away.
    What follows from other flows is the caller's to hide.
    """

    title: str
    about: str
    steps: Sequence[str]
    flows: Sequence[Flow]
    hidden: str = draw.HIDDEN

    def svg(self, width: int) -> str:
        """Return the figure; steps stand at least 84 px apart, so of many it is wider than asked for."""
        wide = max(width, 84 * len(self.steps))
        room = wide / len(self.steps)
        sizes = self._sizes()
        columns = [self._column(step, sizes) for step in range(len(self.steps))]
        most = max((sum(sizes[one] for one in column) for column in columns), default=0) or 1
        scale = _TALL / most
        boxes = _boxes(columns, sizes, scale, room)
        height = max((y + tall for _, y, tall in boxes.values()), default=_TOP) + 24  # two lines of words
        parts = [
            draw.words(room * step + 2, 14, name, room - 6, font_weight="600")
            for step, name in enumerate(self.steps)
        ]
        parts += self._links(boxes, scale)
        parts += [self._place(one, box, room) for one, box in boxes.items()]
        return draw.document(wide, height, self.title, self.about, *parts)

    def _shade(self, name: str) -> str:
        names = dict.fromkeys(name for flow in self.flows for name in (flow.source, flow.target))
        return _SHADES[list(names).index(name) % len(_SHADES)]

    def _sizes(self) -> Mapping[Place, int]:
        """Return how many are known to be at each place: those who came, or those who left, if they are more."""
        came: dict[Place, int] = defaultdict(int)
        left: dict[Place, int] = defaultdict(int)
        for flow in self.flows:
            left[flow.step, flow.source] += flow.count or 0
            came[flow.step + 1, flow.target] += flow.count or 0
        return {one: max(came[one], left[one]) for one in {**left, **came}}

    def _column(self, step: int, sizes: Mapping[Place, int]) -> list[Place]:
        return sorted((one for one in sizes if one[0] == step), key=lambda one: (-sizes[one], one[1]))

    def _links(self, boxes: Mapping[Place, tuple[float, float, float]], scale: float) -> list[str]:
        used: dict[tuple[Place, str], float] = defaultdict(float)
        parts = []
        for flow in sorted(self.flows, key=lambda one: (one.step, boxes[one.step + 1, one.target][1])):
            source, target = (flow.step, flow.source), (flow.step + 1, flow.target)
            thick = max((flow.count or 0) * scale, _LEAST)
            (x1, y1, _), (x2, y2, _) = boxes[source], boxes[target]
            start, end = y1 + used[source, "out"] + thick / 2, y2 + used[target, "in"] + thick / 2
            if flow.count is not None:
                used[source, "out"] += thick
                used[target, "in"] += thick
            parts.append(self._link(flow, (x1 + _BAR, start), (x2, end), thick))
        return parts

    def _link(self, flow: Flow, start: tuple[float, float], end: tuple[float, float], thick: float) -> str:
        (x1, y1), (x2, y2) = start, end
        middle = (x1 + x2) / 2
        told = self.hidden if flow.count is None else f"{flow.count:,}"
        return draw.element(
            "path",
            draw.element("title", draw.escaped(f"{flow.source} → {flow.target}: {told}")),
            d=f"M{x1:.1f} {y1:.1f}C{middle:.1f} {y1:.1f} {middle:.1f} {y2:.1f} {x2:.1f} {y2:.1f}",
            fill="none",
            stroke=self._shade(flow.source),
            stroke_opacity="0.34",
            stroke_width=f"{thick:.2f}",
            stroke_dasharray="3 3" if flow.count is None else None,
        )

    def _place(self, place: Place, box: tuple[float, float, float], room: float) -> str:
        x, y, tall = box
        own = [
            flow.count
            for flow in self.flows
            if place in ((flow.step, flow.source), (flow.step + 1, flow.target))
        ]
        many = "" if None in own else f"{self._sizes()[place]:,}"
        size = 11 if room > 100 else 10
        labels = [
            draw.words(
                x + _BAR + 3,
                y + below,
                text,
                room - _BAR - 6,
                font_size=size,
                fill=colour,
                paint_order="stroke",
                stroke="#fff",
                stroke_width=3,
            )
            for text, below, colour in ((place[1], 11, draw.INK), (many, 23, draw.QUIET))
            if text
        ]
        return draw.element("rect", x=x, y=y, width=_BAR, height=tall, fill=self._shade(place[1])) + "".join(
            labels
        )


def _boxes(
    columns: Sequence[Sequence[Place]], sizes: Mapping[Place, int], scale: float, room: float
) -> dict[Place, tuple[float, float, float]]:
    """Return where each place stands: px from the left, from the top, and its height."""
    boxes = {}
    for step, column in enumerate(columns):
        y = float(_TOP)
        for one in column:
            tall = max(sizes[one] * scale, _LEAST)
            boxes[one] = (room * step + 2, y, tall)
            y += max(tall, 12) + _GAP
    return boxes
