"""Figures of what happened: whole XML, escaped words, places in their order, and nothing of what is hidden."""

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from cohorts.reports.figures import svg
from cohorts.reports.figures.courses import CourseFigure, Lab
from cohorts.reports.figures.flow import Exclusion, FlowFigure
from cohorts.reports.figures.forest import ForestFigure, Row
from cohorts.reports.figures.pathways import Flow, PathwayFigure
from cohorts.reports.figures.plane import PlaneFigure, Trace
from cohorts.reports.figures.survival import Line, SurvivalFigure

HOSTILE = "</text><script>alert('1')</script>&\"\x00\x1b"
WORDS: dict[str, Any] = {"title": HOSTILE, "about": HOSTILE}
SPACE = "{http://www.w3.org/2000/svg}"


def line(name: str = "A", **changed: Any) -> Line:
    made = Line(
        name=name,
        days=[0, 10, 40],
        share=[1, 0.7, 0.4],
        low=[0.9, 0.6, 0.3],
        high=[1, 0.8, 0.5],
        end=80,
        at_risk=[120, 77, None],
    )
    return replace(made, **changed)


SURVIVAL = SurvivalFigure(
    **WORDS,
    measure=HOSTILE,
    unit="days",
    ticks=[0, 30, 90],
    lines=[line(HOSTILE), line("B", share=[1, 0.9, 0.41]), line("C", days=[], share=[], low=[], high=[])],
)
FOREST = ForestFigure(
    **WORDS,
    unit="points",
    less=HOSTILE,
    rows=[
        Row(label=HOSTILE, estimate=1, low=-2, high=4),
        Row(label="hidden", estimate=None),
        Row(label="alone", estimate=3),
    ],
)
PATHWAYS = PathwayFigure(
    **WORDS,
    steps=["first", HOSTILE, "third"],
    flows=[
        Flow(step=0, source=HOSTILE, target="b", count=40),
        Flow(step=0, source=HOSTILE, target="c", count=None),
        Flow(step=0, source="d", target="c", count=25),
        Flow(step=1, source="b", target="e", count=40),
    ],
)
COURSES = CourseFigure(
    **WORDS,
    groups=[HOSTILE, "B"],
    days=["0", "1"],
    labs=[
        Lab(name=HOSTILE, unit="mg/dL", medians=[[1.0, None], [2.0, 3.0]]),
        Lab(name="even", unit="", medians=[[7.0, 7.0], [None, None]]),
    ],
)
PLANE = PlaneFigure(
    **WORDS,
    x_title=HOSTILE,
    y_title=HOSTILE,
    x=(0, 1),
    y=(-0.2, 0.6),
    traces=[
        Trace(name=HOSTILE, places=[(0, 0), (0.5, 0.6), (1, -3)]),
        Trace(name="points", places=[(0.5, 0.2), (1, 0.4)], bounds=[(0.1, 0.6), (0.2, 0.7)]),
    ],
    reference=[(0, 0), (1, 0)],
)
FLOW = FlowFigure(
    **WORDS,
    start=HOSTILE,
    end="septic",
    everybody="1,000",
    exclusions=[
        Exclusion(reason=HOSTILE, left_out="hidden", remaining="hidden"),
        Exclusion(reason="no code", left_out="300", remaining="650"),
    ],
)
FIGURES = [SURVIVAL, FOREST, PATHWAYS, COURSES, PLANE, FLOW]
EITHER = pytest.mark.parametrize("width", [svg.WIDE, svg.NARROW])


def parsed(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(markup)


def texts(markup: str) -> list[str]:
    """Return what can be read: texts, without what is shown where one points."""
    return [
        "".join([one.text or "", *(child.tail or "" for child in one)]).strip()
        for one in parsed(markup).iter(f"{SPACE}text")
    ]


def numbers(one: ElementTree.Element, *names: str) -> list[float]:
    return [float(one.attrib[name]) for name in names]


@EITHER
@pytest.mark.parametrize("figure", FIGURES, ids=lambda one: type(one).__name__)
def test_a_figure_is_whole_and_says_what_it_is(figure: Any, width: int) -> None:
    root = parsed(figure.svg(width))
    assert root.tag == f"{SPACE}svg"
    assert root.attrib["role"] == "img"
    assert [child.tag for child in root][:2] == [f"{SPACE}title", f"{SPACE}desc"]
    assert {one.tag for one in root.iter()}.isdisjoint({f"{SPACE}script", f"{SPACE}image"})
    assert (root[0].text or "").startswith("</text><script>alert('1')</script>&\"")
    assert "http" not in figure.svg(width).replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"\b(nan|inf|None)\b", figure.svg(width))


