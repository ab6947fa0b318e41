"""Charts: scales, and marks in their places by hand."""

from dataclasses import replace
from math import nan

from cohorts.reports.charts import (
    LEFT,
    RIGHT,
    WIDTH,
    Axis,
    ChartSpec,
    log_scale,
    percentiles,
    recall_scale,
)
from cohorts.reports.formats import count


def test_scales_put_every_value_between_their_ends() -> None:
    for values in ([0.013, 4.7], [3.0, 3.0], [1.0, 1.0], [120.0, 99_000.0]):
        scale = log_scale("ms", values)
        assert all(0 <= scale.place(value) <= 1 for value in values)
        assert len(scale.ticks) >= 2
        assert all(-1e-3 <= scale.place(tick) <= 1.001 for tick, _ in scale.ticks)
    recall = recall_scale("recall", [0.93, 1.0])
    assert recall.place(1.0) == 1
    assert [text for _, text in recall.ticks] == ["0.9", "0.95", "0.99", "0.999", "1"]
    assert recall_scale("recall", [0.0]).ticks[0] == (0, "0")


ROWS = [
    {
        "name": "b",
        "curve": "Ours",
        "store": "Ours",
        "kind": "hnsw",
        "n": 100.0,
        "ms": 4.0,
    },
    {
        "name": "a",
        "curve": "Ours",
        "store": "Ours",
        "kind": "hnsw",
        "n": 1.0,
        "ms": 1.0,
    },
    {
        "name": "c",
        "store": "faiss",
        "kind": "ivf as flat",
        "n": 10.0,
    }
    | {"ms": 2.0, "reference": True, "dashed": True},
    {
        "name": "unmeasured",
        "store": "faiss",
        "kind": "flat",
        "n": 10.0,
        "ms": nan,
    },
]
SPEC = ChartSpec(
    title="Cost", caption="Lower is better.", x=Axis("vectors", "n", show=count), y=Axis("p50, ms", "ms")
)


def test_rows_become_marks_lines_and_the_table_behind() -> None:
    figure = replace(SPEC, best=True).draw(ROWS, ["faiss", "Ours"])
    assert figure is not None
    ours, faiss = figure.curves
    assert [(mark.x, mark.y, mark.says) for mark in ours.marks] == [
        (1, 1, "a: vectors 1, p50, ms 1.00"),
        (100, 4, "b: vectors 100, p50, ms 4.00"),
    ]
    assert (ours.colour, ours.shape, ours.line, ours.dashed) == (1, "circle", ((1, 1), (100, 4)), False)
    assert (faiss.colour, faiss.shape, faiss.dashed) == (0, "square", True)
    assert figure.front == ((1, 1), (100, 4))  # no reference
    left, right = ((figure.across(mark.x), figure.down(mark.y)) for mark in ours.marks)
    assert (left[0], right[0]) == (LEFT, WIDTH - RIGHT)
    assert left[1] > right[1]  # places count from above
    assert [(line.names, [cell.text for cell in line.cells]) for line in figure.data.lines] == [
        (("a",), ["1", "1.00"]),
        (("b",), ["100", "4.00"]),
        (("c",), ["10", "2.00"]),
    ]
    assert [curve.name for curve in figure.legend] == ["Ours, hnsw", "faiss, ivf as flat"]
    assert SPEC.draw(ROWS[3:], ["faiss"]) is None


def test_a_line_goes_through_what_is_joined() -> None:
    figure = replace(SPEC, join=lambda points: points[:1]).draw(ROWS, ["faiss", "Ours"])
    assert figure is not None
    assert figure.curves[0].line == ((100, 4),)


def test_percentiles_stand_below_each_other_as_far_as_they_are_told() -> None:
    figure = percentiles("Latency", "", ROWS[:1] + ROWS[3:], {"p50": "n", "p99": "ms"}, ["faiss", "Ours"])
    assert [[(mark.x, mark.says) for mark in bar.marks] for bar in figure.curves] == [
        [(100, "b: p50 100 ms"), (4, "b: p99 4.00 ms")],
        [(10, "unmeasured: p50 10.0 ms")],
    ]
    assert [cell.text for cell in figure.data.lines[1].cells] == ["10.0", "–"]
    assert figure.legend == []