@EITHER
@pytest.mark.parametrize("figure", FIGURES, ids=lambda one: type(one).__name__)
def test_all_of_a_figure_lies_within_it(figure: Any, width: int) -> None:
    root = parsed(figure.svg(width))
    _, _, right, bottom = map(float, root.attrib["viewBox"].split())
    for one in root.iter():
        for name, most in {
            "x": right,
            "x1": right,
            "x2": right,
            "y": bottom,
            "y1": bottom,
            "y2": bottom,
        }.items():
            assert -1 <= float(one.attrib.get(name, 0)) <= most + 1
    assert right == width


def test_both_widths_stand_on_a_page() -> None:
    page = parsed(svg.both(FOREST.svg))
    assert [one.attrib["class"] for one in page] == ["wide", "narrow"]
    assert "@media" in svg.STYLE


@EITHER
def test_curves_fall_and_end_where_they_end(width: int) -> None:
    root = parsed(SURVIVAL.svg(width))
    curves = [
        [tuple(map(float, point.split(","))) for point in one.attrib["points"].split()]
        for one in root.iter(f"{SPACE}polyline")
    ]
    assert len(curves) == 2  # the third is hidden
    for curve in curves:
        across, down = zip(*curve, strict=True)
        assert list(across) == sorted(across)
        assert list(down) == sorted(down)
    ends = [curve[-1][0] for curve in curves]
    axis = next(one for one in root.iter(f"{SPACE}line") if one.attrib["y1"] == one.attrib["y2"])
    first, last = numbers(axis, "x1", "x2")
    assert ends == pytest.approx([first + (last - first) * 80 / 90] * 2, abs=0.2)
    dashes = [one.attrib.get("stroke-dasharray") for one in root.iter(f"{SPACE}polyline")]
    assert len(set(dashes)) == 2


@EITHER
def test_numbers_at_risk_stand_under_their_ticks_and_hidden_ones_are_told(width: int) -> None:
    told = SURVIVAL.svg(width)
    places: dict[str, list[float]] = {}
    for one in parsed(told).iter(f"{SPACE}text"):
        places.setdefault(one.text or "", []).append(float(one.attrib["x"]))
    assert places["120"] == [places["0"][0]] * 3
    assert places["77"] == [places["30"][0]] * 3
    assert places[svg.HIDDEN] == [places["90"][0]] * 3


def test_shares_that_rise_have_an_axis_as_high_as_is_needed() -> None:
    rising = line(share=[0, 0.02, 0.5], low=[0, 0.01, 0.4], high=[0.01, 0.04, 0.9])
    figure = replace(SURVIVAL, lines=[rising], ticks=[0, 10, 30], rising=True)
    assert "5 %" in texts(figure.svg(svg.WIDE))
    assert "100 %" not in texts(figure.svg(svg.WIDE))
    assert "100 %" in texts(replace(figure, ticks=[0, 10, 40]).svg(svg.WIDE))


@EITHER
def test_differences_stand_in_order_and_hidden_ones_have_no_mark(width: int) -> None:
    root = parsed(FOREST.svg(width))
    marks = [numbers(one, "x", "y", "width") for one in root.iter(f"{SPACE}rect")]
    assert len(marks) == 2
    assert marks[0][0] < marks[1][0]  # 1 and 3
    assert marks[0][1] < marks[1][1]
    (interval,) = [
        one
        for one in root.iter(f"{SPACE}line")
        if one.attrib["stroke"] == svg.INK and one.attrib["y1"] == one.attrib["y2"]
    ]
    low, high = numbers(interval, "x1", "x2")
    middle = marks[0][0] + marks[0][2] / 2
    assert middle - low == pytest.approx(high - middle, abs=0.2)
    assert "1 (-2 to 4)" in texts(FOREST.svg(width))
    assert "hidden" in texts(FOREST.svg(width))


@EITHER
def test_flows_are_as_wide_as_many_went_and_a_hidden_one_gives_no_sum(width: int) -> None:
    told = PATHWAYS.svg(width)
    links = {
        (one[0].text or "").rpartition(" → ")[2]: float(one.attrib["stroke-width"])
        for one in parsed(told).iter(f"{SPACE}path")
    }
    assert links["e: 40"] / links["c: 25"] == pytest.approx(40 / 25, rel=0.01)
    assert links["b: 40"] == links["e: 40"]
    assert f"c: {svg.HIDDEN}" in links
    shown = [text for text in texts(told) if text.isdigit()]
    assert sorted(shown) == ["25", "40", "40"]  # b and e, and d; those beside the hidden flow tell no sum


def test_many_steps_make_a_figure_wider() -> None:
    many = replace(PATHWAYS, steps=["first", "second", "third", "fourth", "fifth"])
    assert float(parsed(many.svg(svg.NARROW)).attrib["width"]) == 5 * 84


@EITHER
def test_a_flow_chart_tells_who_was_there_left_out_and_remained(width: int) -> None:
    told = [one for one in texts(FLOW.svg(width)) if "script" not in one]
    assert told == [
        "1,000",
        "left out: hidden",
        "remain",
        "hidden",
        "no code",
        "left out: 300",
        "septic",
        "650",
    ]
    boxes = [float(one.attrib["y"]) for one in parsed(FLOW.svg(width)).iter(f"{SPACE}rect")]
    assert boxes == sorted(boxes)


@EITHER
def test_courses_show_medians_and_gaps(width: int) -> None:
    told = COURSES.svg(width)
    cells = [text for text in texts(told) if re.fullmatch(r"[\d.]+|–", text)]
    assert sorted(text for text in cells if text not in ("0",)) == sorted(
        ["1", "–", "2", "3", "7", "7", "–", "–", *(["1"] * 2)]  # two of the ones are days
    )
    colours = {
        (one[0].text or "").rpartition(", ")[2]: one[1].attrib["fill"]
        for one in parsed(told).iter(f"{SPACE}g")
    }
    assert colours["1: –"] == "none"
    assert colours["0: 7"] == "#ffffff"  # all of its row are one
    assert colours["0: 2"] == "#ffffff"  # between 1 and 3
    shades = [[int(colours[cell][at : at + 2], 16) for at in (1, 3, 5)] for cell in ("0: 1", "1: 3")]
    assert shades[0][0] < shades[0][2]  # low is blue
    assert shades[1][0] > shades[1][2]  # high is orange


def test_names_that_are_too_long_are_cut_and_told_whole() -> None:
    cut = svg.words(0, 0, "a very long name indeed", 60)
    assert ElementTree.fromstring(cut)[0].text == "a very long name indeed"
    assert "…" in cut
    assert svg.words(0, 0, "short", 60) == '<text x="0" y="0">short</text>'


def test_labels_are_kept_apart() -> None:
    assert svg.spread([50, 52, 200], 15, 0, 300) == [50, 65, 200]
    assert svg.spread([299, 298], 15, 0, 300) == [300, 285]
    assert svg.spread([], 15, 0, 300) == []


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (-3, 12, [0, 5, 10]), (0.011, 0.019, None)],
)
def test_ticks_are_round_and_within(low: float, high: float, expected: list[float] | None) -> None:
    found = svg.ticks(low, high, 5)
    assert 2 <= len(found) <= 7
    assert low - 1e-9 <= min(found) <= max(found) <= high + 1e-9
    assert expected is None or found == expected


@EITHER
def test_a_plane_has_places_on_its_axes_and_intervals_at_its_points(width: int) -> None:
    root = parsed(PLANE.svg(width))
    reference, curve = (
        [*map(float, re.split("[ ,]", one.attrib["points"]))] for one in root.iter(f"{SPACE}polyline")
    )
    left, zero, right, _ = reference
    assert curve[0] == left
    assert curve[2] == pytest.approx((left + right) / 2, abs=0.1)
    assert curve[4] == right
    top, bottom = curve[3], curve[5]  # what lies below the axis stands at its end
    assert zero == pytest.approx(bottom - (bottom - top) * 0.2 / 0.8, abs=0.1)
    points = [numbers(one, "cx", "cy") for one in root.iter(f"{SPACE}circle")]
    assert points[1][0] == right
    assert points[1][1] == pytest.approx(bottom - (bottom - top) * 0.6 / 0.8, abs=0.1)
    assert {HOSTILE[:10], "points"} <= {one[:10] for one in texts(PLANE.svg(width))}
